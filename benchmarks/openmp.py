"""Two OpenMP threads beside one busy process: threads that spin while they wait against threads that sleep, in the same run.

    python benchmarks/openmp.py [--pairs 5] [--cores 2]

An OpenMP thread that waits for its share of the work spins by default; where another process wants the core, everybody waits
for the spinner. `labkit` sets OMP_WAIT_POLICY=passive and GOMP_SPINCOUNT=0 before torch is imported, unless the user has. Each
way is a process of its own with two threads, held to `--cores` cores that a busy process shares; they take turns. The small
convolution, forward and backward, is of the size of the pocket models' layers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

ASLEEP = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
WORK = """
import time, torch
torch.set_num_threads({threads})
x, layer = torch.randn(8, 48, 32, 32, requires_grad=True), torch.nn.Conv2d(48, 48, 3, padding=1)
def work():
    torch.autograd.grad(layer(x).sigmoid().sum(), x)
work()
started = time.perf_counter()
for _ in range(60):
    work()
print(time.perf_counter() - started)
"""


def seconds(threads: int, extra: dict[str, str], cores: set[int]) -> float:
    """Of the work in a fresh process on these cores."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", WORK.format(threads=threads)], env=kept | extra, capture_output=True,
                          text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("this system cannot hold a process to some cores; run it on Linux")
    cores = set(sorted(os.sched_getaffinity(0))[: asked.cores])
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                            preexec_fn=lambda: os.sched_setaffinity(0, {min(cores)}))
    ways = {"one thread": (1, {}), "two threads, spinning": (2, {}), "two threads, asleep": (2, ASLEEP)}
    times: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for _ in range(asked.pairs):
            for way, (threads, extra) in ways.items():
                times[way].append(seconds(threads, extra, cores))
    finally:
        busy.kill()
    for way, spent in times.items():
        print(f"{way:22} {statistics.median(spent):7.2f} s")
    ratios = [a / b for a, b in zip(times["two threads, spinning"], times["two threads, asleep"], strict=True)]
    print(f"asleep is {statistics.median(ratios):.1f} × as fast as spinning beside one busy process on {len(cores)} cores "
          f"(median of {asked.pairs} pairs)")


if __name__ == "__main__":
    main()
