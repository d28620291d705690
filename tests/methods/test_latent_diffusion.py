"""Text → picture, picture → picture and in-painting: the numbers of diffusers' pipelines, strength, several pictures, masks."""

import math

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image, ImageDraw

from labkit.image import ImageInput
from labkit.lab import Lab
from labkit.loop import NonFiniteError
from labkit.methods.img2img import ImageToImage
from labkit.methods.inpainting import Inpainting
from labkit.methods.text_to_image import TextToImage
from labkit.models.latent_path import steps_run, steps_to_ask, way
from labkit.models.stable_load import quiet
from labkit.spec import SpecError
from tests.conformance import tokenizer_json
from tests.models.tiny_stable import SCHEDULE, roofed, tiny_parts

SCHEDULERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpm++2m": DPMSolverMultistepScheduler}
PROMPT, SIZE = "a red apple in the snow", (24, 16)  # width, height
FRAME = {"width": 24, "height": 16}
samplers = pytest.mark.parametrize("sampler", SCHEDULERS)


class StableLab(Lab):
    """A lab of one tiny Stable Diffusion."""

    def __init__(self, parts: dict, **more):
        super().__init__(device="cpu", precision="fp32")
        self._models["stable_diffusion"] = roofed(parts, **more)


@pytest.fixture(scope="module", params=["v_prediction", "epsilon"])
def parts(request):
    return tiny_parts(tokenizer_json(), request.param)


@pytest.fixture(scope="module")
def lab():
    return StableLab(tiny_parts(tokenizer_json()))


def stock(cls, parts, sampler: str = "own"):
    """diffusers' pipeline over the same parts."""
    with quiet():
        pipe = cls(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        if sampler != "own":
            pipe.scheduler = SCHEDULERS[sampler].from_config(parts["scheduler"].config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture() -> Image.Image:
    image = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    ImageDraw.Draw(image).ellipse((6, 3, 17, 12), fill=(200, 40, 30))
    return image


def mask(box=(8, 4, 19, 11)) -> Image.Image:
    """White in a box, whose corners are those of latent cells of 2 × 2 pixels."""
    image = Image.new("RGB", SIZE)
    ImageDraw.Draw(image).rectangle(box, fill="white")
    return image


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latent(spec, lab) -> torch.Tensor:
    *_, last = spec.run(lab)
    return last.extras["latent"]


def assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """To 1e-5 of the largest number."""
    assert ours.shape == theirs.shape
    far = float((ours - theirs).abs().max() / theirs.abs().max())
    assert far <= 1e-5, far


@samplers
@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (5.0, ""), (12.0, "a blue dog")])
def test_text_to_picture_is_what_the_pipeline_computes(parts, sampler, guidance, negative):
    pipe = stock(StableDiffusionPipeline, parts, sampler)
    asked = {"num_inference_steps": 7, "guidance_scale": guidance, "width": SIZE[0], "height": SIZE[1]}
    theirs = pipe(PROMPT, negative_prompt=negative or None, generator=seeded(), output_type="latent", **asked).images
    spec = TextToImage(prompt=PROMPT, steps=7, guidance=guidance, negative=negative, seed=3, sampler={"name": sampler},
                       frame=FRAME)
    assert_equal(latent(spec, StableLab(parts)), theirs)


@samplers
@pytest.mark.parametrize("strength", [0.3, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_picture_to_picture_is_what_the_pipeline_computes(parts, sampler, strength, guidance):
    pipe = stock(StableDiffusionImg2ImgPipeline, parts, sampler)
    theirs = pipe(PROMPT, image=picture(), strength=strength, num_inference_steps=10, guidance_scale=guidance,
                  generator=seeded(), output_type="latent").images
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=strength, steps=10, guidance=guidance,
                        seed=3, sampler={"name": sampler}, frame=FRAME)
    lab = StableLab(parts)
    assert_equal(latent(spec, lab), theirs)
    assert len(list(spec.run(lab))) == int(10 * strength)


@samplers
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_inpainting_is_what_the_pipeline_computes(parts, sampler, strength):
    pipe = stock(StableDiffusionInpaintPipeline, parts, sampler)
    theirs = pipe(PROMPT, image=picture(), mask_image=mask(), strength=strength, num_inference_steps=8, guidance_scale=5.0,
                  generator=seeded(), output_type="latent", width=SIZE[0], height=SIZE[1]).images
    spec = Inpainting(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), mask=ImageInput.of(mask(), *SIZE),
                      strength=strength, steps=8, guidance=5.0, seed=3, sampler={"name": sampler}, frame=FRAME)
    assert_equal(latent(spec, StableLab(parts)), theirs)


