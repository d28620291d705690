"""The explorer in a notebook, on jupyter-scatter: lasso points and see what they are, as thumbnails, captions and a data frame.

    view = explore([result, other], captions=texts); view          # linked maps: what is selected on one is on all
    view.frame                                                      # in the next cell: the selected rows, or all
    view.save("map.html")                                           # the same as one file for any browser
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import jscatter
import pandas as pd

from labkit.latents.projection import ProjectionResult
from labkit.views.explorer.page import write_page
from labkit.views.explorer.points import Points, coloured, points_of, side_of, thumbnail

SHOWN = 40  # pictures of a selection; the frame has all
HEIGHT = 420  # px


def explore(results: Iterable[ProjectionResult] | ProjectionResult | Points, captions: Sequence[str] = (),
            labels: Mapping[str, Sequence] | None = None, by: str | None = None) -> Explorer:
    """The explorer of a projection, of several of the same pictures, or of `Points`. `by` is the column of labels that colours
    them, the first unless given. Raises `SpecError` where the pictures differ or there is no such column."""
    points = results if isinstance(results, Points) else points_of(results, captions, labels)
    return Explorer(points, by)


class Explorer:
    """Linked maps above what is selected. Displays itself; `frame`, `selected` and `save` are for the next cell."""

    def __init__(self, points: Points, by: str | None = None):
        if by is not None and by not in points.labels:
            from labkit.spec import SpecError

            raise SpecError(f"by: {by!r} is no column of labels; there are {', '.join(points.labels) or 'none'}")
        self.points, frame = points, points.frame
        by = by or next(iter(points.labels), None)
        self.scatters = []
        for title in points.maps:
            scatter = jscatter.Scatter(data=frame, x=f"{title} x", y=f"{title} y", height=HEIGHT)
            if by:
                codes, names, colours = coloured(points.labels[by])
                scatter.data(frame.assign(**{by: pd.Categorical([names[c] for c in codes], names)}))
                scatter.color(by=by, map=dict(zip(names, colours, strict=True))).legend(len(names) <= 20)
            self.scatters.append(scatter)
        self._gallery = ipywidgets.HTML(self._drawn([]))
        self.scatters[0].widget.observe(self._changed, names="selection")
        maps = (self.scatters[0].show() if len(self.scatters) == 1 else
                jscatter.compose([*zip(self.scatters, points.maps, strict=True)], sync_selection=True, sync_hover=True,
                                 cols=min(2, len(self.scatters)), row_height=HEIGHT))
        self.box = ipywidgets.VBox([maps, self._gallery])

    @property
    def selected(self) -> list[int]:
        """The rows that are selected, in order."""
        return sorted(int(i) for i in self.scatters[0].selection())

    def select(self, rows: Iterable[int]) -> None:
        """Select rows on all maps."""
        rows = sorted(rows)
        for scatter in self.scatters:
            scatter.selection(rows)

    @property
    def frame(self) -> pd.DataFrame:
        """The selected rows (all, where none is selected): name, caption, labels, places."""
        frame = self.points.frame
        return frame.iloc[self.selected] if self.selected else frame

    def save(self, path: str | Path, title: str = "Latent space") -> Path:
        """Write the explorer as one HTML file that needs no network. Raises `FileError`."""
        return write_page(self.points, path, title)

    def _changed(self, change: dict[str, Any]) -> None:
        self._gallery.value = self._drawn(self.selected)

    def _drawn(self, rows: list[int]) -> str:
        """The gallery of some rows, as HTML; every text is escaped."""
        if not rows:
            return "<p>Draw a lasso round points (press long, then drag) to see what they are.</p>"
        figures = [self._figure(i) for i in rows[:SHOWN]]
        more = f" (the first {SHOWN} are shown)" if len(rows) > SHOWN else ""
        return (f"<p><b>{len(rows)} of {len(self.points.names)} selected</b>{more}</p>"
                f'<div style="display:flex;flex-wrap:wrap;gap:8px;max-height:360px;overflow:auto">{"".join(figures)}</div>')

    def _figure(self, i: int) -> str:
        text = html.escape((self.points.captions[i] if self.points.captions else "") or self.points.names[i])
        picture = ""
        if self.points.thumbs:
            buffer = io.BytesIO()
            thumbnail(self.points.thumbs[i], side_of(len(self.points.names))).save(buffer, "PNG")
            picture = (f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}" '
                       'style="width:88px;height:88px;image-rendering:pixelated;border-radius:5px" alt="">')
        return f'<div style="width:92px;font-size:11px;line-height:1.25;overflow-wrap:anywhere">{picture}<br>{text}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
