"""Published checkpoints -> safetensors that describe themselves, without running what a pickle would run.

A taming-transformers checkpoint is a Lightning file: a pickle with the weights under "state_dict", the
losses' networks among them, and a "callbacks" entry keyed by Lightning's own classes; a released diffusion
model is a bare state dict (see `labkit.models.adm`). Either is read by `torch.load(weights_only=True)`;
Lightning's classes are replaced by inert stand-ins and never imported, any other global is refused by name.
"""

import os
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from labkit.models.vqgan import VQGAN, VQGANConfig
from labkit.zoo import WeightsError, WeightsNotFound, check_state, load_tensors, save_tensors

LIGHTNING = ("pytorch_lightning.", "lightning.")


class _Inert:
    """Stands in for a class named in a pickle: takes whatever it is given and does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


def read_checkpoint(path: str | os.PathLike) -> dict:
    """What a .ckpt/.pt file holds, tensors on the CPU.

    Raises WeightsError where it is not whole or not safe, naming the globals it would run.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFound(f"{path}: no such file")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        zipped = True
    except (ValueError, RuntimeError, OSError, pickle.UnpicklingError):
        # not a whole file of torch's zip format: the safe unpickler itself finds what it does not allow
        named, zipped = [], False
    strange = sorted(name for name in named if not name.startswith(LIGHTNING))
    if strange:
        raise WeightsError(
            f"{path}: refused, for reading it would run {', '.join(strange)}; only tensors and plain values "
            "are read. Get the file from its publisher again, or as safetensors"
        )
    stand_ins = [(type("Inert", (_Inert,), {}), name) for name in named]
    try:
        with torch.serialization.safe_globals(stand_ins):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        what = f"reading it would run {culprit[1]}" if culprit else str(error).splitlines()[0]
        raise WeightsError(f"{path}: refused, {what}; get the file from its publisher again") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: not a whole checkpoint ({error}); fetch it again") from error
    if not isinstance(held, dict):
        raise WeightsError(f"{path}: holds a {type(held).__name__}, not a dictionary of tensors")
    return held


def taming_state(held: dict) -> dict[str, Tensor]:
    """The VQGAN's own tensors out of a taming checkpoint: losses dropped, a transformer's first stage taken
    out."""
    state = held.get("state_dict", held)
    state = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    first = "first_stage_model."
    if any(key.startswith(first) for key in state):
        state = {key.removeprefix(first): value for key, value in state.items() if key.startswith(first)}
    return {key: value for key, value in state.items() if not key.startswith("loss.")}


def infer_config(state: dict[str, Tensor], resolution: int = 256) -> VQGANConfig:
    """The architecture from a VQGAN's keys and shapes; `resolution` only names the sides that have attention.

    Raises WeightsError where a key that every VQGAN has is missing.
    """

    def shape(key: str) -> torch.Size:
        if key not in state:
            raise WeightsError(
                f"not a taming VQGAN: it has no {key}, but {', '.join(list(state)[:5]) or 'nothing'}"
            )
        return state[key].shape

    def count(pattern: str) -> int:
        return 1 + max((int(found[1]) for key in state if (found := re.match(pattern, key))), default=-1)

    gumbel = "quantize.embed.weight" in state
    n_embed, embed_dim = shape("quantize.embed.weight" if gumbel else "quantize.embedding.weight")
    ch = shape("encoder.conv_in.weight")[0]
    levels = range(count(r"encoder\.down\.(\d+)\."))
    return VQGANConfig(
        ch=ch,
        ch_mult=tuple(shape(f"encoder.down.{i}.block.0.conv1.weight")[0] // ch for i in levels),
        num_res_blocks=count(r"encoder\.down\.0\.block\.(\d+)\."),
        attn_resolutions=tuple(
            resolution >> i for i in levels if f"encoder.down.{i}.attn.0.q.weight" in state
        ),
        resolution=resolution,
        z_channels=shape("decoder.conv_in.weight")[1],
        embed_dim=embed_dim,
        n_embed=n_embed,
        gumbel=gumbel,
    )


def convert(src: str | os.PathLike, dst: str | os.PathLike, kind: str = "vqgan") -> Path:
    """A published checkpoint (or safetensors with its keys) -> `dst`, safetensors in the precision it has.

    The metadata hold the config that the shapes tell, so that loading needs nothing else. Raises WeightsError
    where the file is not safe, not whole or not of that kind: "vqgan" (taming's) or "diffusion" (the released
    unconditional ImageNet models).
    """
    src, dst = Path(src), Path(dst)
    if kind not in ORIGINALS:
        raise WeightsError(f"kind: {kind!r} cannot be converted; there are: {', '.join(map(repr, ORIGINALS))}")
    if dst.suffix != ".safetensors":
        raise WeightsError(f"dst: {dst} must end in .safetensors")
    held = load_tensors(src)[0] if src.suffix == ".safetensors" else read_checkpoint(src)
    state, about = ORIGINALS[kind](held, str(src))
    return save_tensors(dst, state, about | {"converted_from": src.name}, dtype=None)


def _vqgan(held: dict, name: str) -> tuple[dict[str, Tensor], dict]:
    state = taming_state(held)
    try:
        config = infer_config(state)
    except ValueError as error:
        raise WeightsError(f"{name}: not a VQGAN that can be built ({error})") from error
    with torch.device("meta"):
        model = VQGAN(config)
    check_state(model, state, name)
    return state, {"kind": "vqgan", "config": config.to_dict()}


def _diffusion(held: dict, name: str) -> tuple[dict[str, Tensor], dict]:
    from labkit.models.adm import convert_original

    return convert_original(held, name)


ORIGINALS = {"vqgan": _vqgan, "diffusion": _diffusion}  # kind -> its tensors and what the file says of them