@samplers
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_u_net_for_masks_is_fed_as_the_pipeline_feeds_it(sampler, strength):
    parts = tiny_parts(tokenizer_json(), inputs=9)
    pipe, lab = stock(StableDiffusionInpaintPipeline, parts, sampler), StableLab(parts)
    theirs = pipe(PROMPT, image=picture(), mask_image=mask(), strength=strength, num_inference_steps=6, guidance_scale=5.0,
                  generator=seeded(), output_type="latent", width=SIZE[0], height=SIZE[1]).images
    spec = Inpainting(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), mask=ImageInput.of(mask(), *SIZE),
                      strength=strength, steps=6, guidance=5.0, seed=3, sampler={"name": sampler}, frame=FRAME)
    assert_equal(latent(spec, lab), theirs)
    with pytest.raises(SpecError, match="paints masks anew .* takes 9 channels"):
        next(TextToImage(prompt=PROMPT).run(lab))


def test_the_last_picture_is_the_pipeline_s(parts):
    """Decoded, as bytes; DDIM with noise of its own at every step."""
    pipe = stock(StableDiffusionPipeline, parts)
    (theirs,) = pipe(PROMPT, num_inference_steps=5, guidance_scale=4.0, eta=0.7, generator=seeded(8)).images
    spec = TextToImage(prompt=PROMPT, steps=5, guidance=4.0, seed=8, sampler={"name": "own", "eta": 0.7})
    *_, last = spec.run(StableLab(parts))
    assert last.image.size == theirs.size == (16, 16)
    far = max(abs(a - b) for a, b in zip(last.image.tobytes(), theirs.tobytes(), strict=True))
    assert far <= 1, "rounding"


@pytest.mark.parametrize("own", [PNDMScheduler, EulerAncestralDiscreteScheduler])
def test_a_model_s_own_scheduler_serves_with_its_extra_steps_and_its_noise(parts, own):
    more = {"skip_prk_steps": True} if own is PNDMScheduler else {}
    parts = parts | {"scheduler": own.from_config(parts["scheduler"].config, **more)}
    pipe = stock(StableDiffusionImg2ImgPipeline, parts)
    theirs = pipe(PROMPT, image=picture(), strength=0.5, num_inference_steps=10, guidance_scale=3.0, generator=seeded(),
                  output_type="latent").images
    lab, spec = StableLab(parts), ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=0.5, steps=10,
                                               guidance=3.0, seed=3, sampler={"name": "own"}, frame=FRAME)
    steps = list(spec.run(lab))
    assert_equal(steps[-1].extras["latent"], theirs)
    assert len(steps) == (6 if own is PNDMScheduler else 5), "PNDM calls the U-Net once more"
    for step in spec.run(lab):
        if step.i == 2:
            state = step.state()
            break
    *_, resumed = spec.run(lab, state)
    assert torch.equal(resumed.extras["latent"], steps[-1].extras["latent"]), "its memory and its generators go along"


@samplers
def test_resumed_runs_remember_what_the_sampler_remembers(lab, sampler):
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=0.9, steps=10, seed=1, count=2,
                        sampler={"name": sampler, "eta": 0.4})
    straight = list(spec.run(lab))
    for step in spec.run(lab):
        if step.i == 3:
            *_, last = spec.run(lab, step.state())
            break
    assert torch.equal(last.extras["latent"], straight[-1].extras["latent"]) and last.i == straight[-1].i


