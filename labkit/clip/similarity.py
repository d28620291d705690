"""The similarity matrix: rows are texts, columns are images.

    cosine[i, j] = t_i · v_j          t, v: unit vectors of a CLIP's two towers (Radford et al. 2021)

Cosines of a CLIP lie close together, so the matrix also reads as a softmax at the model's own temperature and
as a z-score per text. Beyond 2,000 × 2,000 use `labkit.clip.retrieval.streamed`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.colors import Normalize
from PIL import Image
from pydantic import Field, field_validator
from torch import Tensor

from labkit.clip.figures import NUMBERS, heat_map
from labkit.clip.retrieval import Ranked, Standing, standings, unpaired
from labkit.image import ImageError, to_rgb
from labkit.spec import Measure, NonFiniteError

MOST = 2000  # texts or images of a dense matrix
TEMPLATES = ("{}", "a picture of {}", "an image of {}", "a drawing of {}")
PIXELS = 2**24  # of one batch of pictures: 200 MB in fp32


class SimilarityMatrix(Measure):
    """How near each text is to each image."""

    needs: ClassVar[tuple[str, ...]] = ("clip",)
    example: ClassVar[dict[str, Any]] = {"texts": ("a red apple", "the sea at night")}

    texts: tuple[str, ...] = Field(..., min_length=1, max_length=MOST, description="the texts, a row each")
    templates: bool = Field(False, description="average each text over sentences such as 'a picture of …'")
    mode: Literal["cosine", "softmax", "zscore"] = Field("cosine", description="what the heat map shows")

    @field_validator("texts")
    @classmethod
    def _no_empty_text(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        empty = [i for i, t in enumerate(texts) if not t.strip()]
        if empty:
            raise ValueError(f"text {empty[0]} is empty; write something or leave it out")
        return texts

    def compute(self, lab, images: list[Image.Image], names: list[str] | None = None) -> SimilarityResult:
        """The matrix of the texts against 1 to 2,000 PIL images (of any size and mode), called `names` in the
        table ("image 0", … unless given). Raises ValueError on no or too many images and on what is no picture,
        NonFiniteError on NaN."""
        images = list(images)
        if not images:
            raise ValueError("images: the list is empty; give at least one picture")
        if len(images) > MOST:
            raise ValueError(
                f"images: {len(images)} are more than the {MOST} of a dense matrix; encode them with "
                "embed_images and use labkit.clip.retrieval.streamed"
            )
        names = [f"image {j}" for j in range(len(images))] if names is None else list(names)
        if len(names) != len(images):
            raise ValueError(f"names: {len(names)} names for {len(images)} images; give one each")
        encoder = lab.clip
        text, image = embed_texts(encoder, list(self.texts), self.templates), embed_images(encoder, images)
        cosine = (text @ image.T).cpu()
        if not bool(cosine.isfinite().all()):
            raise NonFiniteError(f"{encoder.name} gave NaN or infinity for one of the texts or images")
        longest = max(TEMPLATES, key=len) if self.templates else "{}"
        said = {t: encoder.notices(longest.format(t)) for t in self.texts}
        return SimilarityResult(
            self.texts,
            tuple(names),
            tuple(images),
            cosine.clamp(-1, 1),
            encoder.scale,
            self.mode,
            encoder.name,
            {t: lines for t, lines in said.items() if lines},
        )


def embed_texts(encoder, texts: list[str], templates: bool = False) -> Tensor:
    """Unit vectors (N, D) of texts; with `templates` the mean of the unit vectors over `TEMPLATES`,
    renormalised."""
    if not templates:
        return encoder.encode_text(texts)
    every = [encoder.encode_text([template.format(t) for t in texts]) for template in TEMPLATES]
    return F.normalize(torch.stack(every).mean(0), dim=-1)


@torch.no_grad()
def embed_images(encoder, images: list[Image.Image], batch: int = 64) -> Tensor:
    """Unit vectors (M, D) of PIL images, in batches of neighbours of one size, smaller ones for large
    pictures."""
    parts = []
    for size, run in groupby(_pictures(images), key=lambda p: p.size):
        for some in _chunks(run, max(1, min(batch, PIXELS // (size[0] * size[1])))):
            x = torch.stack([torch.from_numpy(np.array(p)) for p in some]).to(encoder.device)
            parts.append(encoder.encode_image(x.permute(0, 3, 1, 2).float() / 255))
    return torch.cat(parts)


def _pictures(images) -> Iterator[Image.Image]:
    """Each in RGB; `ImageError` that says which is none."""
    for j, image in enumerate(images):
        try:
            yield to_rgb(image)
        except ImageError as error:
            raise ImageError(f"image {j}: {error}") from None


def _chunks(items, n: int) -> Iterator[list]:
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == n:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@dataclass(frozen=True)
class SimilarityResult(Ranked):
    """A matrix of `texts` (rows) × `images` (columns, called `names`): `cosine` (N, M) fp32 in [−1, 1] on the
    CPU.

    `scale` is the model's 1/temperature, `notices` what the encoder says of how it reads a text (text →
    lines; texts it reads well are not in it). `ranks` and `recall` hold where texts[i] belongs to images[i].
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]
    images: tuple[Image.Image, ...] = field(repr=False)
    cosine: Tensor = field(repr=False)
    scale: float
    mode: str = "cosine"
    model: str = ""
    notices: dict[str, list[str]] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """The cosines as a data frame: a row per text, a column per image."""
        return self.frame(self.cosine)

    @property
    def shown(self) -> pd.DataFrame:
        """What the heat map shows, as a data frame."""
        return self.frame(self.values())

    def frame(self, values: Tensor) -> pd.DataFrame:
        """Any (N, M) values with the texts and names of this matrix."""
        return pd.DataFrame(values.numpy(), index=list(self.texts), columns=list(self.names))

    def values(self) -> Tensor:
        """(N, M) in this result's mode: cosine, softmax over the texts, or z-score."""
        return {"cosine": lambda: self.cosine, "softmax": self.softmax, "zscore": self.zscore}[self.mode]()

    def softmax(self, over: Literal["texts", "images"] = "texts") -> Tensor:
        """Probabilities (N, M) at the model's own temperature, softmax(scale · cosine).

        over="texts": which of these texts belongs to the image? Columns sum to 1 (zero-shot classification).
        over="images": which of these images belongs to the text? Rows sum to 1 (retrieval).
        """
        if over not in ("texts", "images"):
            raise ValueError(f"over={over!r}: use 'texts' or 'images'")
        return torch.softmax(self.scale * self.cosine, dim=0 if over == "texts" else 1)

    def zscore(self) -> Tensor:
        """(N, M): by how many standard deviations (of the population) an image is above the text's mean over
        all images. 0 in a row that does not vary, as with one image."""
        centred = self.cosine - self.cosine.mean(1, keepdim=True)
        spread = centred.square().mean(1, keepdim=True).sqrt()
        return torch.where(spread > 1e-7, centred / spread.clamp_min(1e-7), 0.0)

    @functools.cached_property
    def _pairs(self) -> tuple[Standing, Standing]:
        return standings(self.cosine)

    def _standings(self) -> tuple[Standing, Standing]:
        if self.cosine.shape[0] != self.cosine.shape[1]:
            raise ValueError(unpaired(*self.cosine.shape))
        return self._pairs

    def figure(self):
        """A matplotlib heat map in this result's mode, the pictures along the top and, up to 30 × 30, the
        numbers in the cells. Texts the model reads only in part bear a star, with the reason below."""
        unit = {"cosine": "cosine", "softmax": "probability over the texts", "zscore": "z-score per text"}[self.mode]
        rows = [f"{t} *" if t in self.notices else t for t in self.texts]
        notes = [f"* {t}: {'; '.join(lines)}" for t, lines in self.notices.items()]
        if len(notes) > 4:
            notes = [*notes[:3], f"* and {len(notes) - 3} more texts"]
        named = self.names != tuple(f"image {j}" for j in range(len(self.names))) and len(self.names) <= NUMBERS
        return heat_map(
            self.values().numpy(),
            rows,
            list(map(to_rgb, self.images)),
            title=f"Texts × images: {unit} (CLIP: {self.model})",
            unit=unit,
            number="{:+z.1f}" if self.mode == "zscore" else "{:z.2f}",
            diverging=self.mode == "zscore",
            norm=Normalize(0, 1) if self.mode == "softmax" else None,
            names=list(self.names) if named else None,
            notes=notes,
        )
