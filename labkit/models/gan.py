"""The GAN that the lyrics report first proposed (its Figure 1): noise and a phrase become a picture in one go, and a critic.

    G(z, e) → picture,   z ~ N(0, I),  e = the phrase's CLIP embedding
    D(x, e) = ψ(φ(x)) + ⟨V e, φ(x)⟩/√C        the projection discriminator: Miyato & Koyama 2018, eq. 3

Two generators with one call. "ffnn" is the report's, a feed-forward net: its last layer writes all pixels at once, so every
picture is one mean plus a mixture of as many fixed pictures as that layer has inputs. "conv" grows 4 × 4 cells to 32 × 32 and
shuffles the last channels into pixels; noise and phrase set scale and shift of every normalised layer (FiLM, Perez et al.
2018). The discriminator serves training alone (`labkit.training.gan`) and is not shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.load import load_model, tuples

KINDS = ("conv", "ffnn")
SIDE = 64  # of the pictures
CRITIC_SIDES = (16, 8, 4)  # of the discriminator's levels


@dataclass(frozen=True)
class GANConfig:
    """`kind` of generator, lengths of `noise` and of the phrase's embedding (`embed`), and `widths`: channels at 4, 8, 16 and
    32 pixels ("conv") or of the hidden layers ("ffnn"); () for the kind's own. Raises ValueError naming field and value."""

    kind: str = "conv"
    noise: int = 64
    embed: int = 192
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} must be one of {', '.join(KINDS)}")
        for name in ("noise", "embed"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be 1 or more")
        widths = tuple(self.widths) or {"conv": (128, 128, 96, 48), "ffnn": (256, 96)}[self.kind]
        object.__setattr__(self, "widths", widths)
        if self.kind == "conv" and (len(widths) != 4 or any(w < 8 or w % 8 for w in widths)):
            raise ValueError(f"widths: {widths} must be four multiples of 8, the channels at 4, 8, 16 and 32 pixels")
        if min(widths) < 1:
            raise ValueError(f"widths: {widths} must be 1 or more each")


class FeedForward(nn.Module):
    """(z, e) → hidden layers → every pixel at once."""

    def __init__(self, config: GANConfig):
        super().__init__()
        layers, before = [], config.noise + config.embed
        for width in config.widths:
            layers += [nn.Linear(before, width), nn.LayerNorm(width), nn.LeakyReLU(0.2)]
            before = width
        self.layers, self.pixels = nn.Sequential(*layers), nn.Linear(before, 3 * SIDE * SIDE)

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        return self.pixels(self.layers(torch.cat([z, e], dim=1))).view(-1, 3, SIDE, SIDE)


class Grow(nn.Module):
    """(B, C, H, W) → (B, C', 2H, 2W): two convolutions, each normalised and then scaled and shifted by the code w."""

    def __init__(self, before: int, after: int, code: int):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)])
        self.norms = nn.ModuleList(nn.GroupNorm(8, after, affine=False) for _ in range(2))
        self.films = nn.ModuleList(nn.Linear(code, 2 * after) for _ in range(2))
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        h = x
        for conv, norm, film in zip(self.convs, self.norms, self.films, strict=True):
            scale, shift = film(w)[..., None, None].chunk(2, dim=1)
            h = F.leaky_relu(norm(conv(h)) * (1 + scale) + shift, 0.2)
        return self.skip(x) + h


def soft(x: Tensor) -> Tensor:
    """Pictures (B, C, H, W) through the filter [1 2 1]/4 both ways: it passes no stripes of one pixel, which shuffled channels
    make and a short game does not unlearn (Zhang 2019, "Making convolutional networks shift-invariant again")."""
    k = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device) / 4
    k = torch.outer(k, k).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), k, groups=x.shape[1])


class Convolutional(nn.Module):
    """(z, e) → a code w → 4 × 4 cells → 8 → 16 → 32, whose channels are shuffled into 64 × 64 pixels."""

    def __init__(self, config: GANConfig):
        super().__init__()
        widths, code = config.widths, 192
        self.read = nn.Linear(config.embed, 128)
        self.code = nn.Sequential(nn.Linear(config.noise + 128, code), nn.LeakyReLU(0.2),
                                  nn.Linear(code, code), nn.LeakyReLU(0.2))
        self.cells = nn.Linear(code, widths[0] * 16)
        self.grow = nn.ModuleList(Grow(a, b, code) for a, b in zip(widths, widths[1:], strict=False))
        self.pixels = nn.Conv2d(widths[-1], 12, 3, padding=1)
        with torch.no_grad():  # the four pixels of a cell start alike: no checkerboard to unlearn (Aitken et al. 2017)
            self.pixels.weight.copy_(self.pixels.weight[::4].repeat_interleave(4, dim=0))
            self.pixels.bias.zero_()

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        w = self.code(torch.cat([z, self.read(e)], dim=1))
        x = self.cells(w).view(len(w), -1, 4, 4)
        for block in self.grow:
            x = block(x, w)
        return soft(F.pixel_shuffle(self.pixels(x), 2))


