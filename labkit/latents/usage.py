"""How codes are used: per level the codes in use, the dead ones, entropy and perplexity of how often each comes.

H = -Σ p_k log2 p_k in bits, perplexity 2^H: as many codes, used equally often, would be as rich (van den Oord et al. 2017).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from labkit.latents.codes import CodeStore

CHUNK = 4096  # records that are looked at together


def usage(store: CodeStore) -> pd.DataFrame:
    """A row per level, top first: `grid`, `K`, `used` and `dead` codes, `perplexity`, `bits` per code.

    Every record is read and its checksum looked at. Raises `StoreError` on a damaged one.
    """
    levels = store.header.levels
    counts = [np.zeros(level.n_embed, np.int64) for level in levels]
    for start in range(0, len(store), CHUNK):
        rows = store.read(range(start, min(start + CHUNK, len(store))))
        for count, codes in zip(counts, rows.codes, strict=True):
            count += np.bincount(codes.ravel(), minlength=len(count))
    return pd.DataFrame([
        {"grid": f"{level.height} × {level.width}", "K": level.n_embed, "used": int((count > 0).sum()),
         "dead": int((count == 0).sum()), "perplexity": 2 ** entropy(count), "bits": entropy(count)}
        for level, count in zip(levels, counts, strict=True)
    ])  # fmt: skip


def entropy(counts: np.ndarray) -> float:
    """Bits of the distribution that counts (K,) describe; 0 where nothing was counted."""
    p = counts[counts > 0] / max(1, counts.sum())
    return float(-(p * np.log2(p)).sum()) + 0.0  # not -0
