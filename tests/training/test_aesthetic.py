"""The aesthetic predictor's training: known orders, people's votes, and what is measured of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from labkit.evaluation.aesthetic import calibration, spearman, unit_of
from labkit.loop import Rng
from labkit.models.aesthetic import AestheticConfig, AestheticHead
from labkit.spec import SpecError
from labkit.training.aesthetic import RUNGS, TrainAesthetic, Votes, rungs


def test_rungs_get_worse_one_after_the_other():
    x = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    made = rungs(x, Rng(0)).view(6, RUNGS, 3, 16, 16)
    error = (made - x[:, None]).square().mean((2, 3, 4))
    assert (error[:, 0] == 0).any() and not (error[:, 0] == 0).all(), "the first is untouched every other time"
    assert (error[:, -1] > error[:, 0]).all() and torch.equal(made, rungs(x, Rng(0)).view_as(made))


def test_spearman_of_a_known_order():
    scores = np.array([[5.0, 4, 3, 2], [2, 3, 4, 5], [4, 5, 3, 2], [1, 1, 1, 1]])
    assert spearman(scores) == pytest.approx([1, -1, 0.8, 0])


def test_calibration_of_scores_that_are_what_they_promise():
    rng = np.random.default_rng(0)
    size = rng.uniform(0.1, 3, 20_000)
    right = rng.random(len(size)) < 1 / (1 + np.exp(-size))
    differences = np.where(right, size, -size)
    table = calibration(differences)
    assert np.allclose(table["right"], table["promised"], atol=0.03) and table["n"].sum() == len(size)
    assert unit_of(differences) == pytest.approx(1, abs=0.05) and unit_of(2 * differences) == pytest.approx(0.5, abs=0.03)


@pytest.fixture
def survey(tmp_path):
    """Four pictures that raters like the more the brighter they are, and the CSV of their votes."""
    rows = []
    for k in range(4):
        Image.new("RGB", (20, 20), (60 * k + 20,) * 3).save(tmp_path / f"item{k}.png")
        rows += [{"rater": r, "item": f"item{k}", "rating": 2 * k + r, "at": 0} for r in range(2)]
    pd.DataFrame(rows).to_csv(tmp_path / "votes.csv", index=False)
    return tmp_path


def test_votes_become_pairs_within_a_rater(survey):
    votes = Votes(str(survey / "votes.csv"), str(survey))
    assert len(votes.pairs_of) == 2 * 6
    assert set(votes.pairs_of) == {(f"item{a}", f"item{b}") for a in range(4) for b in range(a)}
    assert all(votes.pictures[a].mean() > votes.pictures[b].mean() for a, b in votes.pairs_of)


@pytest.mark.usefixtures("own_bank")
def test_people_can_teach_a_predictor(tiny, survey):
    spec = TrainAesthetic(steps=8, batch=4, scenes=32, lr=0.03, anchor=0, early=False, votes=str(survey / "votes.csv"),
                          pictures=str(survey), preview_every=1000)
    weights, about = list(spec.run(tiny))[-1].extras["weights"]()
    head = AestheticHead(AestheticConfig(**about["config"]))
    head.load_state_dict(weights)
    x = torch.stack([torch.full((3, 20, 20), (60 * k + 20) / 255) for k in range(4)])
    scores = head.score(tiny.clip, x)
    assert (scores.diff() > 0).all() and about["kind"] == "aesthetic"


@pytest.mark.parametrize(("text", "words"), [
    (None, "votes: .* cannot be read"), ("a,b\n1,2\n", "must have the columns rater, item and rating"),
    ("rater,item,rating\nx,item0,good\n", "line 2: rating 'good' is no number"),
    ("rater,item,rating\nx,item0,3\nx,item1,3\n", "no rater gave two pictures different numbers"),
    ("rater,item,rating\nx,item0,3\nx,gone,4\n", "pictures: .*gone.png")])
def test_votes_that_teach_nothing_are_refused(text, words, survey):
    path = survey / ("v.csv" if text is not None else "no.csv")
    if text is not None:
        path.write_text(text)
    with pytest.raises(SpecError, match=words):
        Votes(str(path), str(survey))
    with pytest.raises(SpecError, match="belong together"):
        TrainAesthetic(votes=str(path))
