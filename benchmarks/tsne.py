"""t-SNE: openTSNE as `labkit.latents.maps` uses it against scikit-learn's, of the same vectors, perplexity and number of steps.

    python benchmarks/tsne.py [POINTS, 5000 unless given]

Both begin from the same PCA and do the 750 steps that openTSNE does by default, on one thread. Beside the seconds stands the
trustworthiness of each map: a fast map that keeps no neighbours would be no gain.
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
from openTSNE.initialization import rescale
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from labkit.latents.maps import KEPT, faithfulness, make_map

STEPS, PERPLEXITY = 750, 30.0


def clusters(n: int, dims: int = 64, seed: int = 0) -> np.ndarray:
    """n vectors (n, dims) about 40 centres: as hard as embeddings are for a map."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(40, dims))[rng.integers(40, size=n)] * 2 + rng.normal(size=(n, dims))).astype(np.float32)


def ours(vectors: np.ndarray) -> tuple[float, float]:
    """(seconds of the processor, trustworthiness); the seconds include what it takes to find the trustworthiness."""
    began = time.process_time()
    found = make_map(vectors, "tsne", PERPLEXITY, 0)
    return time.process_time() - began, found.trust


def plain(vectors: np.ndarray) -> tuple[float, float]:
    """The same of scikit-learn, whose seconds do not."""
    began = time.process_time()
    reduced = PCA(min(KEPT, vectors.shape[1]), random_state=0).fit_transform(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        xy = TSNE(perplexity=PERPLEXITY, init=rescale(reduced[:, :2].astype(np.float64)), max_iter=STEPS, random_state=0,
                  n_jobs=1).fit_transform(reduced)
    return time.process_time() - began, faithfulness(vectors, xy)[0]


def main(n: int = 5000) -> None:
    """Print both, and the ratio."""
    vectors = clusters(n)
    found = {"labkit": ours(vectors), "scikit-learn": plain(vectors)}
    for name, (seconds, trust) in found.items():
        print(f"{name:13} {seconds:8.1f} s   trustworthiness {trust:.3f}")
    print(f"ratio         {found['scikit-learn'][0] / found['labkit'][0]:8.2f} × ({n} points, {STEPS} steps, one thread)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
