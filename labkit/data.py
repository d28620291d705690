"""Where labkit's data files are, beside the package in a checkout, inside it in an installed wheel; and which labkit it is."""

import os
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_path(*parts: str) -> Path:
    """The path of a file or folder of `data/`."""
    inside = PACKAGE / "_data"
    return (inside if inside.is_dir() else PACKAGE.parent / "data").joinpath(*parts)


@cache
def version() -> str:
    """labkit's version, which stands in pyproject.toml only: a checkout's own (what was installed from it once may be older),
    or what the installed package says."""
    ours = PACKAGE.parent / "pyproject.toml"
    if not (PACKAGE / "_data").is_dir() and ours.is_file():
        return tomllib.loads(ours.read_text(encoding="utf-8"))["project"]["version"]
    try:
        return metadata.version("labkit")
    except metadata.PackageNotFoundError:  # a copy of the package alone
        return "unknown"


def note_reading(path: str | os.PathLike) -> None:
    """Add a file that results depend on, as a line, to the log that $LABKIT_READ_LOG names, if it names one.

    Weights and kept studies are noted: what a notebook and the processes that it started came from is then known, and nobody
    has to declare it.
    """
    if log := os.environ.get("LABKIT_READ_LOG"):
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(f"{Path(path).resolve()}\n")
