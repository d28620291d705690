"""GRIM and GRIMMER against brute force, and what the lyrics paper's Table 2 says about itself."""

import itertools
import statistics
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data import data_path
from labkit.survey.grim import (
    agrees,
    exact_mean_deviation,
    mean_possible,
    median_possible,
    misplaced_medians,
    raters_that_fit,
    samples,
    variance_possible,
)  # fmt: skip

STATED, RATERS = 18, 11  # raters the paper names, and those that its numbers fit


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Table 2 as text, so that a number keeps its printed decimals."""
    return pd.read_csv(data_path("survey.csv"), dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def rows(table) -> list[dict]:
    return table.to_dict("records")


@pytest.fixture(scope="module")
def possible(rows) -> list[list[tuple[int, ...]]]:
    """Of each row, the ratings of 11 raters that have its mean, variance, ends and mean deviation."""
    names = ("mean", "variance", "minimum", "maximum", "mean_deviation")
    return [samples(**{name: row[name] for name in names}, n=RATERS) for row in rows]


# --- the functions


def test_grim_by_hand():
    """Brown and Heathers' own example: a mean of 5.19 cannot come from 28 whole numbers; 5.18 and 5.21 can."""
    assert not mean_possible("5.19", 28)
    assert mean_possible("5.18", 28) and mean_possible("5.21", 28)
    assert not mean_possible("10.50", 2) and mean_possible("10.50", 2, high=11), "no mean lies beyond the scale"


def test_both_roundings_of_a_half_count():
    assert agrees(Fraction(1, 8), "0.12") and agrees(Fraction(1, 8), "0.13")
    assert agrees(Fraction(1, 8), 0.13) and not agrees(Fraction(1, 8), "0.14")


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_variance_is_possible_exactly_where_some_ratings_have_it(n, ddof):
    """Every (mean, variance) with one decimal, against all ratings 0 … 4."""
    high, reached = 4, {}
    for ratings in itertools.combinations_with_replacement(range(high + 1), n):
        mean = Fraction(sum(ratings), n)
        reached[mean, sum((x - mean) ** 2 for x in ratings) / (n - ddof)] = ratings
    for tenths, more in itertools.product(range(0, 10 * high + 1), range(0, 82)):
        mean, variance = Fraction(tenths, 10), Fraction(more, 10)
        truth = any(agrees(m, mean, 1) and agrees(v, variance, 1) for m, v in reached)
        assert variance_possible(mean, variance, n, ddof, high=high, decimals=1) is truth, (mean, variance)


def test_grimmer_refuses_what_parity_forbids():
    """Σx and Σx² are both odd or both even: ratings of sum 10 cannot have squares of sum 51."""
    variance = (51 - Fraction(100, 5)) / 4  # 7.75
    assert mean_possible("2.00", 5) and not variance_possible("2.00", variance, 5, 1)
    assert variance_possible("2.00", (52 - Fraction(100, 5)) / 4, 5, 1)


def test_attained_ends_are_stricter():
    assert variance_possible("5.00", "0.00", 4, 1, low=0, high=10)
    assert not variance_possible("5.00", "0.00", 4, 1, low=0, high=10, attained=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=2, max_size=9))
def test_true_ratings_are_always_among_the_samples(ratings):
    printed = {
        "mean": f"{statistics.fmean(ratings):.2f}", "variance": f"{statistics.variance(ratings):.2f}",
        "minimum": min(ratings), "maximum": max(ratings),
        "mean_deviation": f"{float(exact_mean_deviation(ratings)):.2f}",
    }  # fmt: skip
    found = samples(**printed, n=len(ratings))
    assert tuple(sorted(ratings)) in found
    for other in found:
        assert f"{statistics.fmean(other):.2f}" == printed["mean"] or agrees(
            Fraction(sum(other), len(other)), printed["mean"]
        )
        assert (min(other), max(other)) == (min(ratings), max(ratings))


def test_samples_are_all_of_them():
    """Against a search through every multiset of six ratings."""
    found = samples("4.17", "9.37", 0, 8, n=6)
    brute = [
        r
        for r in itertools.combinations_with_replacement(range(9), 6)
        if r[0] == 0 and r[-1] == 8
        and agrees(Fraction(sum(r), 6), "4.17") and agrees(Fraction(str(statistics.variance(map(Fraction, r)))), "9.37")
    ]  # fmt: skip
    assert found == sorted(brute) and found


def test_medians_by_parity_of_n():
    assert median_possible("7.00", 11) and not median_possible("4.50", 11) and median_possible("4.50", 18)
    assert not median_possible("7.14", 18) and not median_possible("11.00", 11)


def test_misplaced_median_by_hand():
    """Ratings 0, 4: mean 2, maximum 4, minimum 0, deviation 2, variance 8. With no rating: the median of 0 2 2 4 8."""
    assert misplaced_medians((0, 4), 0) == {2}
    assert misplaced_medians((0, 4), 1) == {2, 3}, "0 0 2 2 4 8 or 0 2 2 4 4 8"
    assert misplaced_medians((0, 0, 6), 0) == {Fraction(8, 3)}, "0, 2, 8/3, 6, 12: deviation 8/3 is the middle"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="n=0"):
        mean_possible("1.00", 0)
    with pytest.raises(ValueError, match="low=5"):
        mean_possible("1.00", 3, low=5, high=1)
    with pytest.raises(ValueError, match="ddof=2"):
        variance_possible("1.00", "1.00", 3, 2)
    with pytest.raises(ValueError, match="n=1"):
        variance_possible("1.00", "1.00", 1, 0, attained=True)
    with pytest.raises(ValueError, match="n=20"):
        samples("1.00", "1.00", 0, 2, n=20)


