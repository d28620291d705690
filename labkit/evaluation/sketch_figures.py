"""Means with intervals over a grid of sketches, and heat maps of them.

The unit is the sketch: pictures of one sketch are no independent draws, so they are averaged first. Shares have Wilson's
interval with as many draws as there are sketches, all else Student's: both are a little too wide, never too narrow, where
seeds of one sketch differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.colors import Normalize
from PIL import Image

from labkit.clip.figures import Sheet, text_colour
from labkit.evaluation.sketching import CLAIMS, SketchSweep, picture_of
from labkit.image import open_upload, to_tensor
from labkit.metrics.intervals import wilson
from labkit.metrics.kid import kid
from labkit.survey.statistics import t_interval
from labkit.world import render, sample_scene

LEAST = 20  # pictures, for a distance between sets

MEASURES = {"subject": "judge finds the subject", "colour": "judge finds the colour", "clip": "CLIP score",
            "edges beyond chance": "edges of the sketch kept, beyond chance"}


def means(table: pd.DataFrame, by: Sequence[str], values: Sequence[str] = tuple(MEASURES)) -> pd.DataFrame:
    """A row for every combination of the columns `by` and every value: `measure`, `mean`, `low`, `high` (95 %), `sketches` that
    have a number, and `pictures`. NaN is left out; one sketch alone has no interval but a share's."""
    rows = []
    for place, part in table.groupby(list(by), sort=True):
        for value in values:
            known = part.dropna(subset=[value])
            each = known.groupby("sketch")[value].mean()
            rows.append({**dict(zip(by, place, strict=True)), "measure": value, **_interval(each.to_numpy(), value in CLAIMS),
                         "sketches": len(each), "pictures": len(known)})
    return pd.DataFrame(rows)


def _interval(each: np.ndarray, share: bool) -> dict[str, float]:
    n, nothing = len(each), math.nan
    if not n:
        return {"mean": nothing, "low": nothing, "high": nothing}
    mean = float(each.mean())
    if share:
        low, high = wilson(min(n, n * mean), n)  # a share of n sketches: not always a whole number of them
    else:
        low, high = t_interval(mean, each.var(ddof=1), n) if n > 1 else (nothing, nothing)
    return {"mean": mean, "low": float(low), "high": float(high)}


def distances(lab, swept: SketchSweep, by: str = "strength", **where: float) -> pd.DataFrame:
    """KID in the judge's features of the pictures at each value of `by` against as many unseen flat scenes with one subject,
    and its `spread`; `where` names values of other columns. A distance between sets needs 20 pictures: of fewer there is no
    row."""
    part, rows = swept.table[swept.table["error"] == ""], []
    for name, value in where.items():
        part = part[part[name] == value]
    for place, cells in part.groupby(by):
        if len(cells) >= LEAST:
            pictures = torch.cat([to_tensor(picture_of(row).resize((64, 64))) for _, row in cells.iterrows()])
            real = torch.cat([to_tensor(Image.fromarray(render(sample_scene(k, "test", style="flat", two=False))))
                              for k in range(len(cells))])
            distance, spread = kid(lab.judge, pictures, real)
            rows.append({by: place, "KID": distance, "spread": spread, "pictures": len(cells)})
    return pd.DataFrame(rows, columns=[by, "KID", "spread", "pictures"])


def heat_maps(table: pd.DataFrame, across: str = "strength", down: str = "guidance",
              values: Sequence[str] = tuple(MEASURES)) -> Sheet:
    """A heat map for each value: means over sketches, the 95 % interval below each. All are coloured from 0 to 1, but CLIP's
    over the range that it has."""
    found = means(table, (down, across), values)
    columns, rows = sorted(set(found[across])), sorted(set(found[down]))
    wide, high = 0.85 * len(columns) + 1.0, 0.5 * len(rows) + 1.1
    figure = Sheet(figsize=(2 * wide, high * math.ceil(len(values) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(values) / 2), 2, squeeze=False).ravel()
    for ax, value in zip(axes, values, strict=False):
        part = found[found["measure"] == value].set_index([down, across])
        grid = np.array([[part["mean"].get((y, x), np.nan) for x in columns] for y in rows], float)
        norm, colours = _range(grid, value), colormaps["viridis"]
        ax.imshow(grid, cmap=colours, norm=norm, aspect="auto")
        for (j, y), (i, x) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
            if math.isnan(grid[j, i]):
                continue
            cell, ink = part.loc[(y, x)], text_colour(colours(norm(grid[j, i])))
            ax.text(i, j - 0.13, _number(grid[j, i], value), ha="center", va="center", fontsize=9, color=ink)
            if not math.isnan(cell["low"]):
                ax.text(i, j + 0.24, f"{_number(cell['low'], value)}–{_number(cell['high'], value)}", ha="center", va="center",
                        fontsize=6, color=ink)
        ax.set_xticks(range(len(columns)), [f"{x:g}" for x in columns], fontsize=8)
        ax.set_yticks(range(len(rows)), [f"{y:g}" for y in rows], fontsize=8)
        ax.set_xlabel(across, fontsize=8), ax.set_ylabel(down, fontsize=8)
        ax.set_title(f"{MEASURES.get(value, value)} ({part['sketches'].max()} sketches)", fontsize=9, loc="left")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    for ax in axes[len(values):]:
        ax.set_axis_off()
    return figure


def as_picture(figure: Sheet) -> Image.Image:
    """The figure as it is shown, RGB."""
    return open_upload(figure._repr_png_())


def _range(grid: np.ndarray, value: str) -> Normalize:
    if value != "clip":
        return Normalize(0, 1)
    known = grid[np.isfinite(grid)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return Normalize(low, high if high - low > 1e-9 else low + 1)


def _number(value: float, of: str) -> str:
    return f"{value:.2f}" if of == "clip" else f"{value:.0%}"
