"""The checks of the exercises of notebook 11, sketches to pictures."""

from __future__ import annotations

import torch

from labkit.models.latent_path import steps_run
from labkit.views.notebook.exercises import exercise


@exercise("11-steps")
def steps(function) -> str:
    """steps(n, s): how many of n steps are run at strength s, at least one."""
    if not callable(function):
        return "give the function itself: check(…, steps)"
    for n, s in ((50, 0.75), (50, 0.77), (100, 0.29), (50, 1.0), (10, 0.05)):
        found, right = function(n, s), steps_run(n, s)
        if found == right:
            continue
        if (n, s) == (100, 0.29):
            return f"of 100 steps at 0.29 it must be 29, yours is {found}: print(100 * 0.29), and see what ⌊ ⌋ makes of it"
        if s == 0.05:
            return f"of 10 steps at 0.05 yours runs {found}: with no step at all there is no picture, so at least one is run"
        return f"of {n} steps at {s:g} it must be {right}, yours is {found}: ⌊n s⌋"
    return ""


@exercise("11-guided")
def guided(function) -> str:
    """guided(silent, spoken, s): classifier-free guidance."""
    if not callable(function):
        return "give the function itself: check(…, guided)"
    silent, spoken = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(11))
    for s, right, what in ((0.0, silent, "the prediction without words"), (1.0, spoken, "the prompt's own prediction")):
        if not torch.allclose(torch.as_tensor(function(silent, spoken, s)), right, atol=1e-6):
            return f"at scale {s:g} it must be {what}"
    right = silent + 5 * (spoken - silent)
    found = torch.as_tensor(function(silent, spoken, 5.0))
    return "" if torch.allclose(found, right, atol=1e-5) else "at scale 5 the step between the two is taken five times"


@exercise("11-left")
def left(value) -> str:
    """How much louder the noise is than the picture where ᾱ = 0.2: √0.8 / √0.2 = 2."""
    value = float(value)
    if abs(value - 2) < 0.02:
        return ""
    if abs(value - 4) < 0.04:
        return "that is the ratio of the variances; amplitudes are their roots"
    if abs(value - 0.5) < 0.01:
        return "that is the picture beside the noise; the other way round"
    return "the picture is multiplied by √ᾱ, the noise by √(1 − ᾱ)"
