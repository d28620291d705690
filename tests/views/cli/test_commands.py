"""The commands that have a file of their own: sweep, replay, train, evaluate, zoo, convert, world, check."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labkit.image import read_recipe
from labkit.spec import NonFiniteError, Step
from labkit.views.cli import main, sweeping
from tests.views.support import FakeLab, Noise


@pytest.fixture
def noisy(noise, monkeypatch):
    monkeypatch.setattr(sweeping, "lab_of", lambda options: FakeLab)


def seeds(here):
    return sorted(read_recipe(path)["spec"]["seed"] for path in here.glob("cells/*-*.png"))


def test_sweep(here, noisy, capsys):
    assert main(["sweep", "x", "--over", "seed", "0", "1", "--over", "paper.height", "8", "16", "--folder", "cells"]) == 0
    said = capsys.readouterr()
    assert len(list(here.glob("cells/*.png"))) == 5  # four cells and the sheet
    ready, first, *ended = said.err.splitlines()
    assert ready == "sweep: getting ready" and first == "4 cells of Noise into cells; finished ones are kept"
    assert [line.partition(": ")[0] for line in ended] == [f"{k} of 4" for k in (1, 2, 3, 4)]
    assert "seed 1, paper.height 8: 0 s" in ended[2]
    assert main(["sweep", "x", "--over", "mode", "plain", "fail", "--folder", "cells"]) == 1
    err = capsys.readouterr().err
    assert "1 of 2 cells failed" in err and "2 of 2: mode fail: RuntimeError: told to fail" in err


def test_axes_add_up(here, noisy, capsys):
    args = ["sweep", "x", "--over", "seed", "0", "1", "--over", "seed", "2", "1", "--folder", "cells"]
    assert main(args) == 0 and seeds(here) == [0, 1, 2]
    assert main(args) == 0 and capsys.readouterr().err.count("was there already") == 3


def test_values_are_what_their_field_takes(here, noisy):
    Image.new("RGB", (30, 40), "red").save("a.png")
    args = ["--over", "prompt", "12", "true", "--over", "cap", "None", "1.5", "--over", "paper.init", "a.png"]
    assert main(["sweep", *args, "--over", "loud", "true", "--folder", "cells"]) == 0
    made = [read_recipe(path)["spec"] for path in here.glob("cells/*-*.png")]
    assert {spec["prompt"] for spec in made} == {"12", "true"} and {spec["cap"] for spec in made} == {None, 1.5}
    assert {spec["paper"]["init"]["width"] for spec in made} == {8} and all(spec["loud"] for spec in made)


@pytest.mark.parametrize(("args", "words"), [
    (["--over", "sed", "1"], "sed: Noise has no such field"),
    ([], "--over: give at least one axis"),
    (["--over"], "--over: give at least one axis"),
    (["--over", "seed"], "--over seed: give at least one value"),
    (["--over", "seed", "1", "--over", "seed"], "--over seed: give at least one value"),
    (["--over", "seed", "0", "5000"], "seed: should be less than or equal to 1000; got 5000"),
    (["--over", "paper.init", "no.png"], "--over paper.init: no.png: no such file"),
    (["--over", "seed", "0", "--folder", "file"], "--folder: file is a file"),
    (["--over", "seed", "0", "--folder", "file/cells"], "--folder: file/cells: a part of the path is a file"),
    (["--over", "seed", "0", "--folder", "n" * 300], "the name is too long"),
    (["--over", "seed", "0", "--sheet", "file/x.png"], "--sheet: file/x.png"),
])  # fmt: skip
def test_mistakes_of_a_sweep_are_found_before_a_cell_runs(args, words, here, noisy, capsys):
    (here / "file").touch()
    assert main(["sweep", "x", *args]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err and not list(here.glob("**/*-*.png"))


def test_sweep_takes_every_method(here, lab, capsys):
    assert main(["sweep", "x", "--method", "warp", "--over", "seed", "0"]) == 2
    assert "method: 'warp' is none of" in capsys.readouterr().err
    small = ["--canvas.width", "16", "--canvas.height", "16", "--cutouts.cutn", "2", "--steps", "2"]
    args = ["sweep", "a dog", "--method=guided-diffusion", "--over", "guidance.strength", "0", "2", "--folder", "cells", *small]
    assert main(args) == 0
    assert {read_recipe(path)["method"] for path in here.glob("cells/*-*.png")} == {"GuidedDiffusion"}


def test_replay_of_what_is_none(here, capsys):
    Image.new("RGB", (8, 8)).save("plain.png")
    assert main(["replay", "plain.png"]) == 2 and "no labkit recipe" in capsys.readouterr().err
    assert main(["replay", "nowhere.png"]) == 2 and "nowhere.png: no such file" in capsys.readouterr().err
    assert main(["replay", "."]) == 2 and "is a folder" in capsys.readouterr().err


class FakeTraining(Noise):
    """Learns nothing."""

    warm: bool = False

    def run(self, lab, resume=None):
        for i in range(0 if resume is None else resume["i"] + 1, self.steps):
            if self.mode == "nan" and i == 3:
                raise NonFiniteError("NaN at this step")
            yield Step(i, self.steps, Image.new("RGB", (8, 8)), {"loss": 1 / (i + 1)},
                       {"weights": lambda: ({"w": np_tensor()}, {"kind": "clip", "warm": self.warm})}, lambda i=i: {"i": i})


def np_tensor():
    import torch

    return torch.ones(3)


def test_train(here, monkeypatch, capsys):
    monkeypatch.setattr("labkit.kinds.trainings", lambda: {"clip": lambda: FakeTraining})
    monkeypatch.setattr("labkit.lab.Lab", lambda **names: FakeLab())
    monkeypatch.setattr("labkit.data.data_path", lambda *parts: here.joinpath("data", *parts))
    assert main(["train", "clip", "--steps", "4", "--from", "pocket", "--ship"]) == 0
    made = {p.name for p in (here / "runs/clip").iterdir()}
    assert made == {"checkpoint.pt", "log.jsonl", "sheet.png", "weights.safetensors"}
    shipped = here / "data/models/clip.safetensors"
    assert shipped.read_bytes() == (here / "runs/clip/weights.safetensors").read_bytes()
    assert json.loads((here / "runs/clip/log.jsonl").read_text().splitlines()[-1])["i"] == 3
    capsys.readouterr()
    assert main(["train", "clip", "--steps", "4", "--from", "pocket"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert main(["train", "clip", "--steps", "5"]) == 2, "the folder is of another spec"
    assert "another" in capsys.readouterr().err
    assert main(["train", "clip", "--mode", "nan", "--folder", "other"]) == 1
    (here / "file").touch()
    assert main(["train", "clip", "--folder", "file"]) == 2 and "--folder: file is a file" in capsys.readouterr().err
    assert main(["train", "hat"]) == 2 and main(["train"]) == 2 and main(["train", "--help"]) == 0


def test_zoo_and_convert(here, capsys):
    assert main(["zoo"]) == 0
    out = capsys.readouterr().out
    assert "imagenet-f16-16384" in out and max(map(len, out.splitlines())) <= 100
    assert main(["zoo", "get"]) == 2 and main(["zoo", "get", "imagenet-f16"]) == 2
    assert "imagenet-f16-1024" in capsys.readouterr().err
    assert main(["convert", "nowhere.ckpt", "x.safetensors"]) == 2 and "nowhere.ckpt" in capsys.readouterr().err
    (here / "x.ckpt").touch()
    assert main(["convert", "x.ckpt", "x.bin"]) == 2 and "DST: x.bin: must end in .safetensors" in capsys.readouterr().err


def test_world(here, capsys):
    assert main(["world", "--out", "w.png", "--n", "4", "--style", "flat"]) == 0
    assert main(["world", "--out", "s.png", "--n", "4", "--style", "flat", "--sketch", "--captions"]) == 0
    with Image.open("w.png") as colours, Image.open("s.png") as sketch:
        assert colours.width > 256 and sketch.height > colours.height
        assert len(np.unique(np.asarray(colours))) > 64
    assert main(["world", "--style", "baroque"]) == 2 and "baroque" in capsys.readouterr().err
    assert main(["world", "--n", "0"]) == 2


def test_evaluate_takes_every_kind_that_has_figures(here, lab, monkeypatch, capsys):
    from labkit import kinds

    asked, figures = [], {"Right": pd.DataFrame({"right": [0.5]}, index=["subject"])}
    monkeypatch.setattr("labkit.views.cli.commands.evaluate.named",
                        lambda place: lambda a_lab, n: asked.append((place, a_lab, n)) or figures)
    for name in kinds.evaluations():
        assert main(["evaluate", name]) == 0 and "50.0 %" in capsys.readouterr().out
        assert asked[-1] == (kinds.KINDS[name].evaluation, lab, kinds.KINDS[name].n)
    assert main(["evaluate", "hat"]) == 2 and "is none of clip, clip_check" in capsys.readouterr().err
    (here / "file").touch()
    assert main(["evaluate", "painting", "--out", "file"]) == 2 and "--out: file is a file" in capsys.readouterr().err


def test_check_fails_where_something_is_missing(monkeypatch, capsys):
    from labkit.check import Finding

    for ok, code in ((True, 0), (False, 1)):
        monkeypatch.setattr("labkit.check.check_environment", lambda ok=ok: [Finding("torch", ok, "?")])
        assert main(["check"]) == code
