"""Sampling a picture's codes: what every method owes, given codes, a picture painted anew in part, and what steps tell."""


import pytest
import torch
from PIL import Image

from labkit.clip.pull import clip_score, targets_of
from labkit.image import ImageInput, to_tensor
from labkit.methods.prior_sampling import Drawing, Inpaint, PriorSampling, sentence_of
from labkit.models.drawing import Draw
from labkit.models.pixelsnail import CONDITION, bits_per_code, condition_of
from labkit.prompt import parse
from labkit.spec import SpecError
from tests.conformance import pixels, tiny_prior
from tests.models.priors import PriorLab

PROMPT = "a red apple in the snow"


@pytest.fixture(scope="module")
def lab():
    return PriorLab()


def spec(**changes):
    return PriorSampling(**{"prompt": PROMPT, "steps": 10, "preview_every": 4, **changes})


def test_codes_are_drawn_in_equal_parts_and_told_with_their_bits_and_entropy(lab):
    steps = list(spec().run(lab))
    counts = [sum(int((seen >= 0).sum()) for name, seen in s.extras.items() if name.startswith("codes")) for s in steps]
    assert counts == [32 * (i + 1) for i in range(10)]
    assert "codes bottom" not in steps[1].extras and (steps[1].extras["codes top"] >= 0).all()
    last = steps[-1]
    top, bottom = (last.extras[f"codes {k}"][None] for k in ("top", "bottom"))
    e = condition_of(lab, [PROMPT])
    own = (bits_per_code(lab.prior_top, top, e) * 64 + bits_per_code(lab.prior_bottom, bottom, e, top) * 256) / 320
    assert last.scores["bits per code"] == pytest.approx(float(own), abs=1e-4), "exactly what the priors say"
    for k, grid in (("top", (8, 8)), ("bottom", (16, 16))):
        for name in ("bits", "entropy"):
            seen = steps[2].extras.get(f"{name} {k}")
            assert last.extras[f"{name} {k}"].shape == grid and last.extras[f"{name} {k}"].isfinite().all()
            if k == "bottom":
                assert torch.equal(seen.isfinite(), steps[2].extras["codes bottom"] >= 0)
    picture = (lab.vqvae.decode_codes(top, bottom).clamp(-1, 1) + 1) / 2
    assert torch.allclose(to_tensor(last.image), picture, atol=1 / 255)


def test_what_is_drawn_stays_in_the_pictures_that_follow(lab):
    early, late = (s.picture() for s in spec(steps=320, preview_every=1000).run(lab) if s.i in (200, 319))
    rows = (200 - 64) // 16 * 4
    assert torch.equal(to_tensor(early)[:, :, :rows], to_tensor(late)[:, :, :rows])


def test_given_codes_are_kept(lab):
    given = ({"level": "top", "row": 2, "column": 3, "code": 17}, {"level": "bottom", "row": 15, "column": 0, "code": 63})
    free, made = (list(spec(given=g).run(lab))[-1].extras for g in ((), given))
    assert made["codes top"][2, 3] == 17 and made["codes bottom"][15, 0] == 63
    assert torch.equal(made["codes top"].flatten()[:19], free["codes top"].flatten()[:19])
    assert not torch.equal(made["codes bottom"], free["codes bottom"])


def test_inpainting_keeps_the_codes_outside_the_rectangle(lab):
    image = Image.effect_noise((64, 64), 90).convert("RGB")
    part = {"picture": ImageInput.of(image, 64, 64), "left": 0.3, "right": 0.5, "upper": 0.0, "lower": 0.3}
    last = list(spec(inpaint=part).run(lab))[-1].extras
    top, bottom = lab.vqvae.encode_codes(to_tensor(image) * 2 - 1)
    anew = Inpaint(**part).anew(8, 8)
    assert anew.nonzero().tolist() == [[y, x] for y in (0, 1, 2) for x in (2, 3)], "widened to whole top cells"
    assert torch.equal(last["codes top"][~anew], top[0][~anew])
    assert not torch.equal(last["codes top"][anew], top[0][anew])
    fine = anew.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(last["codes bottom"][~fine], bottom[0][~fine])
    assert not torch.equal(last["codes bottom"][fine], bottom[0][fine])


def test_each_level_is_drawn_its_own_way(lab):
    plain, top, bottom = (list(spec(**c).run(lab))[-1].extras for c in
                          ({}, {"top": Draw(top_k=1)}, {"bottom": Draw(guidance=1, top_k=1)}))
    assert torch.equal(top["entropy top"], torch.zeros(8, 8)) and top["entropy bottom"].min() > 0
    assert torch.equal(bottom["codes top"], plain["codes top"])
    assert torch.equal(bottom["entropy bottom"], torch.zeros(16, 16))


def test_weighted_prompts_are_one_vector(lab):
    a, b = condition_of(lab, ["a red apple", "snow"])
    mixed = sentence_of(lab, parse("a red apple:2 | snow:-0.5 | a guitar:0"), CONDITION)
    assert torch.allclose(mixed, torch.nn.functional.normalize(2 * a - 0.5 * b, dim=0)[None], atol=1e-6)


def test_unknown_words_and_a_stop_are_told(lab):
    *_, last = spec(prompt="a quixotic apple:1:0.2", steps=4).run(lab)
    assert any("quixotic" in line for line in last.extras["notices"]) and any("stop" in line for line in last.extras["notices"])


