"""The checks of the exercises of notebook 02, VQGAN+CLIP."""

from __future__ import annotations

import math

import torch

from labkit.views.notebook.exercises import exercise


@exercise("02-distance")
def distance(value) -> str:
    """Half the squared angle of orthogonal vectors, π²/8."""
    value = float(value)
    if abs(value - math.pi**2 / 8) < 1e-3:
        return ""
    if abs(value - math.pi / 2) < 1e-2:
        return "that is the angle θ; the distance is θ² / 2"
    if abs(value - math.pi**2 / 4) < 1e-2:
        return "that is θ²; halve it"
    return "orthogonal means an angle of π / 2; the distance is θ² / 2"


@exercise("02-straight-through")
def straight_through(function) -> str:
    """quantise(z (N, C), codebook (n, C)): forward the nearest code, backward the identity."""
    if not callable(function):
        return "give the function itself: check(…, quantise)"
    rng = torch.Generator().manual_seed(2)
    z, codebook = torch.randn(7, 4, generator=rng).requires_grad_(True), torch.randn(5, 4, generator=rng)
    out = function(z, codebook)
    nearest = codebook[torch.cdist(z.detach(), codebook).argmin(1)]
    if out.shape != z.shape or not torch.allclose(out, nearest, atol=1e-5):
        return "forward it must give, for each row of z, the nearest row of the codebook"
    if not out.requires_grad:
        return "no gradient reaches z: an index has none; add z and take it away again, detached"
    weight = torch.randn(7, 4, generator=rng)
    (grad,) = torch.autograd.grad((out * weight).sum(), z)
    return "" if torch.allclose(grad, weight) else "the gradient that arrives at z must be the one that left, unchanged"


@exercise("02-weights")
def weights(value) -> str:
    """A prompt text: the apple twice as strong as snow is repelled."""
    from labkit import parse

    if not isinstance(value, str):
        return "give the prompt as a text in quotes"
    found = {p.text: p.weight for p in parse(value)}
    apple = next((w for t, w in found.items() if "apple" in t), None)
    snow = next((w for t, w in found.items() if "snow" in t), None)
    if apple is None or snow is None:
        return f"two prompts joined by | are needed, an apple and snow; this reads as {found}"
    if snow >= 0:
        return f"snow has weight {snow:g} and attracts; a negative weight repels"
    return "" if math.isclose(apple, -2 * snow) else f"the apple has {apple:g}, snow {snow:g}: not twice as strong"
