"""Small plots for notebooks: curves, bars, and a map of numbers as a picture. Drawn without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

from labkit.clip.figures import Sheet


def curves(
    x: Sequence[float], ys: Mapping[str, Sequence[float]], *, xlabel: str = "", ylabel: str = "", title: str = "",
    log: bool = False, points: bool = False,
) -> Sheet:  # fmt: skip
    """Lines over one x, named in a legend; `log` makes the x axis logarithmic, `points` marks the values."""
    figure, ax = _axes(title, xlabel, ylabel)
    for name, y in ys.items():
        ax.plot(list(x), list(y), marker="o" if points else None, markersize=4, label=name)
    if log:
        ax.set_xscale("log")
    if len(ys) > 1:
        ax.legend(frameon=False, fontsize=9)
    return figure


def bars(values: Mapping[str, float], *, xlabel: str = "", title: str = "") -> Sheet:
    """A horizontal bar per name, the first on top, the value behind it."""
    figure, ax = _axes(title, xlabel, "", height=0.9 + 0.3 * len(values))
    drawn = ax.barh(list(values), list(values.values()), color="#4c78a8")
    ax.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    return figure


def histogram(values: Sequence[float], *, bins: int = 30, xlabel: str = "", ylabel: str = "", title: str = "") -> Sheet:
    """How often values occur."""
    figure, ax = _axes(title, xlabel, ylabel)
    ax.hist(np.asarray(values), bins=bins, color="#4c78a8")
    return figure


def number_map(values, colours: str = "viridis") -> Image.Image:
    """An (H, W) array of numbers as a picture, lowest to highest in a colour map: codes, gradients, masks."""
    values = np.asarray(values, dtype=float)
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low or 1.0)
    return Image.fromarray((colormaps[colours](scaled)[..., :3] * 255).astype(np.uint8))


def _axes(title: str, xlabel: str, ylabel: str, height: float = 3.0) -> tuple[Sheet, object]:
    figure = Sheet(figsize=(6.4, height), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax
