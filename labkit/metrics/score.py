"""A score that says what it is: name, variant, value, interval, n, range and which way is better.

    Score("BLEU-4", "corpus, …", 0.47, 0.41, 0.52, 200, "0 … 1", "higher")        score_table([…]) → a row each
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from labkit.metrics.intervals import bootstrap
from labkit.metrics.undefined import said

UNIT = "0 … 1"


@dataclass(frozen=True)
class Score:
    """One figure with all that it takes to compare it with another's.

    variant  what of the name's many readings this is: tokens, order, smoothing, network, extractor, range of the pixels.
    low, high  a 95 % interval, made as `interval` says; NaN where there is none.
    n  items it is a figure of.  range  of possible values.  parts  figures that belong to it, such as precision and recall.
    """

    name: str
    variant: str
    value: float
    low: float
    high: float
    n: int
    range: str
    better: Literal["higher", "lower", "neither"]
    interval: str = "95 % bootstrap over items"
    parts: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        ends = f" ({said(self.low, '.3f')} … {said(self.high, '.3f')})" if self.low == self.low else ""
        return f"{self.name} {said(self.value, '.3f')}{ends}, n = {self.n}, range {self.range} [{self.variant}]"


def score_table(scores: Iterable[Score]) -> pd.DataFrame:
    """A row a score, named by it: value, low, high, n, range, better, variant, interval."""
    columns = ("value", "low", "high", "n", "range", "better", "variant", "interval")
    scores = list(scores)
    return pd.DataFrame([{c: getattr(s, c) for c in columns} for s in scores], index=[s.name for s in scores], columns=columns)


def mean_score(name: str, variant: str, values, range: str = UNIT, better: str = "higher", draws: int = 1000, seed: int = 0,
               parts: dict[str, float] | None = None) -> Score:
    """The mean of an item's values (n,) with the bootstrap interval of that mean."""
    values = np.asarray(values, np.float64)
    low, high = bootstrap(lambda rows: values[rows].mean(), len(values), draws, seed)
    return Score(name, variant, float(values.mean()), low, high, len(values), range, better, parts=parts or {})
