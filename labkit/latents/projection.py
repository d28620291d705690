"""Pictures on a map of a latent space: `Projection`, a measure.

    found = Projection(space="clip", way="tsne", perplexity=10).compute(lab, pictures, names)
    found.table    x, y, name, label: a row a picture          found.map.place(…)    new ones into the same map

The maps are `labkit.latents.maps`', the spaces `labkit.latents.sources`'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from pydantic import Field

from labkit.clip.figures import Sheet
from labkit.image import to_rgb
from labkit.latents.maps import Map, Way, make_map
from labkit.latents.sources import SOURCES, embed
from labkit.spec import Measure, Seed, SpecError

DRAWN = 150  # up to so many pictures are drawn themselves, more as dots
TILE = 64  # pixels of a kept picture
COLOURS = ["#3b6fd4", "#e8622c", "#2f9e44", "#c2255c", "#8548c9", "#12a5b8", "#e0a100", "#7a4a21", "#f06fb0", "#6c7a89",
           "#9bc53d", "#1b3a6b", "#a80000", "#00705a", "#b58ae0", "#ff9f7f", "#5c5f00", "#66c5f0", "#d4009e", "#444444"]


class _Needs:
    """Of the class every space's model, of a spec its own space's only: a map in CLIP's space loads no VQGAN."""

    def __get__(self, spec: Projection | None, owner: type | None = None) -> tuple[str, ...]:
        return tuple(sorted({s.kind for s in SOURCES.values()})) if spec is None else (SOURCES[spec.space].kind,)


class Projection(Measure):
    """Pictures on a map: which are near each other in a model's latent space."""

    needs: ClassVar[tuple[str, ...]] = _Needs()
    example: ClassVar[dict[str, Any]] = {"space": "vqgan-mean", "way": "pca"}

    space: Literal[tuple(SOURCES)] = Field("clip", description="Whose vectors: CLIP's or BLIP's, or the latent of a VQGAN or a "
                                                               "VQ-VAE: its mean, all cells, or how often each code is used")
    way: Way = Field("pca", description="pca: the directions of most variance; tsne: neighbours stay neighbours")
    perplexity: float = Field(30.0, gt=1, le=500, description="Of t-SNE: about how many neighbours a picture has; needs 3 × "
                                                              "as many pictures")
    seed: Seed = 0

    def compute(self, lab, images: list[Image.Image], names: list[str] | None = None,
                labels: list[str] | None = None) -> ProjectionResult:
        """The map of 3 or more PIL images of any size and mode. `names` are theirs in the table ("image 0", …), `labels`
        colour them: a ground truth, say. Raises `SpecError` on too few pictures and on lists of other lengths,
        `ImageError` on what is no picture, `NonFiniteError` on NaN."""
        images = list(images)
        names = [f"image {j}" for j in range(len(images))] if names is None else list(names)
        for what, some in (("names", names), ("labels", labels)):
            if some is not None and len(some) != len(images):
                raise SpecError(f"{what}: {len(some)} for {len(images)} images; give one each")
        return self.of_vectors(embed(lab, self.space, images), names, labels, [_thumb(image) for image in images])

    def of_vectors(self, vectors: np.ndarray, names: list[str], labels: list[str] | None = None,
                   thumbs: list[Image.Image] | None = None, jobs: int = 1) -> ProjectionResult:
        """The same of vectors (N, D) that are there already: read from a store, made by another model. Raises as `compute`."""
        found = make_map(vectors, self.way, self.perplexity, self.seed, jobs)
        return ProjectionResult(self.space, found, tuple(names), None if labels is None else tuple(map(str, labels)), vectors,
                                tuple(thumbs or ()))


