"""Codes of a PixelSNAIL, cell by cell, exactly and without computing anything twice.

Plain sampling runs the network on all rows so far for each cell. But codes are drawn row by row, and what a causal layer made
of an earlier cell never changes: each convolution keeps the map of its inputs, attention its keys and values, and the
sentence's and the coarser level's part in every gate is computed once (Ramachandran et al. 2017, "Fast Generation for
Convolutional Autoregressive Models", arXiv:1704.06001, for PixelSNAIL). Nor need a cell read its whole window: the rows above
are complete in every layer when a row begins, so that their taps, nearly all, are taken for the row in one convolution, and the
few of the own row are left for each cell. All of it lies in a `SamplerState`; logits equal the network's to rounding.

    prior = CachedPrior(model);  state = prior.start(8, condition)
    told, untold = prior.logits(state);  prior.push(state, codes)                          # for each cell; see `drawing`
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.models.pixelsnail import CausalConv, PixelSNAIL


@dataclass
class SamplerState:
    """Where a sampling is. `codes` (B, h, w), of which the first `cell` in the order of reading are drawn; the rest is what the
    layers remember: of each convolution its inputs, padded, (R, h', w', C), and what the rows above give the present one (w, R,
    out); of each attention keys and values (R, heads, d, h·w); of each gate its terms (h, w, R, 2C). R is B, or 2 B where the
    same is also computed without the sentence."""

    codes: Tensor
    cell: int
    maps: list[Tensor]
    above: list[Tensor]
    keys: list[Tensor]
    values: list[Tensor]
    terms: list[list[Tensor]]

    @property
    def full(self) -> bool:
        """Whether every code is drawn."""
        return self.cell == self.codes[0].numel()


class _Causal:
    """A causal convolution in two parts: of the rows above, a row at a time, and of the own row, a cell at a time."""

    def __init__(self, conv: CausalConv):
        (self.rows, self.columns), weight = conv.kernel, conv.weight().detach()
        self.inward, first = weight.shape[1], (self.rows - 1) * self.columns
        self.over = weight[:, :, :first].unflatten(2, (self.rows - 1, self.columns)).contiguous() if first else None
        self.own = weight[:, :, first:].permute(2, 1, 0).flatten(0, 1).contiguous()  # (taps · in, out)
        self.taps = conv.taps - first

    def room(self, n: int, grid: tuple[int, int]) -> Tensor:
        """A map of nothing yet."""
        return self.own.new_zeros(n, grid[0] + self.rows - 1, grid[1] + self.columns - 1, self.inward)

    def of_above(self, room: Tensor, y: int) -> Tensor | float:
        """What the rows above give to each cell of a row (w, R, out); 0 where there are none."""
        if self.over is None or y == 0:
            return 0.0
        return F.conv2d(room[:, y:y + self.rows - 1].movedim(3, 1), self.over).squeeze(2).permute(2, 0, 1)

    def write(self, room: Tensor, value: Tensor, y: int, x: int) -> None:
        room[:, y + self.rows - 1, x + self.columns // 2] = value

    def read(self, room: Tensor, above: Tensor, y: int, x: int) -> Tensor:
        """The output (R, out) at a cell whose inputs are written."""
        return torch.addmm(above[x], room[:, y + self.rows - 1, x:x + self.taps].flatten(1), self.own)


class _Attention:
    """Causal attention of one cell, and the gated block that merges it: `own` makes query, key and value in one product."""

    def __init__(self, block, where: Tensor):
        asks, keeps, merge = block.attention.query, block.attention.key_value, block.merge
        c, self.heads = merge.second.gain.numel() // 2, block.attention.heads
        weight = torch.cat([F.pad(asks.weight, (c, 0)), keeps.weight]).detach()  # a query does not see the block's input
        bias = torch.cat([asks.bias, keeps.bias]).detach()
        self.own, self.bias = weight[:, :2 * c].T.contiguous(), F.linear(where, weight[:, 2 * c:], bias)
        self.first, self.aux, self.second = (_pointwise(w, b) for w, b in (
            (merge.first.weight(), merge.first.bias), (merge.aux.weight, merge.aux.bias),
            (merge.second.weight(), merge.second.bias)))

    def __call__(self, before: Tensor, value: Tensor, term: Tensor, keys: Tensor, values: Tensor, cell: int) -> Tensor:
        made = torch.addmm(self.bias[cell], torch.cat([before, value], dim=1), self.own)
        q, keys[..., cell], values[..., cell] = made.view(len(made), 3, self.heads, -1).unbind(1)
        known, held = (room[..., :cell + 1].flatten(0, 1) for room in (keys, values))
        # Written out: torch's own attention takes ten times as long for a single query on the CPU.
        shares = torch.bmm(q.reshape(len(known), 1, -1) * q.shape[2] ** -0.5, known).softmax(2)
        seen = torch.bmm(shares, held.mT).view(len(made), -1)
        h = _product(F.elu(value), self.first) + _product(F.elu(seen), self.aux)
        return value + F.glu(_product(F.elu(h), self.second) + term, dim=1)


def _pointwise(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A 1 × 1 convolution as (bias, matrix)."""
    return bias.detach(), weight.detach().flatten(1).T.contiguous()


