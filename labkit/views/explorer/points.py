"""What an explorer shows: points on one map or several, each with a caption, labels and a thumbnail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from labkit.image import to_rgb
from labkit.latents.projection import COLOURS, ProjectionResult
from labkit.spec import SpecError

GREY = "#a8adb5"
RAMP = ["#440154", "#472f7d", "#39568c", "#2a788e", "#1f988b", "#35b779", "#7ad151", "#bddf26", "#fde725"]  # viridis
LARGE, SMALL, MANY = 64, 32, 5000  # a thumbnail's side in px, and of how many points on the smaller one


@dataclass(frozen=True)
class Points:
    """Points to explore.

    names   what each is called, a file's name say.  captions  what each shows ("" for none).
    maps    title → (N, 2).  labels  column → N values: texts are categories, numbers a scale.
    thumbs  a small RGB picture each, or none at all.  note  a line about the whole.  worth  title → a line about that map.
    """

    names: Sequence[str]
    maps: Mapping[str, np.ndarray]
    captions: Sequence[str] = ()
    labels: Mapping[str, Sequence] = field(default_factory=dict)
    thumbs: Sequence[Image.Image] = ()
    note: str = ""
    worth: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.names)
        if not n or not self.maps:
            raise SpecError("points: there are none; give one point and one map or more")
        lists = {"captions": self.captions, "thumbs": self.thumbs}
        lists |= {f"labels of {name}": values for name, values in self.labels.items()}
        lists |= {f"map {title}": xy for title, xy in self.maps.items()}
        for what, some in lists.items():
            if len(some) != n and not (what in ("captions", "thumbs") and not len(some)):
                raise SpecError(f"{what}: {len(some)} for {n} points; give one each")
        for title, xy in self.maps.items():
            if np.shape(xy) != (n, 2) or not np.isfinite(xy).all():
                raise SpecError(f"map {title}: of shape {np.shape(xy)}, must be ({n}, 2) finite numbers")

    @property
    def frame(self) -> pd.DataFrame:
        """A row a point: name, caption, labels, and x and y on each map."""
        columns = {"name": list(self.names), "caption": list(self.captions) or [""] * len(self.names), **dict(self.labels)}
        for title, xy in self.maps.items():
            columns |= {f"{title} x": np.asarray(xy)[:, 0], f"{title} y": np.asarray(xy)[:, 1]}
        return pd.DataFrame(columns)


def points_of(results: Iterable[ProjectionResult] | ProjectionResult, captions: Sequence[str] = (),
              labels: Mapping[str, Sequence] | None = None, note: str = "") -> Points:
    """The points of one projection, or of several of the same pictures: linked maps.

    Raises `SpecError` where the pictures differ."""
    results = [results] if isinstance(results, ProjectionResult) else list(results)
    if not results:
        raise SpecError("results: there are none; give one projection or more")
    first = results[0]
    if other := next((r for r in results if r.names != first.names), None):
        raise SpecError(f"results: {first.title} and {other.title} are of other pictures; linked maps show the same ones")
    maps, worth = {}, {}
    for result in results:
        name = f"{result.space}, {result.map.name}"
        name = name if name not in maps else f"{name} ({len(maps) + 1})"
        maps[name], worth[name] = result.map.xy, result.map.worth
    given = dict(labels) if labels is not None else {} if first.labels is None else {"label": first.labels}
    return Points(first.names, maps, captions, given, first.thumbs, note, worth)


def side_of(n: int) -> int:
    """The side of a thumbnail where there are n, in px."""
    return LARGE if n <= MANY else SMALL


def thumbnail(picture: Image.Image, side: int) -> Image.Image:
    """A picture in a white square of that side, whole."""
    picture = to_rgb(picture)
    return picture if picture.size == (side, side) else ImageOps.pad(picture, (side, side), Image.Resampling.LANCZOS, "white")


def scaled(values: Sequence) -> bool:
    """Whether a column is a scale: numbers, and more of them than one would give a name each."""
    column = pd.Series(list(values))
    return pd.api.types.is_numeric_dtype(column.dtype) and column.dtype != bool and column.nunique() > 12


def coloured(values: Sequence) -> tuple[np.ndarray, list[str], list[str]]:
    """(codes (N,) int, names, colours) of a column: texts as categories, the commonest first, coloured as far as colours go;
    a scale in nine steps."""
    column = pd.Series(list(values))
    if scaled(values):
        numbers = column.to_numpy(np.float64)
        edges = np.linspace(np.nanmin(numbers), np.nanmax(numbers), len(RAMP) + 1)
        codes = np.where(np.isfinite(numbers), np.clip(np.digitize(numbers, edges[1:-1]), 0, len(RAMP) - 1), len(RAMP))
        steps = [f"{low:.3g} … {high:.3g}" for low, high in zip(edges, edges[1:], strict=False)]
        return codes, [*steps, "no number"], [*RAMP, GREY]
    texts = ["(none)" if missing else str(value) for value, missing in zip(values, column.isna(), strict=True)]
    counts = Counter(texts)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    at = {name: k for k, name in enumerate(names)}
    return np.array([at[text] for text in texts]), names, [COLOURS[k] if k < len(COLOURS) else GREY for k in range(len(names))]
