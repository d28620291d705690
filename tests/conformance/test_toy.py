"""A new method and a new measure are one module each, and every view has them by itself (the studio: tests/apps)."""

import inspect
import json

import numpy as np
import pytest
from PIL import Image

from labkit import methods
from labkit.image import ImageInput, read_recipe
from labkit.runs.replay import replay
from labkit.runs.result import collect
from labkit.runs.sweep import sweep
from labkit.views.cli import main
from labkit.views.notebook.widgets import widgets
from tests.conformance import TinyLab, test_measures, test_methods
from tests.conformance.toys import installed


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    with installed(tmp_path_factory.mktemp("toys")) as made:
        yield made


@pytest.fixture
def sketch(tmp_path):
    path = tmp_path / "sketch.png"
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(module, cls):
    """The conformance tests that are of such a class, each with what it takes."""
    for test in vars(module).values():
        if inspect.isfunction(test) and getattr(test, "asks", lambda cls: False)(cls):
            takes = set(inspect.signature(test).parameters)
            if takes <= {"name", "lab", "tiny", "k"}:
                yield test, takes


def test_the_conformance_suite_runs_over_both(toys, monkeypatch):
    lab, ran = TinyLab(), []
    for module, cls in ((test_methods, toys[0]), (test_measures, toys[1])):
        monkeypatch.setitem(module.OURS, cls.__name__, cls)
        for test, takes in suite(module, cls):
            given = {"name": cls.__name__, "lab": lab, "tiny": lab, "k": 2}
            test(**{name: given[name] for name in takes})
            ran.append(test.__name__)
    assert "test_k_steps_and_a_resume_equal_a_straight_run" in ran and len(ran) >= 7
    assert "test_0_is_a_seed_and_so_is_the_largest" not in ran, "it has none"


def test_the_command_line(toys, sketch, here, capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "toy-posterise" in said and "toy-lightness" in said and "How light each picture is." in said
    assert main(["toy-posterise", "--sketch", str(sketch), "--steps", "4", "--shades.most", "3", "--out", "made.png"]) == 0
    recipe = read_recipe(here / "made.png")
    assert recipe["method"] == "ToyPosterise" and recipe["spec"]["shades"]["most"] == 3 and recipe["steps_done"] == 4
    assert main(["replay", "made.png"]) == 0 and "bit for bit" in capsys.readouterr().out
    assert main(["toy-posterise", "--steps", "4"]) == 2 and "--sketch" in capsys.readouterr().err
    asked = ["toy-lightness", "--names", "slope", "--pictures", str(sketch)]
    assert main([*asked, "--csv", "light.csv", "--out", "light.png"]) == 0
    assert "0.87" in capsys.readouterr().out and "slope" in (here / "light.csv").read_text() and (here / "light.png").is_file()


def test_sweep_and_replay(toys, sketch, tmp_path):
    spec = toys[0](sketch=ImageInput.of(sketch, 40, 30), steps=2)
    done = sweep(spec, {"shades__most": [2, 5]}, TinyLab(), tmp_path / "cells", n_jobs=1)
    assert list(done.table["error"]) == ["", ""] and done.sheet().width > 80
    again = replay(done.table["path"][1], TinyLab())
    assert again.identical and not again.differences


def test_notebook_controls_and_a_live_run(toys, sketch):
    box, read = widgets(toys[0])
    labels = [w.description for w in box.children]
    assert any("sketch" in label for label in labels) and not any("prompt" in label or "seed" in label for label in labels)
    spec = toys[0](sketch=ImageInput.of(sketch, 40, 30))
    result = collect(spec, TinyLab())
    assert result.finished and len(np.unique(np.asarray(result.image))) <= 4
    assert result.notices == ["called light", "called dark"]
    box, read = widgets(toys[1])
    next(w for w in box.children if "names" in w.description).value = "a\nb"
    assert json.loads(read().to_json())["names"] == ["a", "b"]


def test_they_are_found_by_their_files(toys):
    assert "toy_posterise" in methods.names() and methods.summary("toy_posterise").startswith("Posterise")
    assert methods.load("toy_posterise") is toys[0] and methods.measures()["toy-lightness"].load() is toys[1]
