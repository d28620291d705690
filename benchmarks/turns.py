"""Two ways to do the same step, taking turns on one thread: medians and the median ratio of pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

WARM_UP = 3


def take_turns(ours: Callable[[], object], plain: Callable[[], object], pairs: int, note: str) -> None:
    """Time the two, print seconds a step and how many times ours is faster. The seconds are this machine's; the ratio is the
    figure."""
    for _ in range(WARM_UP):
        ours(), plain()
    times: dict[str, list[float]] = {"labkit": [], "peers' way": []}
    for _ in range(pairs):
        for name, step in (("labkit", ours), ("peers' way", plain)):
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    for name, seconds in times.items():
        print(f"{name:12} {statistics.median(seconds) * 1000:7.1f} ms a step")
    ratios = [b / a for a, b in zip(times["labkit"], times["peers' way"], strict=True)]
    print(f"ratio        {statistics.median(ratios):7.2f} × (median of {pairs} pairs; {note})")
