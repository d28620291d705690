"""The latents of a bank's scenes, made once and kept beside the bank: what a U-Net learns from.

A latent is the mean of the autoencoder's belief, scaled, and kept in half precision: its spread (σ ≈ 0.02 of 1) is far below
the noise that a diffusion model sees at any step that matters.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from labkit.files import written
from labkit.training.bank import SceneBank

BATCH = 100


def fingerprint_of(vae: nn.Module) -> str:
    """64 hex digits of what makes an autoencoder's latents: its encoder's weights as they are stored, in half precision, so
    that a file says the same of itself before and after it was shipped. A decoder may learn on, and its U-Net stays good."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(name.encode() + tensor.detach().half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class LatentBank:
    """`latents(index)` → (B, C, h, w) fp32 of the scenes of a bank."""

    def __init__(self, vae: nn.Module, bank: SceneBank):
        path = bank.beside(f"latents-{fingerprint_of(vae)[:16]}.npy")
        if not path.is_file():
            made = _made(vae, bank)
            with written(path) as part, open(part, "wb") as file:
                np.save(file, made)
        self._latents = np.load(path, mmap_mode="r")

    def latents(self, index) -> Tensor:
        """Those of some scenes."""
        return torch.from_numpy(np.ascontiguousarray(self._latents[np.asarray(index)])).float()


@torch.no_grad()
def _made(vae: nn.Module, bank: SceneBank) -> np.ndarray:
    device, out = next(vae.parameters()).device, []
    for k in range(0, len(bank), BATCH):
        x = bank.images(range(k, min(k + BATCH, len(bank)))).to(device)
        out.append((vae.encode(x).latent_dist.mean * vae.config.scaling_factor).half().cpu().numpy())
    return np.concatenate(out)