# --- Table 2


def test_table_2_has_its_21_rows(table):
    assert len(table) == 21
    assert table.groupby("experiment").size().to_dict() == {"1": 10, "2": 10, "3": 1}
    assert table.groupby("experiment")["clip_guidance_scale"].unique().map(list).to_dict() == {
        "1": ["1000"], "2": ["1500"], "3": ["500"],
    }  # fmt: skip
    numbers = table[["mean", "maximum", "minimum", "mean_deviation", "variance", "median"]]
    assert numbers.map(lambda x: len(x.partition(".")[2]) == 2).all().all(), "two decimals, as printed"
    assert numbers.astype(float).sum().round(2).to_dict() == {
        "mean": 126.71, "maximum": 198.0, "minimum": 41.0, "mean_deviation": 43.38, "variance": 142.95, "median": 114.27,
    }  # fmt: skip


def test_table_2_fits_eleven_raters_and_no_other_number(rows):
    means = raters_that_fit(rows, ddof=None)
    assert [n for n, fitting in means.items() if fitting == 21] == [11, 22] and means[STATED] == 3
    with_n, with_n1 = raters_that_fit(rows, ddof=0), raters_that_fit(rows, ddof=1)
    assert [n for n, fitting in with_n1.items() if fitting == 21] == [RATERS]
    assert with_n1[STATED] == 0 and with_n1[22] == 3
    assert max(with_n.values()) < 5, "no number of raters explains the variances as divided by n"


def test_table_2_deviations_are_about_the_mean_of_eleven(rows, possible):
    """The third statistic agrees, too: in every row some ratings have all of mean, ends, variance and deviation."""
    assert all(possible)
    alone = [f"{row['song']}.{row['experiment']}" for row, found in zip(rows, possible, strict=True) if len(found) == 1]
    assert alone == ["1.1", "1.3", "3.1", "5.2", "8.2", "10.1", "10.2"], "of seven pictures the ratings are known"
    assert dict(zip([(r["song"], r["experiment"]) for r in rows], possible, strict=True))["10", "2"] == [
        (2, 7, 8, 9, 9, 9, 9, 10, 10, 10, 10)
    ]


def test_table_2_medians_are_none(rows, possible):
    """16 of 21 are impossible for an odd number of raters, 13 for an even one such as the stated 18; held against the
    other columns, 18 are."""
    assert sum(not median_possible(row["median"], RATERS) for row in rows) == 16
    assert sum(not median_possible(row["median"], STATED) for row in rows) == 13
    middles = [{ratings[RATERS // 2] for ratings in found} for found in possible]
    assert sum(not any(agrees(m, row["median"]) for m in mid) for row, mid in zip(rows, middles, strict=True)) == 18


def test_table_2_medians_fit_a_range_with_the_statistics_in_it(rows, possible):
    """Three or five of the ratings with the five statistics beside them have the printed median in every row; no
    other number of ratings does, and all eleven do in 8 rows only."""
    fits = {
        k: sum(
            any(agrees(m, row["median"]) for ratings in found for m in misplaced_medians(ratings, k))
            for row, found in zip(rows, possible, strict=True)
        )
        for k in range(RATERS + 1)
    }
    assert [k for k, n in fits.items() if n == 21] == [3, 5] and fits[11] == 8


def test_claims_of_the_text_against_table_2(table):
    """What the paper says in words, and what its table says."""
    t = table.astype({n: float for n in ("mean", "maximum", "minimum", "mean_deviation", "variance", "median")})
    t["picture"] = t["song"] + "." + t["experiment"]
    mean = t.set_index("picture")["mean"]
    assert mean.idxmax() == "10.2" and mean.max() == 8.45 and mean["5.2"] == 8.27, "said: 8.27 is the highest"
    assert mean.idxmin() == "1.3" and mean.min() == 1.82, "said: 1.81, which is the median column's number"
    assert (t["maximum"].max(), t["minimum"].min()) == (10, 0), "said, and so"
    assert list(t["picture"][t["variance"] <= 4]) == ["7.1", "8.2", "10.1"], "said: every variance is above 4"
    outside = t[(t["mean_deviation"] < 2) | (t["mean_deviation"] > 3)]
    assert len(outside) == 10 and ((t["mean_deviation"] < 1.5).sum(), t["mean_deviation"].max()) == (4, 3.26)
    assert ((t["median"] < 4) | (t["median"] > 7)).sum() == 12, "said: medians from 4 to 7"


def test_experiment_2_beats_experiment_1_in_8_of_10_songs(table):
    mean = table.assign(mean=table["mean"].astype(float)).pivot(index="song", columns="experiment", values="mean")
    better = mean["2"] - mean["1"]
    assert (better > 0).sum() == 8
    assert list(better.index[better == 0]) == ["7"] and list(better.index[better < 0]) == ["1"], "a tie and a defeat"


def test_best_and_worst_of_figure_7(table):
    """Said of both experiments: Dancer in the Dark and Sweater Weather are best, Hallelujah and the restaurant worst."""
    means = table.assign(mean=table["mean"].astype(float)).query("experiment != '3'")
    ranks = {e: list(g.sort_values("mean")["song"]) for e, g in means.groupby("experiment")}
    assert ranks["1"][-2:] == ["3", "10"] and {*ranks["1"][:2]} == {*ranks["2"][:2]} == {"2", "9"}
    assert ranks["2"][-4:] == ["3", "8", "5", "10"], "in the second, Sweater Weather is fourth"
