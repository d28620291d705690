"""Drawing codes from a prior: guidance, temperature, the likeliest codes only; codes that are given; what each code cost.

Guidance as in Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, on logits:

    ℓ = ℓ_∅ + s (ℓ_e − ℓ_∅),   k ~ softmax(ℓ / T) among the k likeliest, and of these the fewest whose share is at least p

Every cell has a number of its own in [0, 1), drawn beforehand: the quantile at which its code is taken.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from labkit.models.pixelsnail import PixelSNAIL, bits
from labkit.models.pixelsnail_sampler import CachedPrior
from labkit.spec import Spec


class Draw(Spec):
    """How a level's codes are drawn from its prior."""

    guidance: float = Field(2.0, ge=0, le=20, description="Scale of the sentence's part: 0 none, 1 as learned")
    temperature: float = Field(1.0, gt=0, le=5, description="Logits are divided by it: below 1 calmer, above 1 wilder")
    top_k: int = Field(0, ge=0, le=65536, description="Only the k likeliest codes; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="Only the likeliest codes that together have this probability")


def guided(told: Tensor, untold: Tensor | None, scale: float) -> Tensor:
    """ℓ_∅ + s (ℓ_e − ℓ_∅); without ℓ_∅, ℓ_e as it is."""
    return told if untold is None else untold + scale * (told - untold)


def distribution(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Probabilities (B, K), fp32, of logits (B, K): softmax(ℓ/T), of it the k likeliest codes, of these the fewest likeliest
    whose share is at least p (the nucleus of Holtzman et al. 2020, arXiv:1904.09751). Of equal ones the first are kept."""
    p = (logits.float() / temperature).softmax(1)
    if not 0 < top_k < p.shape[1] and top_p >= 1:
        return p
    ordered, order = p.sort(dim=1, descending=True, stable=True)
    if top_k:
        ordered[:, top_k:] = 0
    ordered /= ordered.sum(1, keepdim=True)
    ordered = torch.where(ordered.cumsum(1) - ordered < top_p, ordered, 0)
    return torch.zeros_like(p).scatter_(1, order, ordered / ordered.sum(1, keepdim=True))


def pick(p: Tensor, u: Tensor) -> Tensor:
    """The codes (B,) at the quantiles u (B,) in [0, 1) of probabilities (B, K): never one of probability 0."""
    upto = p.cumsum(1, dtype=torch.float64)
    return torch.searchsorted(upto, (u.to(upto) * upto[:, -1])[:, None], right=True).squeeze(1).clamp(max=p.shape[1] - 1)


class Growing:
    """A level's codes while they are drawn: `codes`, `entropy`, `bits` (B, h, w) each, the first `cell` of them.

    `u` (B, h·w) in [0, 1): the quantile at which each cell's code is taken, so that what one cell was forced to be does not
    shift the others' luck. `forced` (B, h, w), int64: codes that are given, -1 where they are drawn. Entropy is that of what
    the code was drawn from, in bits; `bits` is -log2 p of the code for the prior itself, given the sentence: unguided, at
    temperature 1, with all codes allowed. Both are NaN where nothing is drawn yet.
    """

    def __init__(self, prior: CachedPrior, how: Draw, u: Tensor, condition: Tensor | None = None, coarser: Tensor | None = None,
                 forced: Tensor | None = None):
        device = prior.position.device
        both = how.guidance != 1 and condition is not None
        self.prior, self.how, self.state = prior, how, prior.start(len(u), condition, coarser, both)
        self.u, self.codes = u.to(device), self.state.codes
        self.forced = torch.full_like(self.codes, -1) if forced is None else forced.to(device)
        if self.forced.shape != self.codes.shape or int(self.forced.max()) >= prior.model.config.n_embed:
            raise ValueError(f"forced: {tuple(self.forced.shape)} codes up to {int(self.forced.max())} must be "
                             f"{tuple(self.codes.shape)} and below {prior.model.config.n_embed}")
        self.entropy, self.bits = (torch.full(self.codes.shape, math.nan, device=device) for _ in range(2))

    @property
    def cell(self) -> int:
        """How many codes of each grid are there."""
        return self.state.cell

    @torch.no_grad()
    def grow(self, cells: int) -> None:
        """Draw the next so many cells' codes."""
        forced, codes, entropy, cost = (t.flatten(1) for t in (self.forced, self.codes, self.entropy, self.bits))
        for cell in range(self.cell, self.cell + cells):
            told, untold = self.prior.logits(self.state)
            p = distribution(guided(told, untold, self.how.guidance), self.how.temperature, self.how.top_k, self.how.top_p)
            given = forced[:, cell]
            self.prior.push(self.state, torch.where(given < 0, pick(p, self.u[:, cell]), given))
            # Cell by cell, so that their last digits do not depend on how many are drawn at once.
            entropy[:, cell] = torch.special.entr(p).sum(1) / math.log(2)
            cost[:, cell] = bits(told, codes[:, cell])


def quantiles(n: int, cells: int, rng: torch.Generator) -> Tensor:
    """Uniform numbers (n, cells) in [0, 1), drawn on the CPU: at single precision, so that none rounds up to 1."""
    return torch.rand(n, cells, generator=rng).double()


def sample_codes(model: PixelSNAIL, how: Draw, rng: torch.Generator, condition: Tensor, coarser: Tensor | None = None,
                 forced: Tensor | None = None) -> Growing:
    """All codes of one level for sentences' embeddings (B, D); `rng` is on the CPU."""
    h, w = model.config.grid
    level = Growing(CachedPrior(model), how, quantiles(len(condition), h * w, rng), condition, coarser, forced)
    level.grow(h * w)
    return level


@torch.no_grad()
def draft(model: PixelSNAIL, codes: Tensor, cell: int, condition: Tensor | None = None, coarser: Tensor | None = None,
          sweeps: int = 2) -> Tensor:
    """Codes (B, h, w) whose first `cell` are kept; the others become the likeliest given those of the sweep before: a glance at
    where a drawing is going, in a few passes of the network. After as many sweeps as there are cells it would be the greedy
    drawing (Song et al. 2021, "Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving")."""
    kept = torch.arange(codes[0].numel(), device=codes.device).view(codes.shape[1:]) < cell
    for _ in range(sweeps):
        codes = torch.where(kept, codes, model(codes, condition, coarser).argmax(1))
    return codes
