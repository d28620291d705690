"""A report's claim beside our measurement, in words made from the table, so that they cannot disagree with it.

    claim:  the first group is higher       d = mean(a) − mean(b),  s = √(var(a)/n_a + var(b)/n_b)
    d > 2s: supported    d < −2s: contradicted    between: too little to tell

Two standard errors are a rule of thumb, and the pictures of one prompt are no independent draws: with the few pictures of
a notebook this says which way the table leans, not more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import pandas as pd


@dataclass(frozen=True)
class Weighed:
    """`claim` as the report has it, the `outcome` ('supported', 'contradicted' or 'undecided') and a sentence on it."""

    claim: str
    outcome: str
    sentence: str

    def __str__(self) -> str:
        return f"The report: {self.claim} Here: {self.sentence}"

    def _repr_markdown_(self) -> str:
        return f"**The report:** {self.claim}\n\n**Here:** {self.sentence}"


VERDICTS = {
    "supported": "That supports the claim",
    "contradicted": "That contradicts the claim",
    "undecided": "That is too little to tell from so few pictures",
}
FORMED = 0.1  # a mean below this: whatever rises or falls, there is nothing to see


def compare(claim: str, table: pd.DataFrame, by: str, higher: str, lower: str, value: str) -> Weighed:
    """Whether `value` is higher in the rows where `by` is `higher` than where it is `lower`; NaN is left out.

    Raises ValueError if a group has fewer than two numbers.
    """
    a, b = ([float(v) for v in table.loc[table[by] == name, value].dropna()] for name in (higher, lower))
    if min(len(a), len(b)) < 2:
        raise ValueError(f"{value}: {higher!r} has {len(a)} numbers, {lower!r} {len(b)}; two of each are needed")
    difference = fmean(a) - fmean(b)
    spread = math.sqrt(variance(a) / len(a) + variance(b) / len(b))
    outcome = "supported" if difference > 2 * spread else "contradicted" if difference < -2 * spread else "undecided"
    return Weighed(claim, outcome, (
        f"{value} is {fmean(a):.2f} with {higher!r} ({len(a)} pictures) and {fmean(b):.2f} with {lower!r} ({len(b)}), a "
        f"difference of {difference:+.2f} ± {spread:.2f} (standard error). {VERDICTS[outcome]}."))


def course(claim: str, table: pd.DataFrame, x: str, value: str, by: str = "prompt") -> Weighed:
    """Whether `value`, averaged over `by`, first rises over `x` and falls again at the end ("too many hurt too").

    The fall from the best x to the last is weighed per `by` with its own standard error; the best is chosen in the same
    runs, which flatters the fall. Raises ValueError with fewer than two runs or three x.
    """
    wide = table.pivot_table(index=by, columns=x, values=value).dropna()
    if len(wide) < 2 or wide.shape[1] < 3:
        raise ValueError(f"{value}: {len(wide)} runs at {wide.shape[1]} values of {x}; 2 and 3 are needed")
    mean = wide.mean()
    best, first, last = mean.idxmax(), mean.index[0], mean.index[-1]
    falls: Sequence[float] = list(wide[best] - wide[last])
    fall, spread = fmean(falls), math.sqrt(variance(falls) / len(falls))
    told = (f"over {len(wide)} runs {value} is {mean[first]:.2f} at {x} = {first}, highest at {best} "
            f"({mean[best]:.2f}) and {mean[last]:.2f} at {last}.")
    if mean[best] < FORMED:
        return Weighed(claim, "undecided", f"{told} Nothing took shape, so nothing is decided.")
    if best == last:
        return Weighed(claim, "contradicted", f"{told} It is highest at the end: more did not hurt on this scale.")
    outcome = "supported" if fall > 2 * spread else "undecided"
    return Weighed(claim, outcome, f"{told} The fall at the end, {fall:.2f} ± {spread:.2f} (standard error), is "
                                   + ("clear: too many did hurt here." if outcome == "supported" else
                                      "too small to tell from chance."))
