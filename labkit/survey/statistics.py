"""Statistics of ratings, with intervals. Everything starts from one table: a row per rater, a column per item, NaN = no vote.

    mean deviation = Σ|x − x̄| / n          about the mean, as a spreadsheet's AVEDEV
    variance       = Σ(x − x̄)² / (n − ddof)   ddof 0 of these raters alone, ddof 1 as an estimate for others like them
    interval       = percentiles of the statistic over draws of whole raters with replacement     Efron & Tibshirani 1993

Raters are drawn, not votes: what one person said hangs together. With few raters percentile intervals are too short
(with 11 a 95 % interval of a mean covers about 92 %); `t_interval` is there for printed numbers without ratings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from labkit.metrics.undefined import NotDefined, said

DRAWS, LEVEL = 2000, 0.95


def ratings_table(votes: pd.DataFrame, repeat: bool = False) -> pd.DataFrame:
    """Raters × items from votes in rows (columns rater, item, rating, and repeat: whether it is a hidden repeat).

    repeat=False gives the first votes on an item, True the second. Raises ValueError on two current votes of one kind.
    """
    missing = [name for name in ("rater", "item", "rating", "repeat") if name not in votes]
    if missing:
        raise ValueError(f"votes: have no column {', '.join(missing)}; give the table of Store.votes")
    kept = votes[votes["repeat"].astype(bool) == repeat]
    twice = kept[kept.duplicated(["rater", "item"])]
    if len(twice):
        raise ValueError(f"votes: {len(twice)} votes more than one per rater and item, first {twice.iloc[0].to_dict()}")
    return kept.pivot(index="rater", columns="item", values="rating").astype(float)


def describe(ratings: pd.DataFrame, draws: int = DRAWS, seed: int = 0, level: float = LEVEL) -> pd.DataFrame:
    """A row per item: the report's six statistics with n and both variances, then SD, IQR and the mean's interval.

    ratings  raters × items, NaN where a rater did not vote.
    Columns: n, mean, maximum, minimum, mean_deviation, variance_ddof0, variance_ddof1, median, sd (ddof 1), iqr,
    low and high (`level` bootstrap interval of the mean over raters). NaN where n is too small for the statistic.
    """
    values = _values(ratings)
    middle = ratings.mean()
    table = pd.DataFrame({"n": ratings.notna().sum(), "mean": middle, "maximum": ratings.max(), "minimum": ratings.min()})
    table["mean_deviation"] = (ratings - middle).abs().mean()
    table["variance_ddof0"], table["variance_ddof1"] = ratings.var(ddof=0), ratings.var(ddof=1)
    table["median"], table["sd"] = ratings.median(), ratings.std(ddof=1)
    table["iqr"] = ratings.quantile(0.75) - ratings.quantile(0.25)
    low, high = bootstrap(values, means, draws, seed, level)
    enough = table["n"].to_numpy() >= 2
    table["low"], table["high"] = np.where(enough, low, np.nan), np.where(enough, high, np.nan)
    return table


def means(values: np.ndarray) -> np.ndarray:
    """Means of the columns of (raters, items) without the NaN; NaN for a column of nothing else."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray | float], draws: int = DRAWS, seed: int = 0,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Lower and upper ends of the percentile interval of `statistic` over raters drawn with replacement.

    values     (raters, items).  statistic  of such an array: a number or an array.
    The same seed gives the same interval. A draw in which the statistic is not defined (NaN) is left out of it.
    Raises ValueError without raters, on draws < 100 or a level outside (0, 1).
    """
    values = np.asarray(values, dtype=float)
    _check_draws(values, draws, level)
    generator = np.random.default_rng(seed)
    rows = generator.integers(len(values), size=(draws, len(values)))
    return percentiles(np.array([statistic(values[chosen]) for chosen in rows], dtype=float), level)


def percentiles(drawn: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the middle `level` of draws (first axis), NaN left out; NaN where nothing else was drawn."""
    empty = ~np.isfinite(drawn).any(0)
    filled = np.where(empty, 0.0, drawn)  # nanquantile warns of a column of NaN alone
    low, high = np.nanquantile(filled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def t_interval(mean, variance, n: int, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Student's interval of a mean from printed numbers: mean ± t(n − 1) · √(variance / n), with the variance of ddof 1.

    Of numbers or arrays. It knows nothing of the scale's ends. Raises ValueError on n < 2 or a negative variance.
    """
    if not n >= 2 or not np.all(np.asarray(variance) >= 0) or not 0 < level < 1:
        raise ValueError(f"n={n}, variance={variance}, level={level}: need n ≥ 2 raters, variances ≥ 0 and 0 < level < 1")
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt(np.asarray(variance, dtype=float) / n)
    return np.asarray(mean, dtype=float) - half, np.asarray(mean, dtype=float) + half


def zscores(ratings: pd.DataFrame) -> pd.DataFrame:
    """Each rating in standard deviations (ddof 0) of its rater from its rater's mean: a second view, without the habit
    of being strict or mild. Not defined (NaN, as if there were no vote) for a rater who gave one number only."""
    _values(ratings)
    centred = ratings.sub(ratings.mean(axis=1), axis=0)
    spread = ratings.std(axis=1, ddof=0)
    return centred.div(spread.where(spread > 1e-9), axis=0)


def by_condition(ratings: pd.DataFrame, condition: Mapping) -> pd.DataFrame:
    """Raters × conditions: the mean of each rater's votes on the items of a condition (item → its label).

    Items that `condition` does not name, or whose label is None or NaN, are left out; labels come in order of value.
    """
    labels = pd.Series({item: condition.get(item) for item in ratings.columns}).dropna()
    if labels.empty:
        raise ValueError("condition: names none of the rated items; give a table item → label")
    return ratings[labels.index].T.groupby(labels).mean().T


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho between human means and a score, its interval, and the number of items behind it."""

    rho: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not math.isfinite(self.rho):
            return f"{said(self.rho)}, n = {self.n} items"
        if not math.isfinite(self.low):
            return f"{self.rho:+.2f} (interval not defined, n = {self.n} items)"
        return f"{self.rho:+.2f} ({self.low:+.2f} to {self.high:+.2f}, n = {self.n} items)"


def correlation(
    ratings: pd.DataFrame, score: Mapping, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> Correlation:
    """Spearman's rank correlation of the items' mean ratings with a score (item → number; CLIP's or the judge's).

    The interval draws raters and items, both with replacement: other people and other pictures. Items without score or
    vote are left out. Raises ValueError with fewer than 3 items left; rho is not defined (NaN) where one side does not vary.
    """
    named = pd.Series({item: score.get(item) for item in ratings.columns}, dtype=float)
    ratings = ratings.loc[:, named.notna() & ratings.notna().any()]
    if ratings.shape[1] < 3:
        raise ValueError(f"score: {ratings.shape[1]} items have a score and a vote; a correlation needs 3")
    values, scores = _values(ratings), named[ratings.columns].to_numpy()
    _check_draws(values, draws, level)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        raters = generator.integers(values.shape[0], size=values.shape[0])
        items = generator.integers(values.shape[1], size=values.shape[1])
        drawn.append(spearman(means(values[raters][:, items]), scores[items]))
    low, high = percentiles(np.array(drawn), level)
    return Correlation(spearman(means(values), scores), float(low), float(high), values.shape[1])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of the ranks (ties share theirs), pairs with NaN left out; not defined (NaN) with fewer than two or
    where one does not vary."""
    known = np.isfinite(x) & np.isfinite(y)
    a, b = stats.rankdata(x[known]), stats.rankdata(y[known])
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return NotDefined("fewer than two pairs" if len(a) < 2 else "one side does not vary")
    return float(np.corrcoef(a, b)[0, 1])


def _check_draws(values: np.ndarray, draws: int, level: float) -> None:
    if values.ndim != 2 or not len(values):
        raise ValueError(f"ratings: have the shape {values.shape}; need a row per rater, at least one")
    if draws < 100 or not 0 < level < 1:
        raise ValueError(f"draws={draws}, level={level}: need draws ≥ 100 and 0 < level < 1")


def _values(ratings: pd.DataFrame) -> np.ndarray:
    values = ratings.to_numpy(dtype=float)
    if values.size == 0:
        raise ValueError(f"ratings: {values.shape[0]} raters × {values.shape[1]} items hold no vote; collect some first")
    if np.isinf(values).any():
        raise ValueError("ratings: contain infinity; a missing vote is NaN")
    return values
