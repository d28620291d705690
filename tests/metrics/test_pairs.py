"""Yes-or-no answers about pairs: scores by hand, and the two answers that know nothing."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from labkit.metrics.pairs import notices_of, pair_scores, pair_table, similarity_table


def test_scores_by_hand():
    """3 right yes, 1 wrong yes, 2 missed, 4 right no."""
    labels = [1] * 3 + [0] + [1] * 2 + [0] * 4
    answers = [1] * 4 + [0] * 6
    f_no = 2 * 4 / (2 * 4 + 2 + 1)
    assert pair_scores(labels, answers) == pytest.approx(
        {"accuracy": 0.7, "precision": 3 / 4, "recall": 3 / 5, "F1": 2 / 3, "macro-F1": (2 / 3 + f_no) / 2})


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    for labels, answers in [(rng.random(50) < 0.7, rng.random(50) < 0.4), (np.array([True, False]), np.array([False, False]))]:
        precision, recall, f1, _ = precision_recall_fscore_support(labels, answers, labels=[False, True], zero_division=0)
        found = list(pair_scores(labels, answers).values())
        assert found == pytest.approx([(labels == answers).mean(), precision[1], recall[1], f1[1], f1.mean()])


def test_an_answer_that_knows_nothing_is_shown_beside():
    """90 % yes: always yes is right in 90 %, and so is what looks good at first sight."""
    labels = np.array([1] * 90 + [0] * 10)
    table = pair_table(labels, np.full(100, 0.9), draws=100)
    assert table.loc["ours", "accuracy"] == table.loc["majority", "accuracy"] == 0.9
    assert table.loc["majority", "recall"] == 1 and table.loc["majority", "macro-F1"] == pytest.approx(0.4737, abs=1e-4)
    perfect = pair_table(labels, labels, draws=100)
    assert perfect.loc["ours", "F1"] == 1 and perfect.loc["shuffled", "accuracy"] == pytest.approx(0.82, abs=0.02)
    assert perfect.loc["ours", "n"] == 100 and perfect.loc["ours", "yes"] == 0.9


def test_pairs_of_one_picture_are_drawn_together():
    """10 pictures with 20 pairs each that share their fate: as far from certain as 10 items are, not 200."""
    right = np.repeat([1] * 7 + [0] * 3, 20)
    labels = np.tile([1, 0], 100)
    p = np.where(right, labels, 1 - labels)
    alone, grouped = (pair_table(labels, p, groups=g, draws=300) for g in (None, np.repeat(np.arange(10), 20)))
    wide, narrow = (t.loc["ours", "accuracy high"] - t.loc["ours", "accuracy low"] for t in (grouped, alone))
    assert grouped.loc["ours", "groups"] == 10 and wide > 3 * narrow


@pytest.mark.parametrize(("labels", "p", "said"), [
    ([1, 1, 1], [1, 1, 1], "all 3 are 1"), ([1, 0], [1], "2 pairs"), ([1, 2], [0, 1], "unlabelled"),
    ([1, 0], [np.nan, 1], "NaN"),
])
def test_what_cannot_be_scored_is_told(labels, p, said):
    with pytest.raises(ValueError, match=said):
        pair_table(labels, p)


def test_similarities_and_the_one_that_is_too_good():
    table = similarity_table([0.9, 0.7, 0.1, 0.3], [1, 1, 0, 0])
    assert table.loc["all", ["mean", "median", "n"]].tolist() == pytest.approx([0.5, 0.5, 4])
    assert table.loc["matching", "std"] == pytest.approx(np.sqrt(0.02))
    assert table.loc["not matching", "mean"] == pytest.approx(0.2)
    assert not notices_of(table)
    assert "compared with itself" in notices_of(similarity_table([1.0, 1.0, 1.0]))[0]
    with pytest.raises(ValueError, match="cosines"):
        similarity_table([3.0])
