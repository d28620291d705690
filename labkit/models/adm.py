"""ADM: the released unconditional ImageNet diffusion models, as diffusers' `UNet2DModel`, exactly.

Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233. The published files
(`256x256_diffusion_uncond.pt` and `512x512_diffusion_uncond_finetune_008100.pt`) are bare state dicts in the layout of keys of
guided-diffusion. `convert_state_dict` renames them and, where the layouts differ, moves numbers about without changing one:

- qkv is one 1 × 1 Conv1d whose 3C rows lie as (heads, 3, width): each head's q, k and v together. UNet2DModel has three Linear
  layers of rows (heads, width). Cutting the 3C rows in three, which suits models of the newer order, fits without an error and
  is wrong. No shape tells the two orders apart, so only files of exactly the tensors of one of `PRESETS` are taken.
- The 512 model's first block is half as wide as its sinusoid of the time; UNet2DModel ties the two, so `build` unties them.

The network's six channels are ε̂ (0:3) and, as `share` in about [-1, 1], the learned variance's place (3:6) between the two
extremes that a reverse step's variance can have (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15):

    log σ² = v log β + (1 − v) log β̃        v = (share + 1)/2        β̃ = β(1 − ᾱ')/(1 − ᾱ)

Published format verified; the released weights were not run here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache

import torch
from diffusers import UNet2DModel
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from labkit import zoo
from labkit.models.load import tuples
from labkit.models.sampler import Belief
from labkit.models.schedule import linear_alpha_bar

RESNET = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
          "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "qkv": "to_q to_k to_v", "proj_out": "to_out.0"}
ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out", "out.2": "conv_out"}


@dataclass(frozen=True)
class ADMConfig:
    """The architecture, in guided-diffusion's terms.

    `model_channels` times `channel_mult` per level, each level half the side of the one before; attention at the levels whose
    side is in `attention_resolutions` when the picture's side is `image_size`, in heads of `num_head_channels`. Raises
    ValueError for what cannot be built.
    """

    image_size: int = 256
    model_channels: int = 256
    channel_mult: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (32, 16, 8)
    num_head_channels: int = 64

    def __post_init__(self) -> None:
        for name in ("channel_mult", "attention_resolutions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.channel_mult or self.image_size % self.multiple:
            raise ValueError(f"image_size: {self.image_size} must be a multiple of {self.multiple}, for channel_mult names "
                             f"{len(self.channel_mult)} levels")
        if any(width < 1 or width % 32 for width in self.widths):
            raise ValueError(f"channel_mult: gives widths {self.widths}; each must be a multiple of 32, the groups of a norm")
        if self.num_res_blocks < 1:
            raise ValueError(f"num_res_blocks: {self.num_res_blocks} must be 1 or more")
        attended = [w for i, w in enumerate(self.widths) if self.attends(i)] + [self.widths[-1]]
        if self.num_head_channels < 1 or any(width % self.num_head_channels for width in attended):
            raise ValueError(f"num_head_channels: {self.num_head_channels} must divide the widths with attention, {attended}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level, finest first."""
        return tuple(int(mult * self.model_channels) for mult in self.channel_mult)

    @property
    def multiple(self) -> int:
        """Of which a picture's sides must be."""
        return 2 ** max(len(self.channel_mult) - 1, 0)

    def attends(self, level: int) -> bool:
        """Whether a level has attention."""
        return self.image_size >> level in self.attention_resolutions

    def to_dict(self) -> dict:
        """Plain values for JSON; `ADMConfig(**d)` is the way back."""
        return asdict(self)


PRESETS: dict[str, ADMConfig] = {
    "imagenet-256": ADMConfig(),
    "imagenet-512": ADMConfig(image_size=512, channel_mult=(0.5, 1, 1, 2, 2, 4, 4)),
}


