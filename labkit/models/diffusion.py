"""Diffusion models behind one door: what a sampler sees of the pocket model and of the released ImageNet models.

A *denoiser* has `alpha_bar` (T,), `image_size`, `multiple` (of which a picture's sides must be) and

    denoiser(x (B, 3, H, W), t (B,) int64) → `sampler.Belief`

x is about [-1, 1] plus noise. The pocket model is diffusers' `UNet2DModel` over space-to-depth pixels: a 2 × 2 block of the
picture is one cell of 12 channels, so that 64 × 64 costs what 32 × 32 would. It predicts v = √ᾱ ε − √(1 − ᾱ) x_0 (Salimans & Ho
2022, "Progressive Distillation", section 4) under the cosine schedule, cut off where hardly any signal is left: further steps
would teach nothing and have guidance divide by √ᾱ ≈ 0. What is linear in that, `precondition.BlockWiener` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from labkit.models.load import load_model, tuples
from labkit.models.precondition import BlockWiener
from labkit.models.sampler import Belief
from labkit.models.schedule import cosine_alpha_bar

LEAST_ALPHA_BAR = 5e-4  # signal 0.022, noise 1
GROUPS = 8  # of 12 and 20 channels: diffusers' 32 of 3 and 5 would take a picture's tone away


@dataclass(frozen=True)
class PocketDiffusionConfig:
    """Channels at each resolution (attention at the lowest), residual blocks at each, pixels of a cell's side."""

    image_size: int = 64
    block: int = 2
    widths: tuple[int, ...] = (48, 96, 160)
    layers: int = 1
    timesteps: int = 1000

    @property
    def multiple(self) -> int:
        """Of which a picture's sides must be."""
        return self.block * 2 ** (len(self.widths) - 1)


def pocket_alpha_bar(timesteps: int) -> Tensor:
    """ᾱ of the pocket model: float64 and no buffer, as half precision would spoil it."""
    with torch.device("cpu"):  # also where the weights are still without a place
        alpha_bar = cosine_alpha_bar(timesteps)
        return alpha_bar[alpha_bar >= LEAST_ALPHA_BAR]


class PocketDiffusion(nn.Module):
    """The pocket denoiser; `v(x, t)` is its raw prediction, in pixels."""

    def __init__(self, config: PocketDiffusionConfig):
        super().__init__()
        self.config, n, k = config, 3 * config.block**2, len(config.widths)
        self.unet = UNet2DModel(
            sample_size=config.image_size // config.block, in_channels=n, out_channels=n, layers_per_block=config.layers,
            block_out_channels=config.widths, attention_head_dim=32, norm_num_groups=GROUPS,
            down_block_types=("DownBlock2D",) * (k - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (k - 1))
        self.wiener = BlockWiener(config.block)
        self.alpha_bar = pocket_alpha_bar(config.timesteps)
        self.image_size, self.multiple = config.image_size, config.multiple

    def v(self, x: Tensor, t: Tensor) -> Tensor:
        """v̂ (B, 3, H, W) of noisy pictures x at timesteps t (B,)."""
        return self.wiener(lambda cells: self.unet(cells, t).sample, x, self.alpha_bar[t.cpu()])

    def forward(self, x: Tensor, t: Tensor) -> Belief:
        v, a = self.v(x, t).float(), self.alpha_bar[t.cpu()].to(x.device).view(-1, 1, 1, 1)
        signal, noise = a.sqrt().float(), (1 - a).sqrt().float()
        return Belief(signal * x - noise * v, noise * x + signal * v, None)

    @classmethod
    def from_config(cls, config: dict) -> PocketDiffusion:
        """Build from the JSON of its config."""
        return cls(PocketDiffusionConfig(**tuples(config)))


def load_diffusion(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> nn.Module:
    """A denoiser with its weights, in fp32, eval mode and frozen: "pocket", a full-size name of the zoo or a file."""
    return load_model("diffusion", name, device)
