"""The checks of the exercises of notebook 13, maps of latent spaces."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from labkit.latents import walks
from labkit.views.notebook.exercises import exercise

NEIGHBOURS = "the points in A have their neighbours in A"


@exercise("13-points")
def points(value) -> str:
    """The least points for a perplexity of 30."""
    value = float(value)
    if value == 91:
        return ""
    if value == 90:
        return "these are the neighbours; the point itself is none of them"
    return "three times the perplexity is how many neighbours it looks at, besides the point itself"


@exercise("13-slerp")
def slerp(function) -> str:
    """The arc between two unit vectors."""
    if not callable(function):
        return "give the function itself: check(…, slerp)"
    a, b = F.normalize(torch.randn(2, 5, generator=torch.Generator().manual_seed(13)), dim=1)
    for t in (0.0, 0.3, 1.0):
        found = torch.as_tensor(function(a, b, t))
        if found.shape != a.shape:
            return f"it must give a vector of {len(a)} numbers; yours has the shape {tuple(found.shape)}"
        if abs(float(found.norm()) - 1) > 1e-3:
            return f"at t = {t:g} the vector has length {float(found.norm()):.3f}; on the sphere it is 1"
        if not torch.allclose(found, walks.slerp(a, b, t), atol=1e-4):
            return f"at t = {t:g} it is on the sphere, but not at t times the angle from a"
    return ""


@exercise("13-read")
def read(value) -> str:
    """What may be read from a t-SNE map: who is whose neighbour."""
    said = {value} if isinstance(value, str) else set(value)
    if said == {NEIGHBOURS}:
        return ""
    if NEIGHBOURS not in said:
        return "one of the three is what t-SNE was made to keep"
    return "it keeps neither distances between clusters nor their sizes"
