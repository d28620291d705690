"""What a command writes to, looked at before its work begins; and files that one call writes whole."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.files import NotWritable, writable, write_atomically, written
from labkit.text import plain
from labkit.views.cli.terminal import COLUMNS


def output(path: str | Path | None, flag: str, *suffixes: str) -> Path | None:
    """A file to write, None for None. Raises `NotWritable`, which names the flag."""
    if path is None:
        return None
    try:
        return writable(path, *suffixes)
    except NotWritable as error:
        raise NotWritable(f"{flag}: {error}") from None


def output_folder(path: str | Path, flag: str) -> Path:
    """A folder to write into, which need not be there yet. Raises `NotWritable`, which names the flag."""
    path, probe = Path(path), Path(path) / "0.png"
    try:
        if os.path.isfile(path):  # of pathlib's, a name that is too long raises
            raise NotWritable(f"{plain(path, 200)} is a file; give a folder")
        writable(probe)
    except NotWritable as error:
        told = str(error).replace(plain(probe, 200), plain(path, 200), 1)
        raise NotWritable(f"{flag}: {told}") from None
    return path


def print_table(table, digits: int = 3, **options) -> None:
    """A data frame on stdout; what a file's own words could do to a terminal is escaped."""
    safe = table.rename(index=_safe, columns=_safe)
    safe = safe.apply(lambda column: column.map(_safe) if column.dtype == object else column)
    print(safe.to_string(float_format=f"{{:.{digits}f}}".format, line_width=COLUMNS, **options))


def _safe(value: object) -> object:
    return plain(value) if isinstance(value, str) else value


def save_sheet(sheet, path: Path) -> None:
    """Many pictures in one, as a PNG of any size, whole or not at all."""
    with written(path) as part:
        sheet.save(part)


def save_figure(figure, path: Path, **options) -> None:
    """A matplotlib figure as a PNG, whole or not at all."""
    with written(path) as part:
        figure.savefig(part, **options)
    print(path)


def save_table(table, path: Path, **options) -> None:
    """A data frame as a CSV, whole or not at all, in which no text is a spreadsheet's formula."""
    from labkit.tables import csv_text

    write_atomically(path, csv_text(table, **options).encode())
    print(path)