def test_a_prior_that_gives_no_numbers_ends_the_run(lab, monkeypatch):
    from labkit.loop import NonFiniteError

    broken = tiny_prior()
    broken.head.bias.data.fill_(float("nan"))
    monkeypatch.setitem(lab._models, "prior_top", broken)
    with pytest.raises(NonFiniteError, match="step 0: no longer a number: bits per code"):
        list(spec().run(lab))


@pytest.mark.parametrize(("kind", "model", "message"), [
    ("prior_top", {"n_embed": 32}, "prior_top: is of 32 codes, the VQ-VAE has 64"),
    ("prior_bottom", {"grid": (8, 8), "coarser": 64}, r"prior_bottom: its grid \(8, 8\) under 64 codes does not lie under"),
    ("prior_bottom", {"grid": (16, 16), "coarser": 32}, "under 32 codes does not lie under"),
])
def test_models_that_do_not_belong_together_are_refused(lab, monkeypatch, kind, model, message):
    monkeypatch.setitem(lab._models, kind, tiny_prior(**model))
    with pytest.raises(SpecError, match=message):
        next(iter(spec().run(lab)))


@pytest.mark.parametrize(("changes", "message"), [
    ({"steps": 321}, "steps: 321 are more than the 320 codes"),
    ({"given": ({"level": "top", "row": 8, "column": 0, "code": 1},)},
     "given: code 1 at row 8, column 0 is not of the top grid, 8 × 8"),
    ({"given": ({"level": "bottom", "row": 0, "column": 0, "code": 64},)}, "given: code 64 .* 64 codes, counted from 0"),
    ({"inpaint": {"left": 0.8, "picture": ImageInput.of(Image.new("RGB", (64, 64)), 64, 64)}},
     "inpaint: .*left 0.8 to right 0.75"),
])
def test_what_has_no_place_is_refused(lab, changes, message):
    with pytest.raises(SpecError, match=message):
        next(iter(spec(**changes).run(lab)))


def test_a_picture_of_any_size_is_cropped_to_what_is_drawn(lab):
    wide = Image.effect_noise((101, 70), 90).convert("RGB")
    cropped = ImageInput.of(wide, 64, 64)
    given = [{"inpaint": {"picture": one}} for one in (ImageInput.of(wide, 101, 70), cropped)]
    assert pixels(spec(**given[0]).run(lab)) == pixels(spec(**given[1]).run(lab))


def test_a_state_is_small_and_goes_on_from_either_level(lab):
    straight = pixels(spec(preview_every=1).run(lab))
    for k in (0, 1, 2, 6):
        for step in spec(preview_every=1).run(lab):
            if step.i == k:
                state = step.state()
                break
        assert sum(c.numel() for c in state["parts"]["drawing"]["codes"]) <= 320, "codes, not what layers remember"
        assert pixels(spec(preview_every=1).run(lab, state)) == straight[k + 1:]


def test_a_drawing_is_one_sampling_s(lab):
    e = [condition_of(lab, [PROMPT])] * 2
    made = [Drawing((lab.prior_top, lab.prior_bottom), (Draw(), Draw(guidance=1)), e,
                    [torch.full((1, 8, 8), -1), torch.full((1, 16, 16), -1)], [seed]) for seed in (0, 0, 1)]
    for done in (10, 100, 320):
        for drawing in made:
            drawing.reach(done)
    assert torch.equal(made[0].levels[1].codes, made[1].levels[1].codes)
    assert not torch.equal(made[0].levels[1].codes, made[2].levels[1].codes) and made[0].done == 320


def test_of_several_drawings_the_one_that_clip_likes_best_is_drawn(lab):
    each = [list(spec(seed=seed).run(lab))[-1] for seed in range(7, 5_000_007, 1_000_000)]
    scores = [clip_score(to_tensor(s.image), lab.clip, targets_of(lab.clip, list(parse(PROMPT)))) for s in each]
    best = max(range(5), key=scores.__getitem__)
    assert len({round(s, 6) for s in scores}) == 5 and best > 0
    *early, last = spec(candidates=5, seed=7).run(lab)
    assert to_tensor(last.image).equal(to_tensor(each[best].image)) and last.extras["seed"] == 7 + best * 1_000_000
    assert torch.equal(last.extras["codes bottom"], each[best].extras["codes bottom"])
    assert last.scores == pytest.approx(each[best].scores, abs=1e-4)
    assert f"of 5 drawings CLIP likes that of seed {7 + best * 1_000_000} best" in last.extras["notices"]
    assert all(s.extras["seed"] == 7 for s in early), "the first one is seen growing"


def test_what_priors_of_posed_scenes_have_never_met_is_named(lab, monkeypatch):
    def told(prompt: str, **trained) -> list[str]:
        for prior in (lab.prior_top, lab.prior_bottom):
            monkeypatch.setattr(prior, "about", {"trained": {"posed": True, "store": ""} | trained}, raising=False)
        *_, last = spec(prompt=prompt, steps=2).run(lab)
        return [line for line in last.extras["notices"] if "have only met" in line]

    met = "these priors have only met flat scenes of one subject"
    assert told("an oil painting of a red apple") == [f"oil: {met}"]
    assert told("a red apple above a blue ship") == [f"two subjects: {met}"]
    assert told("a flat illustration of a red apple in the snow") == []
    assert told("an oil painting of a red apple", posed=False) == [] == told("an oil painting of a red apple", store="codes")
