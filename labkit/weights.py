"""Weights on the disk: safetensors, read and written safely, with what a model says about itself.

A safetensors file is a JSON header and raw numbers (https://github.com/huggingface/safetensors): reading one
runs nothing. labkit keeps one JSON object under the header's key "labkit".
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from labkit.data import note_reading

PICKLES = (".ckpt", ".pt", ".pth", ".bin")


class WeightsError(RuntimeError):
    """Weights that cannot be used; the message says why and what to do."""


class WeightsNotFound(WeightsError):
    """Weights that are not at hand and could not be fetched."""


class WeightsMismatch(WeightsError):
    """Weights of another architecture than the model's."""


def open_tensors(path: Path):
    """safe_open with errors that say what the file is and what to do about it."""
    if not path.is_file():
        raise WeightsNotFound(f"{path}: no such file")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        with open(path, "rb") as file:
            start = file.read(2)
        # Looked at only now: a good file may begin with these bytes too, they are its header's length.
        if path.suffix in PICKLES or start == b"PK" or start[:1] == b"\x80":
            safe = path.with_suffix(".safetensors")
            raise WeightsError(
                f"{path}: a pickle can run code when it is read, so it is not loaded; "
                f"`python -m labkit convert {path} {safe}` makes safetensors of it, safely"
            ) from error
        raise WeightsError(
            f"{path}: not a whole safetensors file ({error}); fetch or make it again"
        ) from error


def _metadata(path: Path, header: dict[str, str] | None) -> dict:
    try:
        about = json.loads((header or {}).get("labkit", "{}"))
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: its labkit metadata is not JSON ({error})") from error
    if not isinstance(about, dict):
        raise WeightsError(f"{path}: its labkit metadata is not a JSON object")
    return about


def read_metadata(path: str | os.PathLike) -> dict:
    """What a safetensors file says about itself ({} where it says nothing), without reading a tensor."""
    with open_tensors(Path(path)) as file:
        return _metadata(Path(path), file.metadata())


def load_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Tensors on the CPU as stored, and the file's labkit metadata ({} where it has none).

    safetensors only. Raises WeightsNotFound where there is no file, WeightsError where it is a pickle or
    broken.
    """
    note_reading(path)
    with open_tensors(Path(path)) as file:
        return {key: file.get_tensor(key) for key in file.keys()}, _metadata(Path(path), file.metadata())


def save_tensors(
    path: str | os.PathLike,
    tensors: dict[str, Tensor],
    metadata: dict,
    dtype: torch.dtype | None = torch.float16,
) -> Path:
    """Write tensors (floats as `dtype`, None keeps theirs) and metadata as safetensors, whole or not at all.

    Raises WeightsError, naming the tensor, where a value is not finite or does not fit into `dtype`.
    """
    path = Path(path)
    stored = {}
    for key, tensor in tensors.items():
        cast = tensor.detach().cpu()
        if cast.is_floating_point():
            cast = cast.to(dtype or cast.dtype)
            if not torch.isfinite(cast).all():
                raise WeightsError(
                    f"{key}: has values that are not finite as {cast.dtype}; {path} is not written"
                )
        stored[key] = cast.clone(memory_format=torch.contiguous_format)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(stored, temporary, metadata={"labkit": json.dumps(metadata, sort_keys=True)})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
