"""The checks of the exercises of notebook 09, lyrics and guided diffusion."""

from __future__ import annotations

import math

import torch

from labkit.views.notebook.exercises import exercise


@exercise("09-half")
def half(value) -> str:
    """ᾱ where signal and noise have the same weight."""
    if abs(float(value) - 0.5) < 1e-6:
        return ""
    return "square both sides: ᾱ on the left, 1 − ᾱ on the right"


@exercise("09-belief")
def belief(function) -> str:
    """x̂_0 of x, ε̂ and ᾱ."""
    if not callable(function):
        return "give the function itself: check(…, believe)"
    x0, eps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    for a in (0.9, 0.3):
        found = function(math.sqrt(a) * x0 + math.sqrt(1 - a) * eps, eps, a)
        if not torch.allclose(found, x0, atol=1e-4):
            return f"solve x = √ᾱ x̂_0 + √(1 − ᾱ) ε̂ for x̂_0; at ᾱ = {a} yours is off by {float((found - x0).abs().max()):.2f}"
    return ""


@exercise("09-confounded", takes_none=True)
def confounded(value) -> str:
    """What two experiments that move two things at once tell of one of them: nothing."""
    if value is None or (isinstance(value, str) and "cannot" in value):
        return ""
    if isinstance(value, str):
        return "give a number, or None if they cannot tell"
    return f"would {float(value):g} be wrong if clip_guidance_scale alone had done it? Which picture could tell?"
