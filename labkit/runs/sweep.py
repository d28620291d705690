"""One spec over a grid of values: `sweep(spec, over={"seed": [0, 1], "cutouts__cutn": [8, 16]}, folder="out")`.

The cells run by `labkit.runs.workers`: here, in processes of this machine, or on a cluster that sees the same folder. A
finished cell is a PNG in the folder, named by its spec and models; the next run skips it. A worker that dies in the middle
leaves nothing under that name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from labkit.image import contact_sheet, open_upload, read_recipe, save_png
from labkit.runs.result import collect
from labkit.runs.workers import LabSource, run_all
from labkit.spec import Method, SpecError


@dataclass(frozen=True)
class Sweep:
    """A finished sweep. `table` has a row per cell: a column per axis, the last scores, `seconds` of the run, `path`
    of the PNG, `error` ("" if none) and `skipped` (whether it was there before)."""

    table: pd.DataFrame
    axes: dict[str, list]

    def sheet(self):
        """A contact sheet: the last axis runs along the rows, the others downwards; a failed cell is grey."""
        images, labels = [], []
        for _, row in self.table.iterrows():
            labels.append(", ".join(f"{name.replace('__', '.')} {shown(row[name])}" for name in self.axes))
            images.append(open_upload(row["path"]) if not row["error"] else None)
        size = next((image.size for image in images if image is not None), (64, 64))
        blank = Image.new("RGB", size, (160, 160, 160))
        images = [blank if image is None else image for image in images]
        labels = [f"{label} (failed)" if e else label for label, e in zip(labels, self.table["error"], strict=True)]
        return contact_sheet(images, labels, columns=len(list(self.axes.values())[-1]))


def sweep(
    spec: Method,
    over: dict[str, Sequence],
    lab: LabSource = None,
    folder: str | Path = "out/sweep",
    n_jobs: int | None = None,
    done: Callable[[int, dict], None] | None = None,
) -> Sweep:
    """Run `spec` for every combination of the values in `over` (`a__b` is field b of the nested spec a).

    lab     the arguments of `Lab` as a table, a `Lab` (workers build one like it), or a top-level function that
            makes one. None: the pocket models.
    folder  where finished cells stay; a cluster's workers must see it under the same path.
    n_jobs  as joblib's; None leaves it to `joblib.parallel_config`.
    done    called with a cell's number (in the table's order) and its row as each one ends.
    Raises `SpecError` before any cell runs when a value is out of bounds. What fails later stays in the table as the
    cell's `error`, and the other cells run on. An interrupt ends the sweep; the finished cells stay.
    """
    axes = {name: list(values) for name, values in over.items()}
    if empty := [name for name, values in axes.items() if not values]:
        raise SpecError(f"over: {', '.join(empty)} has no values; give at least one")
    if not axes:
        raise SpecError("over: names no axis; give at least one field with its values")
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    specs = [spec.but(**point) for point in points]
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rows = run_all(partial(run_cell, folder=str(folder)), specs, lab, n_jobs, done)
    table = pd.DataFrame([{**point, **row} for point, row in zip(points, rows, strict=True)])
    ends = ["seconds", "path", "error", "skipped"]
    return Sweep(table[[name for name in table.columns if name not in ends] + ends], axes)


def run_cell(spec: Method, lab, folder: str) -> dict:
    """One cell, in whatever process: its row of the table."""
    try:
        return _run_cell(spec, lab, Path(folder))
    except Exception as error:  # the row keeps it: one bad cell must not stop the others
        return {"seconds": float("nan"), "path": "", "error": f"{type(error).__name__}: {error}", "skipped": False}


def _run_cell(spec: Method, lab, folder: Path) -> dict:
    made_by = lab.fingerprints(spec.needs) | {"precision": getattr(lab, "precision", "fp32")}
    made_by = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:8]
    path = folder / f"{spec.digest()}-{made_by}.png"
    if path.exists():
        return _row(path, skipped=True)
    result = collect(spec, lab)
    if result.interrupted:
        raise KeyboardInterrupt
    if result.image is None:
        raise ValueError(f"{type(spec).__name__} ended without a picture")
    scores = {name: score for name, score in result.scores.items() if math.isfinite(score)}  # JSON knows no NaN
    save_png(result.image, path, {**result.recipe, "scores": scores, "seconds": round(result.seconds, 3)})
    return _row(path, skipped=False)


def _row(path: Path, skipped: bool) -> dict:
    recipe = read_recipe(path)
    ends = {"seconds": recipe.get("seconds"), "path": str(path), "error": "", "skipped": skipped}
    return {**recipe.get("scores", {}), **ends}


def shown(value: Any, longest: int = 24) -> str:
    """A value as a label shows it."""
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"
