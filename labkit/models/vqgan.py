"""VQGAN: an autoencoder whose latent is a grid of codes out of a learned codebook.

Esser, Rombach, Ommer, "Taming Transformers for High-Resolution Image Synthesis", arXiv:2012.09841. Encoder,
decoder and quantisers are taming-transformers' own modules under their own names, so that a published
checkpoint loads strictly; only `taming.modules` is imported, which needs neither Lightning nor omegaconf. The
pocket model and the full-size ones are the same class with another `VQGANConfig`.

    x (B,3,H,W) in [-1,1] --encode--> z_q (B,C,H/f,W/f), indices (B,H/f,W/f) --decode--> x (B,3,H,W)
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass

import torch
from taming.modules.diffusionmodules import model as taming_model
from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2
from torch import Tensor, nn

from labkit.models.codebook import lookup, snap, straight_through
from labkit.models.load import load_model, tuples
from labkit.models.pixels import Pixels

log = logging.getLogger(__name__)

# taming's Decoder prints its latent's shape whenever one is built; that line belongs in the log.
taming_model.print = lambda *words: log.debug(" ".join(map(str, words)))


@dataclass(frozen=True)
class VQGANConfig:
    """The architecture of a VQGAN, in taming's terms.

    `ch` channels times `ch_mult` per resolution level (f = 2^(levels-1)), `num_res_blocks` per level,
    attention at the levels whose side is in `attn_resolutions` when the picture's side is `resolution` (which
    limits nothing else: any side that f divides will do), a latent of `z_channels` that 1x1 convolutions take
    to the `embed_dim` of the codebook and back, `n_embed` codes, picked by the softmax over logits where
    `gumbel` is set and by distance otherwise.
    """

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    resolution: int = 256
    z_channels: int = 256
    embed_dim: int = 256
    n_embed: int = 1024
    gumbel: bool = False
    dropout: float = 0.0
    norm_groups: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "ch_mult", tuple(self.ch_mult))
        object.__setattr__(self, "attn_resolutions", tuple(self.attn_resolutions))
        if not self.ch_mult or min(self.ch_mult) < 1:
            raise ValueError(f"ch_mult: {self.ch_mult} must name at least one level, each 1 or more")
        if self.ch < 1 or self.ch % 32:
            raise ValueError(f"ch: {self.ch} must be a multiple of 32, the groups of every norm")
        if self.norm_groups < 1 or self.ch % self.norm_groups:
            raise ValueError(f"norm_groups: {self.norm_groups} must divide ch = {self.ch}")
        for field in ("num_res_blocks", "z_channels", "embed_dim", "n_embed"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: {getattr(self, field)} must be 1 or more")
        if self.resolution % self.f:
            raise ValueError(f"resolution: {self.resolution} must be a multiple of f = {self.f}")
        if self.gumbel and self.z_channels != self.embed_dim:
            raise ValueError(
                f"embed_dim: {self.embed_dim} must equal z_channels = {self.z_channels} for gumbel"
            )

    @property
    def f(self) -> int:
        """Pixels of the picture per cell of the latent, along a side."""
        return 2 ** (len(self.ch_mult) - 1)

    def to_dict(self) -> dict:
        """Plain values for JSON; `VQGANConfig(**d)` is the way back."""
        return asdict(self)


PRESETS: dict[str, VQGANConfig] = {
    "imagenet-f16-1024": VQGANConfig(n_embed=1024),
    "imagenet-f16-16384": VQGANConfig(n_embed=16384),
    "gumbel-f8": VQGANConfig(ch_mult=(1, 1, 2, 4), attn_resolutions=(32,), n_embed=8192, gumbel=True),
}


class NearestQuantizer(VectorQuantizer2):
    """taming's quantiser, returning what a painter needs and gathering codes by index."""

    @property
    def codebook(self) -> Tensor:
        return self.embedding.weight

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return snap(z, self.codebook)

    def relax(self, h: Tensor) -> Tensor:
        """The encoder's output already lies in the codebook's space."""
        return h

    def pick(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return self(h)


class GumbelQuantizer(GumbelQuantize):
    """taming's Gumbel quantiser (Jang et al., arXiv:1611.01144) without its noise: encoding is repeatable."""

    @property
    def codebook(self) -> Tensor:
        return self.embed.weight

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return snap(z, self.codebook)

    def relax(self, h: Tensor) -> Tensor:
        """The expected code under the softmax over logits: the continuous point of the codebook's space."""
        return torch.einsum("bnhw,nd->bdhw", self.proj(h).softmax(1), self.codebook)

    def pick(self, h: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.proj(h)
        indices = logits.argmax(1)
        soft = torch.einsum("bnhw,nd->bdhw", logits.softmax(1), self.codebook)
        return straight_through(lookup(self.codebook, indices), soft), indices


def pixel_nets(config: VQGANConfig) -> tuple[nn.Module, nn.Module]:
    """taming's encoder, pictures (B,3,H,W) -> features (B,z_channels,H/f,W/f), and its decoder, the way back."""
    dims = config.to_dict() | {"in_channels": 3, "out_ch": 3, "double_z": False}
    nets = taming_model.Encoder(**dims), taming_model.Decoder(**dims)
    for module in (m for net in nets for m in net.modules()):
        if isinstance(module, nn.GroupNorm):
            module.num_groups = config.norm_groups
    return nets


class VQGAN(nn.Module):
    """A VQGAN of the given config, with random weights until a state dict is loaded (see `load_vqgan`).

    Pictures x are (B,3,H,W) in [-1,1], H and W multiples of `f`; latents z are (B,embed_dim,H/f,W/f); indices
    are int64 (B,H/f,W/f) in [0,n_embed). `quantize(z) -> (z_q, indices)` takes any z of the codebook's space
    to its nearest codes: forward exactly z_q, backward the gradient as it is to z (straight-through; none
    reaches the codebook, so a trainer states its codebook loss with `lookup(indices)`).
    """

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = pixel_nets(config)
        if config.gumbel:
            self.quantize = GumbelQuantizer(config.z_channels, config.embed_dim, config.n_embed)
        else:
            self.quantize = NearestQuantizer(config.n_embed, config.embed_dim, beta=0.25)
        self.quant_conv = nn.Conv2d(config.z_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    @property
    def f(self) -> int:
        """Pixels per latent cell along a side."""
        return self.config.f

    @property
    def n_embed(self) -> int:
        """Number of codes."""
        return self.config.n_embed

    @property
    def embed_dim(self) -> int:
        """Channels of a latent, which is the length of a code."""
        return self.config.embed_dim

    @property
    def codebook(self) -> Tensor:
        """The embedding table (n_embed, embed_dim) as the decoder sees it; a parameter."""
        return self.quantize.codebook

    @classmethod
    def from_config(cls, config: dict) -> VQGAN:
        """Build from the JSON of its config."""
        return cls(VQGANConfig(**tuples(config)))

    def _features(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % self.f or x.shape[3] % self.f:
            raise ValueError(
                f"x: shape {tuple(x.shape)} must be (B, 3, H, W) with H and W multiples of f = {self.f}; "
                "crop or resize the picture"
            )
        return self.quant_conv(self.encoder(x))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures -> (z_q, indices), straight-through to the encoder."""
        return self.quantize.pick(self._features(x))

    def encode_continuous(self, x: Tensor) -> Tensor:
        """Pictures -> z before quantising; for a Gumbel model the expected code under its softmax."""
        return self.quantize.relax(self._features(x))

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """The grid of codes of a picture of this size: one level, (height/f, width/f)."""
        return ((height // self.f, width // self.f),)

    @torch.no_grad()
    def encode_codes(self, x: Tensor) -> tuple[Tensor, ...]:
        """Pictures -> the indices of each level, top first: here one, int64 (B,h,w)."""
        return (self.encode(x)[1],)

    def lookup(self, indices: Tensor) -> Tensor:
        """Indices (B,h,w) -> their codes as a latent (B,embed_dim,h,w); the gradient reaches the codebook."""
        return lookup(self.codebook, indices)

    def decode(self, z_q: Tensor) -> Tensor:
        """Latents -> pictures, not clamped: about [-1,1], a little beyond at the extremes."""
        return self.decoder(self.post_quant_conv(z_q))

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Indices (B,h,w) -> pictures (B,3,h*f,w*f), not clamped."""
        return self.decode(self.lookup(indices))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures -> their reconstructions, through the codes."""
        return self.decode(self.encode(x)[0])


def bare(name: str) -> VQGAN:
    """The full-size model of a name in PRESETS, without its weights."""
    return VQGAN(PRESETS[name])


def load_vqgan(name: str | os.PathLike, device: str | torch.device = "cpu", bf16: bool = False) -> VQGAN:
    """A VQGAN with its weights, in fp32, eval mode and frozen.

    "pocket", "pixels" (none: the pixels themselves), one of PRESETS (from the cache; `python -m labkit zoo get NAME`
    puts it there) or the path of safetensors as `convert` writes them. Raises WeightsNotFound, WeightsMismatch or WeightsError.
    """
    return Pixels().to(device) if os.fspath(name) == "pixels" else load_model("vqgan", name, device)
