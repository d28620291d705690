"""The code store: what an autoencoder with codebooks made of pictures, in one LMDB file that says what is in it.

    with one header (JSON):  schema, a grid and K per level, the model's sha256, the transform, the split, the embedding's kind
    key, big-endian uint64:  the record's number, so that the order of keys is the order of records
    value:  CRC-32 | codes, top level first, in raster order, uint16 | embedding, float16 or float32 | the record's id, UTF-8

All numbers are little-endian. A batch is one transaction (`labkit.latents.environment`): what was committed outlives a kill. No
pickle is read. A store is refused by whoever wants codes of another model, and by a labkit older than its schema.

    store = CodeStore("codes.lmdb", model=vqvae.sha256)
    rows = store.read([0, 5])        # rows.codes: (2, 8, 8) and (2, 16, 16) uint16, rows.embeddings: (2, D), rows.ids
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from labkit.latents.environment import LONGEST, Environment, StoreError
from labkit.spec import Spec, SpecError
from labkit.text import plain

__all__ = ["SCHEMA", "CodeStore", "Embedding", "Header", "Level", "Mark", "Rows", "StoreError"]

SCHEMA = 1
HEADER = b"header"  # sorts behind every number below 2^56
CODE = np.dtype("<u2")
KINDS = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
Sha256 = Field(..., pattern="^[0-9a-f]{64}$", description="sha256 of the weights")


class Level(Spec):
    """The codes of one level of a picture."""

    height: int = Field(..., ge=1, le=4096, description="Rows of the grid")
    width: int = Field(..., ge=1, le=4096, description="Columns of the grid")
    n_embed: int = Field(..., ge=1, le=65536, description="K: codes of the codebook; a code is below it")


class Mark(Spec):
    """Which model made something."""

    kind: str = Field(..., min_length=1, description="As in Lab(kind=…)")
    name: str = Field(..., description="Its name in the lab")
    sha256: str = Sha256


class Embedding(Spec):
    """The vector that goes with each record."""

    size: int = Field(..., ge=1, le=65536, description="D: its length")
    dtype: Literal["float16", "float32"] = Field("float16", description="How it is kept")
    of: str = Field(..., description="What was embedded, as in caption, picture")
    model: Mark = Field(..., description="By which model")


class Header(Spec):
    """What is in a store: levels from the top (coarsest) one down."""

    levels: tuple[Level, ...] = Field(..., min_length=1, description="Grids and codebooks, top first")
    model: Mark = Field(..., description="Whose codes they are")
    transform: dict[str, str | int | float] = Field(..., description="What was done to a picture before it was encoded")
    split: str = Field("", description="Which split of the data; '' where there is none")
    embedding: Embedding | None = Field(None, description="The vectors in the rows")

    @property
    def n_codes(self) -> int:
        """Codes of a picture, on all levels."""
        return sum(level.height * level.width for level in self.levels)


@dataclass(frozen=True)
class Rows:
    """Some records: `codes` per level, top first, (B, h, w) uint16; `embeddings` (B, D) float32, None where the store has
    none; `ids` of the records."""

    ids: list[str]
    codes: tuple[np.ndarray, ...]
    embeddings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


class CodeStore:
    """The records of a file, in the order of their numbers: those that were there when it was first looked into.

    It opens its file on first use, in each process for itself, and may be pickled. `model` is the sha256 of the weights whose
    codes are wanted, None where any will do. Raises `StoreError` then: no store, damaged, of another model, of a newer schema.
    """

    def __init__(self, path: str | os.PathLike, model: str | None = None):
        self.path, self.model = os.fspath(path), model
        self._environment = Environment(path)
        self._header: Header | None = None
        self._numbers: np.ndarray | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_header": None, "_numbers": None}

    @classmethod
    def create(cls, path: str | os.PathLike, header: Header) -> CodeStore:
        """A store to write to: a new one, or the one that is there if its header is the same. Raises `StoreError` where it is
        another one, `NotWritable` where no file can be made."""
        store = cls(path, header.model.sha256)
        made = store._environment.create()
        try:
            with store._environment.reading() as transaction:
                empty = transaction.stat()["entries"] == 0  # new, or killed before the header was there
            if empty:
                text = json.dumps({"schema": SCHEMA, **header.model_dump(mode="json")}, sort_keys=True)
                store._environment.write([(HEADER, text.encode())])
        except BaseException:
            if made:
                store._environment.remove()
            raise
        for name, there in store.header:
            if there != (asked := getattr(header, name)):
                raise StoreError(f"{store._named}: {name}: the store has {_shown(there)}, now it would be {_shown(asked)}; "
                                 "give another path, or remove the store")
        return store

    @property
    def header(self) -> Header:
        """What the store says of itself."""
        if self._header is None:
            with self._environment.reading() as transaction:
                raw = transaction.get(HEADER)
            self._header = self._checked(raw)
        return self._header

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def numbers(self) -> np.ndarray:
        """The records' numbers, (n,) int64, rising; there are gaps where a picture was broken or is still to be encoded."""
        if self._numbers is None:
            _ = self.header
            with self._environment.reading() as transaction:
                keys = b"".join(key for key in transaction.cursor().iternext(values=False) if key != HEADER)
            self._numbers = np.frombuffer(keys, ">u8").astype(np.int64)
        return self._numbers

    def remove(self) -> None:
        """Delete the file."""
        self._environment.remove()
        self._numbers = np.empty(0, np.int64)

    def put(self, numbers: Sequence[int], rows: Rows) -> None:
        """Write records under their numbers, all or none: they are on the disk when this returns. Raises `StoreError` on what
        does not fit the header, or a full disk."""
        self._fits(numbers, rows)
        kind = self.header.embedding and KINDS[self.header.embedding.dtype]
        flat = np.concatenate([codes.reshape(len(rows), -1) for codes in rows.codes], axis=1).astype(CODE)
        vectors = None if kind is None else rows.embeddings.astype(kind)
        pairs = []
        for k, number in enumerate(numbers):
            body = flat[k].tobytes() + (b"" if vectors is None else vectors[k].tobytes()) + rows.ids[k].encode()
            pairs.append((struct.pack(">Q", number), struct.pack("<I", zlib.crc32(body)) + body))
        self._environment.write(pairs)
        self._numbers = None

    def read(self, index: Sequence[int] | None = None) -> Rows:
        """The records at these places, 0 … len - 1, None for all, in one transaction. Raises `StoreError` on a damaged one,
        IndexError on a place that there is not."""
        header, numbers = self.header, self.numbers
        numbers = numbers if index is None else numbers[np.asarray(index, np.int64)]
        width = header.n_codes * CODE.itemsize
        kind = header.embedding and KINDS[header.embedding.dtype]
        end = width + (header.embedding.size * kind.itemsize if kind is not None else 0)
        with self._environment.reading() as transaction:
            bodies = [self._body(transaction, int(number), end) for number in numbers]
        flat = np.frombuffer(b"".join(body[:width] for body in bodies), CODE).astype(np.uint16)
        flat = flat.reshape(len(bodies), header.n_codes)
        codes, start = [], 0
        for level in header.levels:
            stop = start + level.height * level.width
            codes.append(flat[:, start:stop].reshape(-1, level.height, level.width))
            start = stop
        vectors = None
        if kind is not None:
            vectors = np.frombuffer(b"".join(body[width:end] for body in bodies), kind)
            vectors = vectors.reshape(len(bodies), header.embedding.size).astype(np.float32)
        return Rows([body[end:].decode() for body in bodies], tuple(codes), vectors)

    def _body(self, transaction, number: int, least: int) -> bytes:
        value = transaction.get(struct.pack(">Q", number))
        if value is None or len(value) < least + 4 or zlib.crc32(value[4:]) != struct.unpack("<I", value[:4])[0]:
            raise StoreError(f"{self._named}: record {number} is damaged; extract the codes again")
        return value[4:]

    @property
    def _named(self) -> str:
        return plain(self.path, LONGEST)

    def _checked(self, raw: bytes | None) -> Header:
        """The header of its bytes. Raises `StoreError`."""
        if raw is None:
            raise StoreError(f"{self._named}: has no header: it is no code store, or its making was cut before the first "
                             "record; extract the codes again")
        try:
            values = json.loads(raw)
            schema = values.pop("schema")
        except (ValueError, AttributeError, KeyError, TypeError):
            raise StoreError(f"{self._named}: its header is no JSON with a schema; extract the codes again") from None
        if not isinstance(schema, int) or schema > SCHEMA:
            raise StoreError(f"{self._named}: its schema is {_shown(schema)}, this labkit reads up to {SCHEMA}; update labkit, "
                             "or extract the codes again")
        try:
            header = Header(**values)
        except SpecError as error:
            raise StoreError(f"{self._named}: its header does not say what is in it ({error}); extract the codes "
                             "again") from None
        if self.model is not None and header.model.sha256 != self.model:
            raise StoreError(f"{self._named}: codes of another model: {header.model.kind} {plain(header.model.name)} with "
                             f"sha256 {header.model.sha256[:12]}…, not {self.model[:12]}…; extract them again with the model "
                             "in use")
        return header

    def _fits(self, numbers: Sequence[int], rows: Rows) -> None:
        """Whether rows are what the header says. Raises `StoreError`."""
        header, n = self.header, len(rows)
        if len(numbers) != n or len(set(numbers)) != n or any(not 0 <= number < 2**56 for number in numbers):
            raise StoreError(f"numbers: {n} records need as many different numbers from 0; got {_shown(list(numbers))}")
        shapes = [(n, level.height, level.width) for level in header.levels]
        if [codes.shape for codes in rows.codes] != shapes:
            raise StoreError(f"codes: shapes {[codes.shape for codes in rows.codes]} must be {shapes}, as the header says")
        for k, (codes, level) in enumerate(zip(rows.codes, header.levels, strict=True)):
            if not np.issubdtype(codes.dtype, np.integer) or codes.size and not 0 <= codes.min() <= codes.max() < level.n_embed:
                raise StoreError(f"codes: level {k} must hold whole numbers from 0 to {level.n_embed - 1}; got {codes.dtype} "
                                 f"{codes.min()} … {codes.max()}")
        wanted = header.embedding and (n, header.embedding.size)
        given = None if rows.embeddings is None else rows.embeddings.shape
        if wanted != given:
            raise StoreError(f"embeddings: shape {given} must be {wanted}, as the header says")
        most = given and np.finfo(KINDS[header.embedding.dtype]).max
        if given and not (np.abs(rows.embeddings) <= most).all():  # of NaN neither
            raise StoreError(f"embeddings: hold NaN or what {header.embedding.dtype} cannot; see what made them")


def _shown(value: object) -> str:
    return plain(value if isinstance(value, str) and value else repr(value), 160)
