"""Many dimensions on a plane: PCA and t-SNE of vectors, how far to trust the map, and new points placed into it.

    found = make_map(vectors, "tsne", perplexity=30)        found.xy (N, 2);  found.place(more) → (M, 2)

PCA is scikit-learn's (Pearson 1901): the two directions of most variance, each turned so that its largest loading is positive.
t-SNE is openTSNE's (van der Maaten & Hinton 2008; Poličar et al. 2019), started from PCA, so that the large scale means
something (Kobak & Berens 2019). Distances between clusters and sizes of clusters mean nothing in t-SNE.

Trustworthiness (Venna & Kaski 2001), in [0, 1], falls where neighbours on the map are none among the vectors; continuity where
neighbours among the vectors are none on the map. 1 is a perfect map, about 0.5 a random one.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from openTSNE import TSNE
from openTSNE.initialization import rescale
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from labkit.loop import NonFiniteError
from labkit.spec import SpecError

Way = Literal["pca", "tsne"]
LEAST = 3  # points of a map
JUDGED = 1000  # points among which neighbours are looked up: ranks of more take minutes
KEPT = 50  # principal components that t-SNE sees: the others are noise to it, and cost time


@dataclass(frozen=True)
class Map:
    """Points on a plane.

    xy        (N, 2) float32.  way  "pca" or "tsne".  perplexity  of t-SNE.
    explained (2,) shares of the variance that PCA's axes show; None of t-SNE.
    trust, continuity  in [0, 1], of each point's `neighbours` among `judged` points.
    seconds   it took to make.
    """

    xy: np.ndarray = field(repr=False)
    way: Way
    perplexity: float | None
    explained: tuple[float, float] | None
    trust: float
    continuity: float
    neighbours: int
    judged: int
    seconds: float
    model: tuple = field(repr=False, compare=False)

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Where new vectors (M, D) fall on the finished map, (M, 2) float32: the old points stay. t-SNE puts each beside its
        nearest vectors and lets it settle (Poličar et al. 2021); a vector unlike all of them lands somewhere all the same.

        Raises `SpecError` on vectors of another length."""
        reduce, embedding = self.model
        vectors = checked(vectors, least=1)
        if vectors.shape[1] != reduce.n_features_in_:
            raise SpecError(f"vectors: of length {vectors.shape[1]}, those of the map have {reduce.n_features_in_}")
        reduced = reduce.transform(vectors)
        if embedding is None:
            return reduced.astype(np.float32)
        fewest = min(5, (len(self.xy) - 1) // 3)
        return np.asarray(embedding.transform(reduced, perplexity=max(fewest, 1)), np.float32)

    @property
    def name(self) -> str:
        """'t-SNE, perplexity 30', 'PCA, 11% + 9% of the variance'."""
        if self.way == "tsne":
            return f"t-SNE, perplexity {self.perplexity:g}"
        return "PCA, " + " + ".join(f"{share:.0%}" for share in self.explained) + " of the variance"

    @property
    def worth(self) -> str:
        """'trustworthiness 0.97, continuity 0.95'."""
        return f"trustworthiness {self.trust:.2f}, continuity {self.continuity:.2f}"

    @property
    def title(self) -> str:
        """Its name and what it is worth."""
        return f"{self.name}: {self.worth}"


def make_map(vectors: np.ndarray, way: Way = "tsne", perplexity: float = 30.0, seed: int = 0, jobs: int = 1) -> Map:
    """A map of vectors (N, D). Bit for bit the same for the same vectors, seed, `jobs` and library versions.

    Raises `SpecError` on fewer points than a map, or than the perplexity, needs and on vectors that are all the same;
    `NonFiniteError` on NaN.
    """
    vectors = checked(vectors)
    n = len(vectors)
    enough(n, way, perplexity)
    began = time.monotonic()
    reduce = PCA(min(2 if way == "pca" else KEPT, n, vectors.shape[1]), random_state=seed)
    reduced = _signed(reduce, vectors)
    xy, embedding = _plane(reduced[:, :2]), None
    if way == "tsne":
        embedding = TSNE(perplexity=perplexity, initialization=rescale(xy.astype(np.float64)), random_state=seed, n_jobs=jobs,
                         negative_gradient_method="bh" if n < 10_000 else "fft").fit(reduced)
        xy = np.asarray(embedding)
    seconds = time.monotonic() - began
    if not np.isfinite(xy).all():
        raise NonFiniteError(f"{way}: the map holds NaN or infinity; give another perplexity")
    shares = tuple(map(float, np.pad(reduce.explained_variance_ratio_[:2], (0, max(0, 2 - reduce.n_components_)))))
    trust, continuity, neighbours, judged = faithfulness(vectors, xy, seed)
    return Map(np.asarray(xy, np.float32), way, perplexity if way == "tsne" else None, shares if way == "pca" else None, trust,
               continuity, neighbours, judged, seconds, (reduce, embedding))


def enough(n: int, way: Way, perplexity: float) -> None:
    """Raises `SpecError` where n points are too few for the map."""
    if n < LEAST:
        raise SpecError(f"points: {n} are too few for a map; give {LEAST} or more")
    if way == "tsne" and n - 1 < 3 * perplexity:
        most = int((n - 1) / 3 * 10) / 10  # not rounded up
        other = f"give a perplexity of {most:g} or less, or take pca" if most > 1 else "take pca"
        raise SpecError(f"perplexity: {perplexity:g} needs {math.ceil(3 * perplexity) + 1} points or more, as it looks at 3 × "
                        f"as many neighbours; there are {n}: {other}")


def faithfulness(vectors: np.ndarray, xy: np.ndarray, seed: int = 0, neighbours: int = 12) -> tuple[float, float, int, int]:
    """(trustworthiness, continuity, neighbours, points) of a map (N, 2) of vectors (N, D): of `JUDGED` points drawn at random
    where there are more, each looked at among those; of fewer neighbours where points are few."""
    if len(xy) > JUDGED:
        rows = np.sort(np.random.default_rng(seed).choice(len(xy), JUDGED, replace=False))
        vectors, xy = vectors[rows], xy[rows]
    k = max(1, min(neighbours, (len(xy) - 1) // 2))
    if len(xy) < 4:  # with 3 points everybody is everybody's neighbour
        return 1.0, 1.0, k, len(xy)
    k = min(k, (len(xy) - 1) // 2)
    return (float(trustworthiness(vectors, xy, n_neighbors=k)), float(trustworthiness(xy, vectors, n_neighbors=k)), k, len(xy))


def perplexities(vectors: np.ndarray, values: tuple[float, ...] = (5, 15, 30, 100), seed: int = 0, jobs: int = 1) -> list[Map]:
    """The same vectors at several perplexities, those that they are enough for: a map shows one of many views. Raises
    `SpecError` where they are enough for none."""
    fitting = [v for v in values if len(vectors) - 1 >= 3 * v]
    return [make_map(vectors, "tsne", v, seed, jobs) for v in fitting or values[:1]]


def checked(vectors: np.ndarray, least: int = LEAST) -> np.ndarray:
    """Vectors (N, D) as float32. Raises `SpecError` on another shape and on too few points, `NonFiniteError` on NaN."""
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise SpecError(f"vectors: of shape {vectors.shape}; give (N, D), a row each")
    if len(vectors) < least:
        raise SpecError(f"points: {len(vectors)} are too few for a map; give {least} or more")
    if not np.isfinite(vectors).all():
        raise NonFiniteError("vectors: hold NaN or infinity")
    if least > 1 and np.ptp(vectors, axis=0).max() == 0:
        raise SpecError(f"points: all {len(vectors)} have the same vector, so that there is nothing to map; are the "
                        "pictures copies?")
    return vectors


def _signed(reduce: PCA, vectors: np.ndarray) -> np.ndarray:
    """Fit, turn each axis so that its largest loading is positive, and transform."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="invalid value", category=RuntimeWarning)
        reduce.fit(vectors)
    axes = reduce.components_
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])
    reduce.components_ = axes * np.where(signs == 0, 1, signs)[:, None]
    return reduce.transform(vectors)


def _plane(xy: np.ndarray) -> np.ndarray:
    """(N, 2), with zeros where the vectors have one dimension only."""
    return xy if xy.shape[1] == 2 else np.pad(xy, ((0, 0), (0, 1)))
