"""The checks of the exercises of notebook 12, GANs."""

from __future__ import annotations

import math

import torch

from labkit.views.notebook.exercises import exercise


@exercise("12-optimal")
def optimal(value) -> str:
    """The best discriminator's probability where p = 0.6 and q = 0.2."""
    value = float(value)
    if abs(value - 0.75) < 1e-3:
        return ""
    if abs(value - math.log(3)) < 1e-2:
        return "that is the logit, log p − log q; squash it with σ"
    return "of what is found at this x, which share is real?"


@exercise("12-r1")
def r1(function) -> str:
    """penalty(score, x): the mean squared norm of the gradient, differentiable."""
    if not callable(function):
        return "give the function itself: check(…, penalty)"
    rng = torch.Generator().manual_seed(3)
    weight, x = torch.randn(12, generator=rng).requires_grad_(), torch.randn(4, 3, 2, 2, generator=rng)
    out = function(lambda y: (y.flatten(1) @ weight).tanh(), x)
    slope = (1 - (x.flatten(1) @ weight).tanh().square())[:, None] * weight
    right = slope.square().sum(1).mean()
    if torch.allclose(out.detach(), right.detach() * 4, rtol=1e-4):
        return "that is the sum over the pictures; take their mean"
    if not torch.allclose(out.detach(), right.detach(), rtol=1e-4):
        return f"of a small example it must be {float(right):.4f}, yours is {float(out):.4f}: square, sum per picture, average"
    if not out.requires_grad:
        return "it is right but cannot be descended: autograd.grad needs create_graph=True"
    (mine,), (wanted,) = torch.autograd.grad(out, weight), torch.autograd.grad(right, weight)
    return "" if torch.allclose(mine, wanted, rtol=1e-3, atol=1e-5) else "its own gradient is wrong; do not detach on the way"


@exercise("12-last-layer")
def last_layer(value) -> str:
    """Weights and biases of a linear layer from 96 to 12,288."""
    if value == 97 * 3 * 64 * 64:
        return ""
    weights_alone = value == 96 * 3 * 64 * 64
    return "those are the weights; each output has a bias too" if weights_alone else "inputs × outputs, plus a bias per output"
