"""A claim's verdict follows the numbers."""

import pandas as pd
import pytest

from labkit.evaluation.claims import compare, course


def two(a, b):
    return pd.DataFrame({"start": ["a"] * len(a) + ["b"] * len(b), "p": [*a, *b]})


@pytest.mark.parametrize(("a", "b", "outcome"), [
    ([0.9, 0.8, 0.85], [0.2, 0.1, 0.3], "supported"),
    ([0.2, 0.1, 0.3], [0.9, 0.8, 0.85], "contradicted"),
    ([0.9, 0.1, 0.5], [0.4, 0.8, 0.2], "undecided"),
])  # fmt: skip
def test_compare_leans_with_the_means(a, b, outcome):
    weighed = compare("a is better.", two(a, b), "start", "a", "b", "p")
    assert weighed.outcome == outcome
    assert f"{sum(a) / 3:.2f} with 'a' (3 pictures)" in weighed.sentence
    assert "a is better." in weighed._repr_markdown_()


def test_compare_leaves_gaps_out_and_needs_two():
    with pytest.raises(ValueError, match="'a' has 1 numbers"):
        compare("", two([0.9, float("nan")], [0.1, 0.2]), "start", "a", "b", "p")


def runs(*courses):
    rows = [{"prompt": str(k), "iterations": x, "p": p} for k, c in enumerate(courses)
            for x, p in zip((1, 10, 100), c, strict=True)]  # fmt: skip
    return pd.DataFrame(rows)


def test_course_tells_rise_fall_and_end():
    falls = course("", runs((0.1, 0.9, 0.5), (0.1, 0.9, 0.4), (0.0, 0.9, 0.5)), "iterations", "p")
    assert falls.outcome == "supported" and "highest at 10 (0.90)" in falls.sentence
    rises = course("", runs((0.1, 0.5, 0.9), (0.1, 0.5, 0.8)), "iterations", "p")
    assert rises.outcome == "contradicted" and "highest at the end" in rises.sentence
    unclear = course("", runs((0.1, 0.9, 0.1), (0.1, 0.5, 0.9), (0.1, 0.6, 0.5)), "iterations", "p")
    assert unclear.outcome == "undecided" and "too small to tell" in unclear.sentence
    nothing = course("", runs((0.0, 0.02, 0.01), (0.0, 0.03, 0.0)), "iterations", "p")
    assert nothing.outcome == "undecided" and "Nothing took shape" in nothing.sentence


def test_course_needs_runs():
    with pytest.raises(ValueError, match="1 runs"):
        course("", runs((0.1, 0.9, 0.5)), "iterations", "p")
