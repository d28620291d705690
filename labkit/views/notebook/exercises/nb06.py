"""The checks of the exercises of notebook 06, a VQ-VAE's codes."""

from __future__ import annotations

import torch

from labkit.models.codebook import use_of
from labkit.views.notebook.exercises import exercise


@exercise("06-bits")
def bits(value) -> str:
    """What 8 × 8 and 16 × 16 codes of 512 each can tell, at most."""
    value = float(value)
    if value == 2880:
        return ""
    if value == 320 * 512:
        return "that is codes × codes; to name one of 512 takes log2 512 bits"
    if value in (8 * 8 * 9, 16 * 16 * 9):
        return "that is one level; a picture has both"
    return "count the codes of both grids; each is one of 512 = 2^9"


@exercise("06-mse")
def mse(value) -> str:
    """The MSE that 6.58 dB with a peak of 1 means."""
    value = float(value)
    right = 10**-0.658
    if abs(value - right) < 2e-3:
        return ""
    if abs(value - 4 * right) < 8e-3:
        return "that is with a peak of 2, the range of pixels in -1 … 1"
    if abs(value - 10**0.658) < 2e-2:
        return "that is one over it; solve 10 log10(1 / MSE) = 6.58"
    return "PSNR = 10 log10(peak² / MSE)"


@exercise("06-perplexity")
def perplexity(function) -> str:
    """perplexity(codes, n): how many codes, used alike, would be as rich."""
    if not callable(function):
        return "give the function itself: check(…, perplexity)"
    skewed = torch.tensor([[[0, 0, 0], [0, 0, 0], [0, 1, 2]], [[0, 0, 0], [0, 3, 0], [0, 0, 0]]])
    for codes, n, what in ((torch.arange(16).view(1, 4, 4), 16, "of 16 codes, each used once,"),
                           (torch.zeros(2, 4, 4, dtype=torch.long), 16, "where it is always the same code"),
                           (skewed, 8, "of codes that are used unevenly")):
        wanted = use_of(torch.bincount(codes.flatten(), minlength=n))["perplexity"]
        found = float(function(codes, n))
        if found != found:
            return f"{what} it is NaN: 0 · log 0 counts as 0; leave out the codes that never come"
        if abs(found - wanted) > 1e-2:
            return f"{what} it should be {wanted:.2f}; yours is {found:.2f}"
    return ""
