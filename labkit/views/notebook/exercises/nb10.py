"""The checks of the exercises of notebook 10, the survey."""

from __future__ import annotations

import math

from labkit.views.notebook.exercises import exercise


@exercise("10-grim")
def grim(function) -> str:
    """possible_mean(mean, n): GRIM for whole-number ratings from 0 to 10."""
    from labkit.survey.grim import mean_possible

    if not callable(function):
        return "give the function itself: check(…, possible_mean)"
    for mean, n in ((7.27, 11), (7.27, 18), (5.0, 18), (8.45, 11), (8.45, 20), (3.13, 8), (3.12, 8), (10.5, 2), (0.01, 99)):
        right = mean_possible(mean, n)
        if bool(function(mean, n)) != right:
            return f"a mean of {mean} of {n} ratings is {'possible' if right else 'not possible'}; yours says otherwise"
    return ""


@exercise("10-variance")
def variance(value) -> str:
    """12.76 with ddof 1 of 11 raters, as ddof 0."""
    right = 12.76 * 10 / 11
    if abs(float(value) - right) < 0.01:
        return ""
    if abs(float(value) - 12.76 * 11 / 10) < 0.01:
        return "the other way round: ddof = 0 divides by the larger number, so it is smaller"
    return "the sum of squares is the same: multiply by n − 1, divide by n; n is `raters`"


@exercise("10-holm")
def holm_by_hand(function) -> str:
    """Holm's step-down correction, in the order of the p-values."""
    from labkit.survey.comparison import holm

    if not callable(function):
        return "give the function itself: check(…, holm)"
    for p in ([0.01, 0.04, 0.03], [0.5, 0.9, 0.7], [0.02], [0.04, 0.001, 0.03, 0.03]):
        got, right = [float(x) for x in function(p)], holm(p).tolist()
        if len(got) != len(p) or any(not math.isclose(a, b, abs_tol=1e-9) for a, b in zip(got, right, strict=True)):
            return f"for p = {p} it must be {[round(x, 3) for x in right]}, yours is {[round(x, 3) for x in got]}"
    return ""
