"""CLIP-guided diffusion: gradients that act, scales that mean what they say, a start that is where it should be."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image import ImageInput
from labkit.methods import guided_diffusion
from labkit.methods.guided_diffusion import DiffusionCanvas, GuidedDiffusion, range_loss, sat_loss, tv_loss
from labkit.models.diffusion import Belief
from labkit.models.schedule import add_noise, noise_ratio
from labkit.spec import NonFiniteError, SpecError
from tests.conformance import TinyLab

SMALL = {"prompt": "a red apple", "steps": 6, "canvas": {"width": 16, "height": 16}, "cutouts": {"cutn": 2, "noise": 0.0},
         "preview_every": 1}


@pytest.fixture(scope="module")
def lab():
    return TinyLab()


def spec(**changes) -> GuidedDiffusion:
    return GuidedDiffusion(**{**SMALL, **changes})


def steps(lab, **changes):
    return list(spec(**changes).run(lab))


def moved(lab, name="ddim", **guidance):
    """x after the first step: guided less unguided, and the first step itself."""
    sampler = {"name": name}
    with_it, without = (steps(lab, guidance=g, sampler=sampler) for g in (guidance, {**guidance, "strength": 0}))
    return with_it[1].extras["x"] - without[1].extras["x"], with_it[0], with_it[1]


class Linear(torch.nn.Module):
    """x̂_0 = c · x: a denoiser whose derivatives are known."""

    def __init__(self, c: float, alpha_bar):
        super().__init__()
        self.c, self.alpha_bar, self.image_size, self.multiple = torch.nn.Parameter(torch.tensor(c)), alpha_bar, 16, 8

    def forward(self, x, t):
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        x0 = self.c * x
        return Belief(x0, ((x - a.sqrt() * x0) / (1 - a).sqrt()).float(), None)


@pytest.fixture
def linear(lab):
    """The tiny lab with a linear denoiser in the diffusion model's place."""
    other = TinyLab()
    other._models["diffusion"] = Linear(3.0, lab.diffusion.alpha_bar).requires_grad_(False)
    return other


def test_losses_in_closed_form():
    x = torch.tensor([[[[2.0, 0.5], [-1.5, 0.0]]]])
    assert float(range_loss(x)) == pytest.approx((1 + 0.25) / 4)
    assert float(sat_loss(x)) == pytest.approx((1 + 0.5) / 4)
    # To the right: -1.5, and 1.5 in the second row; down: -3.5 and -0.5; beyond the border nothing.
    assert float(tv_loss(x)) == pytest.approx((1.5**2 + 1.5**2 + 3.5**2 + 0.5**2) / 4)


@pytest.mark.parametrize("sampler", [{"name": "ddim", "eta": 0}, {"name": "ddim", "eta": 1}, {"name": "ddpm"}])
def test_the_range_term_is_the_gradient_with_respect_to_x_by_finite_differences(linear, sampler):
    """The peers take it with respect to x_in, of which x̂_0 is no function: nothing comes of it."""
    scale = 5.0
    only = {"strength": None, "clip_guidance_scale": 0, "range_scale": scale}
    guided, plain = (steps(linear, guidance=g, sampler=sampler) for g in (only, {**only, "range_scale": 0}))
    start, h = guided[0].extras["x"].double(), 1e-4

    def loss(x):
        return float(range_loss(3.0 * x))

    spot = torch.zeros_like(start)
    spot.view(-1)[int(start.abs().argmax())] = 1
    slope = (loss(start + h * spot) - loss(start - h * spot)) / (2 * h)
    assert slope != 0
    shift = float(((guided[1].extras["x"] - plain[1].extras["x"]) * spot).sum())
    now, after = (float(guided[k].extras["alpha_bar"]) for k in (0, 1))
    beta = 1 - now / after
    variance = beta * (1 - after) / (1 - now)
    if sampler["name"] == "ddpm":  # σ² g
        wanted = -scale * slope * variance
    else:  # ε' = ε − √(1 − ᾱ) g, in x̂_0 and in the direction to x_t
        g, onward = -scale * slope, math.sqrt(1 - after - sampler["eta"] ** 2 * variance)
        wanted = math.sqrt(after) * (1 - now) * g / math.sqrt(now) - onward * math.sqrt(1 - now) * g
    assert shift == pytest.approx(wanted, rel=1e-3)


def test_the_range_term_lowers_what_is_out_of_range(linear):
    def out_of_range(scale):
        g = {"strength": None, "clip_guidance_scale": 0, "range_scale": scale}
        return [s.scores["out of range"] for s in steps(linear, guidance=g, sampler={"name": "ddpm"}, steps=30)][-5:]

    assert sum(out_of_range(300)) < sum(out_of_range(0))


@pytest.mark.parametrize("name", ["ddim", "ddpm"])
@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_strength_is_the_share_of_the_noise_taken_away(lab, name, strength):
    shift, first, second = moved(lab, name, strength=strength)
    now, after = first.extras["alpha_bar"], second.extras["alpha_bar"]
    wanted = strength * math.sqrt(1 - after) * (1 - noise_ratio(after) / noise_ratio(now))
    assert float(shift.square().mean().sqrt()) == pytest.approx(wanted, rel=1e-3)


def test_strength_leans_the_same_way_as_the_classic_scale(lab):
    classic, _, _ = moved(lab, strength=None)
    unit_free, _, _ = moved(lab, strength=1.0)
    cosine = torch.nn.functional.cosine_similarity(classic.flatten(), unit_free.flatten(), dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-3)


