"""Statistics of ratings against closed forms, numpy and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labkit.survey import statistics as s


def table(values, items=None) -> pd.DataFrame:
    values = np.asarray(values, dtype=float)
    return pd.DataFrame(values, columns=items or [f"item {j}" for j in range(values.shape[1])])


def people(raters: int = 12, items: int = 8, seed: int = 0, noise: float = 1.0) -> pd.DataFrame:
    """Ratings 0 … 10 that rise with the item's number."""
    generator = np.random.default_rng(seed)
    truth = np.linspace(1, 9, items)
    return table(np.clip(np.round(truth + noise * generator.normal(size=(raters, items))), 0, 10))


def votes(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["rater", "item", "rating", "repeat"])


def test_description_by_hand():
    """Ratings 1 2 3 6: mean 3, deviations 2 1 0 3, squares 14; a column with gaps counts its own votes only."""
    found = s.describe(table([[1, np.nan], [2, 4], [3, np.nan], [6, 8]]))
    first, second = found.iloc[0], found.iloc[1]
    assert (first["n"], first["mean"], first["maximum"], first["minimum"]) == (4, 3, 6, 1)
    assert (first["mean_deviation"], first["median"]) == (1.5, 2.5)
    assert (first["variance_ddof0"], first["variance_ddof1"]) == (14 / 4, 14 / 3)
    assert first["sd"] == pytest.approx((14 / 3) ** 0.5) and first["iqr"] == pytest.approx(3.75 - 1.75)
    assert (second["n"], second["mean"], second["mean_deviation"], second["variance_ddof0"]) == (2, 6, 2, 4)


def test_one_vote_has_a_mean_and_no_spread():
    found = s.describe(table([[5, 1], [np.nan, 2]])).iloc[0]
    assert found["n"] == 1 and found["mean"] == 5 and found["variance_ddof0"] == 0
    assert np.isnan(found[["variance_ddof1", "sd", "low", "high"]].astype(float)).all()


def test_intervals_are_seeded_and_hold_the_mean():
    ratings = people()
    a, b, c = s.describe(ratings), s.describe(ratings), s.describe(ratings, seed=1)
    pd.testing.assert_frame_equal(a, b)
    assert not a["low"].equals(c["low"]) and not a["high"].equals(c["high"])
    assert ((a["low"] <= a["mean"]) & (a["mean"] <= a["high"])).all() and (a["low"] < a["high"]).all()


def test_interval_of_a_mean_is_near_the_normal_one():
    """Of 400 raters, percentiles of the mean are mean ± 1.96 sd/√n; a level of 80 % is 1.28."""
    values = np.random.default_rng(3).normal(5, 2, size=(400, 1))
    for level, z in ((0.95, 1.96), (0.80, 1.2816)):
        low, high = s.bootstrap(values, s.means, draws=4000, level=level)
        half = z * values.std() / 20
        assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
        assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_whole_raters_are_drawn():
    """Two items rated alike by each rater: their difference is 0 in every draw, though their means vary."""
    column = np.arange(10.0)
    values = np.stack([column, column], axis=1)
    low, high = s.bootstrap(values, lambda v: s.means(v)[0] - s.means(v)[1], draws=200)
    assert low == high == 0
    low, high = s.bootstrap(values, lambda v: s.means(v)[0], draws=200)
    assert low < high


def test_coverage_with_eleven_raters():
    """What the module says of it: about 92 % for 95 %, and Student's interval of printed numbers keeps its word."""
    generator = np.random.default_rng(0)
    hits = student = 0
    for trial in range(400):
        values = generator.normal(5, 2, size=(11, 1))
        low, high = s.bootstrap(values, s.means, draws=400, seed=trial)
        hits += low[0] <= 5 <= high[0]
        low, high = s.t_interval(values.mean(), values.var(ddof=1), 11)
        student += low <= 5 <= high
    assert 0.88 <= hits / 400 <= 0.945 and 0.93 <= student / 400 <= 0.975