class PocketGAN(nn.Module):
    """The generator, as it is shipped. Embeddings are standardised by the training captions' mean and spread first: those of
    one small world all point about the same way."""

    def __init__(self, config: GANConfig):
        super().__init__()
        self.config = config
        self.net = (Convolutional if config.kind == "conv" else FeedForward)(config)
        self.register_buffer("centre", torch.zeros(config.embed))
        self.register_buffer("spread", torch.ones(config.embed))

    @torch.no_grad()
    def measure(self, embeddings: Tensor) -> None:
        """Take mean and spread of the captions' embeddings (N ≥ 2, D)."""
        self.centre.copy_(embeddings.mean(0))
        self.spread.copy_(embeddings.std(0).clamp_min(1e-4))  # 1e-4: far above what fp16 cannot hold

    def standard(self, embeddings: Tensor) -> Tensor:
        """CLIP embeddings (B, D) → the same with mean 0 and spread 1 over the training captions."""
        return (embeddings - self.centre) / self.spread

    def forward(self, z: Tensor, embeddings: Tensor) -> Tensor:
        """Noise (B, noise) and CLIP text embeddings (B, D) → pictures (B, 3, 64, 64) in [-1, 1]. Raises ValueError on other
        shapes."""
        if z.ndim != 2 or z.shape[1] != self.config.noise:
            raise ValueError(f"z: shape {tuple(z.shape)} must be (B, {self.config.noise})")
        if embeddings.shape != (len(z), self.config.embed):
            raise ValueError(f"embeddings: shape {tuple(embeddings.shape)} must be ({len(z)}, {self.config.embed}), CLIP's "
                             "text embeddings (lab.clip.encode_text), one per row of noise")
        return self.net(z, self.standard(embeddings)).float().tanh()

    def noise(self, n: int, seed: int) -> Tensor:
        """Standard normal noise (n, noise), drawn on the CPU."""
        return torch.randn(n, self.config.noise, generator=torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def sample(self, embeddings: Tensor, seed: int = 0) -> Tensor:
        """Pictures (B, 3, 64, 64) in [-1, 1] of text embeddings (B, D), each with noise of its own; deterministic by seed.
        Raises ValueError on other shapes."""
        if embeddings.ndim != 2:
            raise ValueError(f"embeddings: shape {tuple(embeddings.shape)} must be (B, {self.config.embed})")
        return self(self.noise(len(embeddings), seed).to(self.centre.device), embeddings.to(self.centre))

    @classmethod
    def from_config(cls, config: dict) -> PocketGAN:
        """Build from the JSON of its config."""
        return cls(GANConfig(**tuples(config)))


class Discriminator(nn.Module):
    """Does the picture belong to the phrase, and is it real? Logits (B,), positive for yes.

    A convolutional net over 4 × 4 cells of pixels, at 16, 8 and 4 cells a side. `taps` maps a side to channels of a frozen
    net's features that join there (Sauer et al. 2021, "Projected GANs": through a trained eye, a critic learns much sooner).
    """

    def __init__(self, embed: int, widths: tuple[int, ...] = (96, 128, 128), taps: dict[int, int] | None = None):
        super().__init__()
        self.taps, before, levels = dict(taps or {}), 48, []
        unknown = sorted(set(self.taps) - set(CRITIC_SIDES))
        if unknown:
            raise ValueError(f"taps: no level has the side {unknown[0]}; there are {', '.join(map(str, CRITIC_SIDES))}")
        for side, width in zip(CRITIC_SIDES, widths, strict=True):
            levels.append(nn.Conv2d(before + self.taps.get(side, 0), width, 3, padding=1))
            before = width
        self.levels = nn.ModuleList(levels)
        self.phi = nn.Linear(16 * before, 192)
        self.psi, self.project = nn.Linear(192, 1), nn.Linear(embed, 192, bias=False)
        for layer in [*self.levels, self.phi]:  # nothing is normalised here: the start keeps the signal's size (He et al. 2015)
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)

    def features(self, x: Tensor, seen: tuple[Tensor, ...] = ()) -> Tensor:
        """φ (B, 192) of pictures (B, 3, 64, 64) in [-1, 1]; `seen` are the taps' features, finest first."""
        h, seen = F.pixel_unshuffle(x, 4), {f.shape[-1]: f for f in seen}
        for side, conv in zip(CRITIC_SIDES, self.levels, strict=True):
            h = torch.cat([h, seen[side].to(h.dtype)], dim=1) if side in self.taps else h
            h = F.leaky_relu(conv(h), 0.2)
            h = F.avg_pool2d(h, 2) if side != CRITIC_SIDES[-1] else h
        return F.leaky_relu(self.phi(h.flatten(1)), 0.2)

    def score(self, phi: Tensor, e: Tensor) -> Tensor:
        """ψ(φ) + ⟨V e, φ⟩/√C, (B,), of standardised embeddings e (B, D)."""
        return self.psi(phi).squeeze(1) + (self.project(e) * phi).sum(1) / phi.shape[1] ** 0.5

    def forward(self, x: Tensor, e: Tensor, seen: tuple[Tensor, ...] = ()) -> Tensor:
        return self.score(self.features(x, seen), e)


def load_gan(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> PocketGAN:
    """The generator with its weights, in fp32, eval mode and frozen: "pocket" or a file. Raises WeightsError and its kin."""
    return load_model("gan", name, device)