def test_at_strength_the_scales_are_relative(lab):
    one, two = (steps(lab, guidance={"clip_guidance_scale": k * 1000, "range_scale": k * 50})[-1].image for k in (1, 2))
    assert np.abs(np.asarray(one, dtype=int) - np.asarray(two)).max() <= 2


def test_weights_are_relative_as_in_the_notebooks(lab):
    g = {"strength": None}
    one, two = (steps(lab, prompt=p, guidance=g)[1].extras["x"] for p in ("red:1 | sea:3", "red:2 | sea:6"))
    assert torch.allclose(one, two, atol=1e-4)


def test_steps_show_what_clip_looks_at(lab):
    for step in steps(lab):
        e, a = step.extras, step.extras["alpha_bar"]
        f = math.sqrt(1 - a)
        assert torch.allclose(e["x_in"], f * e["x0"] + (1 - f) * e["x"], atol=1e-5)
        assert set(e["gradients"]) == {"clip", "range"} and all(v >= 0 for v in e["gradients"].values())
    every = {"tv_scale": 1, "sat_scale": 1}
    init = {"init": picture(), "init_scale": 10, "width": 16, "height": 16}
    assert set(steps(lab, guidance=every, canvas=init)[0].extras["gradients"]) == {"clip", "range", "tv", "sat", "init"}


def picture(side: int = 16) -> ImageInput:
    return ImageInput.of(Image.linear_gradient("L").convert("RGB"), side, side)


@pytest.mark.parametrize("skip, n", [(0.0, 10), (0.5, 5), (0.9, 1)])
def test_with_an_initial_image_the_timestep_is_the_right_one(lab, skip, n):
    canvas = {"init": picture(), "skip": skip, "width": 16, "height": 16}
    run = steps(lab, canvas=canvas, steps=10)
    whole = steps(lab, steps=10)
    assert [s.n for s in run] == [n] * n and [s.extras["t"] for s in run] == [s.extras["t"] for s in whole][-n:]
    if skip:
        start, a = run[0].extras["x"], run[0].extras["alpha_bar"]
        noise = whole[0].extras["x"]  # the same draw: the seed covers it
        assert torch.allclose(start, add_noise(picture().tensor() * 2 - 1, noise, a), atol=1e-5)


def test_init_scale_pulls_towards_the_initial_image(lab, monkeypatch):
    monkeypatch.setattr(guided_diffusion, "perceptual_distance", lambda net, x, y: (x - y).square().mean((1, 2, 3)))

    def distance(scale):
        canvas = {"init": picture(), "init_scale": scale, "width": 16, "height": 16}
        g = {"clip_guidance_scale": 0, "range_scale": 0, "strength": 1.0}
        last = steps(lab, canvas=canvas, guidance=g, steps=20)[-1].extras["x0"]
        return float((last - (picture().tensor() * 2 - 1)).square().mean())

    assert distance(1000) < distance(0)


def test_unguided_needs_no_gradient_and_does_not_hear_the_prompt(lab):
    a, b = (steps(lab, prompt=p, guidance={"strength": 0})[-1] for p in ("a red apple", "a blue house"))
    assert a.image.tobytes() == b.image.tobytes() and a.extras["gradients"] == {}
    assert a.scores["clip"] != b.scores["clip"], "the score does"


def test_nan_ends_with_the_last_good_picture(lab, monkeypatch):
    calls, inner = [], guided_diffusion.picture_gradient

    def spoiled(*args):
        calls.append(1)
        pull, *rest = inner(*args)
        return pull * (math.nan if len(calls) == 4 else 1), *rest

    monkeypatch.setattr(guided_diffusion, "picture_gradient", spoiled)
    with pytest.raises(NonFiniteError, match="step 3.*lower guidance.strength") as caught:
        list(spec().run(lab))
    assert caught.value.last.i == 2 and caught.value.last.image is not None


def test_out_of_memory_halves_the_batch_and_says_so(lab, monkeypatch):
    inner, sizes = guided_diffusion.picture_gradient, []

    def small(picture, guide, looks, targets, chunk):
        sizes.append(chunk)
        return (*inner(picture, guide, looks, targets, chunk)[:3], min(chunk, 2))

    monkeypatch.setattr(guided_diffusion, "picture_gradient", small)
    last = steps(lab, cutouts={"cutn": 4})[-1]
    assert sizes == [4, 2, 2, 2, 2, 2] and any("going on with 2" in n for n in last.extras["notices"])


@pytest.mark.parametrize("changes, words", [
    ({"canvas": {"width": 18, "height": 16}}, "canvas.width: 18 is not a multiple of this model's 4; use 16 or 20"),
    ({"steps": 400}, "steps: 400 are more than this model's"),
])
def test_what_the_model_cannot_do_is_said_at_the_door(lab, changes, words):
    with pytest.raises(SpecError, match=words):
        next(spec(**changes).run(lab))


@pytest.mark.parametrize("canvas, words", [
    ({"skip": 0.5}, "need an initial image"),
    ({"init_scale": 1.0}, "need an initial image"),
    ({"init": picture(), "width": 32, "height": 16}, "make it with ImageInput.of"),
])
def test_a_canvas_that_contradicts_itself_is_refused(canvas, words):
    with pytest.raises(SpecError, match=words):
        DiffusionCanvas(**canvas)
