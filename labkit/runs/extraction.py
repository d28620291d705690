"""Pictures to codes in a store: encoded here, in processes of this machine, or on a cluster, and written here.

    with joblib.parallel_config(backend="dask"):                       # after distributed.Client("scheduler:8786")
        extract(pictures, ids, "codes.lmdb", lab, "vqvae", n_jobs=-1)

Pictures are read ahead in threads of this process and go to the workers (`labkit.runs.workers`) as bytes, so a worker needs
nothing but the model. One process writes, about every two seconds, as LMDB has one writer at a time; a run that was killed goes
on with the records that are not there yet. Any model with codebooks will do:

    model.encode_codes(x (B, 3, H, W) in [-1, 1]) -> int64 indices per level, top first    model.grids(H, W)    model.n_embed
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps

from labkit.image import ImageError, open_upload
from labkit.image.convert import to_rgb
from labkit.lab import Lab
from labkit.latents.codes import CodeStore, Embedding, Header, Level, Mark, Rows, StoreError
from labkit.models.load import fingerprint
from labkit.runs.workers import LabSource, run_all
from labkit.text import plain

AHEAD = 2  # batches that are read before they are asked for
SECONDS, RECORDS = 2.0, 8192  # after so long, or so many records, what was encoded is committed
FITS = ("crop", "squash")

Picture = str | os.PathLike | np.ndarray | Image.Image


@dataclass(frozen=True)
class Extraction:
    """What was done: the store, how many pictures were `encoded` now and how many were `kept` from before, and those that are
    `broken`: a row each, `id` and `reason`."""

    store: CodeStore
    encoded: int
    kept: int
    broken: pd.DataFrame


def extract(pictures: Sequence[Picture], ids: Sequence[str], out: str | os.PathLike, lab: LabSource = None, kind: str = "vqvae",
            *, size: int | None = 64, fit: str = "crop", split: str = "", embeddings: np.ndarray | None = None,
            embedding: Embedding | None = None, batch: int = 128, n_jobs: int | None = None,
            done: Callable[[int, int], None] | None = None) -> Extraction:
    """Encode pictures and keep their codes under their ids; pictures that cannot be read are left out and listed.

    pictures    files, PIL pictures, or an array (n, H, W, 3) uint8: RGB.
    ids         a name per record, each once; texts of up to 1,000 bytes.
    out         the store; one of the same header is gone on with, another one refused.
    lab, kind   as `run_all` takes it, and the kind of the model in it.
    size, fit   side of the square that a picture becomes: "crop" cuts what is over, "squash" squeezes. None: pictures stay as
                they are and must be equally large.
    embeddings  (n, D) that go into the rows, and what they are (`embedding`, a header's part).
    batch       pictures a task.   n_jobs  as joblib's.   done  called with (records there, records in all) after each batch.
    Raises `StoreError` on bad arguments before anything is written, on a store of another model, on a worker with other
    weights, where no picture can be read; `NotWritable`.
    """
    _check(pictures, ids, size, fit, embeddings, embedding, batch)
    lab = Lab(**(lab or {})) if lab is None or isinstance(lab, dict) else lab
    here = lab if isinstance(lab, Lab) or not callable(lab) else lab()
    first = _first_size(pictures) if size is None else (size, size)
    header = _header(here, kind, first, size, fit, split, embedding)
    store = CodeStore.create(out, header)
    todo = _missing(store, ids)
    kept = len(ids) - len(todo)
    reader = _Reader(pictures, ids, todo, first, size is not None, fit, batch)
    writer = _Writer(store, ids, embeddings)

    def take(k: int, made: tuple[str, tuple[np.ndarray, ...]]) -> None:
        sha256, codes = made
        if sha256 != (mine := header.model.sha256):
            raise StoreError(f"{kind}: a worker has weights with sha256 {sha256[:12]}…, not {mine[:12]}…; give all the same")
        writer.add(reader.numbers.pop(k), codes)
        if done:
            done(kept + writer.taken + len(reader.broken), len(ids))

    try:
        run_all(partial(encode, kind=kind), reader, here if isinstance(here, Lab) else lab, n_jobs, take)
    finally:  # of an interrupt, too
        reader.close()
        try:
            writer.flush()
        finally:
            if not len(store):
                store.remove()
    if not len(store):
        raise StoreError(f"pictures: none of the {len(pictures)} can be read ({plain(reader.broken[0][1], 200)}); "
                         "give PNG, JPEG, WebP or GIF files")
    return Extraction(store, writer.taken, kept, pd.DataFrame(reader.broken, columns=["id", "reason"]))


@torch.no_grad()
def encode(pixels: np.ndarray, lab: Any, kind: str) -> tuple[str, tuple[np.ndarray, ...]]:
    """A task: (B, H, W, 3) uint8 → the model's sha256 and its codes, (B, h, w) uint16 per level."""
    model = lab.model(kind)
    device = next(model.parameters()).device
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return fingerprint(model), tuple(level.cpu().numpy().astype(np.uint16) for level in model.encode_codes(x))


def embedded(texts: Sequence[str], lab: Any, kind: str, of: str = "caption") -> tuple[np.ndarray, Embedding]:
    """Texts by a kind of model that embeds them ("clip"): (n, D) float32, and what they are, for `extract`.

    Raises `StoreError` on a kind that embeds no texts, and on an empty text.
    """
    model = lab.model(kind)
    if not hasattr(model, "encode_text"):
        raise StoreError(f"{kind}: embeds no texts; give a kind that does, as clip")
    if empty := [k for k, text in enumerate(texts) if not text.strip()]:
        raise StoreError(f"texts: that of record {empty[0]} is empty, and {len(empty) - 1} others; leave these records out")
    vectors = model.encode_text(list(texts)).float().cpu().numpy()
    mark = Mark(kind=kind, name=getattr(lab, "names", {}).get(kind, ""), sha256=fingerprint(model))
    return vectors, Embedding(size=vectors.shape[1], of=of, model=mark)


@dataclass
class _Writer:
    """Gathers what was encoded and commits it now and then: each commit waits for the disk."""

    store: CodeStore
    ids: Sequence[str]
    embeddings: np.ndarray | None
    taken: int = 0
    numbers: list[int] = field(default_factory=list)
    codes: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def add(self, numbers: list[int], codes: tuple[np.ndarray, ...]) -> None:
        self.taken += len(numbers)
        if numbers:
            self.numbers += numbers
            self.codes.append(codes)
        if len(self.numbers) >= RECORDS or time.monotonic() - self.last >= SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.numbers:
            codes = tuple(np.concatenate(level) for level in zip(*self.codes, strict=True))
            vectors = None if self.embeddings is None else np.asarray(self.embeddings)[self.numbers]
            numbers, self.numbers, self.codes = self.numbers, [], []
            self.store.put(numbers, Rows([self.ids[k] for k in numbers], codes, vectors))
        self.last = time.monotonic()


class _Reader:
    """Batches (B, H, W, 3) uint8 of the pictures that are to be encoded, read ahead in threads. `numbers[k]` are the records of
    the k-th batch, `broken` the pictures that could not be read."""

    def __init__(self, pictures, ids, todo: list[int], first: tuple[int, int], resize: bool, fit: str, batch: int):
        self.pictures, self.ids, self.todo, self.batch = pictures, ids, todo, batch
        self.first, self.resize, self.fit = first, resize, fit
        self.numbers: dict[int, list[int]] = {}
        self.broken: list[tuple[str, str]] = []
        self.pool = ThreadPoolExecutor(AHEAD)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[np.ndarray]:
        parts = [self.todo[start:start + self.batch] for start in range(0, len(self.todo), self.batch)]
        waiting, k = deque(), 0
        for part in parts:
            waiting.append(self.pool.submit(self._read, part))
            if len(waiting) > AHEAD:
                k += yield from self._given(waiting.popleft().result(), k)
        while waiting:
            k += yield from self._given(waiting.popleft().result(), k)

    def _given(self, read: tuple[list[int], list[np.ndarray], list], k: int) -> Iterator[np.ndarray]:
        numbers, pixels, broken = read
        self.broken += broken
        if not numbers:
            return 0
        self.numbers[k] = numbers
        yield np.stack(pixels) if isinstance(pixels, list) else pixels
        return 1

    def _read(self, part: list[int]) -> tuple[list[int], list[np.ndarray], list]:
        if isinstance(self.pictures, np.ndarray) and self.pictures.shape[1:3] == self.first:
            return part, np.ascontiguousarray(self.pictures[part]), []
        numbers, pixels, broken = [], [], []
        for k in part:
            try:
                image = _rgb(self.pictures[k])
            except ImageError as error:
                broken.append((self.ids[k], str(error)))
                continue
            if (image.height, image.width) != self.first:
                if not self.resize:
                    raise StoreError(f"pictures: {_name(self.pictures[k], self.ids[k])} is {image.width} × {image.height} "
                                     f"pixels, the first {self.first[1]} × {self.first[0]}; give size=… to bring all to "
                                     "one size")
                resize = Image.Image.resize if self.fit == "squash" else ImageOps.fit
                image = resize(image, self.first[::-1], Image.Resampling.LANCZOS)
            numbers.append(k)
            pixels.append(np.asarray(image))
        return numbers, pixels, broken


def _rgb(picture: Picture) -> Image.Image:
    return to_rgb(picture) if isinstance(picture, Image.Image | np.ndarray) else open_upload(picture)


def _name(picture: Picture, id: str) -> str:
    return plain(os.fspath(picture) if isinstance(picture, str | os.PathLike) else f"record {id}", 200)


def _first_size(pictures: Sequence[Picture]) -> tuple[int, int]:
    """(height, width) of the first picture that can be read."""
    for picture in pictures:
        try:
            image = _rgb(picture)
            return image.height, image.width
        except ImageError:
            continue
    raise StoreError(f"pictures: none of the {len(pictures)} can be read; give PNG, JPEG, WebP or GIF files")


def _header(lab: Any, kind: str, first: tuple[int, int], size: int | None, fit: str, split: str, embedding) -> Header:
    model, name = lab.model(kind), getattr(lab, "names", {}).get(kind, "")
    grids, n_embed = model.grids(*first), model.n_embed
    each = n_embed if isinstance(n_embed, Sequence) else [n_embed] * len(grids)
    if max(each) > 65536:
        raise StoreError(f"{kind}: a codebook of {max(each):,} codes; the store keeps uint16, at most 65,536")
    levels = tuple(Level(height=h, width=w, n_embed=n) for (h, w), n in zip(grids, each, strict=True))
    transform = {"height": first[0], "width": first[1], "fit": fit if size is not None else "none", "resample": "lanczos",
                 "range": "-1…1"}
    return Header(levels=levels, model=Mark(kind=kind, name=name, sha256=fingerprint(model)), transform=transform, split=split,
                  embedding=embedding)


def _missing(store: CodeStore, ids: Sequence[str]) -> list[int]:
    """The records that are not in the store yet. Raises `StoreError` where it holds others."""
    there = store.numbers
    found = store.read().ids if len(there) else []
    for number, id in zip(there.tolist(), found, strict=True):
        if number >= len(ids) or ids[number] != id:
            now = plain(repr(ids[number])) if number < len(ids) else "none"
            raise StoreError(f"{plain(store.path, 200)}: record {number} is {plain(repr(id))}, now it would be {now}; give "
                             "another path, or remove the store")
    held = set(there.tolist())
    return [k for k in range(len(ids)) if k not in held]


def _check(pictures, ids, size, fit, embeddings, embedding, batch) -> None:
    if not len(pictures):
        raise StoreError("pictures: there is none; give at least one")
    if len(ids) != len(pictures):
        raise StoreError(f"ids: {len(pictures)} pictures need as many; got {len(ids)}")
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise StoreError(f"ids: {plain(repr(twice))} comes twice; give each record its own")
    if long := [id for id in ids if not isinstance(id, str) or len(id.encode()) > 1000]:
        raise StoreError(f"ids: {plain(repr(long[0]))} is no text of at most 1,000 bytes")
    if isinstance(pictures, np.ndarray) and (pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8):
        raise StoreError(f"pictures: {pictures.dtype} {pictures.shape} must be uint8 (n, H, W, 3)")
    if size is not None and not 1 <= size <= 4096:
        raise StoreError(f"size: must be 1 to 4096 pixels, or None; got {size}")
    if fit not in FITS or batch < 1:
        raise StoreError(f"fit: must be one of {', '.join(FITS)}, batch at least 1; got {fit!r}, {batch}")
    if (embeddings is None) != (embedding is None):
        raise StoreError("embeddings: give them and what they are (`embedding`), or neither")
    if embeddings is not None and np.shape(embeddings) != (len(ids), embedding.size):
        raise StoreError(f"embeddings: shape {np.shape(embeddings)} must be {(len(ids), embedding.size)}")
