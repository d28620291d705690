"""Streamed retrieval of 5,000 texts × 5,000 images against the plain way, in the same run.

    python benchmarks/similarity.py [--n 5000] [--pairs 5]

The plain way is the whole matrix in numpy and a full argsort per row and per column in a Python loop. Both
give the ten best both ways and the rank of each pair; that they agree is checked. Printed: seconds of each,
the median ratio of several pairs of runs (fewer on a busy machine: no new pair after 25 s), and how far each
raises the peak memory of a process of its own.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

from labkit.clip.retrieval import streamed  # noqa: E402

K, D = 10, 512


def embeddings(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Paired unit vectors (n, 512) whose partners are found at rather different ranks."""
    draw = torch.Generator().manual_seed(0)
    text = F.normalize(torch.randn(n, D, generator=draw), dim=-1)
    return text, F.normalize(text + 5 * F.normalize(torch.randn(n, D, generator=draw), dim=-1), dim=-1)


def plain(text: np.ndarray, image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The k best and the ranks, texts → images and images → texts, by sorting everything."""
    cosine = text @ image.T
    out = []
    for matrix in (cosine, cosine.T):
        best, ranks = [], []
        for i, row in enumerate(matrix):
            order = np.argsort(-row)
            best.append(order[:K])
            ranks.append(1 + int(np.where(order == i)[0][0]))
        out.append((np.stack(best), np.array(ranks)))
    return out


def blocks(text: torch.Tensor, image: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """The same by `streamed`."""
    got = streamed(text, image, k=K)
    return [
        (got.images.indices.numpy(), got.ranks("text_to_image").numpy()),
        (got.texts.indices.numpy(), got.ranks("image_to_text").numpy()),
    ]


def timed(function, *values) -> tuple[float, list]:
    """Seconds and what came out."""
    start = time.perf_counter()
    out = function(*values)
    return time.perf_counter() - start, out


def raised_peak(way: str, n: int) -> float:
    """MB by which one run raises the peak of a fresh process; NaN where there is no /proc to read it from."""
    if not Path("/proc/self/status").exists():
        return float("nan")
    command = [sys.executable, __file__, "--n", str(n), "--peak", way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1e6


def memory(name: str) -> int:
    """Bytes by Linux's account of this process: VmRSS now, VmHWM at its peak. (A child inherits its parent's
    ru_maxrss.)"""
    return 1024 * int(re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def print_peak(way: str, n: int) -> None:
    """In the fresh process: bytes."""
    text, image = embeddings(n)
    blocks(text[:64], image[:64])
    plain(text[:64].numpy(), image[:64].numpy())
    before = memory("VmRSS")
    blocks(text, image) if way == "streamed" else plain(text.numpy(), image.numpy())
    print(memory("VmHWM") - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peak", choices=("streamed", "plain"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        return print_peak(args.peak, args.n)
    text, image = embeddings(args.n)
    blocks(text[:64], image[:64])
    ours, theirs = [], []
    begun = time.perf_counter()
    while len(ours) < args.pairs and time.perf_counter() - begun < 25:
        seconds, a = timed(blocks, text, image)
        ours.append(seconds)
        seconds, b = timed(plain, text.numpy(), image.numpy())
        theirs.append(seconds)
    ranks = [float(np.mean(x[1] == y[1])) for x, y in zip(a, b, strict=True)]
    best = [float(np.mean(x[0] == y[0])) for x, y in zip(a, b, strict=True)]
    # Cosines closer than a rounding error may change places; more than that would be a fault.
    if min(ranks + best) < 0.99:
        raise SystemExit(f"the two ways disagree: ranks {ranks}, ten best {best}")
    ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
    print(f"{args.n:,} x {args.n:,}, D = {D}, {torch.get_num_threads()} threads, {len(ours)} pairs")
    print(f"plain     {statistics.median(theirs):6.2f} s   peak +{raised_peak('plain', args.n):5.0f} MB")
    print(f"streamed  {statistics.median(ours):6.2f} s   peak +{raised_peak('streamed', args.n):5.0f} MB")
    print(f"streamed is {ratio:.1f}x as fast (median of pairs); both agree in {min(ranks):.2%} of the ranks")


if __name__ == "__main__":
    main()
