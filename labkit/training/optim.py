"""What trainings share besides the loop: the moving average of weights, and the course of the learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def average(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """Exponential moving average of a model's parameters, quick at first: step n keeps min(decay, (1 + n)/(10 + n))."""
    @torch.no_grad()
    def blend(averaged: list[torch.Tensor], current: list[torch.Tensor], n: torch.Tensor) -> None:
        keep = min(decay, (1 + int(n)) / (10 + int(n)))
        torch._foreach_lerp_(averaged, current, 1 - keep)

    return AveragedModel(model, multi_avg_fn=blend, use_buffers=False).requires_grad_(False)


def update_average(averaged: AveragedModel, model: nn.Module) -> None:
    """One step of the moving average; running statistics are taken as they are."""
    averaged.update_parameters(model)
    for mine, theirs in zip(averaged.module.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)


def cosine(i: int, n: int, peak: float, warmup: int) -> float:
    """Learning rate at step i of n: linear warm-up, then a cosine down to a fiftieth."""
    if i < warmup:
        return peak * (i + 1) / warmup
    share = (i - warmup) / max(1, n - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
