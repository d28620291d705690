"""A folder of pictures with a list of captions, CSV or JSON lines, read by Hugging Face's `datasets`.

    pictures/  metadata.csv          file_name,text                         the layout that `datasets` calls an image folder
               a.png  b/c.jpg        a.png,"a red apple in the snow"
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import datasets

from labkit.pairs.pair import Pair, PairsError
from labkit.text import plain

LISTS = ("metadata.csv", "metadata.jsonl", "captions.csv", "captions.jsonl")
READERS = {".csv": "csv", ".jsonl": "json", ".json": "json"}
CAPTIONS = ("text", "caption", "title", "prompt")  # columns that hold a caption, if none is named


def read_captioned(folder: str | os.PathLike, captions: str | os.PathLike | None = None, picture: str = "file_name",
                   caption: str | None = None) -> list[Pair]:
    """The pairs of a folder; they belong together (`match` is True).

    captions  the list, CSV (with a head line) or JSON lines; by default the first of metadata.csv, metadata.jsonl,
              captions.csv, captions.jsonl in the folder.
    picture   its column with the file, relative to the folder.   caption  its column with the text: the first of text,
              caption, title, prompt by default. Columns id, language and passage are read where they are.
    A picture may come several times, with other captions; files are looked at by `fetch_pictures`. Raises `PairsError`, which
    names the file, the line's value and what to do, where a list names pictures that there are not.
    """
    folder = Path(folder)
    named = plain(folder, 200)
    if not folder.is_dir():
        raise PairsError(f"{named}: no such folder; give the folder of the pictures")
    path = _list(folder) if captions is None else Path(captions)
    rows = _rows(path)
    columns = rows.column_names
    listed = plain(path, 200)
    said = caption or next((name for name in CAPTIONS if name in columns), None)
    for name, what in ((picture, "picture"), (said or CAPTIONS[0], "caption")):
        if name not in columns:
            raise PairsError(f"{listed}: has no column {plain(name)!r}; it has {plain(', '.join(columns), 200)}; name the "
                             f"column of the {what} by {what}=…")
    pairs, gone = [], []
    for k, row in enumerate(rows):
        name, words = _text(row[picture]), _text(row[said])
        if not name or not words:
            raise PairsError(f"{listed}: record {k + 1} has no {picture if not name else said}; complete it, or take it out")
        file = folder / name
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise PairsError(f"{listed}: record {k + 1}: {picture} {plain(repr(name))} must be a file below {named}")
        if not file.is_file():
            gone.append(name)
        more = {"passage": _text(row.get("passage")), "language": _text(row.get("language"))}
        pairs.append(Pair(_text(row.get("id")) or f"{k:06d}", name, words, **more, match=True, path=file))
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise PairsError(f"{listed}: {len(gone)} of its {len(pairs)} pictures are not in {named}: "
                         f"{', '.join(plain(repr(name)) for name in gone[:3])}{more}; put them there, or take their lines out")
    if len({pair.id for pair in pairs}) < len(pairs):
        raise PairsError(f"{listed}: an id comes twice; give each record its own, or leave the column out")
    return pairs


def _list(folder: Path) -> Path:
    for name in LISTS:
        if (folder / name).is_file():
            return folder / name
    files = sum(1 for _ in folder.iterdir())
    what = "is empty" if not files else f"has {files} files and none of {', '.join(LISTS)}"
    raise PairsError(f"{plain(folder, 200)}: {what}; put a list there with the columns file_name and text, or name it")


def _rows(path: Path) -> datasets.Dataset:
    """The list as `datasets` reads it; its cache lasts as long as the call. Raises `PairsError`."""
    named = plain(path, 200)
    if path.suffix.lower() not in READERS:
        raise PairsError(f"{named}: must end in {', '.join(READERS)}")
    if not path.is_file():
        raise PairsError(f"{named}: no such file; give the list of captions")
    reader = READERS[path.suffix.lower()]
    options = {"keep_default_na": False} if reader == "csv" else {}  # a caption may be "None"
    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="labkit-") as cache:
            rows = datasets.load_dataset(reader, data_files=str(path), split="train", cache_dir=cache, keep_in_memory=True,
                                         **options)
    except Exception as error:  # of pandas, pyarrow and datasets: each has its own
        cause = error.__cause__ or error
        raise PairsError(f"{named}: cannot be read as {reader} ({plain(cause, 160)}); mend it, or save it as UTF-8") from None
    finally:
        if not silent:
            datasets.enable_progress_bars()
    if not len(rows):
        raise PairsError(f"{named}: lists no picture; give at least one")
    return rows


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