@dataclass(frozen=True)
class ProjectionResult:
    """A `map` of pictures called `names`, with their `vectors` (N, D), their labels (or None) and thumbnails (or none)."""

    space: str
    map: Map
    names: tuple[str, ...]
    labels: tuple[str, ...] | None
    vectors: np.ndarray = field(repr=False)
    thumbs: tuple[Image.Image, ...] = field(default=(), repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """A row a picture: x, y and, where there are labels, its label."""
        table = pd.DataFrame(self.map.xy, columns=["x", "y"], index=list(self.names))
        return table if self.labels is None else table.assign(label=self.labels)

    @property
    def title(self) -> str:
        """The space and the map, with what the map is worth."""
        return f"{self.space}: {self.map.title}"

    @property
    def notices(self) -> list[str]:
        """What whoever reads the map should know."""
        map = self.map
        said = [f"{len(self.names)} pictures, {map.title} ({map.neighbours} neighbours among {map.judged} points), made in "
                f"{map.seconds:.1f} s"]
        if map.way == "tsne":
            said.append("t-SNE keeps neighbours: how far apart two clusters lie, and how large they are, means nothing")
        if map.trust < 0.8:
            said.append(f"trustworthiness is {map.trust:.2f}: many neighbours on this map are none in the space")
        return said

    def figure(self) -> Sheet:
        """The map, coloured by label; up to 150 pictures are drawn where they lie."""
        figure = Sheet(figsize=(9, 7.5), layout="constrained")
        draw_map(figure.subplots(), self.map, self.labels, self.thumbs, self.title)
        return figure


def draw_map(axes, map: Map, labels: tuple[str, ...] | None = None, thumbs: tuple = (), title: str = "") -> None:
    """A map on matplotlib's axes: dots coloured by label, or the pictures themselves where they are few."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    pictures = 0 < len(thumbs) <= DRAWN
    names = common(labels) if labels else []
    of = np.array([names.index(label) if label in names else len(names) for label in labels or [""] * len(map.xy)])
    for k, name in enumerate([*names, "other"]):
        if (here := map.xy[of == k]).size:
            colour = COLOURS[k] if k < len(names) else "#999999" if names else COLOURS[0]
            axes.scatter(*here.T, s=14 if len(map.xy) < 3000 else 4, c=colour, label=name, linewidths=0, alpha=0.85)
    if pictures:
        for k, (xy, thumb) in enumerate(zip(map.xy, thumbs, strict=True)):
            frame = {"edgecolor": COLOURS[of[k]] if of[k] < len(names) else "#bbbbbb", "linewidth": 1.5}
            axes.add_artist(AnnotationBbox(OffsetImage(np.asarray(thumb), zoom=0.45), xy, pad=0.1, bboxprops=frame))
    if names:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, markerscale=2)
    shares = map.explained
    axes.set(title=title or map.title, xticks=[], yticks=[], xlabel=f"PC 1 ({shares[0]:.1%})" if shares else "",
             ylabel=f"PC 2 ({shares[1]:.1%})" if shares else "")
    axes.margins(0.08)


def compare_maps(maps: list[Map], labels: tuple[str, ...] | None = None, names: tuple[str, ...] = ()) -> Sheet:
    """Maps of the same points side by side: what a perplexity, PCA, or another space shows of them; `names` stand above."""
    figure = Sheet(figsize=(4.5 * len(maps), 4.8), layout="constrained")
    names = names or ("",) * len(maps)
    for axes, map, name in zip(np.atleast_1d(figure.subplots(1, len(maps))), maps, names, strict=True):
        draw_map(axes, map, labels, title=(f"{name}: " if name else "") + map.title.replace(": ", ":\n"))
        if axes is not figure.axes[-1] and axes.get_legend():
            axes.get_legend().remove()
    return figure


def common(labels: tuple[str, ...], most: int = len(COLOURS)) -> list[str]:
    """The commonest labels, as many as there are colours, in the order of the alphabet; the rest are "other"."""
    counts = pd.Series(labels).value_counts()
    return sorted(counts.index[:most])


def _thumb(image: Image.Image, side: int = TILE) -> Image.Image:
    return ImageOps.contain(to_rgb(image), (side, side), Image.Resampling.LANCZOS)
