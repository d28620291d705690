"""Adjustments and degradations: no-ops, inverses and closed forms, batches, crops, and the same at any size."""

import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from labkit.image import ImageError, psnr, to_pil, to_tensor
from labkit.image.adjust import Adjustments, adjusted, levels, luma
from labkit.image.degrade import KINDS, SLIDERS, Degradation, degraded, ladder
from labkit.image.moves import moves
from labkit.methods.enhance import apply
from labkit.spec import SpecError
from labkit.world import render, sample_scene


def picture(low: float = 0.25, high: float = 0.75, height: int = 12, width: int = 20) -> torch.Tensor:
    """Random pixels well inside the range."""
    return low + (high - low) * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))


def one(x: torch.Tensor, **sliders) -> torch.Tensor:
    return adjusted(x, [Adjustments(**sliders)])[0]


def test_the_defaults_do_nothing_bit_for_bit():
    x = picture(0, 1)
    y, cut = adjusted(x, [Adjustments()])
    assert torch.equal(x, y) and cut.tolist() == [0] and Adjustments().moved == {} and Adjustments().words() == "nothing"


@pytest.mark.parametrize(("name", "there", "back"), [
    ("brightness", 1.2, 1 / 1.2), ("contrast", 1.4, 1 / 1.4), ("saturation", 1.3, 1 / 1.3), ("gamma", 1.7, 1 / 1.7),
    ("temperature", 0.2, -0.2)])
def test_a_slider_and_its_inverse_give_the_picture_back(name, there, back):
    x = picture(0.35, 0.65)
    y = one(x, **{name: there})
    assert not torch.allclose(x, y, atol=0.01)
    assert torch.allclose(one(y, **{name: back}), x, atol=2e-6)


def test_formulas():
    x = picture()
    m = luma(x).mean()
    assert torch.allclose(luma(x), 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:])
    assert torch.allclose(one(x, contrast=0.5), m + 0.5 * (x - m), atol=1e-6)
    assert torch.allclose(one(x, black_white=True), luma(x).expand_as(x), atol=1e-6)
    assert torch.equal(one(x, black_white=True), one(x, saturation=0))
    assert torch.allclose(one(x, temperature=0.3)[:, 2], x[:, 2] * 2**-0.3, atol=1e-6)
    flat = torch.full((1, 3, 9, 9), 0.4)
    assert torch.allclose(one(flat, sharpness=2), flat, atol=1e-6), "what has no edges has nothing to sharpen"
    assert one(x, sharpness=1).var() > x.var() > one(x, sharpness=-1).var()


def test_auto_levels_of_a_ramp_stretch_it_over_the_range():
    ramp = (0.2 + 0.6 * torch.arange(1001) / 1000).expand(1, 3, 1, 1001).contiguous()
    black, white = levels(ramp)
    assert (black, white) == pytest.approx((0.2 + 0.6 * 0.005, 0.2 + 0.6 * 0.995), abs=1e-3)
    y, cut = adjusted(ramp, [Adjustments(black=black, white=white)])
    assert y.min() == 0 and y.max() == 1 and 0.005 < cut.item() < 0.02
    assert levels(torch.arange(1001).div(1000).expand(1, 3, 1, 1001)) == pytest.approx((0.005, 0.995), abs=1e-3)
    assert levels(torch.full((1, 3, 4, 4), 0.5)) == (0.45, 0.55), "a grey sheet: as far as the sliders go"


def test_clipping_is_the_share_of_values_that_were_cut_off():
    x = torch.full((1, 3, 2, 2), 0.4)
    x[..., 0, :] = 0.9
    _, cut = adjusted(x, [Adjustments(), Adjustments(brightness=1.2), Adjustments(brightness=4)])
    assert cut.tolist() == pytest.approx([0, 0.5, 1])


