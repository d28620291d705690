"""The figures of a BLIP: one that knows everything, one that guesses, and what counts as named."""

import numpy as np
import pandas as pd
import pytest
import torch

from labkit.evaluation.blip import ask, blip_figures, caption_table, matching_table, named, report_on_pairs
from labkit.evaluation.cards import markdown
from labkit.training.bank import scene_bank
from labkit.world import caption, sample_scene
from labkit.world.contrast import contrast
from tests.conformance import TinyLab

pytestmark = pytest.mark.usefixtures("own_bank")


class Knowing:
    """Knows which captions `ask` will give to a bank's scenes; believes those that are true."""

    def __init__(self, bank):
        rng = np.random.default_rng(11)
        self.true = {contrast(bank.scene(k), rng).right for k in range(len(bank))}
        self.texts = {x.numpy().tobytes(): caption(bank.scene(k), np.random.default_rng(k), full=True)
                      for k, x in enumerate((bank.images(range(len(bank))) + 1) / 2)}

    def match(self, x, texts):
        return torch.tensor([0.9 if t in self.true else 0.2 for t in texts])

    def encode_image(self, x):
        return torch.eye(2)[torch.zeros(len(x), dtype=torch.long)]

    def encode_text(self, texts):
        return torch.tensor([[0.8, 0.6] if t in self.true else [0.1, 0.995] for t in texts])

    def caption(self, x):
        return [self.texts[p.numpy().tobytes()] for p in x]


def test_who_knows_everything_gets_it_all_and_who_believes_everything_half():
    bank = scene_bank("test", 60)
    knowing = Knowing(bank)
    asked = ask(knowing, bank)
    table = matching_table({"all": asked})
    assert (table[["accuracy", "true", "false", "true before false"]] == 1).all(axis=None) and table.loc["all", "n"] == 60
    assert table.filter(like="wrong ", axis=0)["n"].sum() == 60
    knowing.match = lambda x, texts: torch.full((len(texts),), 0.7)
    gullible = matching_table({"all": ask(knowing, bank)}).loc["all"]
    assert gullible[["accuracy", "true", "false", "true before false"]].tolist() == [0.5, 1, 0, 0]


def test_captions_that_name_everything_score_everything():
    bank = scene_bank("test", 60)
    table = caption_table(Knowing(bank), {"all": bank})
    assert (table.drop(columns="n").stack().dropna() == 1).all() and table.loc["all", "n"] == 60
    assert table["n"].iloc[1:].sum() == 60


def test_what_counts_as_named():
    one = next(s for s in map(sample_scene, range(99)) if len(s.subjects) == 1 and s.subjects[0].colour == "red")
    noun = one.subjects[0].subject.replace("_", " ")
    right, wrong = named(f"a red {noun}", one), named(f"a blue {noun}", one)
    assert (right["subject"], right["colour"], wrong["subject"], wrong["colour"]) == (1, 1, 1, 0)
    assert np.isnan(right["two subjects"]) and right["setting"] == 0
    two = next(s for s in map(sample_scene, range(99)) if len(s.subjects) == 2)
    a, b = (p.subject.replace("_", " ") for p in two.subjects)
    assert named(f"a {b} and a {a}", two)["two subjects"] == 1 and named(f"a {a}", two)["two subjects"] == 0
    assert np.isnan(named("", two)["subject"]) and np.isnan(named("", two)["colour"])


def test_a_report_on_pairs_has_its_baselines_and_notices_a_vector_compared_with_itself():
    bank = scene_bank("test", 20)
    knowing, rng = Knowing(bank), np.random.default_rng(11)
    found = [contrast(bank.scene(k), rng) for k in range(20)]
    texts, x = [t for c in found for t in (c.right, c.wrong)], (bank.images(np.repeat(np.arange(20), 2)) + 1) / 2
    report = report_on_pairs(knowing, x, texts, [True, False] * 20, np.repeat(np.arange(20), 2), draws=30)
    assert report.scores.loc["ours", "accuracy"] == 1 and report.scores.loc["majority", "accuracy"] == 0.5
    assert 0.3 < report.scores.loc["shuffled", "accuracy"] < 0.7
    assert report.similarity.loc["matching", "mean"] == pytest.approx(0.8) and not report.notices
    knowing.encode_text = lambda texts: torch.eye(2)[torch.zeros(len(texts), dtype=torch.long)]
    assert "compared with itself" in report_on_pairs(knowing, x, texts, [True, False] * 20, draws=20).notices[0]


def test_figures_of_a_lab_go_onto_a_card():
    figures = blip_figures(TinyLab(), 24)
    assert len(figures) == 4 and all(isinstance(table, pd.DataFrame) for table in figures.values())
    text = "\n".join(map(markdown, figures.values()))
    assert "| held-out |" in text and "| shuffled |" in text and "nan" not in text.lower()
