"""CLIPstyler: places and masks, styles by words and pictures, and what the published code gets wrong."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.clip.learnt_style import LearntStyle, StyleOutput
from labkit.image import ImageInput, to_tensor
from labkit.image.style import Style
from labkit.methods.clipstyler import PUBLISHED, CLIPStyler, StyleOptimiser, places_of, restyled, share_of
from labkit.runs.result import collect
from labkit.spec import SpecError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 255, (18, 26, 3), dtype=np.uint8)
CONTENT = ImageInput.of(PIXELS, 26, 18)


def styler(**changes) -> CLIPStyler:
    values = {"content": CONTENT, "text": "a watercolour", "steps": 3, "patches": {"number": 2},
              "optimiser": {"width": 2, "lr": 0.05, "warm_up": 0}}
    return CLIPStyler(**{**values, **changes})


def half(left: bool, width: int = 26, height: int = 18) -> ImageInput:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :width // 2] = 255
    return ImageInput.of(pixels if left else 255 - pixels, width, height)


def last(spec, lab):
    *_, step = spec.run(lab)
    return step


def pixels(image) -> np.ndarray:
    return np.asarray(image, int)


def test_what_is_learnt_gives_the_run_s_picture_and_any_strength_without_another_run(tiny):
    spec = styler(output={"strength": 0.6})
    step = last(spec, tiny)
    (style,) = step.extras["learnt"]
    assert style.apply(CONTENT.pil(), StyleOutput(strength=0.6)).tobytes() == step.image.tobytes()
    full = last(spec.but(output__strength=1.0), tiny).image
    assert restyled(spec, step.extras["learnt"], StyleOutput()).tobytes() == full.tobytes() != step.image.tobytes()
    assert restyled(spec, step.extras["learnt"], StyleOutput(strength=0)).tobytes() == CONTENT.pil().tobytes()
    assert style.about[0]["styles"] == ["a watercolour"] and style.about[0]["guide"]["name"] == "tiny"


def test_a_request_never_starts_from_the_style_of_the_one_before(tiny):
    """The published predictor builds its net once, so that one request's style leaks into the next."""
    alone = last(styler(text="a mosaic"), tiny).image.tobytes()
    last(styler(text="an oil painting", steps=5), tiny)
    assert last(styler(text="a mosaic"), tiny).image.tobytes() == alone


def test_all_styles_of_a_seed_begin_at_one_start(tiny):
    a, b = (last(styler(text=text, steps=1, optimiser={"width": 2, "lr": 1e-9}), tiny).extras["learnt"][0]
            for text in ("a mosaic", "an oil painting"))
    assert torch.allclose(a.nets[0].enter.weight, b.nets[0].enter.weight, atol=1e-6)


def test_the_rate_is_halved_after_a_step_and_not_before_it(tiny):
    """The published code steps its scheduler before its optimiser: torch warns, and our warnings are errors."""
    states = [step.state()["parts"] for step in styler(steps=4, optimiser={"width": 2, "halve_every": 2, "lr": 0.01,
                                                                                          "warm_up": 0}).run(tiny)]
    assert [s["adam"]["param_groups"][0]["lr"] for s in states] == [0.01, 0.005, 0.005, 0.0025]


def test_the_rate_rises_over_the_first_steps_and_is_halved_later():
    rate = StyleOptimiser(warm_up=4, halve_every=10)
    assert [rate.share_at(i) for i in (0, 1, 3, 9, 10, 25)] == [0.25, 0.5, 1, 1, 0.5, 0.25]
    assert StyleOptimiser(warm_up=0).share_at(0) == 1


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_the_result_is_there_at_every_end(tiny, steps):
    """The published code saves where step % 50 == 0 only."""
    result = collect(styler(steps=steps, preview_every=50), tiny)
    assert result.finished and result.image is not None and result.image_step == steps and result.extras["learnt"]


def test_stopped_early_the_picture_and_the_style_are_kept(tiny):
    def stop(step, result):
        if step.i == 1:
            raise KeyboardInterrupt

    result = collect(styler(steps=5, preview_every=50), tiny, on_step=stop)
    assert result.interrupted and result.image_step == 2
    assert result.extras["learnt"][0].apply(CONTENT.pil()).tobytes() == result.image.tobytes()


def test_styles_in_one_place_share_a_net_and_places_have_their_own():
    a, b, c, none = Style(text="a"), Style(text="b", weight=3), Style(text="c", mask=half(True)), Style(text="d", weight=0)
    assert places_of((a, b, none)) == [(0, 1)]
    assert places_of((a, c, b, none, Style(text="e", mask=half(True)))) == [(0, 2), (1, 4)]
    share = share_of((a, c, b), 18, 26)
    assert share.shape == (2, 18, 26) and torch.allclose(share.sum(0), torch.ones(18, 26), atol=2e-3)


