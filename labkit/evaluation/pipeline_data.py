"""What the pipeline learns from and is tested on: the picture world in MUSTI's format, a MUSTI list or a captioned folder.

Whatever the source, a stage's folder then holds `train.json` and `test.json` in MUSTI's format with 64-pixel pictures beside
them, and the pictures of each as one array, whose rows `rows.json` names. The split is by picture; of the world, the test
scenes are of held-out combinations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps

from labkit.fetch import sha256_of
from labkit.files import write_atomically, written
from labkit.image import open_upload
from labkit.image.convert import png_bytes
from labkit.pairs.folder import read_captioned
from labkit.pairs.musti import read_musti, write_musti
from labkit.pairs.pair import Pair, PairsError, split_by_image
from labkit.pairs.pictures import fetch_pictures
from labkit.pairs.world import write_world
from labkit.text import plain
from labkit.world import world_hash

CHUNK = 100  # scenes that are drawn at once: what is drawn when a run is cut stays
SIDE = 64
SHARES = {"train": 0.9, "test": 0.1}


def source_marks(spec) -> dict:
    """What decides the pictures. Of a source its list, and its pictures where they are files. Raises `PairsError` where it
    cannot be used."""
    if not spec.source:
        return {"world": world_hash(), "pictures": spec.pictures, "test": spec.test}
    pairs = read_source(spec.source)
    digest = hashlib.sha256()
    for pair in pairs:
        picture = sha256_of(pair.path) if pair.path else pair.image
        digest.update(json.dumps([pair.id, picture, pair.caption, pair.passage, pair.match]).encode())
    return {"source": digest.hexdigest()}


def read_source(source: str) -> list[Pair]:
    """The pairs of a list or folder that have a text. Raises `PairsError`."""
    path = Path(source)
    pairs = read_musti(path) if path.suffix.lower() == ".json" else read_captioned(path)
    pairs = [pair for pair in pairs if pair.caption or pair.passage]
    split_by_image(pairs, SHARES)  # raises on too few
    if not any(pair.match for pair in pairs):
        raise PairsError(f"{plain(source, 200)}: no pair is labelled YES, so that there is nothing to learn from; label some")
    return pairs


def collected(spec, folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
    """The stage: lists, pictures and arrays."""
    if spec.source:
        parts = yield from _fetched(spec.source, folder)
    else:
        parts = {name: [] for name in SHARES}
        for name, split, n in (("train", "train", spec.pictures), ("test", "held", spec.test)):
            parts[name] = yield from _drawn(folder, name, split, n, spec.seed)
    rows = {}
    for name, pairs in parts.items():
        rows[name] = list(dict.fromkeys(pair.image for pair in pairs))
        files = {pair.image: pair.path for pair in pairs}
        with written(folder / f"{name}.npy") as part, open(part, "wb") as file:
            np.save(file, np.stack([np.array(open_upload(files[image])) for image in rows[name]]))
        write_musti(folder / f"{name}.json", pairs)
        yield f"note: {name}: {len(pairs):,} pairs, {len(rows[name]):,} pictures"
    write_atomically(folder / "rows.json", json.dumps(rows).encode())


def _drawn(folder: Path, name: str, split: str, n: int, seed: int) -> Generator[str, None, list[Pair]]:
    """Scenes of the world, `CHUNK` to a folder, on all cores; folders whose list is there are done."""
    starts = range(0, n, CHUNK)
    todo = [k for k in starts if not (folder / f"{name}-{k:07d}" / "musti.json").is_file()]
    jobs = Parallel(n_jobs=-1 if len(todo) > 1 else 1, return_as="generator_unordered")(
        delayed(_chunk)(folder / f"{name}-{k:07d}", min(CHUNK, n - k), split, seed + k) for k in todo)
    for done, _ in enumerate(jobs, len(starts) - len(todo) + 1):
        yield f"{min(n, done * CHUNK):,} of {n:,} scenes"
    out = []
    for k in starts:
        chunk = folder / f"{name}-{k:07d}"
        out += [replace(pair, image=f"{chunk.name}/{pair.image}") for pair in read_musti(chunk / "musti.json")]
    return out


def _chunk(folder: Path, n: int, split: str, seed: int) -> None:
    write_world(folder, n, split, seed)


def _fetched(source: str, folder: Path) -> Generator[str, None, dict[str, list[Pair]]]:
    """Pictures of somebody's own, cut to squares of 64 pixels; what cannot be had is left out and told."""
    pairs = read_source(source)
    yield f"{len({pair.image for pair in pairs}):,} pictures to look at"
    found = fetch_pictures(pairs, folder / "fetched")
    for row in found.report.itertuples():
        yield f"note: {row.state}: {plain(row.image, 120)}: {plain(row.reason, 160)}"
    names = {path: f"pictures/{k:06d}.png" for k, path in enumerate(dict.fromkeys(pair.path for pair in found.pairs))}
    for path, name in names.items():
        if not (folder / name).is_file():
            small = ImageOps.fit(open_upload(path).convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
            write_atomically(folder / name, png_bytes(small))
    split = split_by_image(found.pairs, SHARES)
    if not all(any(pair.match for pair in part) for part in split.values()):
        raise PairsError(f"{plain(source, 200)}: a part of the split has no pair labelled YES; label more, or add pictures")
    return {name: [replace(pair, image=names[pair.path], path=folder / names[pair.path]) for pair in part]
            for name, part in split.items()}


def row_of(folder: Path, name: str) -> dict[str, int]:
    """Picture → its row in the array of "train" or "test"."""
    return {image: k for k, image in enumerate(json.loads((folder / "rows.json").read_text("utf-8"))[name])}


def pairs_of(folder: Path, name: str, labelled: bool = False) -> list[Pair]:
    """The pairs of "train" or "test" that match; with `labelled` all that are labelled."""
    return [pair for pair in read_musti(folder / f"{name}.json") if (pair.match is not None if labelled else pair.match)]


def sentences_of(pairs: Sequence[Pair]) -> list[str]:
    """What is said of each picture: the caption, or where there is none the passage."""
    return [pair.caption or pair.passage for pair in pairs]
