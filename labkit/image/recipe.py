"""PNGs that know how they were made: the recipe inside, the environment it ran in, and what differs here."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin

from labkit.data import version
from labkit.files import write_atomically
from labkit.image.chunks import SIGNATURE, ImageError, text_of
from labkit.image.convert import MAX_BYTES, naming, png_bytes, read_bytes, to_rgb
from labkit.text import plain

MAX_PARTS = 100_000  # names and values of a recipe
MAX_DEPTH = 32  # of tables inside tables; a spec has four
MAX_LINES = 40  # of differences


class NoRecipe(ImageError):
    """A file that is whole and holds no recipe."""


def save_png(image: Image.Image, path: str | os.PathLike, recipe: dict | None = None) -> Path:
    """Write a PNG whose tEXt chunk 'labkit' holds the recipe as JSON; all of it or none. Returns the path.

    Raises `ImageError` for another format, `FileError` where it cannot be written.
    """
    return write_atomically(path, recipe_png(image, path, recipe))


def recipe_png(image: Image.Image, path: str | os.PathLike, recipe: dict | None = None) -> bytes:
    """What `save_png` writes to the path."""
    name = plain(Path(path).name)
    if Path(path).suffix.lower() != ".png":
        raise ImageError(f"{name!r}: only a PNG keeps its recipe; give a name that ends in .png")
    texts = PngImagePlugin.PngInfo()
    if recipe is not None:
        texts.add_text("labkit", json.dumps(recipe, allow_nan=False))  # ASCII, as tEXt demands
    data = png_bytes(to_rgb(image), texts)
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name!r}: {len(data):,} bytes are too many; paint smaller")
    return data


def read_recipe(path_or_bytes: str | os.PathLike | bytes) -> dict[str, Any]:
    """The recipe in a PNG of `save_png`; no pixel is decoded, but the file is whole. Raises `ImageError`,
    for a file without one `NoRecipe`."""
    with naming(path_or_bytes):
        data = read_bytes(path_or_bytes, MAX_BYTES)
        if not data.startswith(SIGNATURE):
            raise NoRecipe("this is not a PNG; other formats keep no recipe, so give the file as it was saved")
        text = text_of(data, "labkit", MAX_BYTES)
        if text is None:
            raise NoRecipe("this PNG holds no labkit recipe; it lost it on its way, or never had one")
        return _parsed(text)


def _parsed(text: bytes) -> dict[str, Any]:
    def refuse(word: str):
        raise ValueError(f"{word} is no JSON")

    # strings may be long (a picture inside a recipe), but nothing of ours has so many parts
    if sum(map(text.count, (b",", b"[", b"{"))) > MAX_PARTS:
        raise ImageError(f"the PNG's recipe has more than {MAX_PARTS:,} parts; give the file as saved")
    try:
        recipe = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"the PNG's recipe is broken JSON ({plain(error)}); give the file as saved") from None
    if not isinstance(recipe, dict):
        raise ImageError(f"the PNG's recipe is a {type(recipe).__name__}, must be an object; it was changed")
    inside = [recipe]
    for _ in range(MAX_DEPTH):
        inside = [part for whole in inside for part in (whole.values() if isinstance(whole, dict) else whole)
                  if isinstance(part, dict | list)]
    if inside:
        raise ImageError(f"the PNG's recipe has tables inside tables, more than {MAX_DEPTH} deep; give the file as saved")
    return recipe


def environment(device: str | torch.device = "cpu") -> dict[str, Any]:
    """What bit equality of two runs depends on, for recipes."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "labkit": version(), "python": platform.python_version(), "torch": str(torch.__version__),
        "numpy": np.__version__, "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(), "device": name,
    }  # fmt: skip


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What differs between the recipe's environment or models (a) and those at hand (b), in words fit for a terminal: a line
    each, of which there are at most 40 and one that counts the others."""
    found = _differences(a, b)
    return found if len(found) <= MAX_LINES else [*found[:MAX_LINES], f"and {len(found) - MAX_LINES} more"]


def _differences(a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in [*a, *(k for k in b if k not in a)]:
        then, now, name = a.get(key), b.get(key), f"{prefix}{plain(key, 40)}"
        if isinstance(then, dict) and isinstance(now, dict):
            found += _differences(then, now, f"{name} ")
        elif then != now:
            then, now = ("not known" if v is None else str(v) for v in (then, now))
            if len(then) == len(now) == 64 and then[:12] != now[:12]:
                then, now = f"{then[:12]}…", f"{now[:12]}…"
            found.append(f"{name}: {plain(then)} in the recipe, {plain(now)} here")
    return found