# Strength

@pytest.mark.parametrize(("n", "strength", "run"), [
    (50, 0.58, 29), (100, 0.29, 29), (100, 0.57, 57), (100, 0.58, 58),  # floating point says one less
    (50, 0.2, 10), (50, 0.75, 37), (50, 1.0, 50), (20, 0.55, 11), (10, 0.05, 1), (50, 0.01, 1), (1, 0.4, 1),
])  # fmt: skip
def test_steps_are_those_of_the_decimal_number(n, strength, run):
    assert steps_run(n, strength) == run


def test_steps_are_exact_at_every_hundredth():
    for n in (20, 25, 30, 40, 50, 100, 1000):
        for hundredths in range(1, 101):
            assert steps_run(n, hundredths / 100) == max(1, n * hundredths // 100)


def test_exact_steps_are_run_at_every_strength():
    for k in (1, 2, 7, 20, 50):
        for hundredths in range(1, 101):
            n = steps_to_ask(k, hundredths / 100)
            assert steps_run(n, hundredths / 100) == k and (n == k or hundredths < 100)


def test_what_strength_leaves_is_the_published_table():
    """DDIM, 50 steps, leading times, offset 1, as with Stable Diffusion 1."""
    own = DDIMScheduler(**SCHEDULE)
    told = {s: way(own, "ddim", 50, s).told for s in (0.2, 0.5, 0.75, 0.8, 1.0)}
    assert [told[s]["steps run"] for s in told] == [10, 25, 37, 40, 50]
    assert [told[s]["first t"] for s in told] == [181, 481, 721, 781, 981]
    assert [round(told[s]["signal"], 3) for s in told] == [0.885, 0.55, 0.266, 0.208, 0.076]
    assert all(math.isclose(told[s]["signal"] ** 2 + told[s]["noise"] ** 2, 1) for s in told)


@samplers
def test_every_sampler_starts_from_as_much_of_the_picture_as_it_says(lab, sampler):
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=0.6, steps=20, seed=2, guidance=1,
                        sampler={"name": sampler}, frame=FRAME)
    first = next(iter(spec.run(lab)))
    model, told, rng = lab.stable_diffusion, first.extras["told"], seeded(2)
    z0 = model.encode(spec.picture.tensor() * 2 - 1, [rng])
    noise = torch.randn(z0.shape, generator=rng)
    wanted = told["signal"] * z0 + told["noise"] * noise
    assert torch.allclose(first.extras["seen"], wanted, atol=1e-3) and told["steps run"] == first.n == 12


def test_a_strength_of_less_than_a_step_runs_one_and_says_so(lab):
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=0.05, steps=10)
    (step,) = spec.run(lab)
    assert "strength 0.05 of 10 steps is less than one; one is run" in step.extras["notices"]
    assert (step.extras["told"]["steps asked for"], step.extras["told"]["steps run"]) == (10, 1) and step.image is not None


def test_strength_0_is_refused_and_1_says_that_the_picture_still_counts(lab):
    sketch = ImageInput.of(picture(), *SIZE)
    with pytest.raises(SpecError, match="strength: .*greater than 0; got 0"):
        ImageToImage(prompt=PROMPT, picture=sketch, strength=0)
    with pytest.raises(SpecError, match="strength: .*less than or equal to 1; got 1.1"):
        ImageToImage(prompt=PROMPT, picture=sketch, strength=1.1)
    first = next(iter(ImageToImage(prompt=PROMPT, picture=sketch, strength=1, steps=50).run(lab)))
    assert any("at strength 1 the run still starts from the picture: 7.6% of it" in line for line in first.extras["notices"])


def test_exact_steps_that_the_schedule_does_not_have_are_refused(lab):
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), strength=0.01, steps=20, exact=True)
    with pytest.raises(SpecError, match="steps: 2000, which 20 exact steps at strength 0.01 need, are more than .* 1000"):
        next(spec.run(lab))
    steps = list(spec.but(strength=0.1, steps=5).run(lab))
    assert len(steps) == 5 and steps[0].extras["told"]["steps asked for"] == 50


