"""How many scenes of the picture world one core renders in a second: the first ones, and once the drawings are rasterised.

    python benchmarks/rendering.py [--warm 4000] [--n 2000]

The first scenes rasterise the drawings that they show, which are then kept: a training meets them in its first minute only.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from labkit.world import render, sample_scene  # noqa: E402


def rate(first: int, n: int) -> float:
    """Scenes a second over the scenes `first` … `first + n` of the training split, sampled and drawn."""
    started = time.perf_counter()
    for k in range(first, first + n):
        render(sample_scene(k, "train"))
    return n / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--warm", type=int, default=4000, help="scenes before the second count")
    parser.add_argument("--n", type=int, default=2000, help="scenes of the second count")
    asked = parser.parse_args()
    print(f"the first {asked.warm:,} scenes   {rate(0, asked.warm):6.0f} scenes a second")
    print(f"the next {asked.n:,} scenes    {rate(asked.warm, asked.n):6.0f} scenes a second")
