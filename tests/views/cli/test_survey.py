"""The command `survey`: a survey of a sweep's pictures, its results, and mistakes that are told without a traceback."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from labkit.image import save_png
from labkit.survey import Store
from labkit.survey.consent import CONSENT, version
from labkit.survey.report import items_of, plan_of
from labkit.survey.session import DEFAULT_STORE
from labkit.views.cli import main
from labkit.views.cli.commands import survey
from labkit.views.cli.handover import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a sweep of two prompts at two scales, as `sweep` leaves it: its contact sheet has no recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "sweep").mkdir()
    for k in range(6):
        spec = {"prompt": ("prompt 0", "prompt 1", "an apple")[k % 3], "seed": 4, "guidance": {"scale": 500 * (1 + k // 3)}}
        recipe = {"method": "GuidedDiffusion", "spec": spec, "scores": {"clip": k / 10}, "steps_done": 3}
        save_png(Image.new("RGB", (16, 16), (40 * k, 90, 120)), tmp_path / "sweep" / f"{k}.png", recipe)
    Image.new("RGB", (40, 40)).save(tmp_path / "sweep" / "sheet.png")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def made(here):
    assert main(["survey", "new", "songs", "sweep", "--repeats", "1", "--min-dwell", "0"]) == 0
    return here


def vote(raters=5):
    """Everybody gives the second scale 3 more."""
    now = [1_700_000_000.0]
    store = Store(DEFAULT_STORE, clock=lambda: now[0])
    for r in range(raters):
        token = store.join("songs", version(CONSENT["en"])).token
        while (view := store.next(token)) is not None:
            now[0] += 5
            red = view.picture.getpixel((1, 1))[0]
            store.vote(token, view.position, 2 + 3 * (red >= 120) + r % 2 if view.prompt else 2)
    store.close()


def test_new_takes_a_sweep_with_its_plan_and_leaves_the_sheet_out(here, capsys):
    args = ["survey", "new", "songs", "sweep", "--repeats", "1", "--min-dwell", "0.5", "--no-attention", "--seed", "3"]
    assert main(args) == 0
    said = capsys.readouterr()
    assert said.out == "songs: 6 pictures, 1 of them twice\n"
    assert "left out, as without a recipe: sheet.png" in said.err and "labkit survey open songs " in said.err
    store = Store(DEFAULT_STORE)
    plan, items = plan_of(store, "songs"), items_of(store, "songs")
    assert (plan.repeats, plan.min_dwell, plan.attention, plan.seed) == (1, 0.5, False, 3)
    assert items.index.tolist() == list("012345") and items["guidance__scale"].tolist() == [500] * 3 + [1000] * 3
    assert items["seed"].unique().tolist() == [4] and items["prompt"].nunique() == 3
    assert items["score_judge"].notna().tolist() == [False, False, True] * 2, "where the prompt names what the judge knows"
    store.close()
    assert main(args) == 0, "the same again is the same survey"
    assert main(["survey", "new", "few", "sweep/0.png", "sweep/4.png", "--repeats", "0"]) == 0
    capsys.readouterr()
    assert main(["survey", "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["few", "2", "0", "0", "0"], ["songs", "6", "0", "0", "0"]]


def test_list_makes_no_database(here, capsys):
    assert main(["survey", "list"]) == 0
    assert "no survey yet" in capsys.readouterr().out and not (here / "out").exists()
    assert survey.STORE == DEFAULT_STORE


def test_results_print_and_write(made, capsys):
    vote()
    capsys.readouterr()
    assert main(["survey", "results", "songs", "--out", "found"]) == 0
    out = capsys.readouterr().out
    assert "5 raters, 5 finished, 40 votes" in out and max(map(len, out.splitlines())) < 200
    assert "scale 1000 − scale 500: +3.00" in out and "Attention item: 5 of 5" in out
    table = pd.read_csv("found/statistics.csv", index_col="item")
    assert table.loc[3, "mean"] - table.loc[0, "mean"] == pytest.approx(3) and table["n"].tolist() == [5] * 6
    written = json.loads((made / "found" / "statistics.json").read_text(encoding="utf-8"))
    assert written["progress"]["votes"] == 40 and written["by"] == "guidance__scale" and len(written["pictures"]) == 6
    assert len(pd.read_csv("found/votes.csv")) == 35 == len(json.loads((made / "found" / "votes.json").read_text())["votes"])
    for kind in ("means", "ranking"):
        with Image.open(f"found/{kind}.png") as chart:
            assert chart.width > 400
    assert main(["survey", "results", "songs", "--by", "guidance.scale", "--language", "ru"]) == 0


def test_results_before_anybody_has_voted(made, capsys):
    assert main(["survey", "results", "songs"]) == 0
    assert "No attentive rater has voted yet" in capsys.readouterr().out


@pytest.mark.parametrize(("args", "words"), [
    (["old"], "survey old: is none of new, list, open, results"),
    (["new", "x"], "pictures: are missing"),
    (["new", "x", "nowhere"], "pictures: nowhere: no such file or folder"),
    (["new", "x", "empty"], "'empty' holds 0 PNGs"),
    (["new", "x", "sweep/sheet.png", "sweep/0.png"], "sheet.png"),
    (["new", "x", "sweep/0.png"], "1 pictures are too few"),
    (["new", "x", "sweep", "--gap", "6"], "repeats=2, gap=6: 6 pictures leave no room"),
    (["new", "x", "sweep", "--repeats", "99"], "--repeats: should be less than or equal to 20; got 99"),
    (["new", "x", "sweep", "--repeats", "0", "--store", "mysql://x"], "--store: mysql is not supported"),
    (["new", "x", "sweep", "--repeats", "0", "--store", "sqlite:///sweep/0.png"], "cannot be opened"),
    (["new", "songs", "sweep", "--repeats", "0"], "name='songs': such a survey exists"),
    (["results", "nope"], "NAME: 'nope' is no survey in sqlite:///out/survey.db; there is songs"),
    (["results", "songs", "--store", "sqlite:///none.db"], "there is none"),
    (["results", "songs", "--by", "wings"], "by='wings': is no setting by which the pictures differ; there is guidance__scale"),
    (["results", "songs", "--out", "sweep/0.png"], "--out: sweep/0.png is a file"),
    (["results", "songs", "--language", "fr"], "--language"),
])  # fmt: skip
def test_mistakes_end_with_2_and_no_traceback(args, words, made, capsys):
    assert main(["survey", *args]) == 2
    said = capsys.readouterr()
    assert words in said.err and "Traceback" not in said.err
    assert not (made / "none.db").exists()


@pytest.mark.parametrize("command", ["new", "list", "results"])
def test_every_help_is_readable(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["survey", command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: labkit survey {command}" in out and max(map(len, out.splitlines())) <= 100 and "default: None" not in out


def test_overview_names_every_command(capsys):
    assert main(["survey"]) == 2 and main(["survey", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in ("new", "list", "open", "results"))
    assert max(map(len, out.splitlines())) <= 100


def test_open_starts_the_page_here_with_its_flags(made, monkeypatch):
    called = []
    monkeypatch.setattr(survey, "hand_over", lambda command, folder=None: called.append((command, folder)) or 0)
    assert main(["survey", "open", "songs", "--results", "--port", "7999"]) == 0
    ((command, cwd),) = called
    assert command[0].endswith("apps/survey.py") and command[1:] == ["--survey", "songs", "--results", "--port", "7999"]
    assert cwd is None, "a store's relative path is of the folder where the command was typed"


def test_open_says_what_is_not_there(made):
    """The page itself, as a script started from another folder: the one test here that runs it."""
    done = subprocess.run([sys.executable, "-m", "labkit", "survey", "open", "nope"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])})
    assert done.returncode == 2
    said = done.stderr
    assert "survey='nope': there is none of this name" in said and "songs" in said and "Traceback" not in said
