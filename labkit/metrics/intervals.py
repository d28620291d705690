"""Intervals for shares."""

from __future__ import annotations

import math


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
