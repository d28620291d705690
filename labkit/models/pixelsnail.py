"""PixelSNAIL: a prior over a grid of codes, read row by row, each code given those before it, a sentence and a coarser grid.

Chen, Mishra, Rohaninejad, Abbeel 2018, "PixelSNAIL: An Improved Autoregressive Generative Model", arXiv:1712.09763, over codes
as Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446, section 3.2:

    p(k | e, u) = Π_p p(k_p | k_<p, e, u)          e a sentence's embedding, u the coarser level's codes (none on top)
    x ← x + a · σ(b),   (a, b) = conv(elu(conv(elu(x)))) + W e + V m(p)       in every gated block: no gate is without e
    m = around(coarser(u) + plan(e))                                          what is known of each place before any code is

The plan is not the papers': a linear map of the sentence to a few channels at every place, as the first layer of a generator
has. Through W e alone a gate is told the same everywhere, and what is where has to be found out by products with positions.

The first convolution sees earlier cells only; all others may see their own, as what lies there is of earlier codes. A causal
kernel holds its live taps and no others, with weight norm over them: there is no mask to apply. `pixelsnail_sampler` draws
codes cell by cell from the same weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.load import load_model, tuples

CONDITION = "blip"  # whose sentences a new prior learns; a trained one says in its config whose it reads


@dataclass(frozen=True)
class PixelSNAILConfig:
    """The architecture of a prior.

    n_embed   codes of its level.  grid  (h, w) cells.
    coarser   codes of the level above, whose grid has half the sides; 0: there is none.
    condition the kind of model whose sentences it reads; embed  the length of such a vector.
    channels  of every layer; blocks  of `gates` gated blocks each, then causal attention of `heads` heads (0: none).
    kernel    (rows, columns) of the causal convolutions: what of the rows above, and of the own row to the left, they see.
    plan      channels of the map that is made of the sentence, at the coarser level's sides where there is one (0: none).
    """

    n_embed: int = 512
    grid: tuple[int, int] = (8, 8)
    coarser: int = 0
    condition: str = CONDITION
    embed: int = 128
    channels: int = 96
    blocks: int = 2
    gates: int = 3
    heads: int = 4
    kernel: tuple[int, int] = (2, 3)
    plan: int = 0

    def __post_init__(self) -> None:
        for name in ("n_embed", "embed", "channels", "blocks", "gates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name in ("grid", "kernel"):
            sides = getattr(self, name)
            if len(sides) != 2 or min(sides) < 1:
                raise ValueError(f"{name}: {sides} must be two numbers, rows and columns, each 1 or more")
        if self.kernel[1] % 2 == 0 or self.kernel == (1, 1):
            raise ValueError(f"kernel: {self.kernel} must have an odd number of columns and see more than its own cell")
        for name in ("coarser", "heads", "plan"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be 0 or more")
        if self.coarser and (self.grid[0] % 2 or self.grid[1] % 2):
            raise ValueError(f"grid: {self.grid} must have even sides, as the coarser level has half of them")
        if self.heads and self.channels % (2 * self.heads):
            raise ValueError(f"heads: {self.heads} must divide half the channels = {self.channels / 2:g}")


class CausalConv(nn.Module):
    """A weight-normalised convolution over the cells that come first in the order of reading, the own cell among them unless
    `strict`: (B, in, h, w) → (B, out, h, w). Salimans & Kingma 2016, "Weight Normalization", eq. 2.

    Seen row by row, the dead taps of a kernel are its last ones: `direction` (out, in, taps) holds the others.
    """

    def __init__(self, inward: int, outward: int, kernel: tuple[int, int], strict: bool = False, gain: float = 1.0):
        super().__init__()
        rows, columns = self.kernel = tuple(kernel)
        self.taps = (rows - 1) * columns + columns // 2 + (not strict)
        self.direction = nn.Parameter(torch.randn(outward, inward, self.taps))
        self.gain = nn.Parameter(torch.full((outward,), gain))
        self.bias = nn.Parameter(torch.zeros(outward))

    def weight(self) -> Tensor:
        """The live taps (out, in, taps), of norm `gain` for each output."""
        return self.direction * (self.gain / self.direction.flatten(1).norm(dim=1))[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        (rows, columns), weight = self.kernel, self.weight()
        dense = F.pad(weight, (0, rows * columns - self.taps)).unflatten(2, self.kernel)
        return F.conv2d(F.pad(x, (columns // 2, columns // 2, rows - 1, 0)), dense, self.bias)


class GatedBlock(nn.Module):
    """x + a · σ(b) of two convolutions, the condition and what else is known of a cell; `aux` joins between the two."""

    def __init__(self, first: nn.Module, second: nn.Module, channels: int, hidden: int, aux: int = 0, mapped: bool = False):
        super().__init__()
        self.first, self.second = first, second
        self.condition = nn.Linear(hidden, 2 * channels)
        self.aux = nn.Conv2d(aux, channels, 1) if aux else None
        self.mapped = nn.Conv2d(channels, 2 * channels, 1, bias=False) if mapped else None

    def term(self, e: Tensor, m: Tensor | None) -> Tensor:
        """W e + V m: what every cell's gate is given beforehand, (B, 2C, 1, 1), or (B, 2C, h, w) of a map m (B, C, h, w)."""
        term = self.condition(e)[:, :, None, None]
        return term if m is None else term + self.mapped(m)

    def forward(self, x: Tensor, term: Tensor, aux: Tensor | None = None) -> Tensor:
        h = self.first(F.elu(x))
        if aux is not None:
            h = h + self.aux(F.elu(aux))
        return x + F.glu(self.second(F.elu(h)) + term, dim=1)


