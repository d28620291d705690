"""The checks of the exercises of notebook 07, PixelSNAIL."""

from __future__ import annotations

import torch

from labkit.models.drawing import distribution
from labkit.views.notebook.exercises import exercise


@exercise("07-taps")
def taps(value) -> str:
    """The live taps of a causal kernel of 3 rows and 5 columns, the own cell among them."""
    value = float(value)
    if value == 13:
        return ""
    if value == 12:
        return "that is without the own cell, as in the very first layer; the others may see it"
    if value == 15:
        return "those are all taps; of the own row only the own cell and what lies to the left of it may be seen"
    return "two full rows above, and of the own row what lies to the left, with the own cell"


@exercise("07-bits")
def bits(value) -> str:
    """Bits per number of a 64 × 64 RGB picture of 64 top codes at 7.2 and 256 bottom codes at 5.4 bits."""
    value, total = float(value), 64 * 7.2 + 256 * 5.4
    if abs(value - total / (3 * 64 * 64)) < 2e-3:
        return ""
    if abs(value - total) < 1:
        return "those are the bits of the whole picture; it has 3 · 64 · 64 numbers"
    if abs(value - total / (64 * 64)) < 5e-3:
        return "that is per pixel; a pixel has three numbers"
    return "64 codes at 7.2 bits and 256 at 5.4, over 3 · 64 · 64 numbers"


@exercise("07-nucleus")
def nucleus(function) -> str:
    """nucleus(p, share): of probabilities (K,) the fewest likeliest whose sum is at least share, made to sum to 1."""
    if not callable(function):
        return "give the function itself: check(…, nucleus)"
    rng = torch.Generator().manual_seed(7)
    for p, share in ((torch.tensor([0.1, 0.5, 0.1, 0.3]), 0.75), (torch.tensor([0.2, 0.8]), 0.6),
                     (torch.rand(9, generator=rng).softmax(0), 0.5)):
        wanted = distribution(p.log()[None], top_p=share)[0]
        found = torch.as_tensor(function(p, share))
        if found.shape != p.shape:
            return f"it must give {len(p)} probabilities, zeros where a code is left out; yours has shape {tuple(found.shape)}"
        if ((found > 0) != (wanted > 0)).any():
            kept, right = int((found > 0).sum()), int((wanted > 0).sum())
            return f"of {p.numpy().round(3).tolist()} at {share:g} it keeps {right}, the likeliest ones; yours keeps {kept}"
        if not torch.allclose(found, wanted, atol=1e-4):
            return "it keeps the right ones, but what is kept must sum to 1"
    return ""
