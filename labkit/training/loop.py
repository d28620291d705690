"""The training loop that every pocket model shares: a generator of steps that resumes exactly.

A training hands over its stateful parts (networks, optimisers, averages: whatever has a `state_dict`) and one function
that does a step. Randomness comes from the loop's two generators only, so parts + generators + index are the whole state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.optim.swa_utils import AveragedModel

from labkit.spec import NonFiniteError, Step


class Rng:
    """The two generators of a run: `np` for indices and captions, `torch` (on the CPU) for tensors."""

    def __init__(self, seed: int):
        self.np, self.torch = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def state_dict(self) -> dict:
        return {"np": self.np.bit_generator.state, "torch": self.torch.get_state()}

    def load_state_dict(self, state: dict) -> None:
        self.np.bit_generator.state = state["np"]
        self.torch.set_state(state["torch"])


def accelerator(device: torch.device | str, bf16: bool) -> Accelerator:
    """accelerate's handle on device, precision and processes."""
    # accelerate remembers the first precision of a process and refuses another: forget it, keep the process group.
    AcceleratorState._reset_state()
    return Accelerator(cpu=torch.device(device).type == "cpu", mixed_precision="bf16" if bf16 else "no")


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


def training_steps(n: int, seed: int, parts: dict, step: Callable[[int, Rng], dict[str, float]],
                   sheet: Callable, weights: Callable, preview_every: int, resume: dict | None) -> Iterator[Step]:
    """Yield the steps of a training.

    `step(i, rng)` does one and returns its scores; `sheet()` draws the sample sheet (a PIL picture), `weights()` gives
    (tensors, metadata) to save. Both are called only when somebody looks. Raises `NonFiniteError` on a NaN loss.
    """
    rng, first = Rng(seed), 0
    parts = {**parts, "rng": rng}
    if resume is not None:
        first = resume["i"] + 1
        for name, part in parts.items():
            part.load_state_dict(copy.deepcopy(resume["parts"][name]))  # optimisers keep the tensors they are given
    last = None
    for i in range(first, n):
        scores = step(i, rng)
        if not all(math.isfinite(v) for v in scores.values()):
            raise NonFiniteError(f"step {i}: the loss is no longer a number ({scores}); lower lr", last)
        look = (i + 1) % preview_every == 0 or i in (0, n - 1)

        def snapshot(at: int = i) -> dict:
            if at != i:  # noqa: B023 (where the run is now)
                raise ValueError(f"step {at}: the run has gone on; take a step's state before the next")
            return {"i": at, "parts": {name: part.state_dict() for name, part in parts.items()}}

        last = Step(i, n, sheet() if look else None, scores, {"weights": weights}, snapshot)
        yield last
