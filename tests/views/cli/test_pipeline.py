"""`pipeline`: the plan is told before anything is done, mistakes are told in a line, an interrupt says how to go on."""

import re

import pytest

from labkit.evaluation import words_to_pictures
from labkit.runs.pipeline import Pipeline, Stage
from labkit.views.cli import main

NAMES = ["pictures", "blip", "embeddings", "vqvae", "codes", "prior_top", "prior_bottom", "samples", "scores"]


def test_a_plan_is_the_graph_with_costs_and_does_nothing(here, capsys):
    assert main(["pipeline", "--quick", "--plan", "--folder", "p", "--graph", "g.mmd"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[:9]] == NAMES and said.count("to do") == 10
    assert re.search(r"^vqvae .*□ +to do +140 steps of 16, .* TFLOP, about .*, \d+ MB$", said, re.M)
    assert re.search(r"^to come: 9 stages, .* TFLOP, about \d+ .*, at 30 GFLOP/s a core$", said, re.M) and "coarse" in said
    assert "samples --> scores" in (here / "g.mmd").read_text() and not (here / "p").exists()


def test_a_flag_counts_beside_quick(here, capsys):
    assert main(["pipeline", "codes", "--quick", "--vqvae-steps", "7", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "7 steps of 16" in said and "300 steps of 16" in said and "to come: 5 stages" in said


@pytest.mark.parametrize(("args", "words"), [
    (["code"], "stage: code is none of pictures, blip"),
    (["--source", "nowhere"], "nowhere: no such folder"),
    (["--source", "no.json"], "no.json: cannot be read"),
    (["--pictures", "3"], "--pictures: "),
    (["--folder", "file"], "--folder: file is a file; give a folder"),
    (["--graph", "g.png"], "--graph: g.png: must end in .mmd"),
])
def test_mistakes_end_with_2_and_leave_nothing(args, words, here, capsys):
    (here / "file").write_text("")
    assert main(["pipeline", *args]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err and [path.name for path in here.iterdir()] == ["file"]


def test_an_interrupt_says_how_to_go_on(here, capsys, monkeypatch):
    def cut(folder, needs):
        yield "note: half of it"
        raise KeyboardInterrupt

    from labkit.evaluation.pipeline_cost import Cost

    stage = Stage("pictures", "", cut, products=("x",))
    monkeypatch.setattr(words_to_pictures, "pipeline",
                        lambda spec, folder, device: (Pipeline([stage], folder), {"pictures": Cost("x", 0, 1, 1)}))
    assert main(["pipeline", "--folder", "p"]) == 130
    err = capsys.readouterr().err
    assert "pictures: half of it" in err and "the same command goes on from the last checkpoint in p" in err
