"""The tree of an enhancer's search, drawn: pictures at the nodes, gains on the edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from PIL import Image

from labkit.clip.figures import Sheet
from labkit.image.adjust import Adjustments
from labkit.methods.enhance import Node, apply, path_to

TILE, WIDE, HIGH = 96, 2.25, 1.6  # px of a picture; inches between columns and between rows
WAY, OTHER, BETTER, WORSE = "#1f6f54", "#b9c0c7", "#1f6f54", "#a4453b"


def tree_figure(picture: Image.Image, tree: Sequence[Node], node: int, others: int = 3, title: str = "") -> Sheet:
    """The way from the root to `node` along the top, and below each of its nodes the `others` best of what else was tried.

    On an edge stands what was done and what the objective gained or lost by it; under a picture its predictor's score.
    """
    way, columns = [one["id"] for one in path_to(tree, node)], [[tree[0]]]
    for depth, parent in enumerate(way):
        follows = way[depth + 1] if depth + 1 < len(way) else None
        children = sorted((one for one in tree if one["parent"] == parent and one["id"] != follows),
                          key=lambda one: -one["objective"])[:others]
        column = children if follows is None else [tree[follows], *children]
        if column:
            columns.append(column)
    rows = max(map(len, columns))
    figure = Sheet(figsize=(WIDE * len(columns) + 0.1, HIGH * rows + 0.75), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, WIDE * len(columns) + 0.1)
    ax.set_ylim(HIGH * rows + 0.75, 0)
    ax.axis("off")
    at = {one["id"]: (0.62 + WIDE * x, 1.25 + HIGH * (y + (x > 0 and columns[x][0]["id"] not in way)))
          for x, column in enumerate(columns) for y, one in enumerate(column)}
    shift = max(y for _, y in at.values()) + HIGH / 2 + 0.1 - (HIGH * rows + 0.75)
    if shift > 0:  # the last column hangs one row lower
        figure.set_size_inches(WIDE * len(columns) + 0.1, HIGH * rows + 0.75 + shift)
        ax.set_ylim(HIGH * rows + 0.75 + shift, 0)
    for column in columns[1:]:
        for one in reversed(column):
            _edge(ax, at[one["parent"]], at[one["id"]], one, tree[one["parent"]], one["id"] in way)
    small = picture.copy()
    small.thumbnail((2 * TILE, 2 * TILE), Image.Resampling.LANCZOS)
    for column in columns:
        for one in column:
            _node(ax, at[one["id"]], apply(Adjustments(**one["recipe"]), small), one, one["id"] in way, one["id"] == node)
    words = Adjustments(**tree[node]["recipe"]).words()
    gain = tree[node]["objective"] - tree[0]["objective"]
    ax.text(0.2, 0.24, title or f"Found: {words}", fontsize=12, fontweight="bold", va="center", color="#20262c")
    ax.text(0.2, 0.5, f"objective {gain:+.2f}, score {tree[0]['aesthetic']:.2f} → {tree[node]['aesthetic']:.2f}; "
            f"{len(tree):,} recipes seen, {sum(map(len, columns))} shown", fontsize=9, va="center", color="#5c666f")
    return figure


def _edge(ax, start, end, one: Node, parent: Node, main: bool) -> None:
    (x0, y0), (x1, y1) = start, end
    half, middle = TILE / 200 + 0.05, x0 + TILE / 200 + 0.35
    curve = Curve([(x0 + half, y0), (middle, y0), (middle, y1), (x1 - half, y1)],
                  [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    ax.add_patch(PathPatch(curve, fill=False, lw=2.6 if main else 1.1, color=WAY if main else OTHER, capstyle="round",
                           zorder=2 if main else 1))
    gain, behind = one["objective"] - parent["objective"], {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    ax.text(x1 - half - 0.34, y1 - 0.07, one["move"].replace(" ", "\n", 1), ha="center", va="bottom", fontsize=8.5, bbox=behind,
            color="#20262c" if main else "#6b747c", linespacing=1.0, zorder=4)
    ax.text(x1 - half - 0.34, y1 + 0.07, f"{gain:+.2f}", ha="center", va="top", fontsize=9, zorder=4, bbox=behind,
            fontweight="bold" if main else "normal", color=BETTER if gain > 0 else WORSE)


def _node(ax, centre, picture: Image.Image, one: Node, main: bool, chosen: bool) -> None:
    x, y = centre
    scale = TILE / max(picture.size)
    box = AnnotationBbox(OffsetImage(np.asarray(picture), zoom=scale * 0.72, interpolation="antialiased" if scale < 1 else
                                     "nearest"), (x, y), frameon=False, pad=0, zorder=3)
    ax.add_artist(box)
    w, h = (side * scale / 100 for side in picture.size)
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0.03,rounding_size=0.05", fill=False,
                                lw=3.2 if chosen else 2.2 if main else 0.9, color=WAY if main else OTHER, zorder=3))
    ax.text(x, y + h / 2 + 0.1, f"{one['aesthetic']:.2f}", ha="center", va="top", fontsize=8.5, color="#20262c" if main else
            "#6b747c", fontweight="bold" if chosen else "normal")
