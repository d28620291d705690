"""Methods as commands: pictures with recipes, what ends a run, and a method that has hardly anything."""

import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from labkit import files, methods
from labkit.files import FileError
from labkit.image import read_recipe
from labkit.spec import METHODS
from labkit.views.cli import main
from tests.views.support import FakeLab

SMALL = ["--canvas.width", "16", "--canvas.height", "16", "--cutouts.cutn", "2"]
MIRROR = '''"""Mirrors a picture."""
from PIL import ImageOps
from pydantic import Field
from labkit.image import ImageInput
from labkit.spec import Method, Step


class Mirror(Method):
    """Mirror a picture."""

    photo: ImageInput = Field(..., description="What to mirror")

    def run(self, lab, resume=None):
        yield Step(0, 1, ImageOps.mirror(self.photo.pil()))
'''


@pytest.mark.parametrize(("args", "words"), [
    ([], "PROMPT"),
    (["a", "red", "dog", "--steps", "3"], 'PROMPT: is 3 arguments; give it in quotes: labkit paint "a red dog"'),
    (["a", "--steps", "many"], "--steps"),
    (["a", "--stepps", "3"], "--steps"),
    (["a:1 | b:-1"], "sum to 0"),
    (["a", "--out", "a.jpg"], "--out: a.jpg: must end in .png"),
    (["a", "--out", "."], "--out: .: must end in .png"),
    (["a", "--out", "text.png/a.png"], "--out: text.png/a.png: a part of the path is a file, not a folder"),
    (["a", "--out", "n" * 300 + ".png"], "the name is too long"),
    (["a", "--strip", "folder.png"], "--strip: folder.png: is a folder"),
    (["a", "--video", "a.avi"], "--video: a.avi: must end in .mp4 or .gif"),
    (["a", "--device", "warp"], "--device"),
    (["a", "--precision", "fp8"], "--precision"),
    (["a", "--canvas.width", "17"], "canvas.width: 17 is not a multiple"),
])  # fmt: skip
def test_mistakes_end_with_2_and_no_traceback(args, words, here, lab, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    (here / "text.png").write_text("no picture")
    (here / "folder.png").mkdir()
    assert main(["paint", *args]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err
    assert {path.name for path in here.iterdir()} == {"text.png", "folder.png"}, "nothing is left"


def test_paint(here, lab, capsys):
    args = ["paint", "a red apple hallelujah", "--steps", "3", "--seed", "5", "--preview-every", "1", "--out", "new/x.png",
            "--optimiser.lr", "1"]
    assert main([*args, "--strip", "s.png", "--video", "v.gif", *SMALL]) == 0
    said = capsys.readouterr()
    assert "new/x.png: 3 steps" in said.out and "pocket models" in said.out
    assert said.err.count("hallelujah") == 1, "an unknown word is told once"
    assert read_recipe("new/x.png")["spec"]["seed"] == 5
    with Image.open("v.gif") as film, Image.open("s.png") as strip:
        assert film.n_frames >= 2 and strip.width > 2 * strip.height
    assert main(["replay", "new/x.png", "--out", "again.png"]) == 0
    assert "bit for bit" in capsys.readouterr().out
    with Image.open("new/x.png") as a, Image.open("again.png") as b:
        assert np.array_equal(a, b)


@pytest.mark.parametrize("command", ["paint", "diffuse", "vqgan-clip", "guided-diffusion"])
def test_every_method_starts_from_a_picture(command, here, lab, capsys):
    Image.new("RGB", (30, 40), "red").save("photo.png")
    assert main([command, "a red apple", "--init", "photo.png", "--steps", "3", "--out", "x.png", *SMALL]) == 0
    assert "x.png: 3 steps" in capsys.readouterr().out
    assert read_recipe("x.png")["spec"]["canvas"]["init"]["width"] == 16
    assert main(["replay", "x.png"]) == 0 and "bit for bit" in capsys.readouterr().out


def test_diffuse(here, lab, capsys):
    assert main(["diffuse", "a red apple", "--steps", "3", "--out", "x.png", "--guidance.strength", "2", *SMALL]) == 0
    recipe = read_recipe("x.png")
    assert recipe["method"] == "GuidedDiffusion" and recipe["spec"]["guidance"]["strength"] == 2


def test_sample(here, lab, capsys):
    assert main(["sample", "a red apple in the snow", "--steps", "3", "--out", "x.png", "--top.guidance", "3"]) == 0
    assert "x.png: 3 steps" in capsys.readouterr().out
    recipe = read_recipe("x.png")
    assert recipe["method"] == "PriorSampling" and recipe["spec"]["top"]["guidance"] == 3
    assert main(["replay", "x.png"]) == 0 and "bit for bit" in capsys.readouterr().out


def test_the_lab_is_what_its_flags_say(here, monkeypatch, tiny):
    asked = []
    monkeypatch.setattr("labkit.lab.Lab", lambda **names: asked.append(names) or tiny)
    args = ["paint", "a dog", "--steps", "1", "--out", "x.png", *SMALL]
    assert main(args) == 0 and main([*args, "--clip", "ViT-B-32/openai", "--device", "cpu", "--precision", "fp32"]) == 0
    assert asked[0] == {"device": None, "precision": "auto"}
    assert asked[1] == {"clip": "ViT-B-32/openai", "device": asked[1]["device"], "precision": "fp32"}
    assert str(asked[1]["device"]) == "cpu"


def test_paint_names_its_picture(here, lab, capsys):
    assert main(["paint", "A red, red apple!", "--steps", "1", *SMALL]) == 0
    (path,) = here.glob("out/*.png")
    assert re.fullmatch(r"a-red-red-apple-[0-9a-f]{6}\.png", path.name)


def test_judge_decides_the_exit_code(here, noise, monkeypatch, capsys):
    verdict = SimpleNamespace(subject="apple", colour="red", setting="dark_corner", style="flat")
    for found, code in (({"subject": True, "colour": False}, 1), ({"subject": True}, 0), ({}, 0)):
        judge = SimpleNamespace(check=lambda image, prompt, found=found: (verdict, found))
        monkeypatch.setattr(FakeLab, "judge", judge, raising=False)
        assert main(["paint", "a red apple", "--judge", "--out", "x.png"]) == code
        out = capsys.readouterr().out
        assert "apple, red; setting dark corner" in out and ("did not find the prompt's colour" in out) == bool(code)


@pytest.mark.parametrize(("mode", "code", "words"), [
    ("nan", 1, "NaN at this step"), ("fail", 1, "RuntimeError: told to fail"), ("interrupt", 130, "stopped after 3 of 6"),
])  # fmt: skip
def test_what_ends_a_run_keeps_the_last_picture(mode, code, words, here, noise, capsys):
    assert main(["paint", "x", "--mode", mode, "--out", "x.png"]) == code
    said = capsys.readouterr()
    assert words in said.err and "kept: x.png" in said.err
    assert ("Traceback" in said.err) == (mode == "fail"), "only what is unexpected comes with a traceback"
    assert read_recipe("x.png")["steps_done"] == 3


def test_interrupted_before_the_first_picture(here, noise, capsys):
    assert main(["paint", "x", "--mode", "interrupt", "--preview-every", "50", "--out", "x.png"]) == 130
    assert "nothing is saved" in capsys.readouterr().err and not (here / "x.png").exists()


@pytest.fixture
def mirror(tmp_path_factory, monkeypatch):
    """A method that is a new module and nothing else: no prompt, no seed, one step, a picture."""
    folder = tmp_path_factory.mktemp("methods")
    (folder / "mirror.py").write_text(MIRROR)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    yield
    METHODS.pop("Mirror", None)


def test_a_new_module_is_a_command_whatever_it_lacks(mirror, here, lab, capsys):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 0] = 255
    Image.fromarray(pixels).save("a.png")
    assert main(["--help"]) == 0 and re.search("^  mirror +Mirrors a picture", capsys.readouterr().out, re.M)
    assert main(["mirror", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--photo FILE" in out and not re.search("--(judge|video|strip|seed|steps|clip)", out)
    assert main(["mirror", "--photo", "a.png"]) == 0
    assert re.fullmatch(r"out/mirror-[0-9a-f]{6}\.png: 1 step in .* s", capsys.readouterr().out.strip())
    (made,) = here.glob("out/*.png")
    with Image.open(made) as picture:
        assert np.array_equal(picture, pixels[:, ::-1])
    assert main(["mirror"]) == 2 and "--photo" in capsys.readouterr().err
    assert main(["sweep", "--method", "mirror", "--over", "photo", "a.png", str(made), "--folder", "cells"]) == 0
    assert len(list(here.glob("cells/*-*.png"))) == 2
    assert main(["evaluate", "painting", "--method", "mirror"]) == 2
    assert "--method: mirror has no prompt and no seed" in capsys.readouterr().err


def test_a_disk_that_fills_during_the_run_loses_no_picture(here, noise, monkeypatch, capsys):
    real = files.write_atomically

    def full(path, data):
        if Path(path) == Path("x.png"):
            raise FileError("x.png: the disk is full; make room")
        return real(path, data)

    monkeypatch.setattr(files, "write_atomically", full)
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    assert main(["paint", "x", "--out", "x.png"]) == 1
    said = capsys.readouterr()
    kept = re.search(r"x.png: the disk is full; make room; it is kept as (.*png)$", said.err, re.M)[1]
    assert read_recipe(kept)["steps_done"] == 6 and "Traceback" not in said.err and said.out == ""
