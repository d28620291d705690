"""The commands `finetune` and `clinic`."""

import json

import pandas as pd
import pytest

from labkit.evaluation import clinic
from labkit.evaluation.clinic import Examined, mode_of
from labkit.pairs.groceries import write_world_set
from labkit.views.cli import main
from labkit.views.cli.commands import finetune
from labkit.zoo import load_tensors

FEW = ["--steps", "3", "--batch", "4", "--precision", "fp32"]


def test_a_set_is_made_and_a_clip_tuned_on_it(lab, here, capsys):
    assert main(["finetune", "--make", "set", "--pictures", "2"]) == 0
    assert "42 pictures" in capsys.readouterr().out and (here / "set/train/apple/0001.png").is_file()
    (here / "set/train/apple/bad.png").write_bytes(b"nothing")
    assert main(["finetune", "set", "--out", "run", *FEW, "--learns.rank", "2"]) == 0
    said = capsys.readouterr()
    assert "parameters learn; about" in said.err and "1 file was left out: train/apple/bad.png" in said.err
    assert "--guide run/weights.safetensors" in said.out and "mushroom" in said.out
    _, about = load_tensors(here / "run/weights.safetensors")
    assert about["trained"]["folder"] == "set" and about["steps"] == 3
    assert [json.loads(line)["i"] for line in (here / "run/log.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert main(["finetune", "set", "--out", "run", *FEW, "--learns.rank", "2"]) == 0
    assert "was finished already" in capsys.readouterr().out


def test_a_plan_writes_nothing(lab, here, capsys):
    write_world_set("set", 2)
    assert main(["finetune", "set", "--plan", *FEW]) == 0
    assert "about" in capsys.readouterr().err and not (here / "runs").exists()


@pytest.mark.parametrize(("args", "said"), [
    (["finetune", "gone"], "gone: no such folder"), (["finetune", "--templates", "no place"], "templates"),
    (["finetune", "--lr", "1"], "lr"), (["clinic", "flu"], "'flu' is none of learning-rate"),
    (["clinic", "leakage", "--steps", "1"], "--steps: must be 2 to 10,000"), (["clinic", "leakage", "--out", "x.txt"], "--out"),
])
def test_mistakes_are_told_in_a_line(lab, here, args, said, capsys):
    assert main(args) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and not list(here.iterdir())


def test_the_clinic_lists_its_modes(lab, capsys):
    assert main(["clinic"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10


@pytest.mark.parametrize(("values", "code"), [((0.1, 0.95), 0), ((0.9, 0.95), 1), ((0.1, 0.2), 1)])
def test_the_clinic_s_code_says_whether_it_shows_and_heals(lab, here, values, code, capsys, monkeypatch):
    table = pd.DataFrame({"retained": [0.97, *values]}, index=["before", "provoked", "cured"])
    made = Examined(mode_of("learning-rate"), table, {"loss": {"provoked": [1.0, 2.0]}}, {"provoked": "haste", "cured": "calm"})
    monkeypatch.setattr(clinic, "examine", lambda lab, name, steps: made)
    assert main(["clinic", "learning-rate", "--out", "f.png", "--csv", "t.csv"]) == code
    said = capsys.readouterr()
    assert "provoked by haste" in said.out and (here / "f.png").is_file() and (here / "t.csv").is_file()
    assert code == 0 or "did not" in said.err


def test_it_says_what_it_is():
    assert "finetune FOLDER" in finetune.__doc__
