"""VQGAN+CLIP: the gradient in batches, memory that runs out, starts, prompts, and errors that keep the picture."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labkit.clip.cutouts import Cutouts, draw
from labkit.image import ImageInput, psnr
from labkit.methods import vqgan_clip
from labkit.methods.vqgan_clip import (
    VQGANCLIP,
    Canvas,
    ImagePrompt,
    NoisePrompt,
    Optimiser,
    initial_latent,
    picture_gradient,
    roughness,
    total_variation,
)
from labkit.spec import NonFiniteError, SpecError
from tests.conformance import TinyLab, pixels

SMALL = {"steps": 4, "preview_every": 1, "canvas": Canvas(width=16, height=16, tries=1), "cutouts": Cutouts(cutn=8)}


@pytest.fixture(scope="module")
def lab():
    return TinyLab()


def spec_of(prompt: str = "a red apple", **changes) -> VQGANCLIP:
    return VQGANCLIP(prompt=prompt, **{**SMALL, **changes})


def painted(side: int = 16, seed: int = 3, height: int | None = None) -> ImageInput:
    values = np.random.default_rng(seed).integers(0, 256, (height or side, side, 3), dtype=np.uint8)
    return ImageInput.of(values, side, height or side)


def run(lab, *args, **changes):
    return list(spec_of(*args, **changes).run(lab))


def latent(step) -> torch.Tensor:
    return step.state()["parts"]["now"]["z"]


def latents(lab, spec) -> list[torch.Tensor]:
    return [latent(step) for step in spec.run(lab)]


# Several starts, of which one goes on


LIKED = [[0.1, 0.9, 0.2], [0.3, 0.1, 0.2], [0.3, 0.1, 0.2], [0.6, 0.1, 0.2]]  # by step and start; means 0.325, 0.3, 0.2


def test_after_two_fifths_of_the_steps_the_start_goes_on_that_was_liked_best_so_far(lab, monkeypatch):
    """On average over the latest steps: the second start is ahead until the last of them."""
    said = iter(sum(LIKED, []) + [0.0] * 5)
    monkeypatch.setattr(vqgan_clip, "picture_gradient", lambda x, *_: (torch.zeros_like(x), [0.0], next(said), 8))
    steps = run(lab, steps=9, canvas=Canvas(width=16, height=16, tries=3), optimiser=Optimiser(smooth=0))
    assert [step.scores["cutouts"] for step in steps] == [0.9, 0.1, 0.1, 0.6] + [0.0] * 5


def test_what_was_chosen_stays_and_every_start_is_kept_in_the_state(lab):
    chosen = []
    for step in spec_of(steps=9, canvas=Canvas(width=16, height=16, tries=3)).run(lab):
        now = step.state()["parts"]["now"]
        assert now["z"].shape[0] == 3
        chosen.append(now["chosen"])
    assert chosen[:3] == [-1] * 3 and len(set(chosen[3:])) == 1 and chosen[3] >= 0


def test_starts_that_were_left_cost_nothing_more(lab, monkeypatch):
    calls = []
    real = lab.vqgan.decode
    monkeypatch.setattr(lab.vqgan, "decode", lambda z: calls.append(len(z)) or real(z))
    run(lab, steps=9, canvas=Canvas(width=16, height=16, tries=3))
    assert calls == [1] * (4 * 3 + 5)


def test_an_initial_image_is_one_start_and_a_story_chooses_in_its_first_chapter(lab):
    init = Canvas(width=16, height=16, init=painted(), tries=3)
    assert [len(z) for z in latents(lab, spec_of(canvas=init))] == [1] * 4
    story = spec_of("a red apple ^ the sea", steps=12, canvas=Canvas(width=16, height=16, tries=2))
    chosen = [step.state()["parts"]["now"]["chosen"] for step in story.run(lab)]
    assert chosen[1] == -1 and chosen[2] >= 0


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_run_of_several_starts_resumes_exactly(lab, at):
    spec = spec_of(steps=9, canvas=Canvas(width=16, height=16, tries=3))
    steps = [(step, step.state()) for step in spec.run(lab)]
    (*_, last) = spec.run(lab, steps[at][1])
    assert torch.equal(latent_of(steps[-1][1]), latent_of(last.state())) and last.scores == steps[-1][0].scores


def latent_of(state: dict) -> torch.Tensor:
    return state["parts"]["now"]["z"]


# The gradient, whole and in batches


def gradient(lab, chunk: int, method: str = "crops"):
    looks = draw(Cutouts(cutn=16, method=method), 24, 32, 16, torch.Generator().manual_seed(0))
    x = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    red, sea = lab.guide.encode_text(["a red apple", "the sea"])
    return picture_gradient(x, lab.guide, looks, [(red, 1.0, -math.inf), (sea, -0.5, -2.0)], chunk)


@pytest.mark.parametrize("method", ["crops", "pooled"])
@pytest.mark.parametrize("chunk", [1, 4, 5, 64])
def test_batches_give_the_gradient_of_the_whole(lab, method, chunk):
    whole, losses, score, _ = gradient(lab, 16, method)
    grad, again, same, used = gradient(lab, chunk, method)
    assert used == chunk and whole.abs().max() > 1e-5
    assert torch.allclose(grad, whole, atol=1e-6, rtol=0)
    assert (grad - whole).norm() <= 1e-4 * whole.norm()
    assert again == pytest.approx(losses, abs=1e-6) and same == pytest.approx(score, abs=1e-6)


def scarce(monkeypatch, lab, most: int, from_call: int = 0) -> list[int]:
    """From now on a batch of more than `most` pictures does not fit into memory."""
    encode, sizes = lab.guide.encode_image, []

    def encode_image(x):
        sizes.append(len(x))
        if len(x) > most and len(sizes) > from_call:
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return encode(x)

    monkeypatch.setattr(lab.guide, "encode_image", encode_image)
    return sizes


@pytest.mark.parametrize("most", [1, 3])
def test_out_of_memory_goes_on_in_smaller_batches_and_says_so(lab, monkeypatch, most):
    plain = run(lab)
    sizes = scarce(monkeypatch, lab, most)
    saved = run(lab)
    assert [s.i for s in saved] == [s.i for s in plain]
    assert psnr(saved[0].image, plain[0].image) == math.inf
    assert psnr(saved[-1].image, plain[-1].image) > 40
    assert [s.scores["clip"] for s in saved] == pytest.approx([s.scores["clip"] for s in plain], abs=1e-3)
    used = 2 if most == 3 else 1
    (notice,) = {n for s in saved for n in s.extras["notices"]}
    assert notice == f"out of memory with 8 cutouts a batch; going on with {used}, same gradient"
    assert sizes.count(8) == 1, "what did not fit once is not tried again"
    assert saved[-1].state()["parts"]["now"]["chunk"] == used


def test_out_of_memory_in_the_middle_keeps_the_run(lab, monkeypatch):
    scarce(monkeypatch, lab, 4, from_call=4)
    saved = run(lab)
    assert [len(s.extras["notices"]) for s in saved] == [0, 0, 1, 1]


def test_out_of_memory_with_one_cutout_is_raised(lab, monkeypatch):
    scarce(monkeypatch, lab, 0)
    with pytest.raises(torch.OutOfMemoryError):
        run(lab)


def test_a_batch_is_never_larger_than_the_cutouts(lab, monkeypatch):
    sizes = scarce(monkeypatch, lab, 4)
    run(lab, cutouts=Cutouts(cutn=8, chunk=200), steps=1)
    assert sizes == [8, 4, 4, 1], "the last looks at the whole picture"
    del sizes[:]
    run(lab, cutouts=Cutouts(cutn=8, chunk=3), steps=1)
    assert sizes == [3, 3, 2, 1]


# Where it begins and how it moves


@pytest.mark.parametrize("start", ["codes", "noise", "gradient", None])
@pytest.mark.parametrize("size", [(16, 16), (48, 16)])
def test_every_start_at_every_shape(lab, start, size):
    canvas = Canvas(width=size[0], height=size[1], **(
        {"start": start} if start else {"init": painted(size[0], height=size[1])}))
    steps = run(lab, canvas=canvas, steps=2)
    assert all(s.image.size == size for s in steps)
    if start:
        assert run(lab, canvas=canvas, steps=1, seed=1)[0].image.tobytes() != steps[0].image.tobytes()


def test_an_initial_image_is_where_it_starts(lab):
    init = painted()
    with torch.no_grad():
        wanted = lab.vqgan.encode(init.tensor() * 2 - 1)[0]
    z = initial_latent(Canvas(width=16, height=16, init=init), lab.vqgan, torch.Generator())
    assert torch.equal(z, wanted)


def test_random_codes_are_codes_of_the_codebook(lab):
    z = initial_latent(Canvas(width=16, height=16), lab.vqgan, torch.Generator().manual_seed(0))
    assert torch.equal(lab.vqgan.quantize(z)[0], z) and z.shape == (1, 4, 4, 4)


def test_a_gradient_picture_goes_from_top_to_bottom(lab, monkeypatch):
    seen = []
    monkeypatch.setattr(lab.vqgan, "encode", lambda x: (seen.append(x), None))
    initial_latent(Canvas(width=16, height=32, start="gradient"), lab.vqgan, torch.Generator().manual_seed(0))
    (x,) = seen
    assert torch.equal(x, x[..., :1].expand_as(x)), "rows are of one colour"
    steps = x[0, :, 1:, 0] - x[0, :, :-1, 0]
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), atol=1e-5) and steps.abs().max() > 0


@pytest.mark.parametrize(("side", "value", "below", "above"), [("width", 17, 16, 20), ("height", 31, 28, 32)])
def test_a_canvas_that_f_does_not_divide_names_both_alternatives(lab, side, value, below, above):
    spec = spec_of(canvas={"width": 16, "height": 16, side: value})
    with pytest.raises(SpecError, match=rf"canvas\.{side}: {value} is not a multiple .* f = 4; use {below} or {above}"):
        next(iter(spec.run(lab)))


def test_z_stays_within_the_codebook_s_range_per_channel(lab):
    low, high = lab.vqgan.codebook.aminmax(dim=0)
    free = True
    for z in latents(lab, spec_of(optimiser=Optimiser(lr=5), steps=6)):
        cells = z.movedim(1, -1)
        assert (cells >= low).all() and (cells <= high).all()
        free &= not bool(((cells == low) | (cells == high)).any())
    assert not free, "with such a rate some cells meet the bound"


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad"])
def test_every_optimiser_moves_z_and_resumes(lab, name):
    spec = spec_of(optimiser=Optimiser(name=name, lr=0.5))
    steps = []
    for step in spec.run(lab):
        steps.append(step)
        if step.i == 1:
            state = step.state()
    assert pixels(spec.run(lab, state)) == pixels(steps[2:])
    assert latent(steps[-1]).isfinite().all() and steps[-1].image.tobytes() != steps[0].image.tobytes()


def init_term(lab, monkeypatch, weight: float, pull: float = 0.0) -> tuple[torch.Tensor, list]:
    """z after each step when CLIP's pull is a given constant, and the gradients that the optimiser was given."""
    grads = []

    class Descent(torch.optim.SGD):
        def step(self):
            (z,) = self.param_groups[0]["params"]
            grads.append((z.detach().clone(), z.grad.clone()))
            return super().step()

    monkeypatch.setitem(vqgan_clip.OPTIMISERS, "adam", Descent)
    monkeypatch.setattr(vqgan_clip, "picture_gradient",
                        lambda x, *_: (torch.full_like(x, pull), [0.0], 0.0, 8))
    canvas = Canvas(width=16, height=16, tries=1, init_weight=weight)
    zs = latents(lab, spec_of(canvas=canvas, optimiser=Optimiser(lr=1.0, smooth=0), steps=4))
    return zs, grads