def test_t_interval_is_scipys():
    ratings = np.array([2, 7, 8, 9, 9, 9, 9, 10, 10, 10, 10.0])
    expected = stats.ttest_1samp(ratings, 0).confidence_interval(0.95)
    assert s.t_interval(ratings.mean(), ratings.var(ddof=1), 11) == pytest.approx((expected.low, expected.high))
    for bad in ((5, 1, 1), (5, -1, 9), (5, float("nan"), 9), (5, [1, np.nan], 9), (5, 1, 9, 1.0), (5, 1, float("nan"))):
        with pytest.raises(ValueError, match="need n ≥ 2"):
            s.t_interval(*bad)


def test_zscores_take_habits_away():
    """A strict, a mild and a wide rater of one taste are the same; one who always says 5 says nothing; gaps stay."""
    taste = np.array([1.0, 2, 3, 6])
    found = s.zscores(table([taste, taste + 4, 1.5 * taste, [5, 5, 5, 5], [1, np.nan, 3, np.nan]]))
    expected = (taste - 3) / 3.5**0.5
    for row in range(3):
        np.testing.assert_allclose(found.iloc[row], expected)
    assert found.iloc[3].isna().all() and list(found.iloc[4].isna()) == [False, True, False, True]


def test_conditions_average_a_raters_votes():
    ratings = table([[1, 3, 9, 7], [2, np.nan, 4, 7]], ["a", "b", "c", "d"])
    found = s.by_condition(ratings, {"a": 500, "b": 500, "c": 1500, "d": None})
    assert list(found.columns) == [500, 1500]
    np.testing.assert_array_equal(found.to_numpy(), [[2, 9], [2, 4]])
    with pytest.raises(ValueError, match="condition"):
        s.by_condition(ratings, {"x": 1})


def test_ratings_table_keeps_repeats_apart():
    given = votes([("r", "a", 3, False), ("r", "a", 5, True), ("q", "a", 4, False)])
    assert s.ratings_table(given).loc["r", "a"] == 3 and s.ratings_table(given, repeat=True).loc["r", "a"] == 5
    with pytest.raises(ValueError, match="more than one"):
        s.ratings_table(pd.concat([given, given]))
    with pytest.raises(ValueError, match="no column repeat"):
        s.ratings_table(given.drop(columns="repeat"))


def test_spearman_is_scipys():
    generator = np.random.default_rng(1)
    x, y = generator.integers(0, 5, 30).astype(float), generator.integers(0, 5, 30).astype(float)
    assert s.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(s.spearman(x, np.ones(30)))


def test_correlation_with_scores():
    ratings = people()
    rising = {item: float(np.exp(j)) for j, item in enumerate(ratings)}
    found = s.correlation(ratings, rising, draws=300)
    assert found.rho == pytest.approx(1) and found.low > 0.9 and found.n == 8
    falling = s.correlation(ratings, {k: -v for k, v in rising.items()}, draws=300)
    assert falling.rho == pytest.approx(-1) and str(falling).startswith("-1.00 (")
    rising["item 3"] = float("nan")
    del rising["item 5"]
    assert s.correlation(ratings, rising, draws=300).n == 6, "items without a score are left out"
    assert str(s.correlation(ratings, dict.fromkeys(ratings, 1.0), draws=100)) == (
        "not defined (one side does not vary), n = 8 items")
    with pytest.raises(ValueError, match="needs 3"):
        s.correlation(ratings, {"item 0": 1.0})


def test_correlation_of_unrelated_scores_holds_zero():
    ratings = people(items=20)
    score = dict(zip(ratings, np.random.default_rng(4).permutation(20).astype(float), strict=True))
    found = s.correlation(ratings, score, draws=300)
    assert found.low < 0 < found.high and found.high - found.low > 0.5, "20 items say little"


def test_bad_values_are_named():
    with pytest.raises(ValueError, match="hold no vote"):
        s.describe(pd.DataFrame())
    with pytest.raises(ValueError, match="draws=5"):
        s.describe(people(), draws=5)
    with pytest.raises(ValueError, match="infinity"):
        s.zscores(table([[1, np.inf]]))
