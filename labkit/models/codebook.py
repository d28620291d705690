"""A learned codebook: the nearest code, its look-up, the gradient past it, and what keeps codes in use.

Van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937, for whatever has a codebook: one level
or several. A codebook is (n, C), a latent (B, C, H, W) or any (B, C, *sides), the indices of its codes (B, *sides), int64.

    k(z) = argmin_k |z - e_k|² = argmax_k z·e_k - |e_k|²/2        z_q = e_k(z), ∂z_q/∂z := 1 (straight-through)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 128  # codes whose best score is found at once
SCORES = {"cpu": 2**19}  # of one product: 2 MB stay in a core's cache; elsewhere 256 MB keep a GPU busy


def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    """Indices (B, *sides) of the codes (n, C) nearest to the cells of z (B, C, *sides); of equally near ones the lowest.

    Exactly those that distances in float64 give: scores are products in fp32, with -|e|²/2 as one more component, and where
    their rounding could hide another winner (seldom) the candidates' distances are compared in float64. So the codes depend on
    neither processor nor batch. A cell that is not finite has a code all the same, which means nothing.
    """
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        cells, n = cells_of(z), len(codebook)
        squares = codebook.double().square().sum(-1)
        scorers = torch.cat([codebook.float(), (squares / -2).float()[:, None]], dim=1)
        scorers = F.pad(scorers, (0, 0, 0, -n % BLOCK))
        scorers[n:, -1] = -torch.inf
        scorers, queries = scorers.T.contiguous(), F.pad(cells.float(), (0, 1), value=1.0)
        # The error of a dot product of C + 1 terms in fp32, its factors rounded beforehand (Higham 2002, §3.1), on both sides.
        longest = squares.max().sqrt()
        slack = (2 * (cells.shape[1] + 4) * 2**-24 * (cells.double().norm(dim=-1) + longest / 2) * longest).float()
        some = max(1, SCORES.get(z.device.type, 2**26) // scorers.shape[1])
        found = [_best(q, scorers, s, c, codebook) for q, s, c in
                 zip(queries.split(some), slack.split(some), cells.split(some), strict=True)]
        return torch.cat(found).clamp_(max=n - 1).view(z.shape[0], *z.shape[2:])


def _best(queries: Tensor, scorers: Tensor, slack: Tensor, cells: Tensor, codebook: Tensor) -> Tensor:
    """The nearest codes of some cells, by one product and one pass over its blocks' maxima."""
    scores = (queries @ scorers).view(len(queries), -1, BLOCK)
    blocks = scores.amax(-1)
    best, block = blocks.max(-1)
    inside = scores[torch.arange(len(scores), device=block.device), block]
    out = block * BLOCK + inside.argmax(-1)
    floor = (best - slack)[:, None]
    unsure = ((blocks >= floor).sum(-1) > 1) | ((inside >= floor).sum(-1) > 1)
    if unsure.any():
        which = unsure.nonzero().squeeze(1)
        row, code = (scores[which].flatten(1) >= floor[which]).nonzero(as_tuple=True)
        distance = (cells[which[row]].double() - codebook[code].double()).square().sum(-1)
        least = distance.new_full((len(which),), torch.inf).scatter_reduce_(0, row, distance, "amin")
        won = distance == least[row]
        out[which] = out.new_full((len(which),), len(codebook)).scatter_reduce_(0, row[won], code[won], "amin")
    return out


def cells_of(z: Tensor) -> Tensor:
    """The cells of a latent (B, C, *sides) as rows (B·…, C)."""
    return z.movedim(1, -1).flatten(0, -2)


def lookup(codebook: Tensor, indices: Tensor) -> Tensor:
    """The codes (n, C) at `indices` (B, *sides), as a latent (B, C, *sides); the gradient reaches the codebook."""
    return F.embedding(indices, codebook).movedim(-1, 1).contiguous()


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, to: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def straight_through(value: Tensor, to: Tensor) -> Tensor:
    """Forward: the value, bit for bit. Backward: its gradient goes unchanged to `to`, and none to what made the value."""
    return _StraightThrough.apply(value.to(to.dtype), to)


def snap(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """z (B, C, *sides) to its nearest codes, straight-through: (z_q, indices)."""
    indices = nearest_code(z, codebook)
    return straight_through(lookup(codebook, indices), z), indices


class CodeUse(nn.Module):
    """How long each of `n` codes has gone unused; moves those that did for `patience` steps onto encoder vectors."""

    def __init__(self, n: int, patience: int):
        super().__init__()
        self.patience = patience
        self.register_buffer("idle", torch.zeros(n, dtype=torch.long))

    def used(self) -> float:
        """Share of the codes chosen within the last `patience` steps."""
        return float((self.idle < self.patience).float().mean())

    @torch.no_grad()
    def update(self, codebook: Tensor, h: Tensor, indices: Tensor, rng: torch.Generator, revive: bool) -> None:
        """Count the `indices` of a step, and with `revive` move idle codes onto random cells of `h` (B, C, *sides)."""
        self.idle += 1
        self.idle[indices.flatten().unique().to(self.idle.device)] = 0
        dead = (self.idle >= self.patience).nonzero().squeeze(1)
        if revive and len(dead):
            cells = cells_of(h)
            chosen = torch.randint(len(cells), (len(dead),), generator=rng)
            codebook[dead] = cells[chosen.to(cells.device)].to(codebook)
            self.idle[dead] = 0


@torch.no_grad()
def seed_codebook(codebook: Tensor, h: Tensor, rng: torch.Generator) -> None:
    """Make the codebook (n, C) of cells of h (B, C, *sides) in random order, each once before any comes again."""
    cells = cells_of(h)
    order = torch.randperm(len(cells), generator=rng)[torch.arange(len(codebook)) % len(cells)]
    codebook.copy_(cells[order.to(cells.device)])


def use_of(counts: Tensor) -> dict[str, float]:
    """What counts (K,) of how often each code comes say: `used` and `dead` codes, entropy in `bits` per code, and `perplexity`
    2^bits: so many codes, used alike, would be as rich. K at most; 1 where it is always the same code, or none was counted."""
    share = counts.double().cpu() / max(1, int(counts.sum()))
    bits = float(torch.special.entr(share).sum()) / math.log(2)
    used = int((counts > 0).sum())
    return {"used": used, "dead": len(counts) - used, "perplexity": 2**bits, "bits": bits}