def test_init_weight_pulls_to_the_initial_z_and_not_to_zero(lab, monkeypatch):
    start = initial_latent(Canvas(width=16, height=16), lab.vqgan, torch.Generator().manual_seed(0))
    _, grads = init_term(lab, monkeypatch, 3.0)
    assert all(torch.equal(z, start) and not g.any() for z, g in grads), "at its start nothing pulls"


def test_init_weight_in_closed_form(lab, monkeypatch):
    """∂/∂z of w · MSE(z, z0) / 2 is w · (z − z0) / numel."""
    start = initial_latent(Canvas(width=16, height=16), lab.vqgan, torch.Generator().manual_seed(0))
    seen = {}
    for weight in (0.0, 100.0):
        _, grads = init_term(lab, monkeypatch, weight, pull=0.05)
        seen[weight] = grads[1]
    (z, plain), (same, pulled) = seen[0.0], seen[100.0]
    assert torch.equal(z, same) and not torch.equal(z, start)
    assert torch.allclose(pulled - plain, 100 * (z - start) / z.numel(), atol=1e-5)


def test_total_variation_in_closed_form():
    ramp = torch.arange(4.0).expand(1, 2, 3, 4)
    assert float(total_variation(ramp)) == 1 and float(total_variation(torch.full((1, 2, 3, 3), 5.0))) == 0
    assert float(total_variation(2 * ramp.transpose(2, 3))) == 4