# Several pictures, prompts

@pytest.mark.parametrize("spec", [
    TextToImage(prompt=PROMPT, steps=5, count=3, seed=4, sampler={"eta": 0.5}),
    ImageToImage(prompt=PROMPT, steps=5, count=3, seed=4, picture=ImageInput.of(picture(), *SIZE)),
    Inpainting(prompt=PROMPT, steps=5, count=3, seed=4, picture=ImageInput.of(picture(), *SIZE),
               mask=ImageInput.of(mask(), *SIZE), frame=FRAME),
], ids=lambda spec: type(spec).__name__)
def test_several_pictures_are_those_that_their_seeds_make_alone(lab, spec):
    *_, last = spec.run(lab)
    alone = [list(spec.but(count=1, seed=4 + k).run(lab))[-1] for k in range(3)]
    assert torch.allclose(last.extras["latent"], torch.cat([one.extras["latent"] for one in alone]), atol=1e-5)
    pictures = last.extras["pictures"]()
    width, height = alone[0].image.size
    assert [p.size for p in pictures] == [(width, height)] * 3 and last.image.size == (3 * width, height)
    assert last.image.crop((width, 0, 2 * width, height)).tobytes() == pictures[1].tobytes()
    assert len({p.tobytes() for p in pictures}) == 3


def test_weights_are_relative_and_compose(lab):
    """Two equal prompts are one; a negative weight leads away; weights are shares."""
    base = TextToImage(prompt="a red apple", steps=4, seed=1)
    one = latent(base, lab)
    assert torch.allclose(latent(base.but(prompt="a red apple:0.3 | a red apple:2"), lab), one, atol=1e-4)
    assert torch.equal(latent(base.but(prompt="a red apple:7"), lab), one)
    assert not torch.allclose(latent(base.but(prompt="a red apple | snow:-0.5"), lab), one, atol=1e-3)
    assert not torch.allclose(latent(base.but(negative="snow"), lab), one, atol=1e-3)
    unled = [latent(base.but(negative=negative, guidance=g), lab) for negative, g in (("snow", 1), ("", 0))]
    assert torch.equal(*unled), "nothing is led away from"


def test_what_a_user_should_know_is_told(lab):
    spec = TextToImage(prompt="a zebra:1:0.3 | " + "snow " * 30, steps=2, frame={"width": 48, "height": 48})
    notices = next(iter(spec.run(lab))).extras["notices"]
    for said in ("never seen 'zebra'", "the model reads the first 24", "stop has no meaning", "trained on pictures of 16 × 16"):
        assert any(said in line for line in notices), said
    with pytest.raises(SpecError, match="frame.width: 17 is not a multiple of this model's 2; use 16 or 18"):
        next(spec.but(frame__width=17).run(lab))


def test_a_picture_of_another_size_is_brought_to_the_frame(lab):
    large = ImageInput.of(picture().resize((120, 80)), 120, 80)
    spec = ImageToImage(prompt=PROMPT, picture=large, steps=4, frame=FRAME)
    steps = list(spec.run(lab))
    small = ImageToImage(prompt=PROMPT, picture=ImageInput.of(large.pil(), *SIZE), steps=4, frame=FRAME)
    assert steps[-1].image.size == SIZE and not any("cut off" in line for line in steps[0].extras["notices"])
    assert torch.equal(steps[-1].extras["latent"], latent(small, lab))
    first, *_, last = spec.but(frame={}).run(lab)
    assert last.image.size == (16, 16) and any("does not fit into 16 × 16 is cut off" in n for n in first.extras["notices"])
    with pytest.raises(SpecError, match="mask: at 16 × 16 nothing is left of its smaller part"):
        dot = Image.new("RGB", (120, 80))
        dot.putpixel((60, 40), (255, 255, 255))
        next(Inpainting(prompt=PROMPT, picture=large, mask=ImageInput.of(dot, 120, 80)).run(lab))


