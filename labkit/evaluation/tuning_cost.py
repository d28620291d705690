"""What a fine-tuning will take, reckoned before it runs: memory and time.

    memory = weights + start + (gradient, Adam's two) of what learns + activations of a batch        4 bytes a number in fp32
    time   = 3 forward passes a step of torch's counted operations, at `RATE` a core

Activations are what autograd keeps of one picture and one prompt, counted by torch's own hooks, times the batch. "About" is
meant: a sheet, a cache of the allocator and other programs come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from labkit.evaluation.pipeline_cost import RATE, minutes
from labkit.loop import Rng
from labkit.training.clip_finetune import FineTuneCLIP

GPU_RATE = 5e12  # operations a second, fp32 or bf16, of a card that is some years old


@dataclass(frozen=True)
class TuningCost:
    """`parameters` of the model and how many `learn`, `megabytes` at its height, `flop` and `seconds` in all."""

    parameters: int
    learn: int
    megabytes: float
    flop: float
    seconds: float
    batch: int

    def __str__(self) -> str:
        return (f"{self.learn / 1e6:.2f} of {self.parameters / 1e6:.1f} million parameters learn; about "
                f"{self.megabytes:,.0f} MB with a batch of {self.batch}; {self.flop / 1e12:.2g} TFLOP, "
                f"about {minutes(self.seconds)}")


def reckon(spec: FineTuneCLIP, lab) -> TuningCost:
    """What `spec` takes on this lab's CLIP."""
    clip, net = lab.clip, lab.fresh_copy("clip").eval()
    spec.learning(net, Rng(0))
    parameters = list(net.parameters())
    learn = sum(p.numel() for p in parameters if p.requires_grad)
    whole, kept, seen = sum(p.numel() for p in parameters), 0, {id(p) for p in parameters}

    def count(t: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if id(t) not in seen and t.data_ptr() not in seen:
            seen.add(t.data_ptr())
            kept += t.numel() * t.element_size()
        return t

    x, ids = torch.rand(1, 3, clip.size, clip.size, device=lab.device), clip.tokenizer(["a picture"]).to(lab.device)
    looking = clip.over(net)
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        held = looking.encode_image(x), net.encode_text(ids)
    del held
    starts = 2 if spec.holds.to_start else 1  # what L2-SP pulls to, and what WiSE-FT begins at
    megabytes = (4 * whole * (1 + starts) + 12 * learn + kept * spec.batch) / 1e6
    flop = 3.0 * counter.get_total_flops() * spec.batch * spec.steps
    rate = GPU_RATE if lab.device.type == "cuda" else RATE * torch.get_num_threads()
    return TuningCost(whole, learn, megabytes, flop, flop / rate, spec.batch)
