"""What single codes look like, and whose vectors lie nearest to a picture's.

A code is drawn as the middle of a grid of nothing but itself: a decoder sees each code among its neighbours, so that this is
the code's look on a plain surface, not its only one. Codes are laid out so that like ones lie near each other.

    codebook_atlas(lab.vqgan)      book = LevelBook(lab.vqvae, 0, pictures);  codebook_atlas(book, code_usage(book, pictures))
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from labkit.image import grid, to_pil
from labkit.latents.maps import checked
from labkit.latents.sources import fitted
from labkit.models.codebook import lookup
from labkit.spec import SpecError

CELLS = 6  # of the grid along a side, of which the middle is shown


class LevelBook:
    """One level of a VQ-VAE, 0 (top) or 1 (bottom), as a codebook of its own: the atlas takes it as it takes a VQGAN.

    Its decoder wants the other level, too: that is the mean of the other level's vectors over some pictures, which says as
    little as one can. `f` px stand for a code. Raises `SpecError` on no pictures and on another level.
    """

    def __init__(self, vqvae, level: int, pictures: list[Image.Image]):
        if level not in (0, 1) or not pictures:
            raise SpecError(f"level: must be 0 (top) or 1 (bottom); got {level}" if pictures else
                            "pictures: there are none; give some, whose other level stands beside the codes")
        self.vqvae, self.level, self.f = vqvae, level, (8, 4)[level]
        self.n_embed, self.codebook = vqvae.n_embed, vqvae.codebook(level)
        with torch.no_grad():
            other = vqvae.encode(fitted(vqvae, pictures))[0][1 - level]
        self.other = other.mean((0, 2, 3))[None, :, None, None]

    def parameters(self):
        """The VQ-VAE's."""
        return self.vqvae.parameters()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, H, W) in [-1, 1] → this level's quantised vectors (B, D, h, w) and codes (B, h, w)."""
        vectors, codes = self.vqvae.encode(x)
        return vectors[self.level], codes[self.level]

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (B, h, w) → vectors (B, D, h, w)."""
        return lookup(self.codebook, codes)

    def decode(self, z: Tensor) -> Tensor:
        """This level's vectors (B, D, h, w) → pictures (B, 3, f·h, f·w), not clamped. Of the bottom level h and w must be even,
        or it raises `SpecError`."""
        h, w = z.shape[2:]
        if self.level and (h % 2 or w % 2):
            raise SpecError(f"z: {h} × {w} cells; the bottom level's sides must be even, as the top has half of them")
        sides = (h // 2, w // 2) if self.level else (2 * h, 2 * w)
        other = self.other.expand(len(z), -1, *sides)
        return self.vqvae.decode(*((other, z) if self.level else (z, other)))


@torch.no_grad()
def code_tiles(vqgan, codes: list[int] | None = None, cells: int = CELLS, batch: int = 64) -> list[Image.Image]:
    """A tile of f·(cells - 2) px of each code of a VQGAN or a `LevelBook`, all of the codebook unless given. Raises `SpecError`
    on a code that there is not."""
    codes = list(range(vqgan.n_embed)) if codes is None else list(codes)
    if bad := [c for c in codes if not 0 <= c < vqgan.n_embed]:
        raise SpecError(f"codes: {bad[0]} is none of 0 … {vqgan.n_embed - 1}")
    tiles, device = [], vqgan.codebook.device
    for k in range(0, len(codes), batch):
        some = torch.tensor(codes[k:k + batch], device=device)
        x = vqgan.decode(vqgan.lookup(some[:, None, None].expand(-1, cells, cells)))
        inner = x[..., vqgan.f:-vqgan.f, vqgan.f:-vqgan.f]
        tiles += [to_pil(tile / 2 + 0.5) for tile in inner]
    return tiles


def codebook_atlas(vqgan, usage: np.ndarray | None = None, columns: int | None = None, pad: int = 1,
                   busiest: int | None = None) -> Image.Image:
    """Every code on one sheet, by its mean colour: rows by lightness, within a row by hue. Codes that `usage` (n_embed,),
    counts, says are never used are drawn faint; with `busiest` only so many are drawn, those of most use. Raises `SpecError`
    on a usage of another length, and on `busiest` without one."""
    if usage is not None and len(usage) != vqgan.n_embed:
        raise SpecError(f"usage: {len(usage)} counts for {vqgan.n_embed} codes; give one each")
    codes = list(range(vqgan.n_embed))
    if busiest is not None:
        if usage is None or busiest < 1:
            raise SpecError(f"busiest: {busiest} needs usage, and must be 1 or more; count it by code_usage")
        codes = np.argsort(-np.asarray(usage), kind="stable")[:busiest].tolist()
    tiles = code_tiles(vqgan, codes)
    if usage is not None:
        white = Image.new("RGB", tiles[0].size, "white")
        tiles = [t if usage[code] else Image.blend(t, white, 0.75) for t, code in zip(tiles, codes, strict=True)]
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    return grid([tiles[k] for k in by_colour(tiles, columns)], columns, pad)


def by_colour(tiles: list[Image.Image], columns: int) -> np.ndarray:
    """The order (N,) of tiles for a sheet with so many columns, by their mean colours: rows by lightness, dark first, within a
    row by hue."""
    means = np.array([np.asarray(tile.convert("RGB")).mean((0, 1)) for tile in tiles])
    light = np.argsort(means @ (0.299, 0.587, 0.114), kind="stable")
    angle = np.arctan2(means[:, 1] - means[:, 2], means[:, 0] - means[:, 1])
    rows = [light[k:k + columns] for k in range(0, len(light), columns)]
    return np.concatenate([row[np.argsort(angle[row], kind="stable")] for row in rows])


@torch.no_grad()
def code_usage(vqgan, pictures: list[Image.Image], batch: int = 64) -> np.ndarray:
    """How many cells of the pictures have each code, (n_embed,) int64."""
    counts = torch.zeros(vqgan.n_embed, dtype=torch.long)
    for k in range(0, len(pictures), batch):
        indices = vqgan.encode(fitted(vqgan, [p.convert("RGB") for p in pictures[k:k + batch]]))[1]
        counts += torch.bincount(indices.flatten().cpu(), minlength=vqgan.n_embed)
    return counts.numpy()


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int = 5, metric: str = "cosine") -> tuple[np.ndarray, np.ndarray]:
    """(indices, distances), both (M, k), of the vectors (N, D) nearest to queries (M, D), nearest first: "cosine" (1 - cos) or
    "euclidean". Raises `SpecError` on fewer vectors than k and on queries of another length."""
    vectors, queries = checked(vectors, least=1), checked(queries, least=1)
    if not 1 <= k <= len(vectors):
        raise SpecError(f"k: must be 1 to {len(vectors)}, the number of vectors; got {k}")
    if vectors.shape[1] != queries.shape[1]:
        raise SpecError(f"queries: of length {queries.shape[1]}, the vectors have {vectors.shape[1]}")
    distances, indices = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(vectors).kneighbors(queries)
    return indices, distances


def purity(vectors: np.ndarray, labels, k: int = 5, metric: str = "cosine") -> pd.Series:
    """Of each label, the share of its points' k nearest others that have the same one; "all" over all, "chance" what random
    neighbours would give. What a cluster's colour on a map is worth in the space itself."""
    labels = np.asarray(labels)
    indices, _ = nearest(vectors, vectors, min(k + 1, len(vectors)), metric)
    same = np.array([(labels[[j for j in row if j != i][:k]] == labels[i]).mean() for i, row in enumerate(indices)])
    shares = pd.Series(labels).value_counts()
    chance = float((shares * (shares - 1)).sum() / (len(labels) * (len(labels) - 1)))
    return pd.concat([pd.Series(same).groupby(labels).mean(), pd.Series({"all": same.mean(), "chance": chance})])