def test_total_variation_smooths(lab):
    rough, smooth = (latents(lab, spec_of(optimiser=Optimiser(tv=tv, lr=0.1), steps=8))[-1] for tv in (0.0, 10.0))
    assert total_variation(smooth) < total_variation(rough)


def stripes(period: int, height: float) -> torch.Tensor:
    """(1, 3, 16, 32) of as many columns of one height as of none, `period` columns a pair."""
    return (torch.arange(32) % period < period / 2).float().mul(height).expand(1, 3, 16, 32)


def test_roughness_in_closed_form():
    """Steps of height h cost h, one a column apart or far apart; where nothing changes it costs 0.03, the same everywhere."""
    rest = math.sqrt(1e-3)
    assert float(roughness(torch.full((1, 3, 8, 8), 0.3))) == pytest.approx(2 * rest, rel=1e-5)
    step = math.sqrt(0.25 + 1e-3) - rest
    assert float(roughness(stripes(2, 0.5))) == pytest.approx(2 * rest + step, rel=1e-5)
    assert float(roughness(stripes(8, 0.5))) == pytest.approx(2 * rest + step * 7 / 31, rel=1e-5)


def test_roughness_leaves_an_outline_and_takes_a_hatching():
    """A slope over many columns costs about what one edge of its height does: nothing is won by blurring outlines."""
    edge = (torch.arange(32) >= 16).float().expand(1, 3, 16, 32)
    slope = torch.linspace(0, 1, 32).expand(1, 3, 16, 32)
    flat = float(roughness(torch.zeros(1, 3, 16, 32)))
    assert float(roughness(edge)) - flat < 2.5 * (float(roughness(slope)) - flat)
    assert float(roughness(stripes(2, 1))) - flat > 25 * (float(roughness(edge)) - flat)


