"""The ADM U-Net in the published layout of keys, for tests: what a released checkpoint's tensors mean.

Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233, section 3 and appendix, as the
released ImageNet models have it: residual blocks that resample (BigGAN), adaptive group norm (1 + scale) · norm(h) + shift in
fp32, attention with heads of fixed width whose q, k and v lie together per head ("legacy order"), six output channels. Written
apart from labkit's map of keys, so that the two check each other. Nothing is initialised to zero here: zeros hide mistakes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_features(t: Tensor, n: int) -> Tensor:
    """[cos, sin] of t at n/2 frequencies from 1 down to nearly 1/10000: (B, n)."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(n // 2, device=t.device) / (n // 2))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Norm32(nn.GroupNorm):
    """32 groups, computed in fp32 whatever the input is."""

    def __init__(self, channels: int):
        super().__init__(32, channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).type(x.dtype)


class ResBlock(nn.Module):
    """`resample` is None, "down" (mean of 2 × 2) or "up" (nearest), and acts on both paths, before the first convolution."""

    def __init__(self, channels: int, embedding: int, out: int, resample: str | None = None):
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(Norm32(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out))
        self.out_layers = nn.Sequential(Norm32(out), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def resized(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.resample == "up" else x

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        norm, act, conv = self.in_layers
        h = conv(self.resized(act(norm(x))))
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        return self.skip_connection(self.resized(x)) + h


class AttentionBlock(nn.Module):
    """qkv's channels are (heads, 3, width), not (3, heads, width)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.heads = channels // width
        self.norm = Norm32(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        b, c, *_ = x.shape
        flat = x.reshape(b, c, -1)
        q, k, v = self.qkv(self.norm(flat)).reshape(b * self.heads, 3 * c // self.heads, -1).chunk(3, dim=1)
        weights = torch.einsum("bct,bcs->bts", q, k).div(math.sqrt(c // self.heads)).softmax(-1)
        h = torch.einsum("bts,bcs->bct", weights, v).reshape(b, c, -1)
        return (flat + self.proj_out(h)).reshape(x.shape)


class Block(nn.ModuleList):
    """Modules in a row; those that take the time's embedding get it."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for module in self:
            x = module(x) if isinstance(module, nn.Conv2d) else module(x, embedding)
        return x


class OriginalADM(nn.Module):
    """(B, 3, H, W), t (B,) → (B, 6, H, W). Attention at the levels whose downsampling factor is in `attention_factors`."""

    def __init__(self, model_channels: int, channel_mult: tuple[float, ...], attention_factors: tuple[int, ...],
                 head_channels: int, res_blocks: int = 2):
        super().__init__()
        self.model_channels, time = model_channels, 4 * model_channels
        self.time_embed = nn.Sequential(nn.Linear(model_channels, time), nn.SiLU(), nn.Linear(time, time))
        ch = first = int(channel_mult[0] * model_channels)
        self.input_blocks = nn.ModuleList([Block([nn.Conv2d(3, ch, 3, padding=1)])])
        skips, factor = [ch], 1
        for level, mult in enumerate(channel_mult):
            if level:
                self.input_blocks.append(Block([ResBlock(ch, time, ch, "down")]))
                skips.append(ch)
                factor *= 2
            for _ in range(res_blocks):
                out = int(mult * model_channels)
                attention = [AttentionBlock(out, head_channels)] if factor in attention_factors else []
                self.input_blocks.append(Block([ResBlock(ch, time, out), *attention]))
                ch = out
                skips.append(ch)
        self.middle_block = Block([ResBlock(ch, time, ch), AttentionBlock(ch, head_channels), ResBlock(ch, time, ch)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(channel_mult))):
            for i in range(res_blocks + 1):
                out = int(channel_mult[level] * model_channels)
                block = Block([ResBlock(ch + skips.pop(), time, out)])
                ch = out
                if factor in attention_factors:
                    block.append(AttentionBlock(ch, head_channels))
                if level and i == res_blocks:
                    block.append(ResBlock(ch, time, ch, "up"))
                    factor //= 2
                self.output_blocks.append(block)
        self.out = nn.Sequential(Norm32(ch), nn.SiLU(), nn.Conv2d(first, 6, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = self.time_embed(timestep_features(t, self.model_channels))
        skips = []
        for block in self.input_blocks:
            x = block(x, embedding)
            skips.append(x)
        x = self.middle_block(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        return self.out(x)
