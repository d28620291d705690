"""A report's claim beside our measurement, in words made from the table, so that they cannot disagree with it.

    claim:  the first group is higher       d = difference of the means, with Student's 95 % interval [low, high]
    low > 0: supported    high < 0: contradicted    else undecided, and |d| is below max(|low|, |high|)

The unit is the prompt: pictures of one prompt are no independent draws, so they are averaged first. Where both groups have the
same prompts the differences are taken prompt by prompt; else Welch's interval stands for two groups of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
FORMED = 0.1  # a mean below this: whatever rises or falls, there is nothing to see


@dataclass(frozen=True)
class Weighed:
    """`claim` as the report has it, the `outcome` ('supported', 'contradicted' or 'undecided') and the `finding`: what was
    measured, and what follows from it."""

    claim: str
    outcome: str
    finding: str

    def __str__(self) -> str:
        return f"The report: {self.claim} Here: {self.finding}"

    def _repr_markdown_(self) -> str:
        return f"**The report:** {self.claim}\n\n**Here:** {self.finding}"


def compare(claim: str, table: pd.DataFrame, by: str, higher: str, lower: str, value: str, unit: str = "prompt") -> Weighed:
    """Whether `value` is higher in the rows where `by` is `higher` than where it is `lower`; NaN is left out.

    `unit` names what is averaged over first. Raises ValueError if there are fewer than two units.
    """
    a, b = (table[table[by] == name].groupby(unit)[value].mean().dropna() for name in (higher, lower))
    shared, units = a.index.intersection(b.index), unit + ("es" if unit.endswith("ch") else "s")
    if len(shared) >= 2:
        a, b = a[shared], b[shared]
        d, low, high = _mean(a - b)
        of = f"{len(shared)} {units}, each both ways"
    elif min(len(a), len(b)) >= 2:
        d, low, high = _welch(a, b)
        of = f"{len(a)} and {len(b)} {units}"
    else:
        raise ValueError(f"{value}: {higher!r} has {len(a)} {units}, {lower!r} {len(b)}; two of each are needed")
    told = f"{value} is {a.mean():.2f} with {higher} and {b.mean():.2f} with {lower} ({of})"
    between = f"(95 % interval {low:+.2f} to {high:+.2f})"
    if low > 0:
        return Weighed(claim, "supported", f"{told}: higher by {d:.2f} {between}. The claim holds here.")
    if high < 0:
        return Weighed(claim, "contradicted", f"{told}: lower by {-d:.2f} {between}. Here it is the other way round.")
    return Weighed(claim, "undecided", f"{told}. The difference of {d:+.2f} {between} may be chance; if there is one, it is "
                                       f"smaller than {rounded_up(max(abs(low), abs(high)))}.")


def course(claim: str, table: pd.DataFrame, x: str, value: str, by: str = "prompt") -> Weighed:
    """Whether `value` first rises over x and falls again at the end ("too few and too many hurt").

    Rise (first x to the best) and fall (best to last) are taken run by run, and the best x for a run is the one of the *other*
    runs: chosen in the same run it would flatter both. Raises ValueError with fewer than three runs or three x.
    """
    wide = table.pivot_table(index=by, columns=x, values=value).dropna()
    if len(wide) < 3 or wide.shape[1] < 3:
        raise ValueError(f"{value}: {len(wide)} runs at {wide.shape[1]} values of {x}; 3 and 3 are needed")
    mean = wide.mean()
    best, first, last = mean.idxmax(), mean.index[0], mean.index[-1]
    told = (f"over {len(wide)} runs {value} is {mean[first]:.2f} at {x} = {first}, highest at {best} "
            f"({mean[best]:.2f}) and {mean[last]:.2f} at {last}.")
    if mean[best] < FORMED:
        return Weighed(claim, "undecided", f"{told} Nothing took shape, so nothing is decided.")
    others = {run: wide.drop(index=run).mean().idxmax() for run in wide.index}
    rise = _mean([wide.loc[run, k] - wide.loc[run, first] for run, k in others.items()])
    fall = _mean([wide.loc[run, k] - wide.loc[run, last] for run, k in others.items()])
    few = (f"Too few do hurt: {_by(rise)} are missing." if rise[1] > 0 else
           f"That too few hurt cannot be told from chance: the gain is {_by(rise)}.")
    if best == last:
        many = "Too many do not: it is highest at the end, so more did not hurt on this scale."
        return Weighed(claim, "contradicted", f"{told} {few} {many}")
    if fall[1] > 0:
        many = f"Too many do hurt: {_by(fall)} are lost again."
    else:
        many = (f"That too many hurt cannot be told from chance: the loss at the end is {_by(fall)}, below "
                f"{rounded_up(fall[2])}.")
    return Weighed(claim, "supported" if rise[1] > 0 and fall[1] > 0 else "undecided", f"{told} {few} {many}")


def _mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its Student interval."""
    v = np.asarray(values, float)
    half = stats.t.ppf((1 + LEVEL) / 2, len(v) - 1) * v.std(ddof=1) / math.sqrt(len(v))
    return float(v.mean()), float(v.mean() - half), float(v.mean() + half)


def _welch(a: pd.Series, b: pd.Series) -> tuple[float, float, float]:
    """Difference of two means and Welch's interval (1947): degrees of freedom by Welch–Satterthwaite."""
    parts = [s.var(ddof=1) / len(s) for s in (a, b)]
    d, total = float(a.mean() - b.mean()), sum(parts)
    if total == 0:
        return d, d, d
    freedom = total**2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, (a, b), strict=True))
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(total)
    return d, d - half, d + half


def _by(found: tuple[float, float, float]) -> str:
    return "{:.2f} (95 % interval {:+.2f} to {:+.2f})".format(*found)


def rounded_up(bound: float) -> str:
    """Two decimals, rounded up: a bound must not be printed smaller than it is."""
    return f"{math.ceil(bound * 100 - 1e-9) / 100:.2f}"
