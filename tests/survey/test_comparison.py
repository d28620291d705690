"""Tests between settings, and the refusal to name a best one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labkit.survey.comparison import best, best_of, compare, holm, wilcoxon


def people(means, raters=15, noise=1.0, seed=0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    habit = generator.normal(size=(raters, 1))
    values = np.asarray(means) + habit + noise * generator.normal(size=(raters, len(means)))
    return pd.DataFrame(values, columns=[500, 1000, 1500])


def test_friedman_by_hand():
    """Three raters who rank alike: chi² = 12/(n k (k+1)) Σ R² − 3 n (k+1) = 6, and W = 1."""
    found = compare(pd.DataFrame([[1, 2, 3], [0, 5, 9], [4, 6, 7]], columns=list("abc")))
    assert found.chi2 == pytest.approx(6) and found.w == pytest.approx(1) and found.n == 3
    assert found.p == pytest.approx(np.exp(-3)), "chi² with two degrees of freedom"


def test_a_difference_is_found_and_none_is_not():
    apart, same = compare(people([2, 5, 8])), compare(people([5, 5, 5]))
    assert apart.p < 1e-4 and (apart.pairs["p_holm"] < 0.01).all() and (apart.pairs["effect"] < -0.9).all()
    assert same.p > 0.05 and (same.pairs["p_holm"] > 0.05).all()
    assert list(zip(apart.pairs["a"], apart.pairs["b"], strict=True)) == [(500, 1000), (500, 1500), (1000, 1500)]
    assert apart.pairs["difference"].iloc[1] == pytest.approx(-6, abs=1)


def test_raters_with_a_gap_are_left_out():
    settings = people([2, 5, 8])
    settings.iloc[0, 1] = np.nan
    assert compare(settings).n == 14
    with pytest.raises(ValueError, match="1 raters rated all of 3 settings"):
        compare(settings.iloc[:2])


def test_two_settings_have_one_test():
    found = compare(people([2, 5, 8])[[500, 1500]])
    assert np.isnan(found.p) and "two settings only" in str(found.w)
    assert len(found.pairs) == 1 and found.pairs["p"].equals(found.pairs["p_holm"].rename("p"))


def test_ties_everywhere_are_no_difference():
    found = compare(pd.DataFrame(np.full((4, 3), 5.0), columns=list("abc")))
    assert (found.chi2, found.p) == (0, 1) and (found.pairs["p"] == 1).all() and found.pairs["effect"].isna().all()
    assert f"{found.w:.2f}" == "not defined (every rater gives all settings the same)"


def test_friedman_sees_ties_through_rounding():
    """0.1 + 0.2 is 0.3: means of equal votes differ by how they were added up."""
    raters = [[0.1 + 0.2, 0.3, 0.5], [0.3, 0.1 + 0.2, 0.6], [0.1 + 0.2, 0.3, 0.7]]
    exact = [[0.3, 0.3, last] for *_, last in raters]
    found, expected = (compare(pd.DataFrame(rows, columns=list("abc"))) for rows in (raters, exact))
    assert (found.chi2, found.p, found.w) == (expected.chi2, expected.p, expected.w) and 0 < found.w <= 1


def test_kendalls_w_stays_in_its_range():
    for seed in range(200):
        generator = np.random.default_rng(seed)
        rows = generator.integers(0, 3, size=(generator.integers(2, 5), generator.integers(3, 5)))
        w = compare(pd.DataFrame(rows)).w
        assert np.isnan(w) or 0 <= w <= 1


def test_wilcoxon_by_hand():
    """Differences 1, 2, −3, 0: ranks 1 + 2 against 3, the zero dropped. All five up: p = 2/2⁵."""
    assert wilcoxon(np.array([2, 4, 1, 5]), np.array([1, 2, 4, 5])) == (0.0, 1.0)
    effect, p = wilcoxon(np.arange(1.0, 6), np.zeros(5))
    assert effect == 1 and p == pytest.approx(2 / 32)
    effect, p = wilcoxon(np.array([0.1 + 0.2]), np.array([0.3]))
    assert np.isnan(effect) and p == 1, "rounding is no difference, and of none there is no direction"


def test_holm_by_hand_and_against_a_plain_loop():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(0).random(20) ** 3
    order, running, expected = np.argsort(p), 0.0, np.empty(20)
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p[index] * (20 - rank)))
        expected[index] = running
    np.testing.assert_allclose(holm(p), expected)


def test_holm_keeps_the_family_error():
    """With ten true null hypotheses, 5 % of families have a false alarm, not 40 %."""
    p = stats.uniform.rvs(size=(2000, 10), random_state=0)
    alarms = np.mean([holm(row).min() < 0.05 for row in p])
    assert 0.03 < alarms < 0.07 and (p.min(1) < 0.05).mean() > 0.3


def test_a_clear_winner_is_named():
    verdict = best(people([2, 5, 8]))
    assert verdict and verdict.winner == 1500 and "above all others" in verdict.reason
    assert list(verdict.table.index) == [1500, 1000, 500]


def test_no_best_where_intervals_overlap():
    verdict = best(people([2, 7.8, 8], noise=2))
    assert not verdict and verdict.winner is None
    assert "overlaps" in verdict.reason and "1 of 2 others" in verdict.reason


def test_touching_intervals_overlap_and_gaps_win():
    def rows(high):
        return pd.DataFrame({"mean": [5.0, 3.0], "low": [4.0, 2.0], "high": [6.0, high]}, index=["a", "b"])

    assert best_of(rows(4.0)).winner is None and best_of(rows(3.99)).winner == "a"


def test_a_wide_loser_in_the_tail_counts():
    """The second in rank is clear of the first; the third is not."""
    table = pd.DataFrame({"mean": [8, 6, 5.0], "low": [7, 5.5, 1.0], "high": [9, 6.5, 7.5]}, index=["a", "b", "c"])
    verdict = best_of(table)
    assert verdict.winner is None and "such as c" in verdict.reason


def test_too_little_to_compare():
    assert best_of(pd.DataFrame({"mean": [5.0], "low": [4.0], "high": [6.0]})).winner is None
    one = best(pd.DataFrame({"a": [9.0, np.nan], "b": [1.0, 2.0]}))
    assert one.winner is None and "too few votes" in one.reason
