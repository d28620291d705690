"""VQ-VAE-2: a picture as two grids of codes, a coarse one (colours and where) and a fine one under it (outlines, strokes).

Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446, algorithm 1, with the
quantiser of `vector-quantize-pytorch` (codebooks are moving averages of what the encoder makes):

    h_b = enc_b(x)       (B, c, H/4, W/4)          e_t = VQ(to_top(enc_t(h_b)))                 (B, D, H/8, W/8)
    d = dec_t(e_t)       (B, D, H/4, W/4)          e_b = VQ(to_bottom(concat(d, h_b)))          (B, D, H/4, W/4)
    x̂ = dec(concat(up(e_t), e_b))

enc_b and dec are a VQGAN's encoder and decoder and a few layers more, so that they can begin as those of one that is trained:
what it took hours to learn of pixels need not be learned again.

With `condition` > 0 a vector y (B, condition) of the picture's caption or of the picture itself is added, after a linear map,
to h_b, to d and to what the decoder reads, as the codes report has it: what the sentence says need not be in the codes.
A y of zeros stands for "nothing is known".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from labkit.models.codebook import lookup, snap
from labkit.models.load import load_model, tuples
from labkit.models.vqgan import VQGANConfig, pixel_nets

LEVELS = ("top", "bottom")


@dataclass(frozen=True)
class VQVAEConfig:
    """`channels` of the layers between pixels and codes, `residual` blocks of `bottleneck` channels in each part, codes of
    length `embed_dim`, `n_embed` of them a level, and the length of the vector that conditions (0: none). `ch`, `ch_mult`,
    `num_res_blocks`, `norm_groups` and `z_channels` are those of the VQGAN whose encoder and decoder it has."""

    channels: int = 64
    residual: int = 2
    bottleneck: int = 32
    embed_dim: int = 16
    n_embed: int = 2048
    condition: int = 0
    decay: float = 0.99
    commitment: float = 0.25
    ch: int = 32
    ch_mult: tuple[int, ...] = (1, 2, 2)
    num_res_blocks: int = 1
    norm_groups: int = 4
    z_channels: int = 64

    def __post_init__(self) -> None:
        for field in ("channels", "residual", "bottleneck", "embed_dim", "n_embed"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: {getattr(self, field)} must be 1 or more")
        if self.channels % 2 or self.condition < 0:
            raise ValueError(f"channels: {self.channels} must be even, condition: {self.condition} 0 or more")
        if self.pixels.f != 4:
            raise ValueError(f"ch_mult: {self.ch_mult} must name three levels, so that a fine code stands for 4 × 4 pixels")

    @property
    def pixels(self) -> VQGANConfig:
        """The VQGAN whose encoder and decoder it has."""
        return VQGANConfig(ch=self.ch, ch_mult=self.ch_mult, num_res_blocks=self.num_res_blocks, attn_resolutions=(),
                           resolution=64, z_channels=self.z_channels, norm_groups=self.norm_groups)


class Residual(nn.Module):
    """x + conv1(ReLU(conv3(ReLU(x))))."""

    def __init__(self, channels: int, bottleneck: int):
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, bottleneck, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(bottleneck, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class VQVAE(nn.Module):
    """Pictures x are (B, 3, H, W) in [-1, 1], H and W multiples of 8; codes are int64, (top (B, H/8, W/8),
    bottom (B, H/4, W/4)), each in [0, n_embed)."""

    multiple = 8

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        self.config = config
        c, d = config.channels, config.embed_dim

        def blocks() -> list[nn.Module]:
            return [*(Residual(c, config.bottleneck) for _ in range(config.residual)), nn.ReLU()]

        def down(a: int, b: int) -> list[nn.Module]:
            return [nn.Conv2d(a, b, 4, 2, 1), nn.ReLU()]

        self.encoder, self.decoder = pixel_nets(config.pixels)
        self.encode_bottom = nn.Sequential(nn.Conv2d(config.z_channels, c, 3, padding=1), *blocks())
        self.encode_top = nn.Sequential(*down(c, c // 2), nn.Conv2d(c // 2, c, 3, padding=1), *blocks())
        self.to_top, self.to_bottom = nn.Conv2d(c, d, 1), nn.Conv2d(d + c, d, 1)
        self.decode_top = nn.Sequential(nn.Conv2d(d, c, 3, padding=1), *blocks(), nn.ConvTranspose2d(c, d, 4, 2, 1))
        self.up = nn.ConvTranspose2d(d, d, 4, 2, 1)
        self.decode_both = nn.Sequential(nn.Conv2d(2 * d, c, 3, padding=1), *blocks(), nn.Conv2d(c, config.z_channels, 1))
        self.quantisers = nn.ModuleList(
            VectorQuantize(d, config.n_embed, decay=config.decay, commitment_weight=config.commitment, kmeans_init=True,
                           accept_image_fmap=True, rotation_trick=False) for _ in LEVELS)
        self.conditions = nn.ModuleList(
            nn.Linear(config.condition, n, bias=False) for n in (c, d, 2 * d)) if config.condition else None

    @property
    def n_embed(self) -> int:
        """Codes of each level."""
        return self.config.n_embed

    @classmethod
    def from_config(cls, config: dict) -> VQVAE:
        """Build from the JSON of its config."""
        return cls(VQVAEConfig(**tuples(config)))

    def codebook(self, level: int) -> Tensor:
        """The codes (n_embed, D) of level 0 (top) or 1 (bottom)."""
        return self.quantisers[level].codebook

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the codes of a picture, top first. Raises ValueError unless both sides are multiples of 8."""
        if height % self.multiple or width % self.multiple or not (height and width):
            raise ValueError(f"x: {height} × {width} pixels, but both sides must be multiples of {self.multiple}; "
                             "crop or resize the picture")
        return (height // 8, width // 8), (height // 4, width // 4)

    def encode_codes(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pictures → codes, top first."""
        return self.encode(x, condition)[1]

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Pictures → quantised vectors of both levels, (B, D, H/8, W/8) and (B, D, H/4, W/4), and their codes."""
        self.grids(*x.shape[-2:])
        quantised, codes, _ = self._quantise(self.encoder(x), condition,
                                             lambda level, h: (*snap(h, self.codebook(level)), h.new_zeros(())))
        return quantised, codes

    def _quantise(self, features, condition, quantise):
        low = self._told(0, self.encode_bottom(features), condition)
        top, top_codes, lost_top = quantise(0, self.to_top(self.encode_top(low)).float())
        told = self._told(1, self.decode_top(top), condition)
        bottom, bottom_codes, lost_bottom = quantise(1, self.to_bottom(torch.cat([told, low.to(told)], dim=1)).float())
        return (top, bottom), (top_codes, bottom_codes), (lost_top, lost_bottom)

    def features(self, top: Tensor, bottom: Tensor | None, condition: Tensor | None = None) -> Tensor:
        """Quantised vectors of both levels, or of the top alone → what the decoder reads (B, z_channels, H/4, W/4)."""
        up = self.up(top)
        bottom = torch.zeros_like(up) if bottom is None else bottom.to(top)
        return self.decode_both(self._told(2, torch.cat([up, bottom], dim=1), condition))

    def decode(self, top: Tensor, bottom: Tensor | None, condition: Tensor | None = None) -> Tensor:
        """Quantised vectors of both levels, or of the top alone → pictures, not clamped."""
        return self.decoder(self.features(top, bottom, condition))

    def decode_codes(self, top: Tensor, bottom: Tensor | None, condition: Tensor | None = None) -> Tensor:
        """Codes of both levels, or of the top alone → pictures, not clamped."""
        fine = None if bottom is None else lookup(self.codebook(1), bottom)
        return self.decode(lookup(self.codebook(0), top), fine, condition)

    def learn(self, features: Tensor, condition: Tensor | None = None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """In training: the encoder's features → quantised vectors and codes of both levels, and the sum of their commitment
        losses; the codebooks move, unless the quantisers are in eval mode."""
        vectors, codes, lost = self._quantise(features, condition, lambda level, h: self.quantisers[level](h))
        return vectors, codes, sum(lost)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """In training: pictures → reconstructions, codes, and the commitment losses' sum."""
        vectors, codes, lost = self.learn(self.encoder(x), condition)
        return self.decode(*vectors, condition), codes, lost

    def _told(self, place: int, h: Tensor, condition: Tensor | None) -> Tensor:
        """A map with the condition added to every cell."""
        if self.conditions is None:
            if condition is not None:
                raise ValueError("condition: this VQ-VAE was trained without one; leave it out")
            return h
        if condition is None:
            return h
        return h + self.conditions[place](condition.to(self.conditions[place].weight))[:, :, None, None].to(h)


def load_vqvae(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> VQVAE:
    """A VQ-VAE with its weights, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("vqvae", name, device)
