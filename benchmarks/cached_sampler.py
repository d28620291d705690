"""The cached sampler of a PixelSNAIL against running the network anew, on the rows so far, for every code, in the same run.

    python benchmarks/cached_sampler.py

Both draw the same codes from the same weights: 512 codes a cell, 128 channels, two blocks of three gated blocks with 5 × 5
kernels and attention, on one thread. That they do is checked on an 8 × 8 grid first. The plain way is not slowed down: the
sentence's part of every gate is computed once for it too. Its time on a grid is the sum over the rows of as many runs on so
many rows as a row has cells, of which the median of three is taken.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from labkit.models.drawing import Draw, distribution, pick, quantiles, sample_codes
from labkit.models.pixelsnail import PixelSNAIL, PixelSNAILConfig

AIMS = {16: (8, 40), 32: (16, 200)}  # side → grids drawn at once, and how many times faster
HOW = Draw(guidance=1)


def prior(side: int, channels: int = 128) -> PixelSNAIL:
    """A prior without training: what it costs does not depend on what it knows."""
    torch.manual_seed(0)
    model = PixelSNAIL(PixelSNAILConfig(512, (side, side), channels=channels, kernel=(5, 5)))
    return model.eval().requires_grad_(False)


def ours(model: PixelSNAIL, e: Tensor) -> Tensor:
    """Codes (B, h, w), cached."""
    return sample_codes(model, HOW, torch.Generator().manual_seed(0), e).codes


@torch.no_grad()
def plain(model: PixelSNAIL, e: Tensor) -> Tensor:
    """The same codes, the network run on the rows so far for each."""
    h, w = model.config.grid
    u = quantiles(len(e), h * w, torch.Generator().manual_seed(0))
    codes, terms = torch.zeros(len(e), h, w, dtype=torch.long), model.terms(model.sentence(e, len(e)), None)
    for cell in range(h * w):
        y, x = divmod(cell, w)
        codes[:, y, x] = pick(distribution(model.of_rows(codes[:, :y + 1], terms)[:, :, y, x]), u[:, cell])
    return codes


@torch.no_grad()
def seconds_of_plain(model: PixelSNAIL, e: Tensor) -> float:
    """What `plain` takes, from runs on each number of rows."""
    h, w = model.config.grid
    codes, terms = torch.zeros(len(e), h, w, dtype=torch.long), model.terms(model.sentence(e, len(e)), None)
    return sum(w * median_seconds(lambda rows=rows: model.of_rows(codes[:, :rows], terms)) for rows in range(1, h + 1))


def median_seconds(work, times: int = 3) -> float:
    """The median of as many runs, after one that is not counted."""
    work()
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def main() -> None:
    torch.set_num_threads(1)
    sentences = torch.randn(16, 128, generator=torch.Generator().manual_seed(0))
    small, e = prior(8), sentences[:2]
    if not torch.equal(ours(small, e), plain(small, e)):
        raise SystemExit("the cached sampler does not draw the codes of the plain one")
    for side, (batch, aim) in AIMS.items():
        model, e = prior(side), sentences[:batch]
        cached = median_seconds(lambda m=model, e=e: ours(m, e))
        anew = seconds_of_plain(model, e)
        print(f"{side} × {side}, batch {batch}: anew {anew:7.1f} s, cached {cached:6.2f} s, "
              f"{anew / cached:5.0f} × (aim: {aim} ×)", flush=True)


if __name__ == "__main__":
    main()
