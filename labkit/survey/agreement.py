"""Do raters agree, with each other and with themselves?

    alpha    = 1 − D_o / D_e                                            Krippendorff 2011, from the coincidence matrix
    ICC(2,1) = (MSR − MSE) / (MSR + (k − 1)·MSE + k·(MSC − MSE)/n)      one rater's vote         Shrout & Fleiss 1979
    ICC(2,k) = (MSR − MSE) / (MSR + (MSC − MSE)/n)                      the mean of k raters

MSR, MSC, MSE: mean squares of n items, of k raters, and of what is left in a two-way table without repetition. The
denominators are estimates of a variance, which few votes can bring to 0 and below. Then, and where an estimate leaves −1 … 1,
the statistic is not defined (`labkit.metrics.undefined`); who divides on gets ICC = 3.00.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from labkit.metrics.undefined import NotDefined, quotient
from labkit.survey.statistics import ratings_table

Metric = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff(ratings: pd.DataFrame | np.ndarray, metric: Metric = "interval") -> float:
    """Krippendorff's alpha of raters × items; NaN is a missing vote, items with one vote do not count.

    1: all agree; 0: no better than chance; below: worse. Not defined (NaN) where nothing varies: there is no chance to compare
    with.
    metric  how far two values are apart: "nominal" 0 or 1; "ordinal" by the votes between them; "interval" (c − k)²;
            "ratio" ((c − k)/(c + k))², of values ≥ 0.
    Raises ValueError where no item has two votes, or on an unknown metric.
    """
    values = np.asarray(ratings, dtype=float)
    paired = values[:, np.isfinite(values).sum(0) >= 2]
    if not paired.size:
        raise ValueError("ratings: no item has two votes; agreement needs items that several raters saw")
    levels = np.unique(paired[np.isfinite(paired)])
    # counts (levels, items): how many raters gave an item this value
    counts = (paired[None] == levels[:, None, None]).sum(1).astype(float)
    weighted = counts / (counts.sum(0) - 1)
    coincidence = weighted @ counts.T - np.diag(weighted.sum(1))
    totals = coincidence.sum(1)
    distance = _distance(levels, totals, metric)
    expected = (np.outer(totals, totals) * distance).sum() / (totals.sum() - 1)
    apart = quotient((coincidence * distance).sum(), expected, 0, 2, "all votes are equal: there is no chance to compare with")
    return apart if isinstance(apart, NotDefined) else 1 - apart


def _distance(levels: np.ndarray, totals: np.ndarray, metric: str) -> np.ndarray:
    """The squared distance of every two levels, (levels, levels)."""
    a, b = levels[:, None], levels[None]
    if metric == "nominal":
        return (a != b).astype(float)
    if metric == "interval":
        return (a - b) ** 2
    if metric == "ordinal":  # all votes from one level to the other, half of the two ends
        middle = np.cumsum(totals) - totals / 2
        return (middle[:, None] - middle[None]) ** 2
    if metric == "ratio":
        if levels[0] < 0:
            raise ValueError(f"metric='ratio': needs values ≥ 0; the least is {levels[0]:g}")
        return ((a - b) / np.where(a + b == 0, 1, a + b)) ** 2
    raise ValueError(f"metric={metric!r}: use 'nominal', 'ordinal', 'interval' or 'ratio'")


@dataclass(frozen=True)
class ICC:
    """Two-way random, absolute agreement: of one rater (`single`) and of the mean of all `raters` (`average`), each in −1 … 1
    or `NotDefined`."""

    single: float
    average: float
    items: int
    raters: int


def icc(ratings: pd.DataFrame | np.ndarray) -> ICC:
    """ICC(2,1) and ICC(2,k) of raters × items without a gap (see `complete`). Not defined (NaN) where nothing varies, where the
    variance that is divided by is estimated as 0 or less, or where an estimate leaves −1 … 1.

    Raises ValueError on a missing vote, or on fewer than 2 raters or items.
    """
    values = np.asarray(ratings, dtype=float).T  # Shrout and Fleiss write a row per item
    if not np.isfinite(values).all():
        raise ValueError("ratings: a vote is missing, which ICC cannot use; take complete(ratings) or krippendorff")
    n, k = values.shape
    if n < 2 or k < 2:
        raise ValueError(f"ratings: {k} raters × {n} items are too few for ICC; it needs 2 of each")
    overall = values.mean()
    between_items = k * ((values.mean(1) - overall) ** 2).sum()
    between_raters = n * ((values.mean(0) - overall) ** 2).sum()
    left = ((values - overall) ** 2).sum() - between_items - between_raters
    noise = 1e-12 * (values**2).sum()  # what rounding leaves of a sum of squares that is 0
    between_items, between_raters, left = (s if s > noise else 0.0 for s in (between_items, between_raters, left))
    msr, msc, mse = between_items / (n - 1), between_raters / (k - 1), left / ((n - 1) * (k - 1))
    single = msr + (k - 1) * mse + k * (msc - mse) / n
    average = msr + (msc - mse) / n
    if msr == msc == mse == 0:
        why = "all votes are equal"
    elif msr == 0:
        why = "the pictures' mean ratings do not differ"
    else:
        why = "the votes leave no variance to divide by; more raters or pictures may"
    return ICC(quotient(msr - mse, single, -1, 1, why), quotient(msr - mse, average, -1, 1, why), n, k)


def complete(ratings: pd.DataFrame) -> pd.DataFrame:
    """The raters who voted on every item that anyone voted on."""
    return ratings.dropna(axis=1, how="all").dropna(axis=0, how="any")


@dataclass(frozen=True)
class Retest:
    """How a second, hidden look compares with the first: Pearson's r, the mean absolute difference and the share of
    equal votes over `n` pairs; `by_rater` the mean absolute difference of each rater. r may be `NotDefined`."""

    r: float
    difference: float
    equal: float
    n: int
    by_rater: pd.Series


def retest(votes: pd.DataFrame) -> Retest:
    """Of the hidden repeats in a table of votes (columns rater, item, rating, repeat). r is not defined (NaN) below 3 pairs or
    where a side does not vary. Raises ValueError where nobody has seen an item twice."""
    first, second = (ratings_table(votes, repeat=again).stack() for again in (False, True))
    pairs = pd.DataFrame({"first": first, "second": second}).dropna()
    if pairs.empty:
        raise ValueError("votes: no item was rated twice by the same rater; plan a survey with repeats ≥ 1")
    apart = (pairs["first"] - pairs["second"]).abs()
    varies = pairs["first"].nunique() > 1 and pairs["second"].nunique() > 1
    if len(pairs) < 3:
        r: float = NotDefined(f"{len(pairs)} pairs; it needs 3")
    else:
        r = float(np.corrcoef(pairs["first"], pairs["second"])[0, 1]) if varies else NotDefined("one look's votes are equal")
    return Retest(r, float(apart.mean()), float((apart == 0).mean()), len(pairs), apart.groupby(level="rater").mean())
