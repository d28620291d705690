"""The codes of a bank's scenes, made once and kept beside the bank: what the priors learn from.

Captions are not stored with them: a training draws another caption of a scene each time that it meets it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labkit.files import written
from labkit.training.bank import SceneBank

BATCH = 250


def fingerprint(model: nn.Module) -> str:
    """16 hex digits of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def bank_codes(vqvae: nn.Module, bank: SceneBank) -> tuple[Tensor, Tensor]:
    """Top (n, h, w) and bottom (n, 2h, 2w) codes of all pictures of a bank, int64, in a file beside the bank's that is named by
    the weights that made them: those of another model are never met."""
    home = Path(bank.pixels.filename)
    path = home.with_name(f"{home.stem}_codes-{fingerprint(vqvae)}.npz")
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


def usual_bottom(top: Tensor, bottom: Tensor, n_top: int, n_bottom: int) -> Tensor:
    """For each top code the likeliest bottom code at each of its four cells, (n_top, 2, 2): what stands in for a bottom level
    where only the top is drawn. From codes (N, h, w) and (N, 2h, 2w)."""
    n, h, w = top.shape
    quarters = bottom.view(n, h, 2, w, 2).permute(2, 4, 0, 1, 3).flatten(2)  # (2, 2, N · h · w)
    counts = [torch.bincount(top.flatten() * n_bottom + q, minlength=n_top * n_bottom) for q in quarters.flatten(0, 1)]
    return torch.stack(counts).view(4, n_top, n_bottom).argmax(2).T.view(n_top, 2, 2)


def spread_out(table: Tensor, top: Tensor) -> Tensor:
    """Bottom codes (N, 2h, 2w) of top codes (N, h, w) by such a table."""
    n, h, w = top.shape
    return table[top].permute(0, 1, 3, 2, 4).reshape(n, 2 * h, 2 * w)
