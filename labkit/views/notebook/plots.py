"""Small plots for notebooks: curves, bars, and a map of numbers as a picture. Drawn without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from labkit.clip.figures import Sheet

LINE, WIDER = 1.6, 2.4  # points: a curve, and how much wider it is drawn below one that would cover it
SAME = 0.012  # of the range of all values: nearer curves cover each other
COVERED = 0.2  # share of the points that must be covered; curves that only cross hide nothing
FEW = 10  # so many x or fewer are all written at the axis


def curves(
    x: Sequence[float], ys: Mapping[str, Sequence[float]], *, xlabel: str = "", ylabel: str = "", title: str = "",
    log: bool = False, points: bool = False, marks: Mapping[str, float] | None = None,
) -> Sheet:  # fmt: skip
    """Lines over one x, named in a legend. All are seen: one that later ones would cover is drawn wider below them.

    `log` makes the x axis logarithmic, `points` marks the values, `marks` are places of the x axis with a name each.
    """
    figure, ax = _axes(title, xlabel, ylabel, width=6.4 if len(ys) < 2 else 8.2)
    x, lines = np.asarray(list(x), float), [np.asarray(list(y), float) for y in ys.values()]
    for name, y, width in zip(ys, lines, _widths(lines), strict=True):
        ax.plot(x, y, marker="o" if points else None, markersize=width + 2.4, linewidth=width, label=name)
    for name, at in (marks or {}).items():
        ax.axvline(at, color="#9a9a9a", linewidth=1, linestyle=":", zorder=0)
        ax.annotate(name, (at, 1), xycoords=("data", "axes fraction"), fontsize=8, color="#6d6d6d", ha="center", va="bottom")
    if marks:
        ax.set_title(title, fontsize=10, loc="left", pad=18)
    _x_ticks(ax, x, log)
    if len(ys) > 1:
        ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _widths(lines: list[np.ndarray]) -> list[float]:
    """How wide each curve is drawn: the last and every free one LINE, one below n others that cover it n · WIDER more."""
    finite = np.concatenate([y[np.isfinite(y)] for y in lines])
    near = SAME * (float(np.ptp(finite)) if finite.size else 0.0)
    depth = [0] * len(lines)
    for k in reversed(range(len(lines))):
        for m in range(k + 1, len(lines)):
            a, b = (y[: min(len(lines[k]), len(lines[m]))] for y in (lines[k], lines[m]))
            if (np.abs(a - b) <= near).mean() > COVERED:
                depth[k] = max(depth[k], depth[m] + 1)
    return [LINE + WIDER * d for d in depth]


def _x_ticks(ax, x: np.ndarray, log: bool) -> None:
    """Ticks that are read at once: the values themselves where they are few, whole numbers where all are, never 3×10¹."""
    if log:
        ax.set_xscale("log")
        decades = np.log10(x.max() / x.min())
        ax.xaxis.set_major_locator(FixedLocator(x) if len(x) <= FEW else LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value >= 1 else f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    elif (x == x.round()).all():
        ax.xaxis.set_major_locator(FixedLocator(x) if len(x) <= FEW else MaxNLocator(integer=True, steps=(1, 2, 5, 10)))


def bars(values: Mapping[str, float], *, xlabel: str = "", title: str = "") -> Sheet:
    """A horizontal bar per name, the first on top, the value behind it: counts as counts, others with two decimals."""
    figure, ax = _axes(title, xlabel, "", height=0.9 + 0.3 * len(values))
    drawn = ax.barh(list(values), list(values.values()), color="#4c78a8")
    whole = all(float(value).is_integer() for value in values.values())
    ax.bar_label(drawn, fmt="%d" if whole else "%.2f", padding=3, fontsize=8)
    if whole:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
    ax.invert_yaxis()
    ax.margins(x=0.12)
    return figure


def histogram(values: Sequence[float], *, bins: int = 30, xlabel: str = "", ylabel: str = "", title: str = "") -> Sheet:
    """How often values occur. Of values that hardly differ a millionth on either side is shown."""
    figure, ax = _axes(title, xlabel, ylabel)
    values = np.asarray(values, dtype=float)
    low, high = values.min(), values.max()
    ax.hist(values, bins=bins, range=(low, high) if high - low > 1e-6 else (low - 1e-6, high + 1e-6), color="#4c78a8")
    return figure


def number_map(values, colours: str = "viridis") -> Image.Image:
    """An (H, W) array of numbers as a picture, lowest to highest in a colour map: codes, gradients, masks."""
    values = np.asarray(values, dtype=float)
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low or 1.0)
    return Image.fromarray((colormaps[colours](scaled)[..., :3] * 255).astype(np.uint8))


def _axes(title: str, xlabel: str, ylabel: str, height: float = 3.0, width: float = 6.4) -> tuple[Sheet, object]:
    figure = Sheet(figsize=(width, height), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax
