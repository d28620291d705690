"""What the priors learn from: the codes of a bank's scenes, made once and kept beside the bank, or the records of a code store.

Captions are not kept beside a bank: a training draws another caption of a scene each time that it meets it (`BankCodes`). A
store keeps one sentence's vector with each record (`StoredCodes`), and refuses to serve a VQ-VAE that did not make its codes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit.files import written
from labkit.latents.codes import CodeStore, StoreError
from labkit.latents.dataset import CodeDataset
from labkit.models import load
from labkit.models.pixelsnail import condition_of
from labkit.text import plain
from labkit.training.bank import SceneBank
from labkit.world import caption

BATCH = 250


class BankCodes:
    """The codes of a bank's scenes, `codes` (top (n, h, w), bottom (n, 2h, 2w)), with sentences that are drawn anew and
    embedded by `kind`."""

    def __init__(self, lab, bank: SceneBank, kind: str):
        self.lab, self.bank, self.kind, self.codes = lab, bank, kind, bank_codes(lab.vqvae, bank)

    def __len__(self) -> int:
        return len(self.bank)

    def told(self, index, rng: np.random.Generator) -> Tensor:
        """A sentence's vector for each of these scenes, (B, D)."""
        return condition_of(self.lab, captions(self.bank, index, rng), self.kind)

    def shown(self, n: int) -> tuple[Tensor, Tensor]:
        """The last n scenes in [-1, 1], and the vectors of captions that name everything."""
        last, rng = range(len(self) - n, len(self)), np.random.default_rng(0)
        texts = [caption(self.bank.scene(k), rng, full=True) for k in last]
        return self.bank.images(last), condition_of(self.lab, texts, self.kind)


class StoredCodes:
    """The records of a code store, all in memory: `codes` as `BankCodes` has them, and the vectors that lie beside them."""

    def __init__(self, vqvae: nn.Module, path: str | Path):
        store = CodeStore(path, model=load.fingerprint(vqvae))
        embedding = store.header.embedding
        if len(store.header.levels) != 2 or embedding is None:
            has = f"{len(store.header.levels)} levels and {'no' if embedding is None else 'its'} vectors"
            raise StoreError(f"{plain(path, 200)}: has {has}; priors need two levels and a sentence's vector in each row "
                             "(`codes extract --embed blip`)")
        self.vqvae, self.kind = vqvae, embedding.model.kind
        data = CodeDataset(store, in_memory=True)
        self.codes, self.vectors = data.batch(range(len(data)))

    def __len__(self) -> int:
        return len(self.vectors)

    def told(self, index, rng: np.random.Generator) -> Tensor:
        """The vectors of these records, (B, D); nothing is drawn."""
        return self.vectors[torch.as_tensor(index)]

    @torch.no_grad()
    def shown(self, n: int) -> tuple[Tensor, Tensor]:
        """The last n records' codes as pictures, and their vectors."""
        device = next(self.vqvae.parameters()).device
        return self.vqvae.decode_codes(*(level[-n:].to(device) for level in self.codes)).cpu(), self.vectors[-n:]


def captions(bank: SceneBank, index, rng: np.random.Generator) -> list[str]:
    """A caption of each scene, drawn anew; every other one names all attributes."""
    return [caption(bank.scene(k), rng, full=bool(rng.random() < 0.5)) for k in index]


def fingerprint(model: nn.Module) -> str:
    """16 hex digits of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def bank_codes(vqvae: nn.Module, bank: SceneBank) -> tuple[Tensor, Tensor]:
    """Top (n, h, w) and bottom (n, 2h, 2w) codes of all pictures of a bank, int64, in a file beside the bank's that is named by
    the weights that made them: those of another model are never met."""
    path = bank.beside(f"codes-{fingerprint(vqvae)}.npz")
    if not path.is_file():
        device = next(vqvae.parameters()).device
        with torch.no_grad():
            made = [vqvae.encode_codes(bank.images(range(k, min(k + BATCH, len(bank)))).to(device))
                    for k in range(0, len(bank), BATCH)]
        levels = [torch.cat(level).cpu().numpy().astype(np.uint16) for level in zip(*made, strict=True)]
        with written(path) as part, open(part, "wb") as file:
            np.savez(file, top=levels[0], bottom=levels[1])
    with np.load(path) as stored:
        return tuple(torch.from_numpy(stored[level].astype(np.int64)) for level in ("top", "bottom"))