def test_nan_ends_the_run_with_the_last_good_step(lab, monkeypatch):
    model, calls = lab.stable_diffusion, []
    honest = model.predict

    def poisoned(*args):
        calls.append(1)
        return honest(*args) * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(model, "predict", poisoned)
    with pytest.raises(NonFiniteError, match="step 2: the latent is no longer a number; lower guidance") as caught:
        list(TextToImage(prompt=PROMPT, steps=5, preview_every=1).run(lab))
    assert caught.value.last.i == 1 and caught.value.last.image is not None


# Masks

def test_what_the_mask_keeps_is_kept_to_the_pixel(lab):
    """Also where the mask ends inside a cell of the latent; the autoencoder alone would have a say in every pixel."""
    spec = Inpainting(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), mask=ImageInput.of(mask((7, 3, 14, 10)), *SIZE),
                      steps=4, frame=FRAME)
    anew = spec.anew((SIZE[1], SIZE[0]))
    kept = anew[0, 0] == 0
    before = spec.picture.tensor()[0][:, kept]
    *_, last = spec.run(lab)
    after = ImageInput.of(last.image, *SIZE).tensor()[0]
    assert torch.equal(after[:, kept], before) and not torch.equal(after[:, ~kept], spec.picture.tensor()[0][:, ~kept])
    latent = last.extras["latent"][0]
    assert not torch.allclose((lab.stable_diffusion.decode(latent[None])[0][:, kept] + 1) / 2, before, atol=0.01)
    touched = torch.nn.functional.max_pool2d(anew, 2)[0, 0] > 0
    z0 = lab.stable_diffusion.encode(spec.picture.tensor() * 2 - 1, [seeded(0)])[0]
    assert torch.allclose(latent[:, ~touched], z0[:, ~touched], atol=1e-6) and touched.sum() == 5 * 5


@pytest.mark.parametrize(("bad", "said"), [
    (Image.new("RGB", SIZE), "mask: is black all over: nothing would be painted; make white"),
    (Image.new("RGB", SIZE, "white"), "mask: is white all over: nothing would be kept; make black"),
    (Image.new("RGB", (16, 16), "white"), "mask: is 16 × 16, the picture 24 × 16; make it with"),
])  # fmt: skip
def test_a_mask_that_cannot_be_meant_is_refused(bad, said):
    with pytest.raises(SpecError, match=said):
        Inpainting(prompt=PROMPT, picture=ImageInput.of(picture(), *SIZE), mask=ImageInput.of(bad, *bad.size))


# Sketches

def test_a_sketch_is_made_fit_first_where_that_is_asked_for(lab):
    chalk = Image.new("RGB", (200, 100))
    ImageDraw.Draw(chalk).line((150, 30, 180, 70), fill="white", width=4)
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(chalk, 200, 100), steps=4, frame={"fit": "sketch"})
    first, *_, last = spec.run(lab)
    assert "turned into dark lines on white" in " ".join(first.extras["notices"]) and last.image.size == (16, 16)
    assert list(first.extras["stages"]) == ["light", "polarity", "paper", "lines", "frame"] and "stages" not in last.extras
    framed = first.extras["stages"]["frame"]
    assert latent(spec.but(picture=ImageInput.of(framed, 16, 16), frame={"fit": "crop"}), lab).equal(last.extras["latent"])
    thick = next(spec.but(frame={"fit": "sketch", "thicken": 2}).run(lab)).extras["stages"]
    assert np.asarray(thick["width"]).mean() < np.asarray(thick["lines"]).mean(), "more ink"
    idle = next(spec.but(frame={"fit": "crop", "thicken": 2}).run(lab))
    assert any("frame.thicken: 2 does nothing" in line for line in idle.extras["notices"])
    for empty in ("white", "black", "red"):
        with pytest.raises(SpecError, match="picture: sketch: is empty, or of one colour all over; draw lines"):
            next(spec.but(picture=ImageInput.of(Image.new("RGB", (50, 50), empty), 50, 50)).run(lab))
