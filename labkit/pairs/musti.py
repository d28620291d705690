"""MUSTI: pictures and passages of old books, and whether both evoke the same smell (MediaEval 2022 and 2023, CEUR Vol-3658).

A JSON list of tables: `id`, `image` (an address; here also a file's name beside the list), `language`, `subtask1_label`
("YES", "NO" or "" where it is not told), `subtask2_labels` (the sources of smell that both evoke), `text` and `title`. The
title is read as the caption, the text as the passage. What the labels mean, and what not, is said at `Pair`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from labkit.files import write_atomically
from labkit.pairs.pair import LABELS, Pair, PairsError
from labkit.text import TextError, plain, read_words

MATCHES = {label: match for match, label in LABELS.items()}
MUST = ("id", "image", "language", "text")


def read_musti(path: str | os.PathLike, languages: Sequence[str] = ()) -> list[Pair]:
    """The pairs of a file, in its order; of some `languages` only, where they are given ("en").

    No picture is fetched (`labkit.pairs.pictures.fetch_pictures`); those that are files have their `path`, if it is there.
    Raises `PairsError`, which names the file, the record and the field.
    """
    path = Path(path)
    named = plain(path, 200)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PairsError(f"{named}: cannot be read ({error.strerror}); give the JSON of MUSTI") from None
    try:
        records = json.loads(read_words(raw, named))
    except TextError as error:
        raise PairsError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise PairsError(f"{named}: is no JSON ({plain(error)}); give the JSON of MUSTI") from None
    if not isinstance(records, list) or not records:
        raise PairsError(f"{named}: must be a list of records, at least one; got {plain(repr(records))}")
    pairs = [_pair(record, f"{named}: record {k + 1}", path.parent) for k, record in enumerate(records)]
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise PairsError(f"{named}: id {plain(repr(pair.id))} comes twice; give each record its own")
        seen.add(pair.id)
    if not languages:
        return pairs
    there = sorted({pair.language for pair in pairs})
    if unknown := [language for language in languages if language not in there]:
        raise PairsError(f"{named}: language {plain(repr(unknown[0]))}: no record has it; there are "
                         f"{plain(', '.join(map(repr, there)), 200)}")
    return [pair for pair in pairs if pair.language in languages]


def _pair(record: Any, where: str, folder: Path) -> Pair:
    if not isinstance(record, dict):
        raise PairsError(f"{where}: must be a table of fields; got {plain(repr(record))}")
    if missing := [name for name in MUST if name not in record]:
        raise PairsError(f"{where}: has no {missing[0]!r}; it has {plain(', '.join(map(str, record)))}")

    def text(name: str) -> str:
        value = record.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and name == "id":
            return str(value)
        if not isinstance(value, str) and not (value is None and name not in MUST):
            raise PairsError(f"{where}: {name} must be a text; got {plain(repr(value))}")
        return value or ""

    label = text("subtask1_label").strip().upper()
    if label not in MATCHES:
        raise PairsError(f"{where}: subtask1_label must be YES, NO or empty; got {plain(repr(label))}")
    smells = record.get("subtask2_labels") or []
    if not isinstance(smells, list) or not all(isinstance(smell, str) for smell in smells):
        raise PairsError(f"{where}: subtask2_labels must be a list of texts; got {plain(repr(smells))}")
    image = text("image").strip()
    if not text("id") or not image:
        raise PairsError(f"{where}: id and image must not be empty")
    file = None if "://" in image else _inside(folder, image, where)
    return Pair(text("id"), image, text("title").strip(), text("text").strip(), text("language").strip(), MATCHES[label],
                tuple(smells), file if file and file.is_file() else None)


def _inside(folder: Path, name: str, where: str) -> Path:
    """A file below the list's folder: a list from elsewhere must not point at others."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name:
        raise PairsError(f"{where}: image {plain(repr(name))} must be an https address, or a file below the list's folder")
    return folder.joinpath(*pure.parts)


def write_musti(path: str | os.PathLike, pairs: Sequence[Pair]) -> Path:
    """Write pairs in MUSTI's format, whole or not at all; `read_musti` gives them back. Raises `FileError`."""
    records = [
        {"id": p.id, "image": p.image, "language": p.language, "subtask1_label": LABELS[p.match],
         "subtask2_labels": list(p.smells), "text": p.passage, "title": p.caption} for p in pairs
    ]  # fmt: skip
    return write_atomically(path, (json.dumps(records, ensure_ascii=False, indent=1) + "\n").encode())