class CausalAttention(nn.Module):
    """Each cell looks at those up to itself; keys and values are of a block's input, its output and where the cell is, queries
    of the latter two. (B, C, h, w) twice → (B, C/2, h, w)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads, self.width = heads, channels // 2
        self.query = nn.Linear(channels + 2, self.width)
        self.key_value = nn.Linear(2 * channels + 2, 2 * self.width)

    def project(self, before: Tensor, after: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, (B, heads, n, C/2/heads) each, of n cells' rows (B, n, C), (B, n, C) and (n, 2)."""
        where = where.to(after.dtype).expand(len(after), -1, -1)
        own = torch.cat([after, where], dim=2)
        q, (k, v) = self.query(own), self.key_value(torch.cat([before, own], dim=2)).chunk(2, dim=2)
        return tuple(t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))

    def forward(self, before: Tensor, after: Tensor, where: Tensor) -> Tensor:
        q, k, v = self.project(before.flatten(2).mT, after.flatten(2).mT, where)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return seen.transpose(2, 3).reshape(len(before), self.width, *before.shape[2:])


class SNAILBlock(nn.Module):
    """Gated blocks, then attention, merged by one more gated block, of the own cell only."""

    def __init__(self, c: PixelSNAILConfig, hidden: int):
        super().__init__()
        width, known = c.channels, bool(c.coarser or c.plan)
        self.gated = nn.ModuleList(
            GatedBlock(CausalConv(width, width, c.kernel), CausalConv(width, 2 * width, c.kernel, gain=0.5), width, hidden,
                       mapped=known) for _ in range(c.gates))
        self.attention = CausalAttention(width, c.heads) if c.heads else None
        self.merge = GatedBlock(CausalConv(width, width, (1, 1)), CausalConv(width, 2 * width, (1, 1), gain=0.5), width, hidden,
                                aux=width // 2, mapped=known) if c.heads else None

    def forward(self, x: Tensor, terms: list[Tensor], where: Tensor) -> Tensor:
        y = x
        for gated, term in zip(self.gated, terms, strict=False):
            y = gated(y, term)
        return self.merge(y, terms[-1], self.attention(x, y, where)) if self.merge else y


class PixelSNAIL(nn.Module):
    """A prior over codes (B, h, w) in [0, n_embed): logits (B, n_embed, h, w) of each given those before it."""

    def __init__(self, config: PixelSNAILConfig):
        super().__init__()
        self.config, hidden, width = config, 128, config.channels
        self.register_buffer("centre", torch.zeros(config.embed))
        self.register_buffer("spread", torch.ones(config.embed))
        self.null = nn.Parameter(torch.zeros(config.embed))  # stands for no sentence
        self.read = nn.Sequential(nn.Linear(config.embed, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.embedding = nn.Embedding(config.n_embed, width)
        self.position = nn.Parameter(torch.randn(width, *config.grid) * 0.1)
        self.begin = CausalConv(width, width, (max(2, config.kernel[0]), max(3, config.kernel[1])), strict=True)
        self.coarser = nn.Embedding(config.coarser, width) if config.coarser else None
        sides = [n // 2 if config.coarser else n for n in config.grid]
        self.plan = nn.Sequential(nn.Linear(hidden, config.plan * math.prod(sides)), nn.Unflatten(1, (config.plan, *sides)),
                                  nn.Conv2d(config.plan, width, 1)) if config.plan else None
        if config.coarser or config.plan:
            self.around = nn.ModuleList(
                GatedBlock(nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1), width, hidden)
                for _ in range(2))
        self.blocks = nn.ModuleList(SNAILBlock(config, hidden) for _ in range(config.blocks))
        self.head = nn.Linear(width, config.n_embed)
        y, x = (torch.linspace(-0.5, 0.5, n + 1)[:-1] for n in config.grid)
        self.register_buffer("where", torch.cartesian_prod(y, x), persistent=False)

    @torch.no_grad()
    def measure(self, embeddings: Tensor) -> None:
        """Take mean and spread of sentences' embeddings (N ≥ 2, D): those of one small world all point about the same way, and
        are standardised first."""
        self.centre.copy_(embeddings.mean(0))
        self.spread.copy_(embeddings.std(0).clamp_min(1e-4))  # 1e-4: far above what fp16 cannot hold

    def sentence(self, condition: Tensor | None, n: int, keep: Tensor | None = None) -> Tensor:
        """What the gates are told (n, hidden) of embeddings (n, D); without any, and where `keep` (n,) is false, `null`."""
        e = self.null.expand(n, -1)
        if condition is not None:
            if condition.shape != (n, self.config.embed):
                raise ValueError(f"condition: shape {tuple(condition.shape)} must be ({n}, {self.config.embed}), "
                                 f"{self.config.condition}'s embeddings of a sentence for each grid")
            given = (condition - self.centre) / self.spread
            e = given if keep is None else torch.where(keep[:, None], given, e)
        return self.read(e)

    def terms(self, e: Tensor, coarser: Tensor | None) -> list[list[Tensor]]:
        """What is known of each gate before any code is: a list per block, of tensors (n, 2C, 1 or h, 1 or w)."""
        h, w = self.config.grid
        if (coarser is None) == bool(self.config.coarser):
            raise ValueError("coarser: this prior has no coarser level; leave it out" if coarser is not None else
                             f"coarser: give the coarser level's codes ({len(e)}, {h // 2}, {w // 2})")
        if coarser is not None and coarser.shape != (len(e), h // 2, w // 2):
            raise ValueError(f"coarser: shape {tuple(coarser.shape)} must be ({len(e)}, {h // 2}, {w // 2})")
        m = None if coarser is None else self.coarser(coarser).movedim(-1, 1)
        if self.plan is not None:
            planned = self.plan(e)
            m = planned if m is None else m + planned
        if m is not None:
            for gated in self.around:
                m = gated(m, gated.term(e, None))
        gates = [[*block.gated, *([block.merge] if block.merge else [])] for block in self.blocks]
        terms = [[gate.term(e, m) for gate in block] for block in gates]
        return terms if coarser is None else [[F.interpolate(t, (h, w), mode="nearest") for t in block] for block in terms]

    def forward(self, codes: Tensor, condition: Tensor | None = None, coarser: Tensor | None = None,
                keep: Tensor | None = None) -> Tensor:
        """Logits (B, n_embed, h, w) of codes (B, h, w), int64, with sentences' embeddings `condition` (B, D) or none, and the
        coarser level's codes (B, h/2, w/2) where there is one. `keep` (B,), bool: where false, the sentence is not told.
        Raises ValueError on other shapes."""
        if codes.shape[1:] != tuple(self.config.grid):
            raise ValueError(f"codes: shape {tuple(codes.shape)} must be (B, {', '.join(map(str, self.config.grid))})")
        return self.of_rows(codes, self.terms(self.sentence(condition, len(codes), keep), coarser))

    def of_rows(self, codes: Tensor, terms: list[list[Tensor]]) -> Tensor:
        """Logits (B, n_embed, r, w) of the grid's first r rows (B, r, w), which need no others."""
        rows, width = codes.shape[1:]
        x = self.begin(self.embedding(codes).movedim(-1, 1)) + self.position[:, :rows]
        for block, known in zip(self.blocks, terms, strict=True):
            x = block(x, [term[:, :, :rows] for term in known], self.where[:rows * width])
        return self.head(F.elu(x).movedim(1, -1)).movedim(-1, 1)

    @classmethod
    def from_config(cls, config: dict) -> PixelSNAIL:
        """Build from the JSON of its config."""
        return cls(PixelSNAILConfig(**tuples(config)))


def bits(logits: Tensor, codes: Tensor) -> Tensor:
    """-log2 p of each code (B, h, w) under logits (B, n_embed, h, w), fp32: log2 n_embed under a uniform distribution."""
    rows = logits.float().movedim(1, -1).flatten(0, -2)  # as they lie in memory: half the time of head and loss
    return F.cross_entropy(rows, codes.flatten(), reduction="none").view(codes.shape) / math.log(2)


@torch.no_grad()
def bits_per_code(model: PixelSNAIL, codes: Tensor, condition: Tensor | None = None, coarser: Tensor | None = None,
                  batch: int = 64) -> Tensor:
    """Mean bits that each grid of codes (N, h, w) costs, a cell, (N,): exact, as the model's probabilities are."""
    device, out = model.centre.device, []
    for k in range(0, len(codes), batch):
        some = [None if t is None else t[k:k + batch].to(device) for t in (codes, condition, coarser)]
        out.append(bits(model(*some), some[0]).flatten(1).mean(1))
    return torch.cat(out).cpu()


def condition_of(lab, texts: list[str], kind: str = CONDITION) -> Tensor:
    """Sentences → (N, D) unit vectors of the lab's model of that kind, which a prior names in `config.condition`."""
    return lab.model(kind).encode_text(texts).detach()


def knows_posed_alone(prior: PixelSNAIL) -> bool:
    """Whether it learned posed flat scenes of one subject alone, by what its file says of its training."""
    trained = getattr(prior, "about", {}).get("trained", {})
    return bool(trained.get("posed")) and not trained.get("store")


def load_prior_top(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> PixelSNAIL:
    """The prior over top codes, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("prior_top", name, device)


def load_prior_bottom(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> PixelSNAIL:
    """The prior over bottom codes given top codes, likewise."""
    return load_model("prior_bottom", name, device)
