"""Trainings of the pocket models: one module per model. `TRAININGS` maps the names of `python -m labkit train NAME`."""

from __future__ import annotations

from importlib import import_module

TRAININGS = {
    "clip": ("labkit.training.clip", "TrainCLIP"),
    "vqgan": ("labkit.training.vqgan", "TrainVQGAN"),
    "judge": ("labkit.training.classifier", "TrainJudge"),
    "diffusion": ("labkit.training.diffusion", "TrainDiffusion"),
    "gan": ("labkit.training.gan", "TrainGAN"),
    "perceptual": ("labkit.training.classifier", "TrainPerceptual"),
}


def training(name: str):
    """The `Training` class of a pocket model's name."""
    if name not in TRAININGS:
        raise ValueError(f"train {name}: no such training; there are {', '.join(TRAININGS)}")
    module, cls = TRAININGS[name]
    return getattr(import_module(module), cls)