def test_smoothing_calms_what_no_prompt_asks_for(lab, monkeypatch):
    """Where CLIP's pull is noise, Adam walks at random; with `smooth` the picture is calmer than it began."""
    rng = torch.Generator().manual_seed(0)
    monkeypatch.setattr(vqgan_clip, "picture_gradient",
                        lambda x, *_: (torch.randn(x.shape, generator=rng) * 1e-7, [0.0], 0.0, 8))
    found, wide = {}, Canvas(width=32, height=32, tries=1)
    for smooth in (0.0, 0.7):
        seen = run(lab, canvas=wide, optimiser=Optimiser(lr=0.1, smooth=smooth), steps=30)
        found[smooth] = [float(roughness(torch.from_numpy(np.array(s.image)).permute(2, 0, 1)[None] / 255)) for s in seen]
    assert found[0.7][-1] < 0.9 * found[0.7][0] and found[0.7][-1] < 0.9 * found[0.0][-1]


# What it is told to paint


def test_image_prompts_and_noise_prompts_pull(lab):
    kinds = [{}, {"image_prompts": (ImagePrompt(image=painted(20)),)},
             *({"noise_prompts": (NoisePrompt(seed=seed),)} for seed in (0, 1))]
    ends = []
    for changes in kinds:
        (*_, last) = spec_of(**changes).run(lab)
        assert len(last.extras["losses"]) == 1 + len(changes)
        ends.append(latent(last))
    assert not any(torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])


def test_prompts_of_weight_0_of_every_kind_change_nothing(lab):
    plain = pixels(run(lab))
    changes = {"image_prompts": (ImagePrompt(image=painted(20), weight=0),),
               "noise_prompts": (NoisePrompt(seed=4, weight=0),)}
    assert pixels(run(lab, "a red apple | snow:0", **changes)) == plain


def test_an_image_prompt_s_loss_falls_and_a_repelling_one_s_distance_rises(lab):
    for weight in (1.0, -1.0):
        spec = {"image_prompts": (ImagePrompt(image=painted(16), weight=50 * weight),), "steps": 15,
                "cutouts": Cutouts(cutn=16, augment=0, noise=0, smallest=1)}
        losses = [s.extras["losses"][1] for s in run(lab, "snow:0.01", **spec)]
        assert losses[-1] < losses[0]