def test_each_half_has_its_own_style_and_what_no_mask_covers_stays(tiny):
    left, right = Style(text="a mosaic", mask=half(True)), Style(text="an oil painting", mask=half(False))
    both, one = last(styler(text="", styles=(left, right)), tiny), last(styler(text="", styles=(left,)), tiny)
    assert len(both.extras["learnt"]) == 2 and len(one.extras["learnt"]) == 1
    x = CONTENT.tensor()
    painted = [style.paint(x) for style in both.extras["learnt"]]
    for k, part in enumerate((slice(0, 9), slice(17, 26))):
        assert np.abs(pixels(both.image)[:, part] / 255 - painted[k][0].permute(1, 2, 0).numpy()[:, part]).max() < 0.01
    assert np.array_equal(pixels(one.image)[:, 18:], PIXELS[:, 18:]), "outside the mask"
    assert np.abs(pixels(one.image)[:, :8] - PIXELS[:, :8]).max() > 8


def test_a_style_of_weight_0_changes_nothing(tiny):
    more = Style(text="a pencil sketch", weight=0, mask=half(True))
    assert last(styler(styles=(more,)), tiny).image.tobytes() == last(styler(), tiny).image.tobytes()


def test_words_and_a_picture_are_styles_together(tiny):
    picture = ImageInput.of(np.full((20, 20, 3), [200, 30, 30], np.uint8), 20, 20)
    mixed = last(styler(styles=(Style(picture=picture),)), tiny)
    assert mixed.extras["learnt"][0].about[0]["styles"] == ["a watercolour", "a picture"]
    alone = last(styler(text="", styles=(Style(picture=picture),)), tiny)
    assert len({step.image.tobytes() for step in (mixed, alone, last(styler(), tiny))}) == 3


def test_it_learns_on_several_pictures_and_resumes_exactly(tiny):
    also = tuple(ImageInput.of(RNG.integers(0, 255, (18, 26, 3), dtype=np.uint8), 26, 18) for _ in range(4))
    spec = styler(also=also, steps=4, optimiser={"width": 2, "batch": 2})
    straight = list(spec.run(tiny))
    state = next(s for s in spec.run(tiny) if s.i == 1).state()
    assert list(spec.run(tiny, state))[-1].image.tobytes() == straight[-1].image.tobytes()
    assert straight[-1].extras["learnt"][0].about[0]["pictures"] == 5


def test_unknown_words_one_colour_and_long_pictures_are_notices(tiny):
    assert any("'zbrush'" in line for line in collect(styler(text="a zbrush"), tiny).notices)
    flat = collect(styler(content=ImageInput.of(Image.new("L", (26, 18), 90), 26, 18)), tiny)
    assert any("one colour all over" in line for line in flat.notices) and flat.finished
    long = collect(styler(content=ImageInput.of(np.tile(PIXELS, (1, 20, 1)), 300, 20), steps=1), tiny)
    assert any("300 × 20" in line for line in long.notices) and long.image.size == (300, 20)
    same = collect(styler(text="a painting", words={"source": "A painting"}), tiny)
    assert any("no direction leads there" in line for line in same.notices) and same.finished, "no 0 / 0"


def test_a_picture_that_became_one_colour_is_a_notice(tiny):
    heavy = styler(steps=30, losses={"tv": 1e6, "content": 0, "patch": 0}, optimiser={"width": 2, "lr": 0.1, "warm_up": 0})
    assert any("has become one colour" in line for line in collect(heavy, tiny).notices)
    assert not any("one colour" in line for line in collect(styler(), tiny).notices)


def test_a_transparent_content_lies_on_white(tiny):
    clear = Image.new("RGBA", (26, 18), (255, 0, 0, 0))
    assert np.all(pixels(ImageInput.of(clear, 26, 18).pil()) == 255)


def test_what_does_not_fit_is_refused_with_field_value_and_remedy():
    small = ImageInput.of(np.zeros((3, 200, 3), np.uint8), 200, 3)
    for changes, wrong in [
            ({"text": " "}, "name a style"),
            ({"styles": (Style(text="a", mask=half(True, 20, 18)),)}, r"styles.1.mask: is 20 × 18, the picture 26 × 18"),
            ({"text": "", "styles": (Style(text="a", weight=0),)}, "sum to nothing"),
            ({"also": (small,)}, r"also.0: is 200 × 3, content 26 × 18"),
            ({"content": small}, "at least 16 pixels"),
            ({"steps": 0}, "steps")]:
        with pytest.raises(SpecError, match=wrong):
            styler(**changes)


def test_the_published_values_make_a_spec():
    spec = styler(**PUBLISHED)
    assert (spec.patches.number, spec.losses.patch, spec.optimiser.lr, spec.output.contrast) == (64, 9000, 5e-4, 1.5)
    assert CLIPStyler.from_json(spec.to_json()) == spec


def test_a_kept_style_from_a_run_reads_back(tiny, tmp_path):
    """Its words are no file's name: a slash in them breaks the published code."""
    (style,) = last(styler(text="a red/blue mosaic: ../x"), tiny).extras["learnt"]
    again = LearntStyle.load(style.save(tmp_path / "style.safetensors"))
    assert again.called == "a red/blue mosaic: ../x"
    assert torch.equal(again.paint(to_tensor(PIXELS)), style.paint(to_tensor(PIXELS)))
