"""A learnt style: kept and read back bit for bit, applied to any picture, mixed; what does not fit is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from labkit.clip.learnt_style import LearntStyle, StyleOutput, laid_over
from labkit.image import to_pil
from labkit.models.style_net import StyleNet, StyleNetConfig
from labkit.weights import WeightsError, WeightsNotFound

ABOUT = {"styles": ["a mosaic"], "source": "a photo", "seed": 3, "steps": 4, "pictures": 1}


def learnt(start: int = 0, width: int = 2, **about) -> LearntStyle:
    return LearntStyle.of(StyleNet.drawn(StyleNetConfig(width), start), {**ABOUT, **about})


def picture(width: int = 24, height: int = 17) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(4))


def test_it_is_a_copy_of_the_net():
    net = StyleNet.drawn(StyleNetConfig(2), 0)
    style, x = LearntStyle.of(net, ABOUT), picture()
    before = style.paint(x)
    with torch.no_grad():
        net.leave.bias.add_(1)
    assert torch.equal(style.paint(x), before) and not any(p.requires_grad for p in style.nets[0].parameters())


def test_kept_and_read_back_it_paints_the_same_pixels(tmp_path):
    style = learnt()
    again = LearntStyle.load(style.save(tmp_path / "mosaic.safetensors"))
    assert torch.equal(again.paint(picture()), style.paint(picture())) and again.about == style.about
    assert again.called == "a mosaic"


@pytest.mark.parametrize("image", [Image.new("L", (30, 18), 90), Image.new("RGBA", (20, 40), (200, 10, 10, 0)),
                                   Image.new("RGB", (16, 200), "red")])
def test_it_applies_to_pictures_of_any_size_and_mode(image):
    made = learnt().apply(image)
    assert made.size == image.size and made.mode == "RGB"


def test_strength_0_is_the_picture_and_1_the_net():
    style, x = learnt(), picture()
    assert style.apply(to_pil(x), StyleOutput(strength=0)).tobytes() == to_pil(x).tobytes()
    half = StyleOutput(strength=0.5).of(x, style.paint(x))
    assert torch.allclose(half, (x + style.paint(x)) / 2, atol=1e-6)
    assert float(StyleOutput(strength=1.5).of(x, style.paint(x)).max()) <= 1


def test_the_hidden_steps_of_the_published_code_are_off_and_do_what_they_say():
    x = picture()
    assert torch.equal(StyleOutput().of(x, x), x), "an honest output"
    stretched = StyleOutput(stretch=True).of(x, 0.25 + x / 2)
    assert float(stretched.min()) == 0 and float(stretched.max()) == pytest.approx(1)
    even = torch.full_like(x, 0.4)
    assert torch.allclose(StyleOutput(contrast=1.5, stretch=True).of(even, even), even), "nothing to stretch, and no 0 / 0"
    grey = 0.5 + (x.mean(1, keepdim=True).expand_as(x) - 0.5) * 0.1
    apart = StyleOutput(contrast=1.5).of(grey, grey) - grey.mean()
    assert torch.allclose(apart, 1.5 * (grey - grey.mean()), atol=1e-4)


def test_mixed_styles_are_mixed_as_pictures_whatever_their_widths():
    a, b, x = learnt(0), learnt(1, 4, styles=["an oil painting"]), picture()
    mixed = a.mixed(b, 0.25)
    assert torch.allclose(mixed.paint(x), 0.75 * a.paint(x) + 0.25 * b.paint(x), atol=1e-6)
    assert mixed.called == "0.75 a mosaic + 0.25 an oil painting"
    assert torch.equal(a.mixed(b, 0).paint(x), a.paint(x))
    with pytest.raises(ValueError, match="share: 2"):
        a.mixed(b, 2)


def test_what_is_no_style_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(WeightsNotFound):
        LearntStyle.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not a learnt style"):
        LearntStyle.load(path)
    with pytest.raises(WeightsError, match="mixed"):
        learnt().mixed(learnt(1)).save(path)


def test_a_net_of_another_width_is_refused(tmp_path):
    path = learnt().save(tmp_path / "mosaic.safetensors")
    tensors = load_file(path)
    for config, wrong in [({"width": 4}, "enter"), ({"width": -1}, "does not describe"), ({"depth": 3}, "does not describe")]:
        save_file(tensors, path, {"labkit": json.dumps({"kind": "learnt style", "config": config, **ABOUT})})
        with pytest.raises(WeightsError, match=wrong):
            LearntStyle.load(path)


def test_laid_over_leaves_to_the_content_what_no_share_covers():
    x, a, b = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)
    share = torch.tensor([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    assert np.allclose(laid_over(x, [a, b], share)[0, 0], [[1, 0.5], [0.5, 0]])