def test_a_story_changes_the_target_at_its_step(lab, monkeypatch):
    seen = []
    inner = picture_gradient

    def spy(x, guide, looks, targets, chunk):
        seen.append(targets[0][0])
        return inner(x, guide, looks, targets, chunk)

    monkeypatch.setattr(vqgan_clip, "picture_gradient", spy)
    run(lab, "a calm sea ^ a storm ^ a red apple", steps=6)
    chapters = [lab.guide.encode_text([t])[0] for t in ("a calm sea", "a storm", "a red apple")]
    assert all(torch.equal(t, chapters[i // 2]) for i, t in enumerate(seen)) and len(seen) == 6


def test_a_story_of_one_chapter_twice_is_the_plain_prompt(lab):
    assert pixels(run(lab, "a calm sea ^ a calm sea")) == pixels(run(lab, "a calm sea"))


def test_a_stop_that_is_reached_leaves_the_latent_alone(lab):
    start = initial_latent(SMALL["canvas"], lab.vqgan, torch.Generator().manual_seed(0))
    still = {"optimiser": Optimiser(smooth=0)}
    assert torch.equal(latents(lab, spec_of("a red apple:1:10", **still))[-1], start)
    assert not torch.equal(latents(lab, spec_of("a red apple:1:-10", **still))[-1], start)


def test_words_without_meaning_are_noticed(lab):
    (step,) = run(lab, "a realistic apple | hallelujah:-0.1", steps=1)
    assert step.extras["notices"] == ("the pocket model has never seen 'realistic'",
                                      "the pocket model has never seen 'hallelujah'")


def test_previews_come_when_asked_for_without_another_decode(lab):
    calls = []
    hook = lab.vqgan.decoder.register_forward_hook(lambda *_: calls.append(1))
    shown = [s.i for s in run(lab, steps=11, preview_every=4) if s.image is not None]
    hook.remove()
    assert shown == [0, 3, 7, 10] and len(calls) == 11


def test_the_picture_is_that_of_the_score(lab, monkeypatch):
    """A step's picture is what its score was measured on."""
    seen = []
    inner = picture_gradient
    monkeypatch.setattr(vqgan_clip, "picture_gradient", lambda x, *rest: (seen.append(x), inner(x, *rest))[1])
    for step, x in zip(run(lab), seen, strict=True):
        shown = torch.from_numpy(np.array(step.image)).permute(2, 0, 1) / 255
        assert (shown - x[0]).abs().max() <= 0.5 / 255 + 1e-6


# What goes wrong


def test_nan_ends_the_run_with_the_last_good_picture(lab, monkeypatch):
    encode, calls = lab.guide.encode_image, []

    def broken(x):
        calls.append(1)
        return encode(x) * (math.nan if len(calls) > 4 else 1)  # cutouts and the whole, each step

    monkeypatch.setattr(lab.guide, "encode_image", broken)
    seen = []
    with pytest.raises(NonFiniteError, match=r"step 2: .*lower optimiser.lr \(now 0.5\)") as caught:
        for step in spec_of(preview_every=2).run(lab):
            seen.append(step)
    assert [s.i for s in seen] == [0, 1] and caught.value.last is seen[1]
    assert caught.value.last.image is not None


def test_nan_in_the_first_step_has_no_picture_to_keep(lab, monkeypatch):
    encode = lab.guide.encode_image
    monkeypatch.setattr(lab.guide, "encode_image", lambda x: encode(x) * math.nan)
    with pytest.raises(NonFiniteError) as caught:
        run(lab)
    assert caught.value.last is None


@pytest.mark.parametrize(("values", "message"), [
    ({"steps": 0}, r"^steps: .*greater than or equal to 1; got 0$"),
    ({"seed": -1}, r"^seed: .*greater than or equal to 0; got -1$"),
    ({"seed": 2**31}, r"^seed: .*less than or equal to 2147483647; got 2147483648$"),
    ({"canvas": {"width": 8}}, r"^canvas: width: .*greater than or equal to 16; got 8$"),
    ({"canvas": {"start": "image"}}, r"canvas: start: should be 'codes', 'noise' or 'gradient'"),
    ({"canvas": {"init": painted(16)}}, r"init is 16 × 16, the canvas 64 × 64"),
    ({"canvas": {"high": 8}}, r"^canvas: high: Canvas has no such field; it has width, height, start"),
    ({"cutouts": {"cutn": 0, "noise": 3}}, r"(?s)^cutouts: cutn: .*got 0\ncutouts: noise: .*equal to 1; got 3$"),
    ({"optimiser": {"lr": 0}}, r"^optimiser: lr: should be greater than 0; got 0$"),
    ({"optimiser": {"lr": math.nan}}, r"^optimiser: lr: .*finite number; got nan$"),
    ({"optimiser": {"name": "lbfgs"}}, r"^optimiser: name: .*'adam', 'adamw' or 'adagrad'; got 'lbfgs'$"),
    ({"image_prompts": [{"image": "/etc/passwd"}]}, r"^image_prompts.0: image: takes no path or URL"),
    ({"noise_prompts": [{"weight": 101}]}, r"^noise_prompts.0: weight: .*100; got 101$"),
    ({"prompt": ""}, r"^prompt: .*at least 1 character; got ''$"),
    ({"prompt": "a cat:1|a dog:-1"}, r"^prompt: .*weights .* sum to 0.*got 'a cat:1\|a dog:-1'$"),
    ({"iterations": 5}, r"^iterations: VQGANCLIP has no such field; it has prompt, steps"),
])
def test_bad_values_fail_at_construction_naming_field_value_and_bound(values, message):
    with pytest.raises(SpecError, match=message):
        VQGANCLIP(**{"prompt": "a red apple", **values})


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"prompt": "a", "self": 1}', '{"prompt": "a", "canvas": {"self": 1}}',
                                  '{"prompt": "a", "steps": NaN}', "[" * 100_000])
