import json
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import labkit
from labkit import methods
from labkit.image import read_recipe
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.spec import METHODS, NonFiniteError, Step
from labkit.views import cli
from labkit.views.cli import COMMANDS, flags, main, models, run, tools
from tests.conformance import TinyLab
from tests.views.support import FakeLab, Noise

SMALL = ["--canvas.width", "16", "--canvas.height", "16", "--cutouts.cutn", "2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


@pytest.fixture
def lab(tiny, monkeypatch):
    """What every flag of a lab comes to here: small random models."""
    monkeypatch.setattr(flags.LabFlags, "lab", lambda self: tiny)
    return tiny


@pytest.fixture
def noise(monkeypatch):
    """`paint` paints noise, which can be told to fail."""
    monkeypatch.setattr(methods, "load", lambda name: Noise)
    monkeypatch.setattr(flags.LabFlags, "lab", lambda self: FakeLab())


def python(*args):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=120)


def test_importing_labkit_and_help_load_no_torch():
    ask = ("import labkit, sys; from labkit.views.cli import main; assert main(['--help']) == 0; "
           "assert not {'torch', 'gradio', 'tyro', 'pandas'} & set(sys.modules), sorted(sys.modules)")
    done = python("-c", ask)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    assert all(re.search(rf"^  {name} ", done.stdout, re.M) for name in [*COMMANDS, "vqgan-clip"])


def test_names_of_the_package():
    for name in labkit.__all__:
        assert getattr(labkit, name) is not None
    assert labkit.VQGANCLIP is VQGANCLIP and "Lab" in dir(labkit)
    with pytest.raises(AttributeError, match="no attribute 'Lob'"):
        labkit.Lob  # noqa: B018
    assert labkit.__version__ == labkit.collect(Noise(), FakeLab()).recipe["labkit"]


def test_methods_are_found():
    assert methods.load("vqgan_clip") is VQGANCLIP
    assert "VQGANCLIP" in methods.load_all() and methods.load_all() is METHODS
    assert methods.summary("vqgan_clip").startswith("VQGAN+CLIP")


