"""Where labkit's data files are: beside the package in a checkout, inside it in an installed wheel."""

import os
from pathlib import Path


def data_path(*parts: str) -> Path:
    """The path of a file or folder of `data/`."""
    package = Path(__file__).resolve().parent
    inside = package / "_data"
    return (inside if inside.is_dir() else package.parent / "data").joinpath(*parts)


def note_reading(path: str | os.PathLike) -> None:
    """Add a file that results depend on, as a line, to the log that $LABKIT_READ_LOG names, if it names one.

    Weights and kept studies are noted: what a notebook and the processes that it started came from is then known, and nobody
    has to declare it.
    """
    if log := os.environ.get("LABKIT_READ_LOG"):
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(f"{Path(path).resolve()}\n")
