"""Wilson's interval against published values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.metrics.intervals import share, wilson


@pytest.mark.parametrize(("hits", "n", "low", "high"), [
    (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
])
def test_published_values(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_nothing_and_everything_mirror_each_other():
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1
    assert wilson(0, 10)[1] == pytest.approx(1 - wilson(10, 10)[0])


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_both_ends_solve_the_score_equation(case):
    """Wilson's ends are the p with |p̂ − p| = z · sqrt(p (1 − p) / n)."""
    hits, n = case
    inner = [p for p in wilson(hits, n) if 0 < p < 1]
    assert len(inner) == 2 - (hits in (0, n)), "only nothing and everything have an end at 0 or 1"
    for p in inner:
        assert abs(hits / n - p) == pytest.approx(1.959964 * math.sqrt(p * (1 - p) / n), rel=1e-6, abs=1e-9)
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_named(hits, n):
    with pytest.raises(ValueError, match=f"hits={hits}, n={n}"):
        wilson(hits, n)


def test_a_width_that_cannot_be_is_named():
    for z in (0, -1.96, math.nan, math.inf):
        with pytest.raises(ValueError, match="z > 0"):
            wilson(3, 9, z)


def test_share_is_written_with_its_interval():
    assert share(81, 263) == "30.8 % (25.5 %–36.6 %, n = 263)"
