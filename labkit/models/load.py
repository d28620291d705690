"""From a name or a file to a model with its weights: one way for every kind of model of ours."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from labkit import zoo
from labkit.fetch import sha256_of
from labkit.kinds import KINDS, named
from labkit.weights import PICKLES


def weights_path(kind: str, name: str | os.PathLike) -> Path:
    """The file of a name of the zoo, or the file itself. Raises WeightsNotFound."""
    path = Path(name)
    if path.suffix in (".safetensors", *PICKLES) or path.is_file():
        return path
    entry = zoo.entry(kind, os.fspath(name))
    if not entry.at_hand:
        raise zoo.not_found(entry)
    return entry.path


def load_model(kind: str, name: str | os.PathLike, device: str | torch.device = "cpu") -> nn.Module:
    """The model of a kind (see `labkit.kinds`) that "pocket", a name of the zoo or a file holds: fp32, eval mode and
    frozen, with its file's `sha256` and what the file says `about` itself. Raises WeightsError and its kin."""
    path = weights_path(kind, name)
    tensors, about = zoo.load_tensors(path)
    record, architecture = KINDS[kind], about.get("architecture", "")
    if about.get("kind") != kind or "config" not in about or architecture not in dict(record.models):
        said = " ".join(filter(None, [str(about.get("kind", "nothing known")), str(architecture)]))
        remedy = (f"; for a published file run `python -m labkit convert {path} DST.safetensors --kind {kind}` first"
                  if record.convert else "")
        raise zoo.WeightsError(f"{path}: says it is {said!r}, not {kind!r}{remedy}")
    try:
        with torch.device("meta"):
            model = named(dict(record.models)[architecture]).from_config(about["config"])
    except (TypeError, ValueError, KeyError) as error:
        raise zoo.WeightsError(f"{path}: its config does not describe a model of kind {kind!r} ({error})") from error
    zoo.load_state(getattr(model, "stored", model), tensors, str(path))
    if any(t.is_meta for t in [*model.parameters(), *model.buffers()]):  # what no file holds, as CLIP's causal mask: made anew
        model = zoo.load_state(named(dict(record.models)[architecture]).from_config(about["config"]), tensors, str(path))
    model.sha256, model.about = sha256_of(path), about
    return model.to(device).eval().requires_grad_(False)


def fingerprint(model: nn.Module) -> str:
    """The sha256 of the file that a model came from; of its weights' bytes where it came from none."""
    if found := getattr(model, "sha256", None):
        return found
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def config_of(model: nn.Module) -> dict:
    """A model's architecture as JSON-able values; `type(model).from_config` is the way back."""
    return asdict(model.config)


def tuples(config: dict) -> dict:
    """A config as JSON gives it back, its lists as the tuples that a frozen dataclass holds."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
