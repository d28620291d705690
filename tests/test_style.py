"""Styles in a spec, and how much of each there is at every pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image import ImageInput
from labkit.image.style import Style, check_styles, gaussian_blur, shares
from labkit.spec import SpecError


def half(left: bool, width: int = 32, height: int = 16) -> ImageInput:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 255
    return ImageInput.of(pixels if left else 255 - pixels, width, height)


def test_a_style_is_words_or_a_picture_and_holds_somewhere():
    picture = ImageInput.of(Image.linear_gradient("L"), 16, 16)
    assert (Style(text=" mosaic ").called, Style(picture=picture).called) == ("mosaic", "a picture")
    for values, wrong in [({}, "give one of the two"), ({"text": "x", "picture": picture}, "give one of the two"),
                          ({"text": "x", "weight": -1}, "weight"),
                          ({"text": "x", "mask": ImageInput.of(Image.new("RGB", (8, 8)), 8, 8)}, "black all over")]:
        with pytest.raises(SpecError, match=wrong):
            Style(**values)


def test_masks_of_another_size_and_weights_of_nothing_are_refused():
    with pytest.raises(SpecError, match=r"styles.1.mask: is 32 × 16, the picture 16 × 16"):
        check_styles((Style(text="a"), Style(text="b", mask=half(True))), 16, 16)
    with pytest.raises(SpecError, match="sum to nothing"):
        check_styles((Style(text="a", weight=0),), 16, 16)


def test_without_masks_shares_are_the_weights():
    got = shares((Style(text="a", weight=3), Style(text="b"), Style(text="c", weight=0)), 4, 6)
    assert torch.allclose(got[:, 0, 0], torch.tensor([0.75, 0.25, 0.0])) and float(got.std(dim=(1, 2)).max()) == 0


def test_two_halves_cover_the_picture_across_their_seam_and_keep_to_themselves():
    got = shares((Style(text="a", mask=half(True)), Style(text="b", mask=half(False), weight=5)), 64, 128)
    assert torch.allclose(got.sum(0), torch.ones(64, 128), atol=2e-3)
    assert min(float(got[0, :, :40].min()), float(got[1, :, 90:].min())) == pytest.approx(1)
    steps = (got[0, :, 1:] - got[0, :, :-1]).abs()
    assert 0 < float(steps.max()) < 0.4, "feathered"


def test_where_no_mask_holds_there_is_no_style():
    (got,) = shares((Style(text="a", mask=half(True)),), 64, 128)
    assert float(got[:, :40].min()) == pytest.approx(1) and float(got[:, 90:].max()) == 0
    without = shares((Style(text="a", mask=half(True)), Style(text="b", weight=0)), 64, 128)
    assert float(without[:, :, 90:].max()) == 0, "a style of weight 0 covers nothing"


def test_a_gaussian_keeps_what_is_even_and_has_its_spread():
    assert torch.allclose(gaussian_blur(torch.full((1, 2, 5, 40), 0.7), 4.0), torch.full((1, 2, 5, 40), 0.7))
    line = torch.zeros(1, 1, 1, 101)
    line[..., 50] = 1
    at = torch.arange(101.0) - 50
    out = gaussian_blur(line, 5.0)[0, 0, 0]
    assert float((out * at.square()).sum().sqrt()) == pytest.approx(5, rel=0.03)
