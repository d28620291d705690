"""What a lab serves as Stable Diffusion: the parts of `labkit.models.stable_diffusion`; the pocket one says which words it has
never seen."""

from __future__ import annotations

import torch

from labkit.models import stable_load
from labkit.models.stable_diffusion import StableDiffusion
from labkit.world import unknown_words


def load_stable_diffusion(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> StableDiffusion:
    """The model of "pocket", a folder, a file or a repository of the Hub; see `stable_load.load_stable_diffusion`."""
    return stable_load.load_stable_diffusion(name, device, unknown_words)