def test_a_batch_equals_recipes_alone_and_pictures_of_their_own():
    x, recipes = picture(), [recipe for _, recipe in moves(Adjustments(), 1.0, (0.1, 0.9), True, False)]
    together, cut = adjusted(x, recipes)
    for k, recipe in enumerate(recipes):
        alone, alone_cut = adjusted(x, [recipe])
        assert torch.allclose(together[k:k + 1], alone, atol=1e-6) and torch.allclose(cut[k], alone_cut[0])
    pictures = torch.cat([picture(), picture(0.1, 0.9)])
    assert torch.allclose(adjusted(pictures, recipes[:2])[0][1:], adjusted(pictures[1:], recipes[1:2])[0], atol=1e-6)
    with pytest.raises(ImageError, match="2 different crops do not fit into one batch"):
        adjusted(x, [Adjustments(), Adjustments(crop=0.5)])


def test_crops_keep_their_corner():
    x = picture(height=10, width=20)
    assert torch.equal(one(x, crop=0.5, crop_x=1, crop_y=0), x[..., :5, 10:])
    assert Adjustments(crop=0.9, crop_x=0, crop_y=1).words() == "cropped to 90 % of each side, bottom left"
    with pytest.raises(SpecError, match="stay 0.5 where nothing is cropped"):
        Adjustments(crop_x=0)


def test_a_recipe_does_the_same_to_a_small_copy_and_to_the_whole_picture():
    big = to_tensor(Image.fromarray(render(sample_scene(5, "test"), 256)))
    small = F.interpolate(big, (64, 64), mode="bilinear", antialias=True)
    for sliders in ({"brightness": 1.2}, {"contrast": 1.4}, {"gamma": 0.7}, {"saturation": 0.5}, {"sharpness": 0.6},
                    {"black": 0.1, "white": 0.9, "temperature": 0.2, "crop": 0.9, "crop_x": 0.0, "crop_y": 1.0}):
        recipe = Adjustments(**sliders)
        whole = apply(recipe, to_pil(big))
        copy = apply(recipe, to_pil(small))
        brought = F.interpolate(to_tensor(whole), copy.size[::-1], mode="bilinear", antialias=True)
        assert psnr(to_pil(brought), copy) > 28, sliders


def test_a_recipe_survives_json_and_says_what_it_does():
    recipe = Adjustments(black=0.04, white=0.9, temperature=-0.2, gamma=0.8, contrast=1.25, sharpness=0.5)
    again = Adjustments(**json.loads(json.dumps(recipe.moved)))
    assert again == recipe
    assert recipe.words() == ("levels 0.04 to 0.90, cooler by 0.20 stops, gamma 0.80 (lighter mid-tones), contrast +25 %, "
                              "sharper by 0.50")


def test_moves_shift_one_slider_each_and_stay_within_it():
    found = dict(moves(Adjustments(), 1.0, (0.1, 0.8), True, True))
    assert len(found) == 12 + 1 + 1 + 5 and found["auto-levels"].moved == {"black": 0.1, "white": 0.8}
    for words, recipe in found.items():
        assert len(recipe.moved) == 1 or words.startswith(("auto-levels", "crop")), words
    top = Adjustments(saturation=4.0)
    assert all(recipe.saturation <= 4 for _, recipe in moves(top, 1.0, (0, 1), False, False))
    up = next(recipe for words, recipe in found.items() if words.startswith("contrast +"))
    back = [recipe for _, recipe in moves(up, 1.0, (0, 1), False, False)]
    assert any(recipe.contrast == pytest.approx(1, abs=1e-4) for recipe in back)


def test_more_of_a_degradation_is_further_away():
    x = to_tensor(Image.fromarray(render(sample_scene(2, "test"))))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    for kind in KINDS:
        rungs = degraded(x, ladder([Degradation(kind, 1.0)], 5), noise)
        error = (rungs - x).square().mean((1, 2, 3))
        assert torch.equal(rungs[:1], x) and (error.diff() > 0).all(), kind
    assert set(SLIDERS) < set(KINDS)
    with pytest.raises(ImageError, match="of an amount from 0 to 1"):
        Degradation("gamma", 1.5)
