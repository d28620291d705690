import math

import numpy as np
import pytest
from PIL import Image

from labkit.image import read_recipe, save_png
from labkit.runs.replay import load_methods, replay, spec_from_png
from labkit.runs.result import collect
from labkit.spec import SpecError
from tests.views.support import FakeLab, Noise


@pytest.fixture
def png(tmp_path):
    return collect(Noise(seed=5), FakeLab()).save(tmp_path / "a.png")


def change(png, **parts):
    recipe = {**read_recipe(png), **parts}
    with Image.open(png) as image:
        save_png(image.convert("RGB"), png, {k: v for k, v in recipe.items() if v is not None})


def test_same_pixels(png):
    again = replay(png, FakeLab())
    assert again.identical and again.psnr == math.inf and again.differences == []
    assert spec_from_png(png) == Noise(seed=5)


def test_a_stopped_run_is_replayed_as_far_as_it_went(tmp_path):
    stopped = collect(Noise(seed=5, mode="interrupt", steps=8, preview_every=3), FakeLab())
    assert stopped.steps_done == 4
    change(path := stopped.save(tmp_path / "a.png"), spec={**stopped.recipe["spec"], "mode": "plain"})
    again = replay(path, FakeLab())
    assert again.identical and again.result.steps_done == 4 and not again.result.finished


def test_says_what_differs(png):
    environment = {**read_recipe(png)["environment"], "torch": "1.0"}
    change(png, environment=environment, spec={**read_recipe(png)["spec"], "seed": 6})
    again = replay(png, FakeLab(sha256="b" * 64))
    assert not again.identical and 5 < again.psnr < 12, "two pictures of uniform noise: 10·log10(6) = 7.8 dB"
    told = "\n".join(again.differences)
    assert len(again.differences) == 2 and "torch: 1.0 in the recipe" in told and "aaaa" in told and "bbbb" in told


def test_another_size_is_not_compared(png):
    change(png, spec={**read_recipe(png)["spec"], "paper": {"width": 12}})
    again = replay(png, FakeLab())
    assert math.isnan(again.psnr) and again.differences == ["size: was (8, 8), is (12, 8)"]


@pytest.mark.parametrize(("parts", "words"), [
    ({"method": "Teleport"}, "a.png: was made by 'Teleport', which this labkit does not have.*VQGANCLIP"),
    ({"method": "__import__"}, "does not have"),
    ({"method": None}, "tells of no method"),
    ({"method": ["Noise"]}, "does not have"),
    ({"spec": [1]}, "not a table"),
    ({"spec": {"seed": -1}}, "seed: .*greater than or equal to 0; got -1"),
    ({"steps_done": 0}, "steps_done: |steps_done must be"),
    ({"steps_done": True}, "steps_done"),
])  # fmt: skip
def test_recipes_that_cannot_be_replayed(png, parts, words):
    change(png, **parts)
    with pytest.raises(SpecError, match=words):
        replay(png, FakeLab())


@pytest.mark.parametrize("parts", [{"models": 3}, {"environment": [1]}, {"environment": None}])
def test_odd_surroundings_only_differ(png, parts):
    change(png, **parts)
    again = replay(png, FakeLab())
    assert again.identical and again.differences


def test_a_picture_without_a_recipe(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no labkit recipe"):
        replay(tmp_path / "a.png", FakeLab())


def test_knows_the_methods_of_the_package():
    assert "VQGANCLIP" in load_methods()
