"""What the sketch thesis found, beside what a grid of pictures says: strength, guidance, the sketch's own quality.

    findings(grid, quality)          of the tables of the studies `sketching` and `sketch-quality`

Many values are compared with one here, so that one or other would differ by chance alone: their intervals are Bonferroni's,
95 % for all of them together. Where no sketch differs Student's interval has no width, which is not what no difference in a
dozen sketches says: Wilson's bound for the share of sketches that might differ stands for it.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from labkit.evaluation.claims import LEVEL, Weighed, compare, rounded_up
from labkit.evaluation.sketching import TEMPLATE
from labkit.metrics.intervals import wilson

STRENGTH = "increasing the strength led to significant improvements in the quality of the generated images."
COST = "it names no cost of a higher strength. Weighed here: more strength leaves more of the sketch behind."
EDGES = "edges beyond chance"
GUIDANCE = "increasing the guidance scale beyond a certain point leads to images that deviate significantly from the sketch."
QUALITY = "the performance heavily depends on the quality of the initial sketches."


def differences(table: pd.DataFrame, by: str, base, value: str) -> pd.DataFrame:
    """How far `value` is from what it is at `by` = base, a row for each other value of `by`: the `mean` there and `at base`,
    the `change`, its interval (`low`, `high`) at 95 % for all rows together, and `sketches`. Differences are taken sketch by
    sketch, NaN left out. Raises ValueError where there is no base; a row of fewer than two sketches has no interval."""
    wide = table.groupby(["sketch", by])[value].mean().unstack(by)
    if base not in wide:
        raise ValueError(f"{by}: {base!r} is none of {', '.join(map(str, wide.columns))}")
    others, rows = [place for place in wide.columns if place != base], {}
    for place in others:
        both = wide[[place, base]].dropna()
        change = (both[place] - both[base]).to_numpy()
        half = _half(change, (1 - LEVEL) / len(others)) if len(change) > 1 else math.nan
        middle = float(change.mean()) if len(change) else math.nan
        rows[place] = {"mean": both[place].mean(), "at base": both[base].mean(), "change": middle, "low": middle - half,
                       "high": middle + half, "sketches": len(change)}
    return pd.DataFrame(rows).T.rename_axis(by)


def _half(change: np.ndarray, alpha: float) -> float:
    n = len(change)
    if np.ptp(change) < 1e-12:
        return wilson(0, n, float(stats.norm.ppf(1 - alpha / 2)))[1]
    return float(stats.t.ppf(1 - alpha / 2, n - 1) * change.std(ddof=1) / math.sqrt(n))


def leaves(claim: str, table: pd.DataFrame, by: str, value: str) -> Weighed:
    """From which `by` on `value` is lower than at the lowest `by`, and stays lower. Supported where there is such a one,
    contradicted where it is higher at the end, else undecided. Raises ValueError for fewer than two sketches or two values."""
    places = sorted(table.dropna(subset=[value])[by].unique())
    if len(places) < 2 or table["sketch"].nunique() < 2:
        raise ValueError(f"{value}: of sketches there are {table['sketch'].nunique()}, of {by} {len(places)}; two of each are "
                         "needed")
    found = differences(table, by, places[0], value)
    told = f"{value} is {found['at base'].iloc[0]:.2f} at {by} {places[0]:g} ({int(found['sketches'].min())} sketches)"
    lower = [bool(high < 0) for high in found["high"]]
    since = next((k for k in range(len(lower)) if all(lower[k:])), None)
    last = found.iloc[-1]
    if since is not None:
        first = found.iloc[since]
        end = f", and by {_by(last)} at {places[-1]:g}" if since < len(lower) - 1 else ""
        return Weighed(claim, "supported", f"{told}. From {by} {places[since + 1]:g} on it is lower: by {_by(first)} there"
                                           f"{end}.")
    if last["low"] > 0:
        return Weighed(claim, "contradicted", f"{told}. At {by} {places[-1]:g} it is higher, by {_by(last, sign=1)}.")
    return Weighed(claim, "undecided", f"{told}. Nowhere up to {places[-1]:g} is it lower beyond chance and stays so; what it "
                                       f"loses at the end is below {rounded_up(max(0.0, -last['low']))}.")


def depends(claim: str, table: pd.DataFrame, by: str = "way", base: str = "as drawn", value: str = "as asked") -> Weighed:
    """Whether any spoiled way lowers `value`, which ones and how far. Supported where one does."""
    found = differences(table, by, base, value).sort_values("change")
    told = f"{value} is {found['at base'].iloc[0]:.2f} {base} ({int(found['sketches'].min())} sketches)"
    lower, rest = found[found["high"] < 0], found[~(found["high"] < 0)]
    spared = f" No loss is to be told from chance of {', '.join(map(str, rest.index))}." if len(rest) else ""
    if lower.empty:
        bound = max(0.0, -float(rest["low"].min()))
        return Weighed(claim, "undecided", f"{told}. None of {len(found)} ways of spoiling lowers it beyond chance; what the "
                                           f"worst may cost is below {rounded_up(bound)}.")
    ways = "; ".join(f"{name} by {_by(row)}" for name, row in lower.iterrows())
    return Weighed(claim, "supported", f"{told}. Lower are: {ways}.{spared}")


def findings(grid: pd.DataFrame, quality: pd.DataFrame) -> dict[str, Weighed]:
    """The thesis's findings on the tables of both studies, by name. What is not varied is at the template's own value."""
    along = grid[grid["guidance"] == TEMPLATE.guidance]
    weakest, strongest = (f"strength {s:g}" for s in (along["strength"].min(), along["strength"].max()))
    along = along.assign(at=[f"strength {s:g}" for s in along["strength"]])
    aside = grid[grid["strength"] == TEMPLATE.strength]
    found = {"strength helps": compare(STRENGTH, along, "at", strongest, weakest, "as asked", "sketch"),
             "what strength costs": leaves(COST, along, "strength", EDGES),
             "guidance": leaves(GUIDANCE, aside, "guidance", EDGES)}
    for fit, name in (("crop", "as it is"), ("sketch", "prepared")):
        part = quality[quality["frame__fit"] == fit]
        found |= {f"the sketch, {name}": depends(QUALITY, part),
                  f"its edges, {name}": depends(QUALITY, part, value=EDGES)}
    return found


def _by(row: pd.Series, sign: int = -1) -> str:
    ends = sorted((sign * row["low"], sign * row["high"]))
    return f"{sign * row['change']:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"
