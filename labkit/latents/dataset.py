"""The codes of a store as a torch data set, for the training of priors (van den Oord et al. 2017, section 3.4).

    data = CodeDataset(CodeStore("codes.lmdb", model=vqvae.sha256))
    (top, bottom), embedding = data[0]                      # (8, 8) and (16, 16) int64, (D,) float32
    for (top, bottom), embeddings in shuffled(data, 32, rng): ...      # one epoch: (32, 8, 8), (32, 16, 16), (32, D)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from labkit.latents.codes import CodeStore, Rows
from labkit.latents.environment import StoreError

Item = tuple[tuple[Tensor, ...], Tensor]


class CodeDataset(Dataset):
    """Items ((h, w) int64 per level, top first; embedding (D,) float32, of length 0 where the store has none).

    It may be sent to the workers of a `DataLoader`, forked or spawned: each opens the file for itself. `in_memory` reads all of
    it once (100,000 pictures of 8 × 8 and 16 × 16 codes and 256 numbers: 170 MB). Raises `StoreError` on an empty store.
    """

    def __init__(self, store: CodeStore, in_memory: bool = False):
        if not len(store):
            raise StoreError(f"{store.path}: holds no record; extract some codes into it first")
        self.store, self._rows = store, store.read() if in_memory else None

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, k: int) -> Item:
        codes, embeddings = self.batch([k])
        return tuple(level[0] for level in codes), embeddings[0]

    def __getitems__(self, index: Sequence[int]) -> list[Item]:
        """What torch's `DataLoader` asks for: all items of a batch in one transaction."""
        codes, embeddings = self.batch(index)
        return list(zip(zip(*codes, strict=True), embeddings, strict=True))

    def batch(self, index: Sequence[int] | Tensor) -> Item:
        """((B, h, w) int64 per level, top first; (B, D) float32) of the records at these places."""
        index = np.asarray(index, np.int64)
        if self._rows is None:
            return _tensors(self.store.read(index))
        rows = self._rows
        vectors = None if rows.embeddings is None else rows.embeddings[index]
        return _tensors(Rows([rows.ids[k] for k in index], tuple(codes[index] for codes in rows.codes), vectors))


def _tensors(rows: Rows) -> Item:
    vectors = torch.empty(len(rows), 0) if rows.embeddings is None else torch.from_numpy(rows.embeddings)
    return tuple(torch.from_numpy(codes.astype(np.int64)) for codes in rows.codes), vectors


def shuffled(data: CodeDataset, batch: int, rng: torch.Generator, drop_last: bool = False) -> Iterator[Item]:
    """One epoch in batches: every record once, in an order that `rng` draws. `drop_last` leaves out what is no whole batch.

    The order is drawn before the first batch, so a generator in the same state gives the same epoch. Raises ValueError on a
    batch below 1, or larger than the data set where the last one is dropped.
    """
    if batch < 1 or drop_last and batch > len(data):
        raise ValueError(f"batch: {batch} must be at least 1" + f" and at most {len(data)}, all records" * drop_last)
    order = torch.randperm(len(data), generator=rng)

    def batches() -> Iterator[Item]:
        for part in order.split(batch):
            if len(part) == batch or not drop_last:
                yield data.batch(part)

    return batches()
