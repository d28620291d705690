"""Studies that take minutes are kept as data: their tables and sheets, and how they were made.

    data/studies/NAME.json     date, command, processor, the weights' sha256, the specs' digests, which files belong to it
    data/studies/NAME.csv      its table (NAME-OTHER.csv, where it has more than one)
    data/studies/NAME.png      its sheet of pictures, with 256 colours (NAME-OTHER.png likewise)

A notebook shows them with a line on where they come from. A study is *stale* when the weights that it was made with are others
today, or its specs (see `labkit.evaluation.catalogue`): the line then says so.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from labkit.data import data_path, note_reading
from labkit.fetch import sha256_of
from labkit.files import write_atomically
from labkit.image import open_upload
from labkit.models.stable_load import digest_of, pocket_files
from labkit.tables import csv_text


@dataclass(frozen=True)
class Found:
    """What a study found: tables and sheets by name, the main one of each called ""."""

    tables: dict[str, pd.DataFrame]
    sheets: dict[str, Image.Image] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredStudy:
    """A study read back. `made` says how it was made; `stale` lists what is another today, empty while it holds."""

    name: str
    found: Found
    made: dict[str, Any]
    stale: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return self.found.tables[""]

    @property
    def sheet(self) -> Image.Image:
        """The main sheet."""
        return self.found.sheets[""]

    def first_rows(self, n: int, columns: int = 8) -> Image.Image:
        """The first n rows of a main sheet that has a picture for each row of the table, `columns` of them side by side: a
        notebook shows a part, the file has all."""
        rows = -(-len(self.table) // columns)
        return self.sheet.crop((0, 0, self.sheet.width, self.sheet.height * min(n, rows) // rows))

    def __repr__(self) -> str:
        m, models = self.made, ", ".join(sorted({_model(name) for name in self.made["sources"]}))
        line = (f"Study {self.name!r}: made on {m['date']} by `{m['command']}`, {m['minutes']:g} minutes on {m['processes']} "
                f"process(es) of {m['threads']} thread(s), {m['processor']}, with the pocket models {models}.")
        return f"{line} STALE: {'; '.join(self.stale)}. The command makes it anew." if self.stale else line

    def _repr_markdown_(self) -> str:
        return f"*{self!r}*" if not self.stale else f"**{self!r}**"


def save_study(name: str, found: Found, made: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write a study's files; the JSON last, so that a study that is there is whole. Returns the JSON's path."""
    folder = folder or data_path("studies")
    for key, table in found.tables.items():
        write_atomically(folder / _file(name, key, "csv"), csv_text(table, index=False).encode())
    for key, sheet in found.sheets.items():
        buffer = io.BytesIO()
        flat = sheet.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        flat.save(buffer, "PNG", optimize=True)
        write_atomically(folder / _file(name, key, "png"), buffer.getvalue())
    about = {**made, "sheets": list(found.sheets), "tables": {key: list(map(str, table.columns[table.dtypes.map(_text)]))
                                                              for key, table in found.tables.items()}}
    return write_atomically(folder / _file(name, "", "json"), (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())


def read_study(name: str, folder: Path | None = None) -> StoredStudy:
    """A study that was kept. Raises FileNotFoundError, which names the command that makes it, where there is none."""
    folder = folder or data_path("studies")
    path = folder / _file(name, "", "json")
    if not path.is_file():
        there = sorted(p.stem for p in folder.glob("*.json")) if folder.is_dir() else []
        raise FileNotFoundError(f"study {name!r} is not kept here; `python -m labkit study {name}` makes it. "
                                f"There {'are ' + ', '.join(there) if there else 'is none'}")
    note_reading(path)
    made = json.loads(path.read_text(encoding="utf-8"))
    tables = {key: _read(folder / _file(name, key, "csv"), texts) for key, texts in made["tables"].items()}
    sheets = {}
    for key in made["sheets"]:
        sheets[key] = open_upload(folder / _file(name, key, "png"))
    return StoredStudy(name, Found(tables, sheets), made, tuple(changed(made["sources"])))


def _read(path: Path, texts: list[str]) -> pd.DataFrame:
    """A table whose columns `texts` are words, where nothing is "", and the others numbers, where nothing is NaN."""
    numbers = [c for c in pd.read_csv(path, nrows=0).columns if c not in texts]
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=dict.fromkeys(numbers, [""]))


def _text(dtype) -> bool:
    return pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype)


def changed(sources: Mapping[str, str]) -> list[str]:
    """What differs of files below `data/` (path: sha256): a line each."""
    lines = []
    for name, sha256 in sources.items():
        path = data_path(name)
        if not path.is_file():
            lines.append(f"{name} is gone")
        elif sha256_of(path) != sha256:
            lines.append(f"{name} is another now")
    return lines


def sources_of(fingerprints: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """path below `data/`: sha256, of the shipped weights that a lab's fingerprints name by their sha256."""
    shas = {one["sha256"] for one in fingerprints}
    shipped = {f"models/{path.name}": sha256_of(path) for path in sorted(data_path("models").glob("*.safetensors"))}
    found = {name: sha256 for name, sha256 in shipped.items() if sha256 in shas}
    if (files := pocket_files()) and digest_of(files) in shas:  # a model of several files
        found |= {file.relative_to(data_path()).as_posix(): sha256_of(file) for file in files}
    return found


def _model(name: str) -> str:
    """The model that a file below `data/` is of: models/NAME.safetensors or models/NAME/…"""
    return Path(Path(name).parts[1]).stem


def _file(name: str, key: str, suffix: str) -> str:
    return f"{name}-{key}.{suffix}" if key else f"{name}.{suffix}"
