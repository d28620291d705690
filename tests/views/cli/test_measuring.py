"""Measures as commands: the table, a figure, pictures from files; and a measure that is a new class and nothing else."""

import re

import pytest
from PIL import Image

import labkit.metrics
from labkit import methods
from labkit.spec import MEASURES
from labkit.views.cli import main

BRIGHTNESS = '''"""How light pictures are."""
from dataclasses import dataclass
import pandas as pd
from PIL import Image
from pydantic import Field
from labkit.spec import Measure


@dataclass
class Found:
    table: pd.DataFrame
    notices: tuple = ("red \\x1b[31m counts as dark",)

    def figure(self):
        from matplotlib.figure import Figure
        return Figure()


class Brightness(Measure):
    """How light each picture is."""

    scale: float = Field(1.0, gt=0, le=100, description="What white counts as")

    def compute(self, lab, pictures: list[Image.Image]) -> Found:
        values = [self.scale * p.convert("L").getpixel((0, 0)) / 255 for p in pictures]
        return Found(pd.DataFrame({"light": values}, index=["\\x1b[2J" + str(k) for k in range(len(values))]))


class Distance(Measure):
    """Needs what nobody can type."""

    def compute(self, lab, embeddings):
        raise AssertionError


class Clock(Measure):
    """Looks at nothing."""

    def compute(self, lab):
        return Found(pd.DataFrame({"n": [1]}), {"now": ["a line"]})
'''


@pytest.fixture
def brightness(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "brightness.py").write_text(BRIGHTNESS)
    monkeypatch.setattr(labkit.metrics, "__path__", [*labkit.metrics.__path__, str(folder)])
    yield
    for name in ("Brightness", "Distance", "Clock"):
        MEASURES.pop(name, None)


def test_matrix(here, lab, capsys):
    for name in "ab":
        Image.new("RGB", (20, 20), "red").save(f"{name}.png")
    args = ["--texts", "an apple", "a dog", "--images", "a.png", "--images", "b.png", "--out", "m.png", "--csv", "new/m.csv"]
    for command in ("matrix", "similarity-matrix"):
        assert main([command, *args]) == 0
        assert "an apple" in capsys.readouterr().out
        assert (here / "new/m.csv").read_text().splitlines()[0] == ",a,b"
        with Image.open("m.png") as image:
            assert image.width > 100


@pytest.mark.parametrize(("args", "words"), [
    (["--images", "a.png"], "--texts: is missing"),
    (["--texts", "a"], "--images: give at least one picture"),
    (["--texts", "a", "--images", "c.png"], "--images: c.png: no such file"),
    (["--texts", "a", "--images", "."], "--images: .: is a folder"),
    (["--texts", "a", "--images", "a.png", "--out", "a.png/m.png"], "--out: a.png/m.png"),
    (["--texts", "a", "--images", "a.png", "--csv", "m.txt"], "--csv: m.txt: must end in .csv"),
])  # fmt: skip
def test_mistakes_end_with_2_and_no_traceback(args, words, here, lab, capsys):
    Image.new("RGB", (20, 20), "red").save("a.png")
    assert main(["matrix", *args]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err


def test_a_new_measure_is_a_command(brightness, here, lab, capsys):
    for name, colour in (("a", "white"), ("b", "black")):
        Image.new("RGB", (20, 20), colour).save(f"{name}.png")
    assert methods.measures()["brightness"].module == "labkit.metrics.brightness"
    assert main(["--help"]) == 0 and re.search("^  brightness +How light each picture is", capsys.readouterr().out, re.M)
    assert main(["brightness", "--pictures", "a.png", "b.png", "--scale", "2", "--out", "f.png", "--csv", "t.csv"]) == 0
    said = capsys.readouterr()
    assert re.search(r"0 +2.000\n.*1 +0.000", said.out) and (here / "f.png").exists() and (here / "t.csv").exists()
    assert "\x1b" not in said.out + said.err and "counts as dark" in said.err
    assert main(["brightness"]) == 2 and "--pictures: give at least one picture" in capsys.readouterr().err
    assert main(["clock"]) == 0 and "note: 'now': a line" in capsys.readouterr().err
    assert main(["distance"]) == 2 and "needs embeddings, which cannot be typed" in capsys.readouterr().err
