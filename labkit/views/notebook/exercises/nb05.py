"""The checks of the exercises of notebook 05, BLIP."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from labkit.views.notebook.exercises import exercise


@exercise("05-recall")
def recall(value) -> str:
    """The recall that goes with a precision of 1 and an F1 of 0.996."""
    value = float(value)
    if abs(value - 0.996 / 1.004) < 2e-4:
        return ""
    if abs(value - 0.996) < 2e-4:
        return "that is F1 itself; solve F1 = 2R / (1 + R) for R"
    return f"with precision 1 and this recall F1 would be {2 * value / (1 + value):.4f}"


@exercise("05-always-yes")
def always_yes(value) -> str:
    """F1 of "yes" to everything where 60 % are."""
    value = float(value)
    if abs(value - 0.75) < 1e-3:
        return ""
    if abs(value - 0.6) < 1e-3:
        return "that is the precision, and the accuracy; F1 also has the recall in it, which is 1"
    return "precision is the share of YES, recall is 1; F1 = 2PR / (P + R)"


@exercise("05-itc")
def itc(function) -> str:
    """ITC from pictures to texts, with several positives in a row."""
    if not callable(function):
        return "give the function itself: check(…, itc)"
    rng = torch.Generator().manual_seed(5)
    image, text = (F.normalize(torch.randn(n, 8, generator=rng), dim=1) for n in (4, 6))
    one = torch.eye(4, 6, dtype=torch.bool)
    several = one | (torch.rand(4, 6, generator=rng) < 0.4)
    for fits, name in ((one, "one positive"), (several, "several positives")):
        share = fits.float() / fits.sum(1, keepdim=True)
        wanted = F.cross_entropy(image @ text.T / 0.1, share)
        found = function(image, text, fits, 0.1)
        if not isinstance(found, torch.Tensor) or found.ndim:
            return "give one number, the mean over pictures, as a tensor"
        if not torch.allclose(found, wanted, atol=1e-4):
            return f"with {name} in a row it should be {float(wanted):.3f}; yours is {float(found):.3f}"
    return ""
