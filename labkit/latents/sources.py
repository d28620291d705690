"""Where a picture becomes a vector: one small function per kind of space, and the one table of spaces.

    vectors = embed(lab, "clip", pictures)        # (N, D) float32, of any number of pictures, in batches

A function asks for what a model can do, not for which it is: `image_vectors` takes whatever has `encode_image`, `latent_mean`
whatever has `encode`, be it of one level or of several. A new model joins by a line in `SOURCES`; the measure, its flags and
the explorer read that table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from labkit.image import to_rgb
from labkit.loop import NonFiniteError
from labkit.spec import SpecError

BATCH = 64  # pictures that are opened and encoded at once


@dataclass(frozen=True)
class Source:
    """A space of pictures' vectors.

    kind     of the lab's model that makes them.  what  one line for people.
    vectors  (model, pictures of at most `BATCH`) → (B, D) on any device.
    metric   how its vectors are compared: "cosine" of unit vectors, or "euclidean".
    """

    name: str
    kind: str
    what: str
    vectors: Callable[[object, list[Image.Image]], Tensor]
    metric: str = "euclidean"


def image_vectors(model, pictures: list[Image.Image]) -> Tensor:
    """Unit vectors (B, D) of a model with `encode_image` ((B, 3, H, W) in [0, 1], any side) and `size`."""
    return model.encode_image(_stack(pictures, model.size))


def latent_mean(model, pictures: list[Image.Image]) -> Tensor:
    """The mean over a latent's cells, (B, C) of a model with `encode`, of several levels (B, ΣC): what is in a picture, not
    where."""
    return torch.cat([z.mean(dim=(2, 3)) for z in encoded(model, pictures)[0]], dim=1)


def latent_flat(model, pictures: list[Image.Image], level: int = 0) -> Tensor:
    """All cells (B, C·h·w) of a level's quantised latent: what is where."""
    return encoded(model, pictures)[0][level].flatten(1)


def codes_histogram(model, pictures: list[Image.Image]) -> Tensor:
    """Square roots of the shares of each code in a picture, (B, n_embed), of several levels side by side, (B, levels ·
    n_embed), each level weighing the same: a unit vector, and the distance of two is √2 × Hellinger's."""
    levels = encoded(model, pictures)[1]
    if levels[0] is None:
        raise SpecError(f"space: {type(model).__name__} has no codes; take a VQGAN, or another space")
    shares = []
    for indices in levels:
        flat = indices.flatten(1).cpu()
        counts = torch.zeros(len(flat), model.n_embed).scatter_add_(1, flat, torch.ones(flat.shape))
        shares.append(counts / (flat.shape[1] * len(levels)))
    return torch.cat(shares, dim=1).sqrt()


def encoded(model, pictures: list[Image.Image]) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Quantised latents (B, C, h, w) and codes (B, h, w), a level each, coarsest first, of pictures, which are cut to a square
    and brought to the model's own side. Of a model without codes the codes are None."""
    latents, codes = model.encode(fitted(model, pictures))
    return (latents, codes) if isinstance(latents, tuple) else ((latents,), (codes,))


def fitted(model, pictures: list[Image.Image]) -> Tensor:
    """(B, 3, S, S) in [-1, 1] at the side S that the model was made for."""
    side = getattr(getattr(model, "config", None), "resolution", 64)
    device = next(model.parameters()).device
    return _stack(pictures, side).to(device) * 2 - 1


def _stack(pictures: list[Image.Image], side: int) -> Tensor:
    """(B, 3, side, side) in [0, 1]: the middle square of each picture."""
    squares = [p if p.size == (side, side) else ImageOps.fit(p, (side, side), Image.Resampling.LANCZOS) for p in pictures]
    return torch.from_numpy(np.stack([np.asarray(p) for p in squares])).permute(0, 3, 1, 2).float() / 255


SOURCES: dict[str, Source] = {source.name: source for source in (
    Source("clip", "clip", "CLIP's picture vectors: what a picture shows, as words would tell it", image_vectors, "cosine"),
    Source("blip", "blip", "BLIP's picture vectors: the same, by a model that also writes captions", image_vectors, "cosine"),
    Source("vqgan-mean", "vqgan", "the mean of the VQGAN's latent: colours and textures, wherever they are", latent_mean),
    Source("vqgan-flat", "vqgan", "the VQGAN's whole latent: what is where, pixel by pixel nearly", latent_flat),
    Source("vqgan-codes", "vqgan", "which of the VQGAN's codes a picture uses, and how often", codes_histogram),
    Source("vqvae-mean", "vqvae", "the mean of both of the VQ-VAE's levels: what is in a picture, wherever it is", latent_mean),
    Source("vqvae-top", "vqvae", "the VQ-VAE's coarse level, cell by cell: colours and where", partial(latent_flat, level=0)),
    Source("vqvae-bottom", "vqvae", "the VQ-VAE's fine level, cell by cell: outlines and where", partial(latent_flat, level=1)),
    Source("vqvae-codes", "vqvae", "which codes of both of the VQ-VAE's levels a picture uses, and how often", codes_histogram),
)}  # fmt: skip


def source_of(name: str) -> Source:
    """The source of that name. Raises `SpecError`, which names those there are."""
    if name not in SOURCES:
        raise SpecError(f"space: {name!r} is none of {', '.join(SOURCES)}")
    return SOURCES[name]


def embed(lab, space: str, pictures: Iterable[Image.Image]) -> np.ndarray:
    """Vectors (N, D) float32 of pictures in one space; see `embed_all`."""
    return embed_all(lab, (space,), pictures)[space]


@torch.no_grad()
def embed_all(lab, spaces: Iterable[str], pictures: Iterable[Image.Image]) -> dict[str, np.ndarray]:
    """Space → vectors (N, D) float32 of pictures, which are taken one after the other: a generator of many needs little memory.

    Raises `SpecError` on no pictures and unknown spaces, `ImageError` on what is no picture, `NonFiniteError` on NaN.
    """
    sources = [source_of(name) for name in dict.fromkeys(spaces)]
    models, parts = [lab.model(source.kind) for source in sources], [[] for _ in sources]
    for some in _batches(pictures, BATCH):
        some = [to_rgb(p) for p in some]
        for source, model, found in zip(sources, models, parts, strict=True):
            found.append(source.vectors(model, some).float().cpu().numpy())
    if not parts or not parts[0]:
        raise SpecError("pictures: there are none; give at least one")
    vectors = {source.name: np.concatenate(found) for source, found in zip(sources, parts, strict=True)}
    if bad := [name for name, values in vectors.items() if not np.isfinite(values).all()]:
        raise NonFiniteError(f"{bad[0]}: the vectors hold NaN or infinity; try precision fp32")
    return vectors


def _batches(items: Iterable, n: int) -> Iterator[list]:
    walk = iter(items)
    while some := list(islice(walk, n)):
        yield some
