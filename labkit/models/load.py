"""From a name or a file to a model with its weights: one way for every architecture of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from labkit import zoo
from labkit.fetch import sha256_of


def weights_path(kind: str, name: str, endings: tuple[str, ...] = (".safetensors",)) -> Path:
    """The file of a name of the zoo, or the file itself. Raises WeightsNotFound."""
    path = Path(name)
    if path.suffix in endings or path.is_file():
        return path
    entry = zoo.entry(kind, name)
    if not entry.at_hand:
        raise zoo.not_found(entry)
    return entry.path


def load_model(path: Path, kind: str, build: Callable[[dict], nn.Module], called: str, device: str | torch.device = "cpu",
               remedy: str = "") -> nn.Module:
    """The model that `build` makes of the file's config, with the file's weights: fp32, eval mode and frozen, and its `sha256`.

    `called` is what errors name it, `remedy` what they advise for a file of another kind. Raises WeightsError and its kin.
    """
    tensors, about = zoo.load_tensors(path)
    if about.get("kind") != kind or "config" not in about:
        raise zoo.WeightsError(f"{path}: says it is {about.get('kind', 'nothing known')!r}, not {called}{remedy}")
    try:
        with torch.device("meta"):
            model = build(about["config"])
    except (TypeError, ValueError) as error:
        raise zoo.WeightsError(f"{path}: its config does not describe {called} ({error})") from error
    model = zoo.load_state(model, tensors, str(path))
    model.sha256 = sha256_of(path)
    return model.to(device).eval().requires_grad_(False)
