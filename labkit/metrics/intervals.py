"""Intervals: Wilson's for shares, the bootstrap's for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share hits/n (Wilson 1927); z = 1.96 for 95 %. Raises ValueError unless 0 ≤ hits ≤ n > 0 and
    z > 0."""
    if not 0 <= hits <= n or n == 0 or not 0 < z < math.inf:
        raise ValueError(f"hits={hits}, n={n}, z={z}: need 0 <= hits <= n, n > 0 and z > 0")
    p, zz = hits / n, z * z
    middle = (p + zz / (2 * n)) / (1 + zz / n)
    half = z / (1 + zz / n) * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return (max(middle - half, 0.0) if hits else 0.0), (min(middle + half, 1.0) if hits < n else 1.0)  # whatever rounding does


def share(hits: int, n: int) -> str:
    """'93.5 % (89.2–96.2, n = 200)'."""
    low, high = wilson(hits, n)
    return f"{hits / n:.1%} ({low:.1%}–{high:.1%}, n = {n})".replace("%", " %")


def bootstrap(statistic: Callable[[np.ndarray], float], n: int, draws: int = 1000, seed: int = 0,
              level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a statistic under resampling of its n items with replacement (Efron & Tibshirani 1993, §13.3).

    `statistic` is given indices (n,) into the items. Draws where it is not defined (NaN) are left out; both ends are NaN where
    it never is. Raises ValueError unless n ≥ 1 and draws ≥ 20.
    """
    if n < 1 or draws < 20 or not 0 < level < 1:
        raise ValueError(f"n={n}, draws={draws}, level={level}: need n >= 1, draws >= 20 and 0 < level < 1")
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(n, size=n)) for _ in range(draws)], np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
