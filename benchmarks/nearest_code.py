"""The nearest of 16,384 codes for the cells of a picture against the plain definition, in the same run.

    python benchmarks/nearest_code.py

The plain way writes out |z|² + |e|² - 2 z·e for all pairs and takes the smallest. Both get the pocket VQGAN's codebook and
latents that a painter meets, between codes; that they find the same codes as distances in float64 is checked first. For the
figures of a processor without AVX-512 run it with ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2.
"""

from __future__ import annotations

import torch
from turns import take_turns

from labkit.models.codebook import cells_of, nearest_code
from labkit.models.vqgan import load_vqgan

PAIRS = 60


def plain(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """The definition."""
    cells = cells_of(z)
    distances = cells.square().sum(-1, keepdim=True) + codebook.square().sum(-1) - 2 * cells @ codebook.T
    return distances.argmin(-1).view(z.shape[0], *z.shape[2:])


def in_float64(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """The definition without rounding, cell by cell."""
    found = [(codebook.double() - cell).square().sum(-1).argmin() for cell in cells_of(z).double()]
    return torch.stack(found).view(z.shape[0], *z.shape[2:])


def main() -> None:
    torch.set_num_threads(1)
    rng, codebook = torch.Generator().manual_seed(0), load_vqgan("pocket").codebook
    codes = codebook[torch.randint(len(codebook), (2, 256), generator=rng)]
    z = codes.mean(0).T.reshape(1, -1, 16, 16)
    if not torch.equal(nearest_code(z, codebook), in_float64(z, codebook)):
        raise SystemExit("nearest_code does not find the codes of the definition")
    wrong = int((plain(z, codebook) != in_float64(z, codebook)).sum())
    take_turns(lambda: nearest_code(z, codebook), lambda: plain(z, codebook), PAIRS,
               f"{len(codebook):,} codes, 256 cells, of which the plain way in fp32 gets {wrong} wrong")


if __name__ == "__main__":
    main()
