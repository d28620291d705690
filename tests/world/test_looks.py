"""The look that no model has met: the scene's own truth, other pixels, and nothing of what is held out."""

import numpy as np
import pytest

from labkit.world import held_out, render
from labkit.world.looks import GROCERIES, grocery, render_look


def test_a_scene_looks_the_same_each_time_and_not_as_its_style_does():
    scene = grocery("apple", 3, "test")
    x = render_look(scene)
    assert x.shape == (64, 64, 3) and x.dtype == np.uint8 and np.array_equal(x, render_look(scene))
    assert np.abs(x.astype(int) - render(scene)).mean() > 20


def test_no_combination_is_held_out_and_splits_differ():
    for k, subject in enumerate(GROCERIES * 3):
        scene = grocery(subject, k)
        placed = scene.subjects[0]
        assert placed.subject == subject and not held_out(placed.subject, placed.colour, scene.setting)
    assert grocery("apple", 0, "train").subjects != grocery("apple", 0, "val").subjects


def test_light_comes_from_a_side():
    slopes = [np.ptp(render_look(grocery("melon", k)).astype(float).mean(-1).reshape(2, 32, 2, 32).mean((1, 3)))
              for k in range(6)]
    assert np.mean(slopes) > 25


def test_others_are_refused():
    with pytest.raises(ValueError, match="subject='dog' is none of apple"):
        grocery("dog", 0)
