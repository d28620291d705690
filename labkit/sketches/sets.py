"""Sets of sketches, read from their own files without a loading script, a few of each category, the same ones each time.

    found = read_quickdraw("cat.ndjson", n=300)         # Google's Quick, Draw!: strokes, drawn here at any size and line width
    found = read_sketch_zip("ImageNet-Sketch.zip", n=300)  # ImageNet-Sketch: a zip of class folders; or any folder of them
    found.sketches, found.broken                       # what was read; and what could not be, with its reason

Quick, Draw! (Ha & Eck 2017, arXiv:1704.03477; CC BY 4.0) is drawn from memory in 20 seconds; ImageNet-Sketch (Wang et al. 2019,
arXiv:1905.13549) was searched on the web, 50 a class of ImageNet, without the photographs that they show.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from labkit.image import ImageError, open_upload
from labkit.sketches.prepare import SketchError
from labkit.text import plain
from labkit.world import Scene, render_sketch, sample_scene

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
MAX_LINE = 1_000_000  # characters of a drawing in a list: longer ones are no drawings
MAX_FILE = 16_000_000  # bytes of a picture in a zip
FINER = 4  # strokes are drawn so many times larger, then reduced: smooth lines


@dataclass(frozen=True)
class Sketch:
    """A sketch, RGB, what it is of, and its name in its set."""

    picture: Image.Image
    label: str
    id: str


@dataclass(frozen=True)
class Read:
    """`sketches`, and a row for each that is `broken`: id, reason."""

    sketches: list[Sketch]
    broken: pd.DataFrame


def read_quickdraw(path: str | os.PathLike, n: int = 300, size: int = 256, line: float = 4.0, seed: int = 0) -> Read:
    """`n` drawings of a Quick, Draw! list (a JSON object a line, one category a file), drawn at `size` pixels with lines
    `line` pixels wide. The file is read line by line and never held. Raises `SketchError` where no line is a drawing."""
    if not Path(path).is_file():
        raise SketchError(f"{plain(path, 200)}: no such file; give a category's .ndjson")
    broken: list[tuple[str, str]] = []

    def drawings() -> Iterator[tuple[str, tuple[str, Any]]]:
        with open(path, encoding="utf-8", errors="replace") as lines:
            for number, text in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), ""), 1):
                if not text.strip():
                    continue
                try:
                    if len(text) > MAX_LINE:
                        raise ValueError(f"longer than {MAX_LINE:,} characters")
                    row = json.loads(text)
                    yield str(row.get("key_id", number)), (str(row["word"]), strokes_of(row["drawing"]))
                except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                    broken.append((f"line {number}", plain(f"{type(error).__name__}: {error}", 200)))

    found = [Sketch(drawn(strokes, size, line), label, id) for id, (label, strokes) in chosen(drawings(), n, seed)]
    if not found:
        raise SketchError(f"{plain(path, 200)}: no line is a drawing ({broken[0][1] if broken else 'it is empty'}); give a "
                          "category's .ndjson of Quick, Draw!")
    return Read(found, pd.DataFrame(broken, columns=["id", "reason"]))


def strokes_of(drawing: Any) -> list[np.ndarray]:
    """The strokes, (points, 2) each, of a drawing's JSON: [[x, …], [y, …], …] a stroke. Raises ValueError."""
    strokes = []
    for stroke in drawing:
        points = np.array([stroke[0], stroke[1]], dtype=np.float64).T
        if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
            raise ValueError("a stroke without points")
        strokes.append(points)
    if not strokes:
        raise ValueError("a drawing without strokes")
    return strokes


