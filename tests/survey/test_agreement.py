"""Agreement against the published examples."""

import numpy as np
import pandas as pd
import pytest

from labkit.survey.agreement import complete, icc, krippendorff, retest

_ = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D: four observers, twelve units
FOUR_CODERS = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
])  # fmt: skip
# Shrout and Fleiss 1979, table 2: four judges rate six targets
FOUR_JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]).T


@pytest.mark.parametrize(
    ("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_the_four_coder_example(metric, alpha):
    assert round(krippendorff(FOUR_CODERS, metric), 3) == alpha


def test_alpha_is_the_closed_form():
    """1 − D_o/D_e summed pair by pair, on ratings with gaps."""
    generator = np.random.default_rng(0)
    values = generator.integers(0, 11, size=(6, 9)).astype(float)
    values[generator.random(values.shape) < 0.3] = np.nan
    units = [u[np.isfinite(u)] for u in values.T if np.isfinite(u).sum() >= 2]
    n = sum(map(len, units))
    observed = sum(((u[:, None] - u) ** 2).sum() / (len(u) - 1) for u in units) / n
    pool = np.concatenate(units)
    expected = ((pool[:, None] - pool) ** 2).sum() / (n * (n - 1))
    assert krippendorff(values) == pytest.approx(1 - observed / expected)


def test_alpha_at_its_ends():
    same = np.tile([1.0, 5, 9], (4, 1))
    assert krippendorff(same) == 1
    assert krippendorff(np.array([[0.0, 10], [10, 0]])) < 0, "opposite tastes are worse than chance"
    noise = np.random.default_rng(1).integers(0, 11, size=(20, 400))
    assert abs(krippendorff(noise)) < 0.02
    nothing = krippendorff(np.full((3, 4), 7.0))
    assert np.isnan(nothing) and str(nothing).startswith("not defined (all votes are equal")
    lonely = np.array([[1.0, 2, _], [1, 2, 9]])
    assert krippendorff(lonely) == krippendorff(lonely[:, :2]), "an item with one vote says nothing"


def test_alpha_refuses():
    with pytest.raises(ValueError, match="two votes"):
        krippendorff(np.array([[1.0, _], [_, 2]]))
    with pytest.raises(ValueError, match="metric='euclid'"):
        krippendorff(FOUR_CODERS, "euclid")
    with pytest.raises(ValueError, match="least is -1"):
        krippendorff(np.array([[-1.0, 2], [1, 2]]), "ratio")


def test_icc_of_shrout_and_fleiss():
    found = icc(FOUR_JUDGES)
    assert (round(found.single, 2), round(found.average, 2)) == (0.29, 0.62)
    assert (found.items, found.raters) == (6, 4)


def test_icc_at_its_ends():
    assert icc(np.tile([1.0, 5, 9], (4, 1))).single == 1
    shifted = icc(np.array([[1.0, 5, 9], [2, 6, 10]]))
    assert 0 < shifted.single < shifted.average < 1, "a mild rater disagrees in absolute terms"
    assert np.isnan(icc(np.full((3, 4), 7.0)).single)
    with pytest.raises(ValueError, match="missing"):
        icc(FOUR_CODERS)
    with pytest.raises(ValueError, match="1 raters × 3 items"):
        icc(np.ones((1, 3)))


@pytest.mark.parametrize(("ratings", "single", "average"), [
    ([[1, 2, 3], [3, 2, 1]], "-3.00 lies outside", "mean ratings do not differ"),  # MSR = MSC = 0, MSE = 2: −2/⅔ and −2/−⅔
    ([[1, 5], [5, 1]], "mean ratings do not differ", "mean ratings do not differ"),
    ([[1, 2, 9], [3, 9, 1], [5, 5, 5]], None, "no variance to divide by"),
    (np.full((3, 4), 7.0), "all votes are equal", "all votes are equal"),
    (np.full((3, 3), 0.1) + 0.2, "all votes are equal", "all votes are equal"),
])  # fmt: skip
def test_icc_says_why_it_is_not_defined(ratings, single, average):
    found = icc(np.array(ratings, dtype=float))
    for value, why in ((found.single, single), (found.average, average)):
        if why is None:
            assert -1 <= value <= 1
        else:
            assert np.isnan(value) and why in value.reason and f"{value:.2f}" == f"not defined ({value.reason})"


def test_agreement_never_leaves_its_range():
    generator, outside = np.random.default_rng(0), 0
    for trial in range(2000):
        ratings = generator.integers(0, 11, size=generator.integers(2, 6, size=2)).astype(float)
        found = icc(ratings)
        alpha = krippendorff(ratings, ("nominal", "ordinal", "interval", "ratio")[trial % 4])
        values = np.array([found.single, found.average, alpha])
        assert (np.isnan(values) | (np.abs(values) <= 1)).all(), ratings
        outside += np.isnan(found.average)
    assert 100 < outside < 1900, "both kinds are met"


def test_complete_keeps_who_rated_everything():
    ratings = pd.DataFrame({"a": [1, 2, 3], "b": [4, np.nan, 6], "nobody": [np.nan] * 3}, index=["p", "q", "r"])
    kept = complete(ratings)
    assert list(kept.index) == ["p", "r"] and list(kept.columns) == ["a", "b"]


def pairs(*rows) -> pd.DataFrame:
    found = [(r, i, a, False) for r, i, a, _b in rows] + [(r, i, b, True) for r, i, _a, b in rows if b is not None]
    return pd.DataFrame(found, columns=["rater", "item", "rating", "repeat"])


def test_retest_by_hand():
    """Pairs 1-2, 5-5, 9-8: differences 1, 0, 1; an item seen once does not count."""
    found = retest(pairs(("p", "a", 1, 2), ("p", "b", 5, 5), ("q", "a", 9, 8), ("q", "b", 3, None)))
    assert found.n == 3 and found.difference == pytest.approx(2 / 3) and found.equal == pytest.approx(1 / 3)
    assert found.r == pytest.approx(np.corrcoef([1, 5, 9], [2, 5, 8])[0, 1])
    assert found.by_rater.to_dict() == {"p": 0.5, "q": 1.0}


def test_retest_where_r_is_not_defined():
    few, same = (retest(pairs(*rows)).r for rows in ((("p", "a", 1, 2), ("p", "b", 5, 5)),
                                                     (("p", "a", 4, 2), ("p", "b", 4, 5), ("q", "a", 4, 4))))
    assert np.isnan(few) and "2 pairs; it needs 3" in str(few) and np.isnan(same) and "votes are equal" in str(same)
    with pytest.raises(ValueError, match="repeats"):
        retest(pairs(("p", "a", 1, None)))
