"""safetensors, read and written, with what a model says about itself.

A safetensors file is a JSON header and raw numbers (https://github.com/huggingface/safetensors): reading one
runs nothing. labkit keeps one JSON object under the header's key "labkit".
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from labkit.data import note_reading
from labkit.files import written
from labkit.text import plain
from labkit.weights.contents import described, tensors_in
from labkit.weights.errors import WeightsError, shown
from labkit.weights.pickles import read_pickle
from labkit.weights.recognise import AGAIN, header_end, recognise, refused

LARGEST, FEW = 10**8, 16  # numbers in a config: none is larger; so many parts may be asked for whatever the file holds


def open_tensors(path: Path):
    """safe_open with errors that say what the file is and what to do about it."""
    path = Path(path)
    kind = recognise(path)
    if kind.name in ("torch", "torch-legacy"):
        held = read_pickle(path, kind)  # safely; what no conversion could use gets no advice to try one
        beside = path.with_suffix(".safetensors" if path.suffix != ".safetensors" else ".converted.safetensors")
        command = f"python -m labkit convert {shlex.quote(shown(path))} {shlex.quote(shown(beside))}"
        remedy = f"`{command}` makes safetensors of it, safely" if tensors_in(held) else "no tensor in it has a name"
        said = f"{shown(path)}: {kind.words}, a pickle, which is not loaded as it is; {remedy}. It holds"
        raise WeightsError("\n  ".join([said, *described(held)]))
    if kind.name != "safetensors":
        raise refused(path, kind)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        needs, has = header_end(path)
        why = f"its header promises {needs:,} bytes, the file has {has:,}" if needs > has else "its header is damaged"
        raise WeightsError(f"{shown(path)}: not a whole safetensors file ({why}); {AGAIN} or make it again") from error


def read_checkpoint(path: str | os.PathLike) -> tuple[object, str]:
    """What a checkpoint holds, tensors on the CPU, and its kind (see `FileKind.name`); its content decides, not its name.

    safetensors give a dictionary of tensors. Raises WeightsNotFound, or WeightsError where it is no checkpoint, not whole or
    not safe.
    """
    path = Path(path)
    kind = recognise(path)
    if kind.name == "safetensors":
        return load_tensors(path)[0], kind.name
    note_reading(path)
    if not kind.readable:
        raise refused(path, kind)
    return read_pickle(path, kind), kind.name


def _metadata(path: Path, header: dict[str, str] | None) -> dict:
    try:
        about = json.loads((header or {}).get("labkit", "{}"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{shown(path)}: its labkit metadata is not JSON ({plain(error)}); {AGAIN}") from error
    if not isinstance(about, dict):
        raise WeightsError(f"{shown(path)}: its labkit metadata is not a JSON object; {AGAIN}")
    return about


def _plausible(config: object, tensors: int, path: str | os.PathLike) -> None:
    """Layers are built one by one, before anything is compared: a config asks for no more of them than the file has tensors."""
    for key, value in config.items() if isinstance(config, dict) else ():
        numbers = list(_numbers(value))
        counts = re.search(r"layer|block|level|depth|stage", key) and not isinstance(value, list)
        most = max(tensors, FEW) if counts or (isinstance(value, list) and key == "blocks") else LARGEST
        if len(numbers) > max(tensors, FEW) or any(not abs(number) <= most for number in numbers):
            raise WeightsError(f"{shown(path)}: its config says {plain(key, 40)} = {plain(json.dumps(value), 30)}, which its "
                               f"{tensors:,} tensors cannot be; {AGAIN} or make it again")


def _numbers(value: object) -> Iterator[int | float]:
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)


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
        try:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, RuntimeError, AttributeError, KeyError) as error:  # a type of number that torch has not
            raise WeightsError(f"{shown(path)}: a tensor in it cannot be read by this torch, {torch.__version__}") from error
        about = _metadata(Path(path), file.metadata())
        _plausible(about.get("config"), len(tensors), path)
        return tensors, about


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
    with written(path) as part:
        try:
            save_file(stored, part, metadata={"labkit": json.dumps(metadata, sort_keys=True)})
        except SafetensorError as error:  # it tells of the system's error in words of its own
            if number := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
            raise
    return path
