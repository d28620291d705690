"""Anyone's folder of pictures: found, opened one after the other, with captions and labels where there are some.

    folder = PictureFolder.of("holiday", captions="holiday/metadata.csv")
    vectors = embed_all(lab, ("clip",), folder.pictures(on_picture))      folder.names, folder.labels, folder.skipped

Captions are a table as `datasets` has it for folders: a column `file_name`, a column `text`; further columns are labels.
Without a table, the subfolder that a picture lies in is its label.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from PIL import Image

from labkit.image import ImageError, open_upload
from labkit.spec import SpecError
from labkit.text import plain

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


class FolderError(SpecError):
    """A folder or a table of captions that cannot be used; the message names it and says what to do."""


@dataclass
class PictureFolder:
    """Files of pictures under `root`, in the order of their names. `skipped` fills while `pictures` runs: file → why."""

    root: Path
    files: list[Path]
    table: pd.DataFrame | None = field(default=None, repr=False)  # index: file names
    skipped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: str | os.PathLike, captions: str | os.PathLike | None = None) -> PictureFolder:
        """The pictures (PNG, JPEG, WebP, GIF) in a folder and its subfolders; hidden ones are left out. Raises `FolderError`
        where there is no such folder, none in it, or a table that does not fit."""
        root = Path(root)
        if not root.exists():
            raise FolderError(f"{plain(root, 200)}: no such folder; give one with pictures")
        if not root.is_dir():
            raise FolderError(f"{plain(root, 200)}: is a file; give the folder that it lies in")
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
                       and not any(part.startswith(".") for part in path.relative_to(root).parts))
        if not files:
            raise FolderError(f"{plain(root, 200)}: holds no pictures; put some in ({', '.join(SUFFIXES)})")
        found = cls(root, files)
        if captions is not None:
            found.table = captions_table(captions, {found.name_of(path) for path in files}, root)
        return found

    def name_of(self, path: Path) -> str:
        """A picture's path within the folder, with / between its parts."""
        return path.relative_to(self.root).as_posix()

    def pictures(self, seen: Callable[[Image.Image], None] = lambda picture: None) -> Iterator[Image.Image]:
        """The pictures that can be opened, one after the other; `seen` is given each. The others go to `skipped` and leave
        `files`."""
        good = []
        for path in self.files:
            try:
                picture = open_upload(path)
            except ImageError as error:
                self.skipped[self.name_of(path)] = str(error)
                continue
            good.append(path)
            seen(picture)
            yield picture
        self.files = good

    @property
    def names(self) -> list[str]:
        """The pictures' names."""
        return [self.name_of(path) for path in self.files]

    @property
    def captions(self) -> list[str]:
        """The pictures' texts, "" where there is none; no list at all without a table."""
        return [] if self.table is None else self._column("text")

    @property
    def labels(self) -> dict[str, list]:
        """Column → a value a picture: the table's further columns, and the subfolder where pictures lie in several."""
        found = {}
        folders = [self.name_of(path.parent) for path in self.files]
        if len(set(folders)) > 1:
            found["folder"] = folders
        if self.table is not None:
            found |= {str(name): self._column(name) for name in self.table.columns if name != "text"}
        return found

    def _column(self, name: str) -> list:
        column = self.table[name].reindex(self.names)
        return list(column if pd.api.types.is_numeric_dtype(column.dtype) else column.fillna("").astype(str))


def captions_table(path: str | os.PathLike, names: set[str], root: Path) -> pd.DataFrame:
    """The table of a CSV or JSONL file, indexed by file_name. Raises `FolderError` on what is no table, on missing columns, on
    a picture that is named twice, and where none of its pictures is in the folder."""
    path = Path(path)
    where = plain(path, 200)
    if not path.is_file():
        raise FolderError(f"{where}: no such file; give a CSV or JSONL with file_name and text")
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise FolderError(f"{where}: must end in .csv or .jsonl")
    try:
        table = pd.read_csv(path, dtype={"file_name": str}) if path.suffix.lower() == ".csv" else pd.read_json(path, lines=True)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parsing errors are ValueErrors
        raise FolderError(f"{where}: is no table that can be read ({plain(error, 120)}); save it as UTF-8") from None
    if lacking := [name for name in ("file_name", "text") if name not in table.columns]:
        raise FolderError(f"{where}: has no column {lacking[0]}; it has {plain(', '.join(map(str, table.columns)), 200)}")
    table["file_name"] = table["file_name"].astype(str)
    if table["file_name"].duplicated().any():
        twice = table["file_name"][table["file_name"].duplicated()].iloc[0]
        raise FolderError(f"{where}: names {plain(twice)} twice; leave one line")
    if not names & set(table["file_name"]):
        first = table["file_name"].iloc[0] if len(table) else "(no line)"
        raise FolderError(f"{where}: names no picture of {plain(root, 200)}: it says {plain(first)}, the folder has "
                          f"{plain(min(names))}; give names as they are within the folder")
    return table.set_index("file_name")
