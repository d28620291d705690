"""Published checkpoints -> safetensors that describe themselves, without running what a pickle would run.

A taming-transformers checkpoint is a Lightning file: a pickle with the weights under "state_dict", the
losses' networks among them; a released diffusion model is a bare state dict (see `labkit.models.adm`). Others
wrap either in dictionaries and prefixes of their own, which `labkit.weights` undoes. What the file is, is
asked of its content, never of its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from labkit.kinds import KINDS, named
from labkit.models import aesthetic
from labkit.models.adm import convert_original
from labkit.models.vgg import convert_torchvision
from labkit.models.vqgan import VQGAN, VQGANConfig
from labkit.text import plain
from labkit.weights import (
    Layout,
    WeightsError,
    WeightsMismatch,
    described,
    find_state,
    fits,
    lacking,
    read_checkpoint,
    save_tensors,
)
from labkit.weights.errors import shown
from labkit.zoo import check_state

MOST_LEVELS, MOST_BLOCKS = 10, 32  # the published models have 4 or 5 levels of 2 blocks

VQGAN_LAYOUT = Layout(
    "a taming VQGAN",
    (("encoder.conv_in.weight",), ("decoder.conv_in.weight",), ("quantize.embedding.weight", "quantize.embed.weight")),
    ignored=("loss.",),
    preferred="first_stage_model.",
)
DIFFUSION_LAYOUT = Layout(
    "a released unconditional diffusion model (ADM)",
    (("input_blocks.0.0.weight",), ("time_embed.0.weight",), ("middle_block.1.qkv.weight",), ("out.2.weight",)),
)
VGG_LAYOUT = Layout(
    "torchvision's VGG-16 or -19",
    (("features.0.weight",), ("features.28.weight",), ("classifier.0.weight",)),
)
CLIP_LAYOUT = Layout("a CLIP of open_clip", (("visual.conv1.weight",), ("logit_scale",), ("token_embedding.weight",)))


def infer_config(state: dict[str, Tensor], resolution: int = 256) -> VQGANConfig:
    """The architecture from a VQGAN's keys and shapes; `resolution` only names the sides that have attention.

    Raises WeightsError where a key that every VQGAN has is missing or of a shape that none has.
    """

    def shape(key: str, axes: int) -> torch.Size:
        if key not in state:
            found = ", ".join(map(plain, list(state)[:5])) or "nothing"
            raise WeightsError(f"not a taming VQGAN: it has no {key}, but {found}")
        if state[key].ndim != axes or 0 in state[key].shape:
            raise WeightsError(f"not a taming VQGAN: {key} is {tuple(state[key].shape)}, it needs {axes} axes, none of 0")
        return state[key].shape

    def count(pattern: str, what: str, most: int) -> int:
        numbers = {found[1] for key in state if (found := re.match(pattern, key))}
        if len(numbers) > most or numbers != set(map(str, range(len(numbers)))):
            found = ", ".join(plain(number, 12) for number in sorted(numbers)[:6]) or "not at all"
            raise WeightsError(f"not a taming VQGAN: its {what} are numbered {found}; they must go from 0 without a gap, "
                               f"at most {most}")
        return len(numbers)

    gumbel = "quantize.embed.weight" in state
    n_embed, embed_dim = shape("quantize.embed.weight" if gumbel else "quantize.embedding.weight", 2)
    ch = shape("encoder.conv_in.weight", 4)[0]
    levels = range(count(r"encoder\.down\.(\d+)\.", "levels (encoder.down)", MOST_LEVELS))
    return VQGANConfig(
        ch=ch,
        ch_mult=tuple(shape(f"encoder.down.{i}.block.0.conv1.weight", 4)[0] // ch for i in levels),
        num_res_blocks=count(r"encoder\.down\.0\.block\.(\d+)\.", "blocks (encoder.down.0.block)", MOST_BLOCKS),
        attn_resolutions=tuple(
            resolution >> i for i in levels if f"encoder.down.{i}.attn.0.q.weight" in state
        ),
        resolution=resolution,
        z_channels=shape("decoder.conv_in.weight", 4)[1],
        embed_dim=embed_dim,
        n_embed=n_embed,
        gumbel=gumbel,
    )


@dataclass(frozen=True)
class Original:
    """A published layout, and how its tensors become ours: `remake(state, name)` -> tensors, what the new file says."""

    layout: Layout
    remake: Callable[[dict[str, Tensor], str], tuple[dict[str, Tensor], dict]]


def _vqgan(state: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict]:
    try:
        config = infer_config(state)
    except WeightsError as error:
        raise WeightsMismatch(f"{name}: {error}") from error
    except ValueError as error:
        raise WeightsMismatch(f"{name}: not a VQGAN that can be built ({error})") from error
    with torch.device("meta"):
        model = VQGAN(config)
    check_state(model, state, name)
    return state, {"kind": "vqgan", "config": config.to_dict()}


TAMING = Original(VQGAN_LAYOUT, _vqgan)
LAION = Original(aesthetic.LAYOUT, aesthetic.from_published)
GUIDED_DIFFUSION = Original(DIFFUSION_LAYOUT, convert_original)
TORCHVISION_VGG = Original(VGG_LAYOUT, convert_torchvision)
ORIGINALS: dict[str, Original] = {name: named(kind.convert) for name, kind in KINDS.items() if kind.convert}


def convert(src: str | os.PathLike, dst: str | os.PathLike, kind: str | None = None, part: str | None = None) -> Path:
    """A published checkpoint (or safetensors with its keys) -> `dst`, safetensors in the precision it has.

    `kind` is "vqgan" (taming's), "diffusion" (the released unconditional ImageNet models), "perceptual" (torchvision's VGG),
    "aesthetic" (LAION's heads) or None: whichever the file holds.
    `part` names the entry to take ("model", "state_dict.ema") where a file holds several that fit. The metadata hold the config
    that the shapes tell, so that loading needs nothing else. Raises WeightsError where the file is no checkpoint, not safe, not
    whole or not of that kind.
    """
    src, dst = Path(src), Path(dst)
    if kind is not None and kind not in ORIGINALS:
        raise WeightsError(f"kind: '{plain(kind)}' cannot be converted; there are: {', '.join(map(repr, ORIGINALS))}")
    if dst.suffix != ".safetensors":
        raise WeightsError(f"dst: {shown(dst)} must end in .safetensors")
    if dst.exists() and src.exists() and dst.samefile(src):
        raise WeightsError(f"dst: {shown(dst)} is the checkpoint itself; give another name")
    held, _ = read_checkpoint(src)
    kind, state = _find(held, src, kind, part)
    tensors, about = ORIGINALS[kind].remake(state, shown(src))
    return save_tensors(dst, tensors, about | {"converted_from": src.name}, dtype=None)


def _find(held: object, src: Path, kind: str | None, part: str | None) -> tuple[str, dict[str, Tensor]]:
    """The kind that the checkpoint is of (the one asked for, if it is) and its state dict."""
    there = [name for name, original in ORIGINALS.items() if fits(held, original.layout)]
    if kind is None and len(there) > 1:
        raise WeightsMismatch(f"{shown(src)}: holds models of several kinds; say --kind {' or --kind '.join(there)}")
    if there and kind not in (None, *there):
        raise WeightsMismatch(f"{shown(src)}: is {ORIGINALS[there[0]].layout.title}, not {ORIGINALS[kind].layout.title}; "
                              f"say --kind {there[0]}, or leave --kind out")
    if not there and fits(held, CLIP_LAYOUT):
        raise WeightsMismatch(f"{shown(src)}: is {CLIP_LAYOUT.title}, which needs no converting; "
                              "give it as --clip ARCHITECTURE/FILE")
    if not there and kind is None:
        partly = {name: missing for name, original in ORIGINALS.items()
                  if len(missing := lacking(held, original.layout)) < len(original.layout.marks)}
        if len(partly) != 1:
            known = " nor ".join(original.layout.title for original in ORIGINALS.values())
            raise WeightsMismatch("\n  ".join([f"{shown(src)}: neither {known}. It holds", *described(held)]))
        kind = next(iter(partly))
    kind = kind or there[0]
    return kind, find_state(held, src, ORIGINALS[kind].layout, part)
