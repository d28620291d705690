"""PNGs that know how they were made: the recipe inside, the environment it ran in, and what differs here."""

from __future__ import annotations

import json
import os
import platform
import secrets
import struct
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin

from labkit.image.convert import ImageError, png_bytes, read_bytes, to_rgb

MAX_PNG_BYTES = 16_000_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def save_png(image: Image.Image, path: str | os.PathLike, recipe: dict) -> Path:
    """Write a PNG whose tEXt chunk 'labkit' holds the recipe as JSON; all of it or none. Returns the path."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"{path.name!r}: only a PNG keeps its recipe; give a name that ends in .png")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("labkit", json.dumps(recipe, allow_nan=False))  # ASCII, as tEXt demands
    data = png_bytes(to_rgb(image), chunks)
    if len(data) > MAX_PNG_BYTES:
        raise ImageError(f"{path.name!r}: {len(data):,} bytes are too many; paint smaller")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_recipe(path_or_bytes: str | os.PathLike | bytes) -> dict[str, Any]:
    """The recipe in a PNG of `save_png`; no pixel is decoded. Raises `ImageError`."""
    data, at = read_bytes(path_or_bytes, MAX_PNG_BYTES), len(PNG_SIGNATURE)
    if not data.startswith(PNG_SIGNATURE):
        raise ImageError("this is not a PNG; other formats keep no recipe, so give the file as it was saved")
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body, at = data[at + 8 : at + 8 + length], at + 12 + length
        if kind == b"tEXt" and body.startswith(b"labkit\0"):
            if at > len(data) or zlib.crc32(kind + body) != struct.unpack_from(">I", data, at - 4)[0]:
                raise ImageError("the PNG's recipe is damaged or cut short; download the file again")
            return _parsed(body.partition(b"\0")[2])
    raise ImageError("this PNG holds no labkit recipe; it lost it on its way, or never had one")


def _parsed(text: bytes) -> dict[str, Any]:
    def refuse(word: str):
        raise ValueError(f"{word} is no JSON")

    try:
        recipe = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"the PNG's recipe is broken JSON ({error}); give the file as saved") from None
    if not isinstance(recipe, dict):
        raise ImageError(f"the PNG's recipe is a {type(recipe).__name__}, must be an object; it was changed")
    return recipe


def environment(device: str | torch.device = "cpu") -> dict[str, Any]:
    """What bit equality of two runs depends on, for recipes."""
    device = torch.device(device)
    try:
        version = metadata.version("labkit")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        version = "unknown"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "labkit": version, "python": platform.python_version(), "torch": str(torch.__version__),
        "numpy": np.__version__, "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(), "device": name,
    }  # fmt: skip


def differences(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> list[str]:
    """What differs between the recipe's environment or models (a) and those at hand (b), in words."""
    found = []
    for key in [*a, *(k for k in b if k not in a)]:
        then, now, name = a.get(key), b.get(key), f"{prefix}{key}"
        if isinstance(then, dict) and isinstance(now, dict):
            found += differences(then, now, f"{name} ")
        elif then != now:
            then, now = ("not known" if v is None else str(v) for v in (then, now))
            if len(then) == len(now) == 64 and then[:12] != now[:12]:
                then, now = f"{then[:12]}…", f"{now[:12]}…"
            found.append(f"{name}: {then} in the recipe, {now} here")
    return found
