"""The checks of the notebooks' exercises, named by notebook: a hint where an answer is wrong, "" where it is right."""

from __future__ import annotations

import math

import torch

from labkit.views.notebook import exercises_survey  # noqa: F401 - registers those of notebook 10
from labkit.views.notebook.lesson import exercise


@exercise("00-cutouts")
def cutouts_of_the_recipe(value) -> str:
    """How many cutouts a step the first picture was made with: the spec's default."""
    from labkit import Cutouts

    right = Cutouts().cutn
    if value == right:
        return ""
    if isinstance(value, dict):
        return "that is the whole table; go on into it until you reach one number"
    return "look in the recipe under spec, then cutouts, then cutn"


@exercise("00-prompt")
def a_prompt_of_the_world(value) -> str:
    """A prompt with two subjects, a colour and a setting, every word known."""
    from labkit.world import read, unknown_words

    if not isinstance(value, str):
        return "give a text in quotes"
    unknown, found = unknown_words(value), read(value)
    if unknown:
        return f"the pocket models have never seen {', '.join(map(repr, unknown))}"
    if len(set(found.subjects)) < 2:
        named = ", ".join(found.subjects) or "none"
        return f"two different subjects are asked for; the text names {named}"
    if not any(found.colours):
        return "give one of the subjects a colour, as in 'a red car'"
    return "" if found.setting else "say where, as in 'in the snow' or 'at night'"


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


@exercise("09-confounded")
def confounded(value) -> str:
    """What two experiments that move two things at once tell of one of them: nothing."""
    if isinstance(value, str):
        return "" if "cannot" in value else "say in words that it cannot be told, or give a number"
    return f"would {float(value):g} be wrong if clip_guidance_scale alone had done it? Which picture could tell?"


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
