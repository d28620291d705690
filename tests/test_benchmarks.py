"""The benchmarks run: both ways of what they compare, once. What they measure is no test's business."""

import importlib
from pathlib import Path

import pytest

from tests.conformance import pocket_lab

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py"))


@pytest.fixture(autouse=True)
def as_scripts(monkeypatch):
    """A script finds its neighbours beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_imported_and_says_what_it_measures(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", ["painting_step", "guided_step", "clipstyler_step", "gatys_step"])
def test_both_ways_take_a_step(name, missing):
    module = importlib.import_module(name)
    lab = pocket_lab(missing, ("clip", "guide", "vqgan", "diffusion", "perceptual"))
    for way in (module.ours(lab), module.peers(lab)):
        way()


def test_an_enhancer_s_recipes_score_the_same_in_a_batch_and_alone(tiny):
    module = importlib.import_module("enhance_search")
    for together, alone in zip(module.ours(tiny)(), module.peers(tiny)(), strict=True):
        assert together == pytest.approx(alone, abs=1e-4)