def _product(value: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    return torch.addmm(layer[0], value, layer[1])


class CachedPrior:
    """The sampler of a prior's weights, folded once; it holds no state of a sampling. fp32, on the model's device."""

    @torch.no_grad()
    def __init__(self, model: PixelSNAIL):
        self.model, self.grid = model, tuple(model.config.grid)
        gates = [gate for block in model.blocks for gate in block.gated]
        convs = [model.begin, *(conv for gate in gates for conv in (gate.first, gate.second))]
        self.convs = [_Causal(conv) for conv in convs]
        self.biases = [conv.bias.detach() for conv in convs]
        self.attentions = [_Attention(block, model.where) for block in model.blocks if block.attention]
        self.embedding = model.embedding.weight.detach()
        self.position = model.position.detach().movedim(0, 2).unsqueeze(2)  # (h, w, 1, C)

    @torch.no_grad()
    def start(self, n: int, condition: Tensor | None = None, coarser: Tensor | None = None, both: bool = False) -> SamplerState:
        """The state before the first of n grids' codes, with sentences' embeddings (n, D) and the coarser level's codes
        (n, h/2, w/2); `both` also computes without the sentence, for guidance. Raises ValueError on other shapes."""
        if n < 1 or (both and condition is None):
            raise ValueError(f"n: {n} must be 1 or more" if n < 1 else "both: there is no sentence to leave out")
        told = self.model.sentence(condition, n)
        if both:
            told = torch.cat([told, self.model.sentence(None, n)])
            coarser = None if coarser is None else coarser.repeat(2, 1, 1)
        terms = [[t.movedim((2, 3), (0, 1)).expand(*self.grid, -1, -1) for t in block]
                 for block in self.model.terms(told, coarser)]
        rows, cells = len(told), self.grid[0] * self.grid[1]
        heads = [(a.heads, a.width // a.heads) for b in self.model.blocks if (a := b.attention)]
        keys, values = ([told.new_zeros(rows, h, d, cells) for h, d in heads] for _ in range(2))
        maps, above = [c.room(rows, self.grid) for c in self.convs], [told.new_zeros(0) for _ in self.convs]
        codes = torch.zeros(n, *self.grid, dtype=torch.long, device=told.device)
        return SamplerState(codes, 0, maps, above, keys, values, terms)

    @torch.no_grad()
    def logits(self, state: SamplerState) -> tuple[Tensor, Tensor | None]:
        """Logits (B, n_embed) of the next cell's code: given the sentence, and without it where the state was started with
        `both`. Asking twice changes nothing. Raises ValueError where every code is drawn."""
        if state.full:
            raise ValueError(f"state: all {state.cell} codes are drawn; start another")
        y, x = divmod(state.cell, self.grid[1])
        if x == 0:
            self._look_up(state, y)
        layers = zip(self.convs, state.maps, state.above, strict=True)
        attentions = zip(self.attentions, state.keys, state.values, strict=True)
        conv, room, above = next(layers)
        value = conv.read(room, above, y, x)
        for block, terms in zip(self.model.blocks, state.terms, strict=True):
            before = value
            for _ in block.gated:
                h = value
                for conv, room, above in islice(layers, 2):
                    conv.write(room, F.elu(h), y, x)
                    h = conv.read(room, above, y, x)
                value = value + F.glu(h, dim=1)
            if block.attention is not None:
                attention, keys, values = next(attentions)
                value = attention(before, value, terms[-1][y, x], keys, values, state.cell)
        out, n = self.model.head(F.elu(value)), len(state.codes)
        return out[:n], out[n:] if len(out) > n else None

    def _look_up(self, state: SamplerState, y: int) -> None:
        """What of row y's outputs is known beforehand: the rows above are complete in every layer."""
        gates = (t for block, terms in zip(self.model.blocks, state.terms, strict=True) for t in terms[:len(block.gated)])
        known = [self.position[y], *(row for term in gates for row in (0.0, term[y]))]
        state.above[:] = [conv.of_above(room, y) + bias.expand(self.grid[1], len(room), -1) + row for conv, room, bias, row
                          in zip(self.convs, state.maps, self.biases, known, strict=True)]

    def push(self, state: SamplerState, codes: Tensor) -> None:
        """Let the next cell's codes be these (B,), int64. To be called after `logits`, which leaves in the state what later
        cells read of this one."""
        y, x = divmod(state.cell, self.grid[1])
        state.codes[:, y, x] = codes
        room = state.maps[0]
        self.convs[0].write(room, self.embedding[codes].repeat(len(room) // len(codes), 1), y, x)
        state.cell += 1
