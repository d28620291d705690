"""The losses that pull a picture towards a prompt, and two gradients that are not what autograd would give.

Distances and `clamp_with_grad` are those of the VQGAN+CLIP notebooks (Crowson et al. 2022, "VQGAN-CLIP: Open Domain Image
Generation and Editing with Natural Language Guidance", section 3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def spherical_distance(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared angle between vectors, d = θ²/2 ∈ [0, π²/2], over the last dimension; broadcasts.

    The notebooks write 2·arcsin²(‖x̂ − ŷ‖/2), whose gradient at the antipode is infinite. θ = 2·atan2(‖x̂ − ŷ‖, ‖x̂ + ŷ‖) is
    the same angle with a finite gradient everywhere. Orthogonal vectors: π²/8.
    """
    x, y = (torch.nn.functional.normalize(v.float(), dim=-1) for v in (x, y))
    return 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1)).square()


class _ReplaceGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, through: Tensor) -> Tensor:
        ctx.shape = through.shape
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad.sum_to_size(ctx.shape)


def replace_grad(value: Tensor, through: Tensor) -> Tensor:
    """Forward `value`; backward the gradient goes to `through`."""
    return _ReplaceGrad.apply(value, through)


class _ClampWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:
        ctx.low, ctx.high = low, high
        ctx.save_for_backward(x)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grad * (grad * (x - x.clamp(ctx.low, ctx.high)) >= 0), None, None


def clamp_with_grad(x: Tensor, low: float, high: float) -> Tensor:
    """clamp(x, low, high) whose gradient is kept where a descent step would bring x back into range."""
    return _ClampWithGrad.apply(x, low, high)


def prompt_loss(cuts: Tensor, target: Tensor, weight: float, stop: float = -math.inf) -> Tensor:
    """A prompt's pull on n cutout embeddings (n, D): |w| · mean(v), v = sign(w) · d(cut, target) with target (D,).

    A negative weight repels. Where v < stop the value stays and the gradient is none: near enough is left alone.
    """
    v = math.copysign(1.0, weight) * spherical_distance(cuts, target)
    return abs(weight) * replace_grad(v, torch.maximum(v, torch.full_like(v, stop))).mean()
