"""Rendering: every class can be drawn, the same every time, and lies where the ground truth says."""

import dataclasses

import numpy as np
import pytest

from labkit.world import classes, render, render_sketch, sample_scene
from labkit.world.render import compose
from labkit.world.sprites import natural_colour
from tests.conformance import assert_same, global_randomness


def test_a_scene_is_a_picture_the_same_every_time():
    before = global_randomness()
    for k in range(5):
        scene = sample_scene(k)
        picture = render(scene)
        assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8 and picture.flags.writeable
        assert np.array_equal(picture, render(scene)) and np.array_equal(render_sketch(scene), render_sketch(scene))
    assert_same(global_randomness(), before)


def test_small_is_the_box_filtered_large():
    scene = sample_scene(3)
    large = render(scene, 256).reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(render(scene) - large).max() <= 1


@pytest.mark.parametrize("size", [3, 100, 512])
def test_a_size_that_does_not_divide_is_named(size):
    with pytest.raises(ValueError, match=f"size={size} does not divide 256"):
        render(sample_scene(0), size)


def drawn(**fixed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scene = sample_scene(1, two=False, **fixed)
    return render(scene), render_sketch(scene), compose(scene)[2]


@pytest.mark.parametrize("subject", classes("subject"))
def test_every_subject_is_drawn(subject):
    picture, sketch, mask = drawn(subject=subject, setting="plain", style="flat")
    assert picture.std() > 4
    assert sketch.shape == (64, 64) and sketch.max() > 240 and (sketch < 170).mean() > 0.01, "dark lines on white"
    assert (mask > 127).mean() > 0.03


@pytest.mark.parametrize("setting", classes("setting"))
def test_every_setting_is_drawn_and_its_sketch_has_lines(setting):
    picture, sketch, _ = drawn(setting=setting, style="flat", subject="apple")
    assert picture.std() > 4 and (sketch < 170).mean() > 0.005


def test_settings_and_styles_differ_from_one_another():
    for attribute, other in (("setting", {"style": "flat"}), ("style", {"setting": "meadow"})):
        seen = [drawn(**{attribute: name, "subject": "apple", **other})[0].astype(float) for name in classes(attribute)]
        for i, a in enumerate(seen):
            for b in seen[:i]:
                assert np.abs(a - b).mean() > 4


def test_boxes_hold_the_subjects():
    for k in range(120):
        scene = sample_scene(k)
        mask = compose(scene)[2].astype(float)
        inside = np.zeros((256, 256), bool)
        for p in scene.subjects:
            left, top, right, bottom = (round(v * 256) for v in p.box)
            inside[top:bottom, left:right] = True
        assert mask.sum() > 255 * 500, k
        assert mask[inside].sum() > 0.95 * mask.sum(), k


def test_a_box_is_not_much_larger_than_its_subject():
    """The mask spans most of the box, so that the box says where the subject is."""
    spans = []
    for k in range(80):
        scene = sample_scene(k, two=False)
        mask = compose(scene)[2] > 127
        left, top, right, bottom = scene.subjects[0].box
        rows, columns = mask.any(1).sum() / 256, mask.any(0).sum() / 256
        spans.append(max(rows / (bottom - top), columns / (right - left)))
    assert min(spans) > 0.6 and np.mean(spans) > 0.8


def test_the_colour_is_to_be_seen():
    for colour, channel in (("red", 0), ("green", 1), ("blue", 2)):
        scene = sample_scene(4, two=False, subject="cup", colour=colour, setting="plain", style="flat")
        inside = compose(scene)[2].reshape(64, 4, 64, 4).mean((1, 3)) > 250
        assert render(scene)[inside].mean(0).argmax() == channel


def test_what_has_no_colourable_part_is_drawn_the_same_in_any_colour():
    plain = [s for s in classes("subject") if natural_colour(s) is None]
    assert 0 < len(plain) < 20
    for subject in plain[:3]:
        red, blue = (compose(sample_scene(0, two=False, subject=subject, colour=c, setting="plain"))[0]
                     for c in ("red", "blue"))
        assert np.array_equal(red, blue)


def test_the_first_subject_stands_in_front_except_behind_bars():
    scene = next(s for s in (sample_scene(k, two=True) for k in range(2000))
                 if s.relation == "in" and s.subjects[1].subject == "cage")
    bars = compose(scene)[1]
    alone = compose(dataclasses.replace(scene, subjects=scene.subjects[1:], relation=None))[1]
    dark = alone < 60
    assert (bars[dark] < 90).mean() > 0.95, "the bars' lines are in front"
