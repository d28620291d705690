"""How the codes of a store are used: a code book of which little is used says less than its size promises."""

from __future__ import annotations

import pandas as pd
import torch

from labkit.latents.codes import CodeStore
from labkit.models.codebook import use_of

CHUNK = 4096  # records that are looked at together


def usage(store: CodeStore) -> pd.DataFrame:
    """A row per level, top first: `grid`, `K`, `used` and `dead` codes, `perplexity`, `bits` per code.

    Every record is read and its checksum looked at. Raises `StoreError` on a damaged one.
    """
    levels = store.header.levels
    counts = [torch.zeros(level.n_embed, dtype=torch.long) for level in levels]
    for start in range(0, len(store), CHUNK):
        rows = store.read(range(start, min(start + CHUNK, len(store))))
        for count, codes in zip(counts, rows.codes, strict=True):
            count += torch.bincount(torch.from_numpy(codes.astype("int64")).flatten(), minlength=len(count))
    return pd.DataFrame([{"grid": f"{level.height} × {level.width}", "K": level.n_embed, **use_of(count)}
                         for level, count in zip(levels, counts, strict=True)])
