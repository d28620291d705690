"""What a fine-tuning will take, reckoned before it runs: memory and time.

    memory = weights + start + (gradient, Adam's two) of what learns + activations of a batch        4 bytes a number in fp32
    time   = 3 forward passes a step of torch's counted operations, at `RATE` a core

Activations are what autograd keeps of one picture and one prompt more, counted by torch's own hooks, times the batch. "About"
is meant: a sheet, a cache of the allocator and other programs come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from labkit.clip.encoder import Encoder
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
    whole, frozen = sum(p.numel() for p in parameters), {id(p) for p in parameters}
    flop, one = _counted(clip.over(net), 1, frozen)
    # What one picture more keeps: the rest is there once, as the weights that LoRA sums up.
    each = _counted(clip.over(net), 2, frozen)[1] - one
    starts = 2 if spec.holds.to_start else 1  # what L2-SP pulls to, and what WiSE-FT begins at
    megabytes = (4 * whole * (1 + starts) + 12 * learn + one + each * (spec.batch - 1)) / 1e6
    flop *= 3.0 * spec.batch * spec.steps
    rate = GPU_RATE if lab.device.type == "cuda" else RATE * torch.get_num_threads()
    return TuningCost(whole, learn, megabytes, flop, flop / rate, spec.batch)


def _counted(clip: Encoder, n: int, without: set[int]) -> tuple[float, int]:
    """Operations of a forward pass over n pictures and prompts, and the bytes that autograd keeps of it, parameters not
    counted."""
    kept: dict[int, torch.Tensor] = {}

    def count(t: torch.Tensor) -> torch.Tensor:
        if id(t) not in without:
            kept[t.untyped_storage().data_ptr()] = t  # held, so that no other takes its place
        return t

    x, ids = torch.rand(n, 3, clip.size, clip.size, generator=torch.Generator()), clip.tokenizer(["a picture"] * n)
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
        held = clip.encode_image(x.to(clip.device)), clip.model.encode_text(ids.to(clip.device))
    del held
    return float(counter.get_total_flops()), sum(t.numel() * t.element_size() for t in kept.values())
