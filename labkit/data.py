"""Where labkit's data files are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path


def data_path(*parts: str) -> Path:
    """The path of a file or folder of `data/`."""
    package = Path(__file__).resolve().parent
    inside = package / "_data"
    return (inside if inside.is_dir() else package.parent / "data").joinpath(*parts)
