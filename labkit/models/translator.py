"""Sketch → picture in one pass, by pairs (pix2pix) or without (CycleGAN): what the sketch thesis names beside diffusion.

    pix2pix    G(s, e): a sketch s and a sentence's CLIP vector e, learned from pairs. Isola et al. 2017, arXiv:1611.07004
    CycleGAN   G(s), and back F(x): two nets learned from sketches here and pictures there. Zhu et al. 2017, arXiv:1703.10593

All three nets are of one build: cells of 2 × 2 pixels, two strides, residual blocks, and the way back with the finer levels
beside it (the U-Net of pix2pix); the middle is CycleGAN's. Colour and setting are not in a line drawing: of pix2pix the
sentence sets scale and shift of every block (FiLM, Perez et al. 2018), CycleGAN has to guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.gan import soft
from labkit.models.load import load_model, tuples


@dataclass(frozen=True)
class TranslatorConfig:
    """Channels at half, quarter and eighth of the side; residual blocks at the last; length of a sentence's vector, 0 where
    none is read. Raises ValueError naming field and value."""

    widths: tuple[int, int, int] = (32, 64, 96)
    blocks: int = 4
    condition: int = 0

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or any(w < 8 or w % 8 for w in self.widths):
            raise ValueError(f"widths: {self.widths} must be three multiples of 8, the channels at 32, 16 and 8 cells")
        if self.blocks < 1 or self.condition < 0:
            raise ValueError(f"blocks, condition: {self.blocks}, {self.condition} must be 1 or more, 0 or more")


class Block(nn.Module):
    """x + conv(relu(norm(conv(x)))), scaled and shifted by the sentence where there is one."""

    def __init__(self, width: int, condition: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect") for _ in range(2))
        self.norm, self.out = nn.InstanceNorm2d(width, affine=True), nn.InstanceNorm2d(width, affine=True)
        self.film = nn.Linear(condition, 2 * width) if condition else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        h = self.norm(self.first(x))
        if self.film is not None:
            scale, shift = self.film(y)[..., None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.out(self.second(F.relu(h)))


class Translator(nn.Module):
    """(B, 3, H, W) in [-1, 1] → the same, H and W multiples of 8."""

    def __init__(self, config: TranslatorConfig):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.cells = _step(nn.Conv2d(12, fine, 3, padding=1, padding_mode="reflect"), fine)
        self.down = nn.ModuleList([_step(nn.Conv2d(fine, middle, 4, 2, 1), middle),
                                   _step(nn.Conv2d(middle, coarse, 4, 2, 1), coarse)])
        self.read = nn.Sequential(nn.Linear(config.condition, 128), nn.SiLU()) if config.condition else None
        self.blocks = nn.ModuleList(Block(coarse, 128 if config.condition else 0) for _ in range(config.blocks))
        self.up = nn.ModuleList([_step(nn.Conv2d(coarse + middle, middle, 3, padding=1), middle),
                                 _step(nn.Conv2d(middle + fine, fine, 3, padding=1), fine)])
        self.pixels = nn.Conv2d(fine, 12, 3, padding=1)
        self.register_buffer("centre", torch.zeros(config.condition))
        self.register_buffer("spread", torch.ones(config.condition))

    @classmethod
    def from_config(cls, config: dict) -> Translator:
        """Build from the JSON of its config."""
        return cls(TranslatorConfig(**tuples(config)))

    @torch.no_grad()
    def measure(self, embeddings: Tensor) -> None:
        """Take mean and spread of sentences' vectors (N ≥ 2, D): those of one small world all point about the same way."""
        self.centre.copy_(embeddings.mean(0))
        self.spread.copy_(embeddings.std(0).clamp_min(1e-4))  # 1e-4: far above what fp16 cannot hold

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """Raises ValueError on other shapes, and where a sentence is missing or cannot be read."""
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 8 or x.shape[3] % 8:
            raise ValueError(f"x: shape {tuple(x.shape)} must be (B, 3, H, W), H and W multiples of 8")
        if (e is None) == bool(self.config.condition):
            raise ValueError("e: this net reads no sentence; leave it out" if e is not None else
                             f"e: give a sentence's vector for each picture, ({len(x)}, {self.config.condition})")
        y = None
        if e is not None:
            if e.shape != (len(x), self.config.condition):
                raise ValueError(f"e: shape {tuple(e.shape)} must be ({len(x)}, {self.config.condition})")
            y = self.read((e - self.centre) / self.spread)
        fine = self.cells(F.pixel_unshuffle(x, 2))
        middle = self.down[0](fine)
        h = self.down[1](middle)
        for block in self.blocks:
            h = block(h, y)
        for step, beside in zip(self.up, (middle, fine), strict=True):
            h = step(torch.cat([F.interpolate(h, scale_factor=2.0, mode="nearest"), beside], dim=1))
        return soft(F.pixel_shuffle(self.pixels(h), 2)).float().tanh()


class CycleGAN(nn.Module):
    """`draw`: sketch → picture; `trace`: picture → sketch."""

    def __init__(self, config: TranslatorConfig):
        super().__init__()
        self.config = config
        self.draw, self.trace = Translator(config), Translator(config)

    @classmethod
    def from_config(cls, config: dict) -> CycleGAN:
        """Build from the JSON of its config."""
        return cls(TranslatorConfig(**tuples(config)))

    def forward(self, x: Tensor) -> Tensor:
        """Sketches (B, 3, H, W) in [-1, 1] → pictures."""
        return self.draw(x)


class PatchCritic(nn.Module):
    """Is each patch real? (B, C, 64, 64) → (B, 1, 8, 8) scores, 1 for real (Isola et al. 2017, section 3.2.2). It serves
    training alone and is not shipped."""

    def __init__(self, channels: int, widths: tuple[int, int, int] = (32, 64, 96)):
        super().__init__()
        fine, middle, coarse = widths
        self.net = nn.Sequential(
            nn.Conv2d(channels, fine, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(fine, middle, 4, 2, 1), nn.InstanceNorm2d(middle, affine=True), nn.LeakyReLU(0.2),
            nn.Conv2d(middle, coarse, 4, 2, 1), nn.InstanceNorm2d(coarse, affine=True), nn.LeakyReLU(0.2),
            nn.Conv2d(coarse, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _step(conv: nn.Conv2d, width: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.InstanceNorm2d(width, affine=True), nn.ReLU())


def load_pix2pix(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> Translator:
    """The net that learned from pairs, with its weights, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError
    and its kin."""
    return load_model("pix2pix", name, device)


def load_cyclegan(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> CycleGAN:
    """Both nets of a CycleGAN, likewise."""
    return load_model("cyclegan", name, device)
