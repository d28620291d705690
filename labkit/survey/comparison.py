"""Which setting is better? Tests on raters × settings, where every rater is a block of its own.

    Friedman    do the settings' ranks within the raters differ at all?   effect: Kendall's W = chi² / (n (k − 1))
    Wilcoxon    signed ranks of each pair of settings, p corrected by Holm 1979:
                p_(i) → max over j ≤ i of min(1, (m − j + 1) · p_(j))      effect: (R₊ − R₋) / (R₊ + R₋)
    best        a setting is called best only where its interval lies above all others; else the reason is said
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from labkit.metrics.undefined import NotDefined, quotient
from labkit.survey.agreement import complete
from labkit.survey.statistics import DRAWS, LEVEL, describe

DIGITS = 12  # decimals to which two means are told apart


@dataclass(frozen=True)
class Comparison:
    """`chi2`, `p` and `w` (Kendall's W) of Friedman's test over `n` raters (`NotDefined` with two settings only; W also where
    nobody tells the settings apart), and `pairs`: a row per pair a, b with n, difference (mean of a − b), effect (−1 … 1; NaN
    where every rater gives both the same), p and p_holm."""

    chi2: float
    p: float
    w: float
    n: int
    pairs: pd.DataFrame


def compare(settings: pd.DataFrame) -> Comparison:
    """Friedman's test and the pairwise Wilcoxon tests of raters × settings (see `by_condition`).

    Raters with a gap are left out. Raises ValueError with fewer than 2 settings or 2 complete raters.
    """
    full = complete(settings)
    n, k = full.shape
    if k < 2 or n < 2:
        raise ValueError(f"settings: {n} raters rated all of {k} settings; a comparison needs 2 raters and 2 settings")
    full = full.round(DIGITS)  # means of equal votes, added up in another order, are ties
    chi2 = p = w = NotDefined("two settings only; Wilcoxon's test compares them")
    if k >= 3 and (full.nunique(axis=1) == 1).all():  # every order of the ranks is this one: no difference for sure
        chi2, p, w = 0.0, 1.0, NotDefined("every rater gives all settings the same")
    elif k >= 3:
        chi2, p = map(float, stats.friedmanchisquare(*full.T.to_numpy()))
        w = quotient(chi2, n * (k - 1), 0, 1, "there are no raters")
    rows = []
    for a, b in combinations(full.columns, 2):
        effect, pair_p = wilcoxon(full[a].to_numpy(), full[b].to_numpy())
        rows.append({"a": a, "b": b, "n": n, "difference": float((full[a] - full[b]).mean()), "effect": effect, "p": pair_p})
    pairs = pd.DataFrame(rows)
    pairs["p_holm"] = holm(pairs["p"].to_numpy())
    return Comparison(chi2, p, w, n, pairs)


def wilcoxon(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Effect (matched-pairs rank-biserial correlation, 1 where a is always higher) and two-sided p of Wilcoxon's test.

    Equal pairs are dropped; with none left the effect is not defined (NaN) and p is 1.
    """
    apart = np.round(np.asarray(a, dtype=float) - np.asarray(b, dtype=float), DIGITS)  # 0.1 + 0.2 − 0.3 is a tie
    apart = apart[apart != 0]
    if not len(apart):
        return NotDefined("every rater gives both the same"), 1.0
    ranks = stats.rankdata(np.abs(apart))
    effect = float((ranks * np.sign(apart)).sum() / ranks.sum())
    return effect, float(stats.wilcoxon(apart).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of m p-values: they hold together at the level that each of them shows."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    return corrected


@dataclass(frozen=True)
class Verdict:
    """`winner` is a setting or None; `reason` says why, in words; `table` has the settings' means and intervals."""

    winner: object | None
    reason: str
    table: pd.DataFrame

    def __bool__(self) -> bool:
        return self.winner is not None


def best(settings: pd.DataFrame, draws: int = DRAWS, seed: int = 0, level: float = LEVEL) -> Verdict:
    """The best of raters × settings, or why there is none: no setting is called best where intervals overlap.

    This is stricter than a paired test: `compare` may tell two settings apart whose intervals overlap.
    """
    return best_of(describe(settings, draws, seed, level))


def best_of(table: pd.DataFrame) -> Verdict:
    """As `best`, from a table with a row per setting and columns mean, low and high (NaN where unknown)."""
    table = table.sort_values("mean", ascending=False, kind="stable")
    if len(table) < 2:
        return Verdict(None, "there is one setting only, and nothing to compare it with", table)
    unknown = table.index[table[["mean", "low", "high"]].isna().any(axis=1)]
    if len(unknown):
        return Verdict(None, f"{unknown[0]} has too few votes for an interval", table)
    first, rivals = table.iloc[0], table.iloc[1:]
    near = rivals[rivals["high"] >= first["low"]]
    name = table.index[0]
    if len(near):
        worst = near["high"].idxmax()
        return Verdict(
            None,
            f"{name} has the highest mean, {first['mean']:.2f} ({first['low']:.2f} to {first['high']:.2f}), but its interval "
            f"overlaps that of {len(near)} of {len(rivals)} others, such as {worst}, {near.loc[worst, 'mean']:.2f} "
            f"({near.loc[worst, 'low']:.2f} to {near.loc[worst, 'high']:.2f})",
            table,
        )
    return Verdict(name, f"the interval of {name}, from {first['low']:.2f}, lies above all others", table)