@pytest.mark.parametrize("name", sorted({*COMMANDS, "vqgan-clip"} - {"lab", "apps", "train"}))
def test_every_help_is_readable(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: labkit {name}" in out and max(map(len, out.splitlines())) <= 100
    assert "default: None" not in out


def test_flags_are_the_spec(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    main(["paint", "--help"])
    out = capsys.readouterr().out
    for name, info in VQGANCLIP.model_fields.items():
        inner = getattr(info.annotation, "model_fields", None)
        fields = {f"{name}.{k}": v for k, v in inner.items()} if inner else {name: info}
        for flag, one in fields.items():
            assert flag == "prompt" or f"--{flag.replace('_', '-')}" in out, flag
            assert one.description in out
    assert "(16 to 2048)" in out and "(above 0 to 5)" in out


def test_defaults_and_values_reach_the_spec():
    typed, _ = flags.parse("paint", VQGANCLIP, run.RunOptions, ["a dog"])
    assert typed.build() == VQGANCLIP(prompt="a dog")
    args = ["a dog", "--steps", "7", "--optimiser.lr", "0.25", "--cutouts.method", "pooled", "--noise-prompts",
            "seed=3,weight=-0.5", "seed=4"]
    spec = flags.parse("paint", VQGANCLIP, run.RunOptions, args)[0].build()
    assert (spec.steps, spec.optimiser.lr, spec.cutouts.method) == (7, 0.25, "pooled")
    assert [(n.seed, n.weight) for n in spec.noise_prompts] == [(3, -0.5), (4, 1.0)]


def test_pictures_are_given_as_files(here):
    Image.new("RGB", (50, 40), (200, 30, 30)).save("a,b.png")
    args = ["a dog", "--init", "a,b.png", "--canvas.width", "32", "--image-prompts", "image=a,b.png,weight=-2"]
    spec = flags.parse("paint", VQGANCLIP, run.RunOptions, args)[0].build()
    assert spec.canvas.init.pil().size == (32, 64)
    assert spec.image_prompts[0].weight == -2 and spec.image_prompts[0].image.pil().getpixel((3, 3)) == (200, 30, 30)


@pytest.mark.parametrize(("args", "words"), [
    ([], "PROMPT"),
    (["a", "--steps", "0"], "--steps: should be greater than or equal to 1; got 0"),
    (["a", "--canvas.width", "8"], "--canvas.width: should be greater"),
    (["a", "--steps", "many"], "--steps"),
    (["a", "--stepps", "3"], "--steps"),
    (["a:1 | b:-1"], "sum to 0"),
    (["a", "--init", "nowhere.png"], "nowhere.png: no such file"),
    (["a", "--init", "text.png"], "no picture"),
    (["a", "--out", "a.jpg"], "must end in .png"),
    (["a", "--out", "."], "must end in .png"),
    (["a", "--out", "text.png/a.png"], "is no folder"),
    (["a", "--device", "warp"], "--device"),
    (["a", "--noise-prompts", "3"], "--noise-prompts: '3' must read seed=…,weight=…"),
    (["a", "--canvas.width", "17"], "canvas.width: 17 is not a multiple"),
])  # fmt: skip
def test_mistakes_end_with_2_and_no_traceback(args, words, here, tiny, monkeypatch, capsys):
    monkeypatch.setattr("labkit.lab.Lab", lambda **names: tiny)
    (here / "text.png").write_text("no picture")
    assert main(["paint", *args]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err


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


def test_diffuse(here, lab, capsys):
    args = ["diffuse", "a red apple", "--steps", "3", "--out", "x.png", "--guidance.strength", "2", *SMALL]
    assert main(args) == 0
    assert "x.png: 3 steps" in capsys.readouterr().out
    recipe = read_recipe("x.png")
    assert recipe["method"] == "GuidedDiffusion" and recipe["spec"]["guidance"]["strength"] == 2
    assert main(["replay", "x.png", "--out", "again.png"]) == 0
    assert "bit for bit" in capsys.readouterr().out


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


def test_interrupt_elsewhere(monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "check", stop)
    assert main(["check"]) == 130


def test_unknown_command(capsys):
    assert main(["pant"]) == 2 and "did you mean paint?" in capsys.readouterr().err
    assert main([]) == 2 and main(["--version"]) == 0


def test_matrix(here, tiny, monkeypatch, capsys):
    monkeypatch.setattr("labkit.lab.Lab", lambda **names: tiny)
    for name in "ab":
        Image.new("RGB", (20, 20), "red").save(f"{name}.png")
    args = ["--texts", "an apple", "a dog", "--images", "a.png", "b.png", "--out", "m.png", "--csv", "m.csv"]
    assert main(["matrix", *args]) == 0
    assert "an apple" in capsys.readouterr().out
    assert (here / "m.csv").read_text().splitlines()[0] == ",a,b"
    with Image.open("m.png") as image:
        assert image.width > 100
    assert main(["matrix", "--texts", "a", "--images", "c.png"]) == 2
    assert "c.png: no such file" in capsys.readouterr().err


def test_sweep(here, monkeypatch, capsys):
    monkeypatch.setattr(methods, "load", lambda name: Noise)
    monkeypatch.setattr(flags.LabFlags, "lab", lambda self: FakeLab)
    assert main(["sweep", "x", "--over", "seed", "0", "1", "--over", "paper.height", "8", "16", "--folder", "cells"]) == 0
    assert len(list(here.glob("cells/*.png"))) == 5  # four cells and the sheet
    assert main(["sweep", "x", "--over", "mode", "plain", "fail", "--folder", "cells"]) == 1
    assert "1 of 2 cells failed" in capsys.readouterr().err
    assert main(["sweep", "x", "--over", "sed", "1"]) == 2 and main(["sweep", "x"]) == 2


def test_replay_of_what_is_none(here, capsys):
    Image.new("RGB", (8, 8)).save("plain.png")
    assert main(["replay", "plain.png"]) == 2 and "no labkit recipe" in capsys.readouterr().err
    assert main(["replay", "nowhere.png"]) == 2


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
    monkeypatch.setattr("labkit.training.training", lambda name: FakeTraining)
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
    assert main(["train", "hat"]) == 2 and main(["train"]) == 2 and main(["train", "--help"]) == 0


def test_zoo_and_convert(here, capsys):
    assert main(["zoo"]) == 0
    out = capsys.readouterr().out
    assert "imagenet-f16-16384" in out and max(map(len, out.splitlines())) <= 100
    assert main(["zoo", "get"]) == 2 and main(["zoo", "get", "imagenet-f16"]) == 2
    assert "imagenet-f16-1024" in capsys.readouterr().err
    assert main(["convert", "nowhere.ckpt", "x.safetensors"]) == 2


def test_world(here, capsys):
    assert main(["world", "--out", "w.png", "--n", "4", "--style", "flat"]) == 0
    assert main(["world", "--out", "s.png", "--n", "4", "--style", "flat", "--sketch", "--captions"]) == 0
    with Image.open("w.png") as colours, Image.open("s.png") as sketch:
        assert colours.width > 256 and sketch.height > colours.height
        assert len(np.unique(np.asarray(colours))) > 64
    assert main(["world", "--style", "baroque"]) == 2 and "baroque" in capsys.readouterr().err
    assert main(["world", "--n", "0"]) == 2


def test_check_fails_where_something_is_missing(monkeypatch, capsys):
    from labkit.check import Finding

    for ok, code in ((True, 0), (False, 1)):
        monkeypatch.setattr("labkit.check.check_environment", lambda ok=ok: [Finding("torch", ok, "?")])
        assert main(["check"]) == code


def test_lab_and_apps_hand_over(here, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(tools, "_hand_over", lambda command, cwd: calls.append(command) or 0)
    monkeypatch.setattr(tools, "ROOT", here)
    assert main(["lab"]) == 2 and main(["apps"]) == 2 and "checkout" in capsys.readouterr().err
    (here / "notebooks").mkdir(), (here / "apps").mkdir(), (here / "apps" / "studio.py").touch()
    assert main(["lab", "--port", "1234"]) == 0 and main(["apps", "--share"]) == 0
    assert "--ServerApp.ip=127.0.0.1" in calls[0] and calls[0][-2:] == ["--port", "1234"]
    assert calls[1] == ["-m", "apps.studio", "--share"]


def test_handing_over_returns_the_exit_code():
    started = time.monotonic()
    assert tools._hand_over(["-c", "raise SystemExit(3)"], None) == 3
    assert time.monotonic() - started < 60


def test_a_terminal_without_arrows(monkeypatch):
    import io

    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(cli, "dispatch", lambda args: print("0.1 → 0.2") or 0)
    assert main(["x"]) == 0
    out.flush()
    assert b"0.1 ? 0.2" in out.buffer.getvalue()
