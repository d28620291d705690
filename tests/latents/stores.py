"""Headers and rows for tests of the code store; importable by workers."""

from __future__ import annotations

import numpy as np

from labkit.latents.codes import Embedding, Header, Level, Mark, Rows

SHA, OTHER = "ab" * 32, "cd" * 32
MARK = Mark(kind="vqvae", name="pocket", sha256=SHA)


def header(dtype: str | None = "float16", sha256: str = SHA, k: int = 512, **changes) -> Header:
    """Two levels, 2 × 3 above 4 × 6, and vectors of 5 numbers."""
    levels = (Level(height=2, width=3, n_embed=k), Level(height=4, width=6, n_embed=k))
    vectors = dtype and Embedding(size=5, dtype=dtype, of="caption", model=MARK)
    values = {"levels": levels, "model": MARK.but(sha256=sha256), "transform": {"size": 8}, "split": "train"}
    return Header(**(values | {"embedding": vectors} | changes))


def rows(numbers, dtype: str | None = "float16", k: int = 512) -> Rows:
    """Rows that are known by their numbers."""
    each = [np.random.default_rng(number) for number in numbers]
    codes = [np.stack([rng.integers(0, k, shape) for rng in each]).astype(np.uint16) for shape in ((2, 3), (4, 6))]
    vectors = None if dtype is None else np.stack([rng.normal(size=5) for rng in each]).astype(dtype).astype(np.float32)
    return Rows([f"rec-{number}" for number in numbers], tuple(codes), vectors)


def same(a: Rows, b: Rows) -> bool:
    """Whether two lots of rows are equal, bit by bit."""
    vectors = a.embeddings is b.embeddings is None or np.array_equal(a.embeddings, b.embeddings)
    return a.ids == b.ids and vectors and all(np.array_equal(x, y) for x, y in zip(a.codes, b.codes, strict=True))
