"""LoRA against fine-tuning all weights, in the same run: what of memory the optimiser and gradients take, and time a step.

    python benchmarks/lora.py

Both are the same training of the pocket CLIP on the same batch; ratios are the figures, seconds are this machine's. Where
activations outweigh weights, as in the pocket model, LoRA saves little time: the gradient passes through every layer as before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from labkit.evaluation.tuning_cost import reckon
from labkit.lab import Lab
from labkit.training.clip_finetune import FineTuneCLIP

PAIRS, RANK = 12, 4
FULL = FineTuneCLIP(steps=10_000, batch=16, precision="fp32", preview_every=10_000)
LORA = FULL.but(learns__rank=RANK, lr=1e-3)


def step_of(spec: FineTuneCLIP, lab) -> Callable[[], object]:
    """A function that does the next step of a training."""
    steps = spec.run(lab)
    return lambda: next(steps)


def learning_bytes(spec: FineTuneCLIP, lab) -> int:
    """Gradient and Adam's two moments of what learns."""
    return 12 * reckon(spec, lab).learn


def main() -> None:
    torch.set_num_threads(1)
    lab = Lab(device="cpu", precision="fp32")
    ways = {"all weights": step_of(FULL, lab), f"LoRA of rank {RANK}": step_of(LORA, lab)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for step in ways.values():
        step(), step()
    for _ in range(PAIRS):
        for name, step in ways.items():
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    for (name, seconds), spec in zip(times.items(), (FULL, LORA), strict=True):
        cost = reckon(spec, lab)
        print(f"{name:14} {statistics.median(seconds) * 1000:7.1f} ms a step; {cost.learn:>9,} parameters learn; gradients and "
              f"moments {learning_bytes(spec, lab) / 1e6:6.2f} MB; at its height about {cost.megabytes:.0f} MB")
    full, lora = times.values()
    ratio = statistics.median(b / a for a, b in zip(full, lora, strict=True))
    memory, height = (a / b for a, b in ((learning_bytes(LORA, lab), learning_bytes(FULL, lab)),
                                         (reckon(LORA, lab).megabytes, reckon(FULL, lab).megabytes)))
    print(f"LoRA / all weights: time {ratio:.2f}, gradients and moments {memory:.3f}, memory in all {height:.2f} (median of "
          f"{PAIRS} pairs, batch {FULL.batch}, one thread)")


if __name__ == "__main__":
    main()