def test_a_recipe_that_is_none_is_a_spec_error(text):
    with pytest.raises(SpecError):
        VQGANCLIP.from_json(text)


def test_a_frozen_spec_is_changed_by_but(lab):
    spec = spec_of()
    with pytest.raises(ValueError, match="frozen"):
        spec.steps = 3
    changed = spec.but(steps=9, canvas__width=32, cutouts__cutn=2)
    assert (changed.steps, changed.canvas.width, changed.canvas.height, changed.cutouts.cutn) == (9, 32, 16, 2)
    assert spec.canvas.width == 16
    for wrong, message in (({"stps": 1}, "stps: VQGANCLIP has no such field"), ({"canvas__width": 1}, "width: .*got 1"),
                           ({"prompt__x": 1}, "prompt has no fields of its own"),
                           ({"canvas__init__png": "x"}, "init has no fields of its own")):
        with pytest.raises(SpecError, match=message):
            spec.but(**wrong)


def bounded(info) -> st.SearchStrategy:
    """Any value within a field's declared bounds."""
    low = next((m.ge if hasattr(m, "ge") else m.gt for m in info.metadata if hasattr(m, "ge") or hasattr(m, "gt")), 0)
    high = next((m.le for m in info.metadata if hasattr(m, "le")), 0)
    if info.annotation is int:
        return st.integers(low, high)
    if info.annotation is float:
        return st.floats(low, high, exclude_min=any(hasattr(m, "gt") for m in info.metadata))
    return st.sampled_from(info.annotation.__args__)


def specs(cls, **fixed) -> st.SearchStrategy:
    rest = {n: bounded(f) for n, f in cls.model_fields.items() if n not in fixed}
    return st.builds(cls, **fixed, **rest)


@settings(max_examples=100, deadline=None)
@given(specs(VQGANCLIP, prompt=st.sampled_from(["a red apple", 'a "12:30" | snow:-0.25', "été ^ 冬:2:0.5"]),
             canvas=specs(Canvas, init=st.none()), cutouts=specs(Cutouts), optimiser=specs(Optimiser),
             image_prompts=st.lists(specs(ImagePrompt, image=st.just(painted(4))), max_size=2).map(tuple),
             noise_prompts=st.lists(specs(NoisePrompt), max_size=2).map(tuple)))
def test_any_spec_within_bounds_survives_json(spec):
    again = VQGANCLIP.from_json(spec.to_json())
    assert again == spec and again.digest() == spec.digest()
    assert VQGANCLIP(**json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


def test_init_image_travels_in_the_spec(lab):
    canvas = Canvas(width=16, height=16, init=ImageInput.of(Image.new("RGB", (40, 40), "red"), 16, 16))
    spec = spec_of(canvas=canvas, steps=1)
    assert pixels(VQGANCLIP.from_json(spec.to_json()).run(lab)) == pixels(spec.run(lab))