def drawn(strokes: list[np.ndarray], size: int, line: float) -> Image.Image:
    """Strokes as black lines on a white square of `size` pixels, with their proportions and a margin, RGB."""
    points = np.concatenate(strokes)
    low, span = points.min(0), max(float(np.ptp(points, axis=0).max()), 1e-6)
    side, wide = size * FINER, line * FINER
    room = side - 2 * (wide + side / 16)
    shift = (side - room * np.ptp(points, axis=0) / span) / 2
    sheet = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(sheet)
    for stroke in strokes:
        path = [tuple(p) for p in (stroke - low) * room / span + shift]
        draw.line(path, fill=0, width=max(1, round(wide)), joint="curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=0)
    return sheet.reduce(FINER).convert("RGB")


def read_sketch_zip(path: str | os.PathLike, n: int = 300, categories: Iterable[str] = (), seed: int = 0) -> Read:
    """`n` sketches of each category, or of those named, of a zip of class folders, as ImageNet-Sketch's, whose folders' numbers
    become ImageNet's words. Nothing is unpacked to the disk. Raises `SketchError` on a file that is no zip, and on a category
    that there is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {i.filename: i for i in archive.infolist() if not i.is_dir()}

            def load(name: str) -> bytes:
                if inside[name].file_size > MAX_FILE:
                    raise ImageError(f"{inside[name].file_size:,} bytes; at most {MAX_FILE:,} are read")
                return archive.read(name)

            return _sampled(plain(path, 200), list(inside), load, n, categories, seed)
    except (zipfile.BadZipFile, OSError) as error:
        raise SketchError(f"{plain(path, 200)}: is no zip file that can be read ({plain(error, 200)})") from error


def read_sketch_folder(path: str | os.PathLike, n: int = 300, categories: Iterable[str] = (), seed: int = 0) -> Read:
    """The same of a folder of class folders; pictures that lie in the folder itself are of the category that it is called."""
    root = Path(path)
    if not root.is_dir():
        raise SketchError(f"{plain(path, 200)}: no such folder; give one with pictures, or with a folder of them per category")
    names = [p.relative_to(root.parent).as_posix() for p in root.rglob("*") if p.is_file()]
    return _sampled(plain(path, 200), names, lambda name: (root.parent / name).read_bytes(), n, categories, seed)


def _sampled(where: str, names: list[str], load, n: int, categories: Iterable[str], seed: int) -> Read:
    groups: dict[str, list[str]] = {}
    for name in names:
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not PurePosixPath(name).name.startswith("."):  # "._x": a Mac's
            groups.setdefault(PurePosixPath(name).parent.name, []).append(name)
    groups = _in_words(groups)
    wanted = list(categories) or sorted(groups)
    if unknown := [c for c in wanted if c not in groups]:
        some = ", ".join(sorted(groups)[:8]) or "none"
        raise SketchError(f"{where}: has no category {plain(repr(unknown[0]))}; it has {len(groups)}: {plain(some, 300)} …")
    if not wanted:
        raise SketchError(f"{where}: holds no pictures ({', '.join(SUFFIXES)})")
    found, broken = [], []
    for category in wanted:
        for name, _ in chosen(((name, None) for name in sorted(groups[category])), n, seed):
            try:
                found.append(Sketch(open_upload(load(name)), category, name))
            # encrypted and unknown ways of packing are RuntimeErrors, a packed part that is damaged is zlib's affair
            except (ImageError, OSError, zipfile.BadZipFile, RuntimeError, zlib.error) as error:
                broken.append((plain(name, 200), plain(error, 200)))
    if not found:
        raise SketchError(f"{where}: none of its pictures can be opened ({broken[0][1]})")
    return Read(found, pd.DataFrame(broken, columns=["id", "reason"]))


def _in_words(groups: dict[str, list[str]]) -> dict[str, list[str]]:
    """The groups by ImageNet's words where they are ImageNet's: a thousand folders named by WordNet's numbers, whose order is
    that of the classes (so torchvision's models have them). Where it has a word twice the second has its number beside it."""
    if len(groups) != 1000 or not all(re.fullmatch(r"n\d{8}", name) for name in groups):
        return groups
    from torchvision.models import ResNet50_Weights  # its list of words; no weights are fetched

    named: dict[str, list[str]] = {}
    for number, word in zip(sorted(groups), ResNet50_Weights.DEFAULT.meta["categories"], strict=True):
        named[word if word not in named else f"{word} ({number})"] = groups[number]
    return named


def world_sketches(n: int, seed: int = 0, size: int = 64, split: str = "held") -> list[tuple[Sketch, Scene]]:
    """`n` scenes' line art, each with its scene: sketches whose picture is known."""
    out = []
    for k in range(n):
        scene = sample_scene(seed + k, split)
        art = Image.fromarray(render_sketch(scene, size)).convert("RGB")
        out.append((Sketch(art, scene.subjects[0].subject, f"{split}-{seed + k}"), scene))
    return out


def chosen(items: Iterable[tuple[str, Any]], n: int, seed: int) -> list[tuple[str, Any]]:
    """`n` of (id, thing), drawn without replacement: those whose ids have the smallest hashes. The same ids give the same
    choice in any order, and a longer set keeps most of it; only n are held."""
    keep: list[tuple[int, int, tuple[str, Any]]] = []
    for order, item in enumerate(items):
        luck = -int.from_bytes(hashlib.sha256(f"{seed}:{item[0]}".encode()).digest()[:8])
        if len(keep) < n:
            heapq.heappush(keep, (luck, -order, item))
        elif (luck, -order) > keep[0][:2]:
            heapq.heapreplace(keep, (luck, -order, item))
    return [item for _, _, item in sorted(keep, key=lambda one: -one[1])]