def build(config: ADMConfig) -> UNet2DModel:
    """The network with random weights: sample (B,3,H,W), timestep (B,) → (B,6,H,W)."""
    levels = [config.attends(i) for i in range(len(config.widths))]
    unet = UNet2DModel(
        sample_size=config.image_size, in_channels=3, out_channels=6, layers_per_block=config.num_res_blocks,
        block_out_channels=config.widths, time_embedding_dim=4 * config.model_channels,
        down_block_types=tuple("AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in levels),
        up_block_types=tuple("AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in reversed(levels)),
        downsample_type="resnet", upsample_type="resnet", resnet_time_scale_shift="scale_shift",
        attention_head_dim=config.num_head_channels,
        attn_norm_num_groups=32,  # without it the middle block's attention would have no norm
    )
    if config.widths[0] != config.model_channels:
        unet.time_proj = Timesteps(config.model_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        unet.time_embedding = TimestepEmbedding(config.model_channels, 4 * config.model_channels)
    return unet


def _modules(config: ADMConfig) -> Iterator[tuple[str, str]]:
    """Every module with weights: its name in the original and here, three of them for a qkv."""

    def block(theirs: str, ours: str, names: dict[str, str]) -> Iterator[tuple[str, str]]:
        for there, here in names.items():
            yield f"{theirs}.{there}", " ".join(f"{ours}.{name}" for name in here.split())

    yield from ENDS.items()
    layers, levels, n = config.num_res_blocks, len(config.widths), 0
    for i in range(levels):
        for j in range(layers):
            n += 1
            yield from block(f"input_blocks.{n}.0", f"down_blocks.{i}.resnets.{j}", RESNET)
            if config.attends(i):
                yield from block(f"input_blocks.{n}.1", f"down_blocks.{i}.attentions.{j}", ATTENTION)
        if i < levels - 1:
            n += 1
            yield from block(f"input_blocks.{n}.0", f"down_blocks.{i}.downsamplers.0", RESNET)
    yield from block("middle_block.0", "mid_block.resnets.0", RESNET)
    yield from block("middle_block.1", "mid_block.attentions.0", ATTENTION)
    yield from block("middle_block.2", "mid_block.resnets.1", RESNET)
    for i in range(levels):
        attends = config.attends(levels - 1 - i)
        for j in range(layers + 1):
            theirs = f"output_blocks.{i * (layers + 1) + j}"
            yield from block(f"{theirs}.0", f"up_blocks.{i}.resnets.{j}", RESNET)
            if attends:
                yield from block(f"{theirs}.1", f"up_blocks.{i}.attentions.{j}", ATTENTION)
        if i < levels - 1:
            yield from block(f"{theirs}.{1 + attends}", f"up_blocks.{i}.upsamplers.0", RESNET)


@cache
def _shapes(config: ADMConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in build(config).state_dict().items()}


def key_map(config: ADMConfig) -> dict[str, tuple[str, ...]]:
    """The original's tensors → UNet2DModel's: one each, and q, k, v for each qkv."""
    ours = _shapes(config)
    pairs = {f"{theirs}.{leaf}": tuple(f"{name}.{leaf}" for name in names.split())
             for theirs, names in _modules(config) for leaf in ("weight", "bias")}
    # not every residual block changes its width, and only those have a skip connection with weights
    return {theirs: names for theirs, names in pairs.items() if names[0] in ours}


def original_shapes(config: ADMConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of a published file of this architecture: key → shape."""
    ours, shapes = _shapes(config), {}
    for theirs, names in key_map(config).items():
        shape = (len(names) * ours[names[0]][0], *ours[names[0]][1:])
        conv1d = theirs.endswith((".qkv.weight", ".proj_out.weight"))
        shapes[theirs] = (*shape, 1) if conv1d else shape
    return shapes


def split_qkv(qkv: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v (C, ...) out of rows (3C, ...) that lie as (heads, 3, width), the legacy order."""
    return tuple(part.flatten(0, 1) for part in qkv.unflatten(0, (-1, 3, width)).unbind(1))


def _differences(state: dict[str, Tensor], config: ADMConfig) -> list[str]:
    wanted = original_shapes(config)
    found = [f"missing {key} {shape}" for key, shape in wanted.items() if key not in state]
    found += [f"unexpected {key} {tuple(state[key].shape)}" for key in state if key not in wanted]
    found += [f"{key} is {tuple(state[key].shape)}, the model has {shape}"
              for key, shape in wanted.items() if key in state and state[key].shape != shape]
    found += [f"{key} is {state[key].dtype}, the model has {torch.float32}"
              for key in wanted if key in state and not state[key].is_floating_point()]
    return found


def convert_state_dict(state: dict[str, Tensor], config: ADMConfig, name: str = "weights") -> dict[str, Tensor]:
    """A state dict of the original's layout and the legacy order of attention → UNet2DModel's, the same numbers.

    Raises WeightsMismatch with the first five differences where it is of another architecture; the error calls it `name`.
    """
    found = _differences(state, config)
    if found:
        what = f"an unconditional ADM of {config.image_size} pixels and {config.model_channels} channels"
        raise zoo.WeightsMismatch("\n  ".join([f"{name}: does not fit {what}, {len(found)} differences:", *found[:5]]))
    ours, converted = _shapes(config), {}
    for theirs, names in key_map(config).items():
        parts = split_qkv(state[theirs], config.num_head_channels) if len(names) == 3 else (state[theirs],)
        # of the same number of elements: only a Conv1d's last axis, of length 1, goes
        converted |= {key: part.reshape(ours[key]) for key, part in zip(names, parts, strict=True)}
    return converted


def convert_original(held: dict, name: str) -> tuple[dict[str, Tensor], dict]:
    """What a published file holds → UNet2DModel's tensors and what the new file says about itself.

    Raises WeightsMismatch unless the tensors are exactly those of one of `PRESETS`.
    """
    state = {key: value for key, value in held.items() if isinstance(value, Tensor)}
    config = min(PRESETS.values(), key=lambda config: len(_differences(state, config)))
    about = {"kind": "diffusion", "architecture": "adm", "config": config.to_dict()}
    return convert_state_dict(state, config, name), about


class ADM(nn.Module):
    """A denoiser (see `labkit.models.diffusion`) around `unet`: x (B,3,H,W) in about [-1, 1] plus noise, sides multiples of
    `multiple`, and t (B,) in 0 … 999 → Belief(x0, eps, share), in fp32; share is the learned variance's (above).

    `alpha_bar` (1000,) is float64 on the CPU: the linear schedule, β from 1e-4 to 0.02.
    """

    def __init__(self, config: ADMConfig):
        super().__init__()
        self.config, self.unet = config, build(config)
        with torch.device("cpu"):  # also where the weights are built on the meta device
            self.alpha_bar = linear_alpha_bar(1000)
        self.image_size, self.multiple = config.image_size, config.multiple

    @classmethod
    def from_config(cls, config: dict) -> ADM:
        """Build from the JSON of its config."""
        return cls(ADMConfig(**tuples(config)))

    @property
    def stored(self) -> UNet2DModel:
        """The module whose weights the file holds."""
        return self.unet

    def forward(self, x: Tensor, t: Tensor) -> Belief:
        n = self.multiple
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % n or x.shape[3] % n:
            raise ValueError(f"x: shape {tuple(x.shape)} must be (B, 3, H, W) with H and W multiples of {n}; resize it")
        steps = t.cpu()
        if t.shape != x.shape[:1] or t.is_floating_point() or steps.min() < 0 or steps.max() >= len(self.alpha_bar):
            raise ValueError(f"t: {steps.tolist()} must be {len(x)} whole numbers, one a picture, from 0 to "
                             f"{len(self.alpha_bar) - 1}")
        eps, share = self.unet(x, t).sample.float().chunk(2, dim=1)
        a = self.alpha_bar[steps].view(-1, 1, 1, 1)
        signal, noise = a.sqrt().to(eps), (1 - a).sqrt().to(eps)
        return Belief((x - noise * eps) / signal, eps, share)


def bare(name: str) -> UNet2DModel:
    """The network of a name in PRESETS, without its weights."""
    return build(PRESETS[name])
