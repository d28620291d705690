"""A claim's finding follows the numbers: against scipy's own tests, and with intervals that hold what they say."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labkit.evaluation.claims import compare, course


def two(a, b, same=True):
    """A table of two groups, of the same prompts or of others."""
    names = [f"p{k}" for k in range(len(a))] + [f"{'p' if same else 'q'}{k}" for k in range(len(b))]
    return pd.DataFrame({"start": ["a"] * len(a) + ["b"] * len(b), "prompt": names, "p": [*a, *b]})


def weighed(a, b, same=True):
    return compare("a is better.", two(a, b, same), "start", "a", "b", "p")


def interval(finding: str) -> tuple[float, float]:
    low, high = re.search(r"95 % interval ([+−-][\d.]+) to ([+−-][\d.]+)", finding).groups()
    return float(low), float(high)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("a", "b", "outcome"), [
    ([0.9, 0.8, 0.85, 0.9], [0.2, 0.1, 0.3, 0.2], "supported"),
    ([0.2, 0.1, 0.3, 0.2], [0.9, 0.8, 0.85, 0.9], "contradicted"),
    ([0.9, 0.1, 0.5, 0.4], [0.4, 0.8, 0.2, 0.5], "undecided"),
])  # fmt: skip
def test_compare_agrees_with_student_and_welch(a, b, outcome, same):
    found = weighed(a, b, same)
    assert found.outcome == outcome and "a is better." in found._repr_markdown_()
    test = stats.ttest_rel(a, b) if same else stats.ttest_ind(a, b, equal_var=False)
    right = test.confidence_interval(0.95)
    assert interval(found.finding) == pytest.approx((right.low, right.high), abs=0.0051)
    assert (outcome == "undecided") == (test.pvalue > 0.05)


def test_the_same_prompts_are_compared_prompt_by_prompt():
    """Prompts differ far more than the groups: pairs show what two unpaired groups hide."""
    a, b = [0.12, 0.52, 0.91, 0.31], [0.10, 0.49, 0.88, 0.30]
    assert weighed(a, b).outcome == "supported" and weighed(a, b, same=False).outcome == "undecided"


def test_pictures_of_one_prompt_count_once():
    few = two([0.9, 0.1], [0.2, 0.1], same=False)
    many = pd.concat([few] * 50)
    assert compare("", many, "start", "a", "b", "p").finding == compare("", few, "start", "a", "b", "p").finding


def test_undecided_is_a_finding_with_a_bound():
    found = weighed([0.5, 0.6, 0.4, 0.5], [0.5, 0.5, 0.5, 0.4]).finding
    bound = float(re.search(r"smaller than ([\d.]+)\.$", found).group(1))
    assert bound >= max(abs(edge) for edge in interval(found)) and bound < 0.3


def test_outcome_is_right_in_95_of_100_surveys_without_a_difference():
    rng = np.random.default_rng(0)
    outcomes = [weighed(*rng.normal(0.5, 0.2, (2, 8)), same=False).outcome for _ in range(400)]
    assert 0.92 < outcomes.count("undecided") / 400 < 0.98


def test_compare_leaves_gaps_out_and_needs_two():
    with pytest.raises(ValueError, match="'a' has 1 prompts"):
        compare("", two([0.9, float("nan")], [0.1, 0.2]), "start", "a", "b", "p")


def runs(*courses):
    rows = [{"prompt": str(k), "iterations": x, "p": p} for k, c in enumerate(courses)
            for x, p in zip((1, 10, 100), c, strict=True)]  # fmt: skip
    return course("", pd.DataFrame(rows), "iterations", "p")


def test_course_tells_rise_fall_and_end():
    falls = runs((0.1, 0.9, 0.5), (0.1, 0.9, 0.4), (0.0, 0.9, 0.5))
    assert falls.outcome == "supported" and "highest at 10 (0.90)" in falls.finding
    assert "Too few do hurt" in falls.finding and "Too many do hurt" in falls.finding
    rises = runs((0.1, 0.5, 0.9), (0.1, 0.5, 0.8), (0.1, 0.6, 0.9))
    assert rises.outcome == "contradicted" and "Too few do hurt" in rises.finding and "more did not hurt" in rises.finding
    unclear = runs((0.1, 0.9, 0.1), (0.1, 0.5, 0.9), (0.1, 0.6, 0.5))
    assert unclear.outcome == "undecided" and "cannot be told from chance" in unclear.finding
    nothing = runs((0.0, 0.02, 0.01), (0.0, 0.03, 0.0), (0.0, 0.01, 0.0))
    assert nothing.outcome == "undecided" and "Nothing took shape" in nothing.finding


def test_the_best_is_not_chosen_in_the_run_that_it_judges():
    """Pure noise over many x: a best that is picked in the same run would "fall" in nearly every study."""
    rng = np.random.default_rng(1)
    fell = 0
    for _ in range(200):
        wide = rng.normal(0.5, 0.2, (6, 8))
        rows = [{"prompt": str(r), "x": x, "p": wide[r, x]} for r in range(6) for x in range(8)]
        fell += "Too many do hurt" in course("", pd.DataFrame(rows), "x", "p").finding
    assert fell / 200 < 0.1


def test_course_needs_runs():
    with pytest.raises(ValueError, match="2 runs"):
        runs((0.1, 0.9, 0.5), (0.1, 0.9, 0.5))
