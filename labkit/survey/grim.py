"""What printed statistics of whole-number ratings say about themselves: which could n raters have given?

    GRIM     a mean is possible if some whole sum S rounds to it: round(S/n, d) = mean          Brown & Heathers 2017
    GRIMMER  so is a variance, with a whole sum of squares Q: round((Q − S²/n) / (n − ddof), d)          Anaya 2016

Not every pair (S, Q) belongs to ratings between `low` and `high`. With so few values that can be settled exactly: a
bit set of every Q that k ratings of sum S can have, grown rating by rating. `samples` goes on to list the ratings
themselves (as CORVIDS does, Wilson, Harper & Heathers 2018), so that any other printed number can be held against them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from numbers import Rational

LOW, HIGH, DECIMALS = 0, 10, 2
Number = str | int | float | Fraction


def agrees(exact: Rational, printed: Number, decimals: int = DECIMALS) -> bool:
    """Whether an exact number may have been printed so. Both ways of rounding a half count."""
    return abs(Fraction(exact) - _fraction(printed)) <= Fraction(1, 2 * 10**decimals)


def mean_possible(mean: Number, n: int, low: int = LOW, high: int = HIGH, decimals: int = DECIMALS) -> bool:
    """GRIM: can n whole-number ratings in [low, high] have this printed mean? Raises ValueError on n < 1."""
    return bool(_sums(mean, n, low, high, decimals))


def variance_possible(
    mean: Number, variance: Number, n: int, ddof: int, *,
    low: int = LOW, high: int = HIGH, attained: bool = False, decimals: int = DECIMALS,
) -> bool:  # fmt: skip
    """GRIMMER, exactly: can n whole-number ratings in [low, high] have this printed mean and variance?

    ddof      0: divided by n; 1: divided by n − 1.
    attained  whether `low` and `high` are a printed minimum and maximum, which at least one rater each must have given.
    Raises ValueError where n, ddof or the range admit no variance.
    """
    return bool(_moments(mean, variance, n, ddof, low, high, attained, decimals))


def raters_that_fit(
    rows: Iterable[Mapping[str, Number]], ddof: int | None, most: int = 30, decimals: int = DECIMALS
) -> dict[int, int]:
    """For n = 2 … most raters, how many of the rows are possible: {n: rows}.

    rows  tables with "mean", "variance", "minimum" and "maximum", as printed.  ddof None asks of the means alone.
    """
    rows = list(rows)

    def fits(row: Mapping[str, Number], n: int) -> bool:
        low, high = int(_fraction(row["minimum"])), int(_fraction(row["maximum"]))
        if ddof is None:
            return mean_possible(row["mean"], n, low, high, decimals)
        return variance_possible(
            row["mean"], row["variance"], n, ddof, low=low, high=high, attained=True, decimals=decimals
        )

    return {n: sum(fits(row, n) for row in rows) for n in range(2, most + 1)}


def median_possible(median: Number, n: int, low: int = LOW, high: int = HIGH, decimals: int = DECIMALS) -> bool:
    """Can this be the median of n whole-number ratings? Whole for an odd n, whole or a half for an even one."""
    _check(n, low, high)
    step = Fraction(1, 1 if n % 2 else 2)
    nearest = round(_fraction(median) / step) * step
    return low <= nearest <= high and agrees(nearest, median, decimals)


def samples(
    mean: Number, variance: Number, minimum: Number, maximum: Number, n: int, ddof: int = 1, *,
    mean_deviation: Number | None = None, decimals: int = DECIMALS,
) -> list[tuple[int, ...]]:  # fmt: skip
    """Every sorted tuple of n whole-number ratings with these printed statistics: what the raters may have said.

    mean_deviation  the mean absolute deviation about the mean, if printed.
    The search grows fast with n (n = 11 on a scale of 11 takes well under a second). Raises ValueError beyond n = 14.
    """
    if n > 14:
        raise ValueError(f"n={n}: the list of ratings is too long to write down; ask variance_possible instead")
    low, high = int(_fraction(minimum)), int(_fraction(maximum))
    found = []
    for total, squares in _moments(mean, variance, n, ddof, low, high, True, decimals):
        for inner in _fill(n - 2, low, high, total - low - high, squares - low * low - high * high):
            ratings = (low, *inner, high)
            if mean_deviation is None or agrees(exact_mean_deviation(ratings), mean_deviation, decimals):
                found.append(ratings)
    return sorted(found)


def exact_mean_deviation(ratings: Sequence[int]) -> Fraction:
    """The mean absolute deviation about the mean, without rounding."""
    middle = Fraction(sum(ratings), len(ratings))
    return sum((abs(x - middle) for x in ratings), Fraction(0)) / len(ratings)


def misplaced_medians(ratings: Sequence[int], k: int, ddof: int = 1) -> set[Fraction]:
    """The medians of a spreadsheet's slip: k of the ratings and the five statistics that stand beside them.

    The five are mean, maximum, minimum, mean absolute deviation and variance; every choice of k ratings counts.
    """
    n = len(ratings)
    mean = Fraction(sum(ratings), n)
    variance = sum(((x - mean) ** 2 for x in ratings), Fraction(0)) / (n - ddof)
    beside = [mean, Fraction(max(ratings)), Fraction(min(ratings)), exact_mean_deviation(ratings), variance]
    return {Fraction(statistics.median([*chosen, *beside])) for chosen in set(combinations(sorted(ratings), k))}


def _moments(mean, variance, n, ddof, low, high, attained, decimals) -> list[tuple[int, int]]:
    """Every (S, Q) of n ratings that agrees with both."""
    if ddof not in (0, 1) or n <= ddof:
        raise ValueError(f"ddof={ddof}, n={n}: ddof is 0 or 1, and n is greater")
    if attained and n < 2 and low != high:
        raise ValueError(f"n={n}: one rater cannot give both the minimum {low} and the maximum {high}")
    sums = _sums(mean, n, low, high, decimals)
    ends = (low, high) if attained and n > 1 else ()
    grown = _reachable(n - len(ends), low, high)
    target, half = _fraction(variance), Fraction(1, 2 * 10**decimals)
    found = []
    for total in sums:
        bits = grown.get(total - sum(ends), 0)
        base, offset = Fraction(total * total, n), sum(v * v for v in ends)
        first = max(offset, math.ceil(base + (target - half) * (n - ddof)))
        last = math.floor(base + (target + half) * (n - ddof))
        found += [(total, q) for q in range(first, last + 1) if bits >> (q - offset) & 1]
    return found


def _sums(mean: Number, n: int, low: int, high: int, decimals: int) -> list[int]:
    _check(n, low, high)
    middle, half = _fraction(mean) * n, Fraction(n, 2 * 10**decimals)
    return list(range(max(low * n, math.ceil(middle - half)), min(high * n, math.floor(middle + half)) + 1))


@lru_cache(maxsize=512)
def _reachable(n: int, low: int, high: int) -> dict[int, int]:
    """{S: bit set of the Q} of n ratings in [low, high]: bit q is set where some n ratings have Σx = S and Σx² = q."""
    if n == 0:
        return {0: 1}
    grown: dict[int, int] = {}
    for total, bits in _reachable(n - 1, low, high).items():
        for value in range(low, high + 1):
            grown[total + value] = grown.get(total + value, 0) | bits << value * value
    return grown


def _fill(n: int, low: int, high: int, total: int, squares: int) -> Iterator[tuple[int, ...]]:
    """Every sorted tuple of n ratings in [low, high] with this Σx and Σx²."""
    if n == 0:
        if total == squares == 0:
            yield ()
        return
    for value in range(low, high + 1):
        rest, left = total - value, squares - value * value
        if rest < (n - 1) * value:
            break
        # the others reach no further than `high` each, and their squares are least where they are equal
        if rest <= (n - 1) * high and left * (n - 1) >= rest * rest:
            for more in _fill(n - 1, value, high, rest, left):
                yield (value, *more)


def _fraction(number: Number) -> Fraction:
    """The number as printed; a float by its shortest decimals (7.27 is 727/100)."""
    return Fraction(repr(float(number))) if isinstance(number, float) else Fraction(number)


def _check(n: int, low: int, high: int) -> None:
    if n < 1:
        raise ValueError(f"n={n}: give at least one rater")
    if low > high:
        raise ValueError(f"low={low} is above high={high}; swap them")
