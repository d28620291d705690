"""Where labkit's data files are, beside the package in a checkout, inside it in an installed wheel; and which labkit it is."""

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
    or what the wheel says."""
    ours = PACKAGE.parent / "pyproject.toml"
    if not (PACKAGE / "_data").is_dir() and ours.is_file():
        return tomllib.loads(ours.read_text(encoding="utf-8"))["project"]["version"]
    return metadata.version("labkit")
