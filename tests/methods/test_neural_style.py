"""Gatys, AdaIN and the transform net: what is asked of them whatever the weights, and every bad input by name."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image import ImageInput, to_tensor
from labkit.image.colour import YIQ, luminance, recoloured, with_luminance
from labkit.image.style import Style
from labkit.methods.adaptive_style import AdaptiveStyle
from labkit.methods.neural_style import NeuralStyle, Weights, sizes_of
from labkit.methods.transform_style import TransformStyle
from labkit.spec import SpecError
from tests.conformance import through_disk


def picture(seed: int, width: int = 32, height: int = 32) -> ImageInput:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return ImageInput.of(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC), width, height)


def half(left: bool, width: int, height: int) -> ImageInput:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = 255
    return ImageInput.of(pixels if left else 255 - pixels, width, height)


def gatys(**changes) -> NeuralStyle:
    return NeuralStyle(**{"content": picture(0), "styles": [{"picture": picture(1)}], "steps": 8, "loss": "gram", **changes})


def last(spec, lab):
    return list(spec.run(lab))[-1]


@pytest.mark.parametrize("method", [NeuralStyle, AdaptiveStyle])
@pytest.mark.parametrize(("styles", "wrong"), [
    ([{"text": "a mosaic"}], r"styles.0.text: 'a mosaic' is a style by words, \w+Style takes pictures; .* use CLIPStyler"),
    ([{"picture": picture(1), "mask": half(True, 16, 16)}], r"styles.0.mask: is 16 × 16, the picture 32 × 32"),
    ([{"picture": picture(1), "weight": 0}], "weights sum to nothing"),
    ([], "styles"),
])
def test_bad_styles_are_refused_at_the_door(method, styles, wrong):
    with pytest.raises(SpecError, match=wrong):
        method(content=picture(0), styles=styles)


@pytest.mark.parametrize("loss", ["gram", "moments", "w2"])
@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_the_style_comes_nearer_by_every_loss_and_optimiser(tiny, loss, name):
    descent, weights = {"name": name, "lr": 0.01}, {"content": 0, "style": 10, "tv": 0}
    scores = [s.scores for s in gatys(loss=loss, optimiser=descent, weights=weights).run(tiny)]
    assert scores[-1]["style"] < 0.95 * scores[0]["style"] and scores[-1]["loss"] < scores[0]["loss"]
    assert scores[0]["content"] == pytest.approx(0, abs=1e-6), "it starts from the content"


def test_an_l_bfgs_resume_is_exact_also_across_scales(tiny):
    spec = gatys(optimiser={"name": "lbfgs"}, scales=2, content=picture(0, 48, 40), steps=6)
    straight = [s.scores for s in spec.run(tiny)]
    for k in (1, 3):
        steps = iter(spec.run(tiny))
        for _ in range(k + 1):
            state = next(steps).state()
        assert [s.scores for s in spec.run(tiny, through_disk(state))] == straight[k + 1:]


def test_three_starts(tiny):
    first = {start: next(iter(gatys(start=start, optimiser={"lr": 1e-6}).run(tiny))).image
             for start in ("content", "style", "noise")}
    near = lambda image, wanted: float((to_tensor(image) - wanted.tensor()).abs().mean())  # noqa: E731
    assert near(first["content"], picture(0)) < 0.01 and near(first["style"], picture(1)) < 0.01
    assert 0.05 < float(to_tensor(first["noise"]).std()) < 0.3 and near(first["noise"], picture(0)) > 0.1


def test_a_style_of_weight_0_changes_nothing_and_weights_count(tiny):
    plain = last(gatys(), tiny).image.tobytes()
    styles = [{"picture": picture(1)}, {"picture": picture(2), "weight": 0}]
    assert last(gatys(styles=styles), tiny).image.tobytes() == plain
    assert last(gatys(styles=[styles[0], {"picture": picture(2)}]), tiny).image.tobytes() != plain
    twice = [styles[0], {"picture": picture(1), "weight": 3}]
    assert last(gatys(styles=twice), tiny).scores["style"] == pytest.approx(last(gatys(), tiny).scores["style"], rel=1e-3)


def test_beyond_a_mask_the_content_stays(tiny):
    styles = [{"picture": picture(1), "mask": half(True, 96, 16)}]
    spec = gatys(content=picture(0, 96, 16), styles=styles, weights=Weights(style=10, tv=0), optimiser={"name": "lbfgs"})
    moved = (to_tensor(last(spec, tiny).image) - spec.content.tensor()).abs().amax(dim=(0, 1, 2))
    assert float(moved[80:].max()) < 0.01 and float(moved[:40].max()) > 0.1


def test_two_halves_have_their_own_styles(tiny):
    """Moments of the left half come nearer to the first style, those of the right to the second."""
    content = picture(0, 64, 32)
    dark, pale = (ImageInput.of(Image.new("RGB", (32, 32), c), 32, 32) for c in ("#202060", "#f0e0d0"))
    styles = [{"picture": dark, "mask": half(True, 64, 32)}, {"picture": pale, "mask": half(False, 64, 32)}]
    spec = gatys(content=content, styles=styles, steps=30, loss="moments", optimiser={"lr": 0.05},
                 weights={"content": 0, "style": 10})
    x = to_tensor(last(spec, tiny).image)
    assert float(x[..., :24].mean()) < float(content.tensor()[..., :24].mean())
    assert float(x[..., -24:].mean()) > float(x[..., :24].mean()) + 0.1


@pytest.mark.parametrize(("method", "changes"), [(NeuralStyle, {"steps": 2}), (AdaptiveStyle, {}), (TransformStyle, {})])
def test_odd_contents_are_taken_as_they_are(tiny, method, changes):
    """Grey, transparent (it lies on white), and 20 × 3,000 pixels."""
    grey = ImageInput.of(Image.linear_gradient("L"), 33, 21)
    clear = ImageInput.of(Image.new("RGBA", (17, 40), (255, 0, 0, 0)), 17, 40)
    assert clear.pil().getpixel((3, 3)) == (255, 255, 255)
    more = changes | ({} if method is TransformStyle else {"styles": [{"picture": picture(1, 50, 30)}]})
    for content in (grey, clear, picture(0, 20, 3000), picture(0, 3000, 20)):
        image = last(method(content=content, **more), tiny).image
        assert image.size == (content.width, content.height) and image.mode == "RGB"


def test_a_content_that_the_net_cannot_see_is_refused_by_its_size(tiny):
    with pytest.raises(SpecError, match="content: is 3 × 40; the layers that are read need sides of 4 or more"):
        list(gatys(content=picture(0, 3, 40)).run(tiny))
    assert min(min(size) for size in sizes_of(picture(0, 64, 64), 8, 4)) >= 8
    assert sizes_of(picture(0, 64, 64), 3, 4) == [(32, 32), (45, 45), (64, 64)]


def test_colours_are_kept_on_request(tiny):
    content = picture(0)
    styles = [{"picture": picture(1)}]
    for spec in (gatys(colour="luminance"), AdaptiveStyle(content=content, styles=styles, colour="luminance"),
                 TransformStyle(content=content, colour="luminance")):
        x = to_tensor(last(spec, tiny).image)
        chroma = torch.einsum("ij,bjhw->bihw", torch.tensor(YIQ), torch.cat([x, content.tensor()]))[:, 1:]
        inside = ((x > 0.01) & (x < 0.99)).all(1)[0]
        assert float((chroma[0] - chroma[1])[:, inside].abs().max()) < 0.02
    assert last(gatys(colour="matched"), tiny).image.tobytes() != last(gatys(), tiny).image.tobytes()


def test_strength_is_a_dial(tiny):
    def moved(strength, **changes):
        spec = AdaptiveStyle(content=picture(0), styles=[{"picture": picture(1)}], strength=strength, **changes)
        return [s.scores["moved"] for s in spec.run(tiny)]

    for way in ("adain", "efdm"):
        assert moved(0, way=way) == [0, 0] and 0 < moved(0.5, way=way)[1] < moved(1, way=way)[1]
        assert moved(0.5, way=way)[1] == pytest.approx(moved(1, way=way)[1] / 4, rel=1e-3), "straight, in features"
    content = picture(0)
    x0, x5, x1 = (to_tensor(last(TransformStyle(content=content, strength=s), tiny).image) for s in (0, 0.5, 1))
    assert torch.equal(x0, content.tensor()) and torch.allclose(x5, (x0 + x1) / 2, atol=0.005) and not torch.equal(x0, x1)


def test_adaptive_styles_blend_by_weight_and_keep_to_their_masks(tiny):
    content = picture(0, 64, 32)
    one, other = ({"picture": picture(k)} for k in (1, 2))

    def features(*styles, **changes):
        spec = AdaptiveStyle(content=content, styles=styles, **changes)
        f = tiny.perceptual.layers(content.tensor() * 2 - 1, ["relu3_1"])["relu3_1"]
        return f, spec.target(tiny.perceptual, tiny.adain, f, content.tensor())

    f, a = features(one)
    _, b = features(other)
    _, both = features(one | {"weight": 1}, other | {"weight": 3})
    assert torch.allclose(both, (a + 3 * b) / 4, atol=1e-4)
    _, masked = features(one | {"mask": half(True, 64, 32)})
    assert torch.equal(masked[..., 12:], f[..., 12:]) and torch.allclose(masked[..., :4], a[..., :4], atol=1e-3)


def test_colour_in_closed_form():
    x, like = (picture(k).tensor() for k in (0, 1))
    assert torch.allclose(luminance(x), luminance(luminance(x)), atol=1e-6)
    assert torch.allclose(with_luminance(x, luminance(x)), x, atol=1e-5)
    soft = 0.4 + 0.2 * like  # nothing to clamp
    got = recoloured(x, soft).flatten(2)[0]
    assert torch.allclose(got.mean(1), soft.flatten(2)[0].mean(1), atol=1e-3)
    assert torch.allclose(torch.cov(got), torch.cov(soft.flatten(2)[0]), atol=1e-3)
    grey = luminance(x)
    assert torch.isfinite(recoloured(grey, like)).all() and torch.isfinite(recoloured(x, grey)).all()


def test_a_style_picture_is_named_so():
    assert Style(picture=picture(1)).called == "a picture"


def test_a_decoder_of_another_net_s_features_is_refused(tiny):
    lab, decoder = copy(tiny), copy(tiny.adain)
    decoder.config = replace(decoder.config, eye="0" * 64)
    lab._models = tiny._models | {"adain": decoder}
    with pytest.raises(SpecError, match="adain: this decoder reads the features of another perceptual net"):
        list(AdaptiveStyle(content=picture(0), styles=[{"picture": picture(1)}]).run(lab))
