"""Run the notebooks afresh and save them with their outputs, the measured budget and the badges.

    python -m labkit notebooks                    all of them
    python -m labkit notebooks 01_clip_similarity one
    python -m labkit notebooks --stamp            only badges and set-up cells, from labkit/views/notebook/address.py

Cells are known by tags: `badge` (Markdown, the Colab link), `setup` (code), `budget` (Markdown, measured time and
memory), `answer` (Markdown, folded). The notebook's metadata keep a hash of its code, and the sha256 of all weights and kept
studies of `data/` that were read while it ran, by itself or by the processes that it started: so a test tells when outputs are
stale, and nobody lists which notebook uses which model.
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

import nbformat
import psutil
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

import labkit
from labkit.data import data_path
from labkit.fetch import sha256_of
from labkit.image import open_upload
from labkit.runs.status import duration
from labkit.views.notebook.address import badge, setup_cell

ROOT = Path(labkit.__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE = 40_000  # characters of a picture in base64: larger ones get a palette
BUDGET = "**Time and memory budget, measured:**"


@dataclass(frozen=True)
class Cost:
    """What an execution took: wall-clock seconds; bytes of the kernel and its children at the peak; seconds of processor time
    of all of them, which a busy machine changes little; and the files of `data/` that it came from, as path: sha256."""

    seconds: float
    peak: int
    cpu_seconds: float
    sources: dict[str, str]


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


def restamp(path: Path) -> None:
    """Write badge and set-up cell into a notebook's file and leave all else as it is."""
    notebook = nbformat.read(path, as_version=4)
    stamp(notebook, path.name)
    nbformat.write(notebook, path)


def execute(notebook: NotebookNode, folder: Path, timeout: int = 900, progress: Callable[[str], None] | None = None) -> Cost:
    """Run every cell in a new kernel that works in `folder`; outputs are replaced in place.

    Raises nbclient's CellExecutionError, or CellTimeoutError after `timeout` seconds in one cell.
    """
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True, resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "read"
        log.touch()
        env = {**os.environ, "PYTHONPATH": path, "LABKIT_READ_LOG": str(log)}
        started = time.perf_counter()
        with client.setup_kernel(env=env), _Watch(client.km.provisioner.pid) as watch:
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
                if progress and cell.cell_type == "code":
                    progress(f"cell {index + 1} of {len(notebook.cells)}, {time.perf_counter() - started:.0f} s")
            seconds = time.perf_counter() - started
        return Cost(seconds, watch.peak, watch.cpu_seconds, shipped(log.read_text(encoding="utf-8").splitlines()))


def shipped(paths: list[str]) -> dict[str, str]:
    """path below `data/`: sha256 of the files that labkit ships; others (weights that a notebook has trained) are left out."""
    folder = data_path().resolve()
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in sorted(set(map(Path, paths))) if p.is_relative_to(folder)}


class _Watch(threading.Thread):
    """The largest resident memory of a process and its children, and their processor time, looked at five times a second."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.peak, self._pid, self._done, self._spent = 0, pid, threading.Event(), {}

    @property
    def cpu_seconds(self) -> float:
        """Of all processes that were seen, those that have ended too."""
        return sum(self._spent.values())

    def run(self) -> None:
        while not self._done.wait(0.2):
            self._look()

    def _look(self) -> None:
        resident = 0
        try:
            root = psutil.Process(self._pid)
            for process in [root, *root.children(recursive=True)]:
                try:
                    resident += process.memory_info().rss
                    times = process.cpu_times()
                except psutil.Error:  # it has just ended
                    continue
                self._spent[process.pid] = times.user + times.system
        except psutil.Error:
            return
        self.peak = max(self.peak, resident)

    def __enter__(self) -> _Watch:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self.join()
        self._look()


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
    flat = open_upload(base64.b64decode(png)).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
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


def stale_sources(notebook: NotebookNode) -> list[str]:
    """The weights and studies that a notebook's outputs come from and that are others now, or gone, as paths below `data/`."""
    made_from = notebook.metadata["labkit"]["sources"].items()
    return [name for name, sha256 in made_from if not data_path(name).is_file() or sha256_of(data_path(name)) != sha256]


def budget(cost: Cost) -> str:
    """The budget line's Markdown."""
    import torch

    machine = f"{torch.get_num_threads()} CPU threads ({torch.backends.cpu.get_cpu_capability()}), no GPU"
    if torch.cuda.is_available():
        machine = torch.cuda.get_device_name()
    spent = f"{duration(cost.seconds)} ({duration(cost.cpu_seconds)} of processor time) and {cost.peak / 2**30:.1f} GiB"
    return f"{BUDGET} {spent} of memory for all cells, pocket models, on {machine}."


def refresh(path: Path, progress: Callable[[str], None] | None = None) -> Cost:
    """Run a notebook afresh in an empty folder and save it with outputs, budget and stamps; not if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    stamp(notebook, path.name)
    with tempfile.TemporaryDirectory() as folder:
        cost = execute(notebook, Path(folder), progress=progress)
    tagged(notebook, "budget").source = budget(cost)
    notebook.metadata["labkit"] = {"code": code_digest(notebook), "sources": cost.sources,
                                   "cpu_seconds": round(cost.cpu_seconds)}
    tidy(notebook)
    nbformat.write(notebook, path)
    return cost
