"""The checks of the exercises of notebook 01, CLIP similarity."""

from __future__ import annotations

import math

import torch

from labkit.views.notebook.exercises import exercise


@exercise("01-cosine")
def cosine(function) -> str:
    """A function of two vectors of any length."""
    if not callable(function):
        return "give the function itself: check(…, cosine), without calling it"
    rng = torch.Generator().manual_seed(1)
    for _ in range(5):
        a, b = torch.randn(2, 192, generator=rng)
        right = float(torch.nn.functional.cosine_similarity(a, b, dim=0))
        if abs(float(function(a, 3 * a)) - 1) > 1e-4:
            return "a vector and three times itself point the same way: their cosine is 1; divide by the lengths"
        if abs(float(function(a, b)) - right) > 1e-4:
            return "the product of two vectors is their sum of products, divided by both lengths"
    return ""


@exercise("01-scale")
def scale(value) -> str:
    """softmax(s · (0.30, 0.20)) gives the first 90 %: s = ln 9 / 0.1."""
    right = math.log(9) / 0.1
    if abs(float(value) - right) < 0.1:
        return ""
    p = 1 / (1 + math.exp(-0.1 * max(-700.0, min(700.0, float(value)))))
    return f"with that scale the first text gets {p:.0%}; of two texts p = 1 / (1 + exp(−s · difference))"


@exercise("01-recall")
def recall(function) -> str:
    """R@k of ranks that count from 1."""
    if not callable(function):
        return "give the function itself: check(…, recall)"
    ranks = torch.tensor([1, 3, 2, 1, 8, 1])
    for k, right in ((1, 3 / 6), (2, 4 / 6), (5, 5 / 6), (8, 1.0)):
        got = float(function(ranks, k))
        if abs(got - right) > 1e-6:
            return f"for ranks {ranks.tolist()} and k = {k} it must be {right:.3f}, yours is {got:.3f}; ranks start at 1"
    return ""
