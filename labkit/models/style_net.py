"""StyleNet: the small U-Net that CLIPstyler trains to repaint one picture, or any (Kwon & Ye 2022, section 3.1).

    h0 = R(conv1(x), w)                                at full size
    h1 = R(h0, w), h2 = R(↓h1, 2w), h3 = R(↓h2, 4w)    at 1, 1/2, 1/4;  ↓ is a learned 4 × 4 convolution of stride 2
    g  = R(↓h3, 8w)                                    at 1/8
    g  = R([↑g, h3], 4w), R([↑g, h2], 2w), R([↑g, h1], w), R([g, h0], w);  ↑ is bilinear
    y  = sigmoid(conv1(g))

R is twice (3 × 3 convolution, instance norm without weights, ReLU), and a 1 × 1 convolution past them. At w = 16, as published,
615,267 parameters (tested). Instance norms keep no statistics: what was learned on one picture can be applied to others.

With `adds` it is y = sigmoid(conv1(g) + logit(x)) and conv1 begins with zeros, so that the first picture is the content: what
it is needs no learning, and a few steps are enough.

Any size is taken: sides are mirrored up to a multiple of 8, and cut back. Convolutions mirror at their edges too, so that the
frame of a picture is painted like its inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8  # what sides are padded to a multiple of
SMALLEST = 16  # padded side: below it nothing is left to mirror or to take a norm of at an eighth
PUBLISHED, NARROW = 16, 8  # widths
EDGE = 0.01  # black and white that a net may add to: a logit of 0 or 1 is infinite
SMALL = 192  # shorter side below which the narrow net is enough


@dataclass(frozen=True)
class StyleNetConfig:
    """Channels at full size, doubled at each halving; whether the net adds to the picture. Raises ValueError naming field and
    value."""

    width: int = PUBLISHED
    adds: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or not 2 <= self.width <= 128:
            raise ValueError(f"width: {self.width!r} must be a whole number from 2 to 128")
        if not isinstance(self.adds, bool):
            raise ValueError(f"adds: {self.adds!r} must be true or false")


class Block(nn.Module):
    """(B, a, H, W) → (B, b, H, W): twice (convolution, norm, ReLU), and a 1 × 1 convolution past them."""

    def __init__(self, a: int, b: int):
        super().__init__()
        self.first, self.second, self.past = _conv(a, b), _conv(b, b), nn.Conv2d(a, b, 1)
        self.norm = nn.InstanceNorm2d(b)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.first(x)))
        return F.relu(self.norm(self.second(h))) + self.past(x)


class StyleNet(nn.Module):
    """(B, 3, H, W) in [0, 1] → the same, of any size."""

    def __init__(self, config: StyleNetConfig):
        super().__init__()
        self.config, w = config, config.width
        self.enter, self.start = nn.Conv2d(3, w, 1), Block(w, w)
        self.fine = nn.ModuleList([Block(w, w), Block(w, 2 * w), Block(2 * w, 4 * w)])
        self.down = nn.ModuleList(nn.Conv2d(c, c, 4, 2, 1, padding_mode="reflect") for c in (w, 2 * w, 4 * w))
        self.middle = Block(4 * w, 8 * w)
        self.up = nn.ModuleList([Block(8 * w + 4 * w, 4 * w), Block(4 * w + 2 * w, 2 * w), Block(2 * w + w, w)])
        self.end, self.leave = Block(2 * w, w), nn.Conv2d(w, 3, 1)
        if config.adds:  # then its first picture is the one that it was given
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    @classmethod
    def from_config(cls, config: dict) -> StyleNet:
        """Build from the JSON of its config."""
        return cls(StyleNetConfig(**config))

    @classmethod
    def drawn(cls, config: StyleNetConfig, seed: int) -> StyleNet:
        """A fresh net whose weights come from the seed: nothing of an earlier run is in it, and nothing global is drawn."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError on what is no batch of pictures."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"x: shape {tuple(x.shape)} must be (B, 3, H, W)")
        height, width = x.shape[-2:]
        top, left = (_padded(side) - side for side in (height, width))
        x = whole = mirrored(mirrored(x, top // 2, top - top // 2, 2), left // 2, left - left // 2, 3)
        h0 = self.start(self.enter(x))
        h, levels = h0, []
        for block, down in zip(self.fine, self.down, strict=True):
            levels.append(block(h))
            h = down(levels[-1])
        h = self.middle(h)
        for block, beside in zip(self.up, reversed(levels), strict=True):
            h = block(torch.cat([F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False), beside], dim=1))
        y = self.leave(self.end(torch.cat([h, h0], dim=1)))
        y = torch.sigmoid(y + torch.logit(whole, EDGE) if self.config.adds else y)
        return y[..., top // 2:top // 2 + height, left // 2:left // 2 + width]


def width_for(height: int, width: int) -> int:
    """The width that a picture of that size gets unless one is asked for: the published one, the narrow one where its shorter
    side is below 192 pixels."""
    return NARROW if min(height, width) < SMALL else PUBLISHED


def mirrored(x: Tensor, before: int, after: int, dim: int) -> Tensor:
    """A map mirrored at both ends of a side by any number of cells, to and fro where that is more than it has."""
    if not before + after:
        return x
    n = x.shape[dim]
    period = max(1, 2 * (n - 1))
    at = torch.arange(-before, n + after, device=x.device) % period
    return x.index_select(dim, torch.minimum(at, period - at) if n > 1 else at)


def _padded(side: int) -> int:
    return max(SMALLEST, -(-side // STRIDE) * STRIDE)


def _conv(a: int, b: int) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, padding=1, padding_mode="reflect")
