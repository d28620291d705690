"""What every file is: writes docs/files.md from the files' own first lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import labkit
from labkit import methods

ROOT = Path(labkit.__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "files.md"
FOLDERS = (("labkit", "*.py"), ("apps", "*.py"), ("benchmarks", "*.py"), ("notebooks", "*.ipynb"))
OTHERS = {
    "apps/README.md": "Front matter and CPU profile of a hosted demo",
    "data/models/": "Pocket weights (fp16 safetensors), a model card each, and `history.json`: how they were trained",
    "data/studies/": "Tables and sheets of long studies, with the command, date and processor that made them",
    "data/lyrics/": "Example songs in the public domain, rated words, the glossary",
    "data/world/": "The picture world: `subjects/` and `settings/` as SVG, `words.json`",
    "data/songs.csv, data/survey.csv": "Tables of the lyrics report, as printed",
    "tests/": "Mirrors `labkit/`; `conformance/` holds every method, measure and training to the contract",
    "Makefile, .ci/run": "The commands; CI runs `make test` and nothing else",
    "requirements.txt, constraints.txt, pyproject.toml, setup.py, MANIFEST.in":
        "What is needed (lower bounds), the last set that passed, the package",
}
HEAD = """# Every file

Made by `python -m labkit files` from the files' own first lines.

| file | what it is |
| --- | --- |
"""


@dataclass
class FilesOptions:
    """Write docs/files.md anew: a line for every file of this checkout."""


def main(args: list[str]) -> int:
    """`labkit files`."""
    from labkit.files import write_atomically
    from labkit.views.cli.flags import read_options
    from labkit.views.cli.terminal import DONE

    read_options("files", FilesOptions, args)
    write_atomically(PAGE, page().encode())
    print(PAGE)
    return DONE


def page(root: Path = ROOT) -> str:
    """The page of the files below `root`. Raises ValueError, which names a file that does not say what it is."""
    rows = {path.relative_to(root).as_posix(): first_line(path) for folder, pattern in FOLDERS
            for path in sorted((root / folder).rglob(pattern)) if not {".ipynb_checkpoints", "__pycache__"} & {*path.parts}}
    if silent := [name for name, line in rows.items() if not line and not name.endswith("__init__.py")]:
        raise ValueError(f"{silent[0]}: opens with no line that says what it is")
    rows = {name: line for name, line in rows.items() if line} | OTHERS
    shown = {", ".join(f"`{part}`" for part in name.split(", ")): line for name, line in rows.items()}
    return HEAD + "".join(f"| {name} | {line} |\n" for name, line in shown.items())


def first_line(path: Path) -> str:
    """The first line of a module's docstring, or a notebook's title; "" where there is none."""
    if path.suffix == ".py":
        line = methods.first_line(path)
    else:
        cells = ("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
                 if cell["cell_type"] == "markdown")
        line = next((line[2:] for cell in cells for line in cell.splitlines() if line.startswith("# ")), "")
    return line.strip().rstrip(".").replace("|", "\\|")
