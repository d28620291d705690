"""Run the notebooks afresh and save them with their outputs, the measured budget and the badges.

    python -m labkit notebooks                    all of them
    python -m labkit notebooks 01_clip_similarity one
    python -m labkit notebooks --stamp            only badges and set-up cells, from labkit/views/notebook/address.py

Cells are known by tags: `badge` (Markdown, the Colab link), `setup` (code), `budget` (Markdown, measured time and
memory), `answer` (Markdown, folded). The notebook's metadata keep a hash of its code and of the pocket models that its
outputs come from, so that a test tells when outputs are stale.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import nbformat
import psutil
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from tyro.conf import Positional, arg

import labkit
from labkit.data import data_path
from labkit.fetch import sha256_of
from labkit.runs.status import duration
from labkit.spec import SpecError
from labkit.views.cli import DONE, FAILED, say
from labkit.views.cli.flags import read_options
from labkit.views.notebook.address import badge, setup_cell

ROOT = Path(labkit.__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
MODELS = ("clip", "judge", "vqgan")  # that every notebook's outputs may come from
MORE_MODELS = {"09_lyrics_to_pictures": ("diffusion",), "10_survey": ("diffusion",), "12_gan": ("gan", "diffusion")}
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE = 40_000  # characters of a picture in base64: larger ones get a palette
BUDGET = "**Time and memory budget, measured:**"


@dataclass(frozen=True)
class Cost:
    """What an execution took: wall-clock seconds, and bytes of the kernel and its children at the peak."""

    seconds: float
    peak: int


def tagged(notebook: NotebookNode, tag: str) -> NotebookNode:
    """The one cell with a tag. Raises ValueError if there is none or more than one."""
    found = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]
    if len(found) != 1:
        raise ValueError(f"{len(found)} cells have the tag {tag!r}; one must")
    return found[0]


def stamp(notebook: NotebookNode, name: str) -> None:
    """Write badge and set-up cell from the one address."""
    tagged(notebook, "badge").source = badge(name)
    tagged(notebook, "setup").source = setup_cell()


def execute(notebook: NotebookNode, folder: Path, timeout: int = 900, progress: Callable[[str], None] | None = None) -> Cost:
    """Run every cell in a new kernel that works in `folder`; outputs are replaced in place.

    Raises nbclient's CellExecutionError, or CellTimeoutError after `timeout` seconds in one cell.
    """
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.perf_counter()
    with client.setup_kernel(env={**os.environ, "PYTHONPATH": path}), _Peak(client.km.provisioner.pid) as memory:
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            if progress and cell.cell_type == "code":
                progress(f"cell {index + 1} of {len(notebook.cells)}, {time.perf_counter() - started:.0f} s")
    return Cost(time.perf_counter() - started, memory.peak)


class _Peak(threading.Thread):
    """The largest resident memory of a process and its children, looked at five times a second."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.peak, self._pid, self._done = 0, pid, threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.peak = max(self.peak, _resident(self._pid))

    def __enter__(self) -> _Peak:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self.join()


def _resident(pid: int) -> int:
    """Bytes of a process and its children; one that has just ended counts nothing."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def tidy(notebook: NotebookNode) -> None:
    """Make outputs small and the same everywhere: one picture format, no views of widgets, no paths of this machine."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                data.pop("image/jpeg", None)  # PIL gives both
                data["image/png"] = smaller(data["image/png"])
            if data.pop(WIDGET, None):
                data["text/plain"] = "(controls: run this cell to use them)"
            for holder, key in [(output, "text"), *((data, k) for k in data if k.startswith("text/"))]:
                if key in holder:
                    holder[key] = _without_paths(holder[key])
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "labkit": notebook.metadata.get("labkit", {}),
    }


def smaller(png: str) -> str:
    """A large PNG in base64 with a palette of 256 colours instead of full colour: saved notebooks stay small, and what
    is shown when a cell is run is not touched."""
    if len(png) < LARGE:
        return png
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        flat = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    flat.save(buffer, "PNG", optimize=True)
    return min(png, base64.b64encode(buffer.getvalue()).decode(), key=len)


def _without_paths(text: str) -> str:
    for path in (sys.executable, sys.prefix, str(ROOT), str(Path.home()), tempfile.gettempdir()):
        text = text.replace(path, "…")
    return text


def code_digest(notebook: NotebookNode) -> str:
    """16 hex digits over the code cells, the stamped one left out."""
    sources = [c.source for c in notebook.cells if c.cell_type == "code" and "setup" not in c.metadata.get("tags", ())]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def models_digest(name: str) -> str:
    """16 hex digits over the pocket models that a notebook uses."""
    files = [data_path("models", f"{kind}.safetensors") for kind in (*MODELS, *MORE_MODELS.get(name, ()))]
    return hashlib.sha256("".join(sha256_of(f) if f.is_file() else "none" for f in files).encode()).hexdigest()[:16]


def budget(cost: Cost) -> str:
    """The budget line's Markdown."""
    import torch

    machine = f"{torch.get_num_threads()} CPU threads ({torch.backends.cpu.get_cpu_capability()}), no GPU"
    if torch.cuda.is_available():
        machine = torch.cuda.get_device_name()
    return (f"{BUDGET} {duration(cost.seconds)} and {cost.peak / 2**30:.1f} GiB of memory for all cells, pocket models, on "
            f"{machine}.")


def refresh(path: Path, progress: Callable[[str], None] | None = None) -> Cost:
    """Run a notebook afresh in an empty folder and save it with outputs, budget and stamps; not if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    stamp(notebook, path.name)
    with tempfile.TemporaryDirectory() as folder:
        cost = execute(notebook, Path(folder), progress=progress)
    tagged(notebook, "budget").source = budget(cost)
    notebook.metadata["labkit"] = {"code": code_digest(notebook), "models": models_digest(path.stem)}
    tidy(notebook)
    nbformat.write(notebook, path)
    return cost


@dataclass
class NotebookOptions:
    """Run the notebooks afresh and save them with their outputs."""

    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME", help="Notebooks, as in 02_vqgan_clip; none: all")]] = ()
    stamp: Annotated[bool, arg(help="Only write badges and set-up cells from the address; run nothing")] = False


def command(args: list[str]) -> int:
    """`labkit notebooks [NAME …] [--stamp]`: exit code 1 if a cell fails."""
    options = read_options("notebooks", NotebookOptions, args)
    there = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    wanted = [Path(name).stem for name in options.names] or list(there)
    if missing := [name for name in wanted if name not in there]:
        raise SpecError(f"notebooks: {', '.join(missing)}: no such notebook; a checkout has {', '.join(there) or 'none'}")
    failed = 0
    for name in wanted:
        if options.stamp:
            notebook = nbformat.read(there[name], as_version=4)
            stamp(notebook, there[name].name)
            nbformat.write(notebook, there[name])
            continue
        try:
            cost = refresh(there[name], lambda line, name=name: say(f"{name}: {line}"))
        except Exception as error:  # the other notebooks still run; the cell's traceback is in the message
            say(f"{name} failed and is left as it was\n{error}")
            failed += 1
        else:
            print(f"{name}: {duration(cost.seconds)}, {cost.peak / 2**30:.1f} GiB at the peak")
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
