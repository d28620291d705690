"""Figures of text–image similarity: the heat map with its pictures, and the three panels of a patch map.

They are drawn without pyplot, which keeps global state, so that several visitors of an app can draw at once.
"""

from __future__ import annotations

import io
import textwrap

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image, ImageOps

NUMBERS = 30  # a matrix of more rows or columns than this is shown by colours alone
LABELS = 60  # more rows than this get a label every few rows
LEAST_PICTURE = 0.15  # inches; narrower columns have no pictures over them


class Sheet(Figure):
    """A matplotlib figure that a notebook shows by itself, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


def text_colour(rgb) -> str:
    """Black or white, whichever is read better on a colour (r, g, b, …) in [0, 1]: WCAG's relative
    luminance."""
    channels = np.asarray(rgb[:3], dtype=float)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    # Contrast with white is 1.05 / (L + 0.05), with black (L + 0.05) / 0.05.
    return "black" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "white"


def strip(pictures: list[Image.Image], side: int) -> np.ndarray:
    """Pictures side by side as squares, on white, nothing cropped: (side, side · M, 3) uint8."""
    squares = [np.asarray(ImageOps.pad(p.convert("RGB"), (side, side), color="white")) for p in pictures]
    return np.concatenate(squares, axis=1)


def limits(values: np.ndarray, diverging: bool) -> Normalize:
    """The range of colours: of the values, symmetric about 0 where they diverge; never empty."""
    low, high = float(values.min()), float(values.max())
    if diverging:
        high = max(abs(low), abs(high)) or 1.0
        low = -high
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    return Normalize(low, high)


def heat_map(
    values: np.ndarray,
    rows: list[str],
    pictures: list[Image.Image],
    *,
    title: str,
    unit: str,
    number: str = "{:z.2f}",
    diverging: bool = False,
    norm: Normalize | None = None,
    names: list[str] | None = None,
    notes: list[str] | None = None,
) -> Sheet:
    """A heat map of values (N, M): a text per row, a picture over each column, the number in each cell.

    `number` formats a cell, `unit` labels the colour bar, `names` stand under the columns, `notes` under the
    figure. Numbers are left out beyond 30 rows or columns, pictures where a column is narrower than they
    need.
    """
    n, m = values.shape
    cell_w, cell_h = min(0.9, 16 / m), min(0.5, 16 / n)
    every = -(-n // LABELS)
    lines = 2 if cell_h * every > 0.3 else 1
    labels = ["\n".join(textwrap.wrap(t, 34, max_lines=lines, placeholder=" …")) for t in rows]
    label_size = min(9.0, cell_h * every * 72 * 0.4)
    longest = max(len(line) for label in labels for line in label.split("\n"))
    pictured = cell_w >= LEAST_PICTURE
    notes = [line for note in notes or [] for line in textwrap.wrap(note, 100)]
    # Everything in inches: margins do not depend on the number of cells.
    left = 0.35 + longest * label_size * 0.6 / 72
    top, bottom = 0.5, (0.4 if names else 0.15) + 0.2 * len(notes) + 0.05
    high = n * cell_h + (cell_w if pictured else 0)
    width, height = max(left + m * cell_w + 1.1, 5.5), bottom + high + top
    figure = Sheet(figsize=(width, height))
    ax = figure.add_axes([left / width, bottom / height, m * cell_w / width, high / height])
    norm, colours = norm or limits(values, diverging), colormaps["RdBu_r" if diverging else "viridis"]
    shown = ax.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    head = -0.5
    if pictured:
        head -= cell_w / cell_h
        side = max(16, int(cell_w * 150))
        ax.imshow(strip(pictures, side), extent=(-0.5, m - 0.5, -0.5, head), aspect="auto")
    ax.set_xlim(-0.5, m - 0.5)
    ax.set_ylim(n - 0.5, head)
    if n <= NUMBERS and m <= NUMBERS:
        size = min(10.0, cell_w * 72 / (0.75 * max(len(number.format(v)) for v in values.flat)), cell_h * 72 * 0.6)
        for (i, j), value in np.ndenumerate(values):
            ax.text(
                j,
                i,
                number.format(value),
                ha="center",
                va="center",
                fontsize=size,
                color=text_colour(colours(norm(value))),
            )
    ax.set_yticks(range(0, n, every), labels[::every], fontsize=label_size, parse_math=False)
    if names and m <= NUMBERS:
        names = [textwrap.shorten(c, max(3, int(cell_w * 11)), placeholder="…") for c in names]
        ax.set_xticks(range(m), names, fontsize=8, parse_math=False)
    else:
        ax.set_xticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    # The bar stands beside the cells, not beside the pictures.
    bar_h = min(n * cell_h, 4.0)
    bar = figure.add_axes([(left + m * cell_w + 0.12) / width, bottom / height, 0.14 / width, bar_h / height])
    figure.colorbar(shown, cax=bar, label=unit if bar_h > 1 else "")
    bar.tick_params(labelsize=8)
    if bar_h < 1:
        bar.set_yticks([norm.vmin, norm.vmax])
    figure.text(0.1 / width, 1 - 0.28 / height, title, fontsize=11, parse_math=False)
    for i, line in enumerate(reversed(notes)):
        figure.text(0.1 / width, (0.1 + 0.2 * i) / height, line, fontsize=8, color="0.3", parse_math=False)
    return figure


def three_panels(picture: Image.Image, values: np.ndarray, *, title: str, unit: str, caption: str) -> Sheet:
    """A picture, a map (H, W) of signed values over it, and both in one; the caption below."""
    lines = textwrap.wrap(caption, 150)
    height = 3.9 + 0.17 * len(lines)
    figure = Sheet(figsize=(9.6, height))
    norm = limits(values, diverging=True)
    bottom, tall = (0.35 + 0.17 * len(lines)) / height, 2.85 / height
    axes = [figure.add_axes([x / 9.6, bottom, 2.8 / 9.6, tall]) for x in (0.1, 3.0, 6.65)]
    h, w = values.shape
    square = np.asarray(picture.convert("RGB").resize((w * 4, h * 4), Image.Resampling.LANCZOS))
    extent = (0, w, h, 0)
    axes[0].imshow(square, extent=extent)
    shown = axes[1].imshow(values, cmap="RdBu_r", norm=norm, extent=extent)
    axes[2].imshow(np.asarray(Image.fromarray(square).convert("L")), cmap="gray", vmin=0, vmax=255, extent=extent)
    # The stronger the value, the more of its colour: where nothing happens the picture stays grey.
    strength = np.abs(values) / norm.vmax
    axes[2].imshow(values, cmap="RdBu_r", norm=norm, alpha=0.8 * strength, extent=extent)
    for ax, name in zip(axes, ("picture", "map", "overlay"), strict=True):
        ax.set_title(name, fontsize=9)
        ax.set_axis_off()
    bar = figure.add_axes([5.85 / 9.6, bottom, 0.12 / 9.6, tall])
    figure.colorbar(shown, cax=bar)
    bar.tick_params(labelsize=7)
    bar.set_title(unit, fontsize=7)
    figure.text(0.1 / 9.6, 1 - 0.3 / height, title, fontsize=11, parse_math=False)
    figure.text(0.1 / 9.6, 0.12 / height, "\n".join(lines), fontsize=8, color="0.3", va="bottom", parse_math=False)
    return figure
