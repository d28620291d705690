"""Statistics without a value: NaN that says why.

    NotDefined("nothing varies")    is a float NaN, and prints as "not defined (nothing varies)" however it is formatted

So a quotient of 0/0, or an estimate outside its range, is never shown as a number.
"""

from __future__ import annotations

SLACK = 1e-9  # of a range: what rounding may leave outside


class NotDefined(float):
    """A NaN with its `reason`."""

    reason: str

    def __new__(cls, reason: str) -> NotDefined:
        self = super().__new__(cls, "nan")
        self.reason = reason
        return self

    def __str__(self) -> str:
        return f"not defined ({self.reason})"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __reduce__(self):
        return NotDefined, (self.reason,)


def quotient(a: float, b: float, low: float, high: float, why: str) -> float:
    """a / b where b > 0 and the quotient lies in [low, high], cut to it where only rounding left it; else `NotDefined`.

    why  the reason if b ≤ 0; of a value out of range the reason is the range. What is not finite is not defined either.
    """
    if not b > 0:
        return NotDefined(why)
    value = a / b
    if not low - SLACK <= value <= high + SLACK:
        return NotDefined(f"the estimate {value:.2f} lies outside {low:g} … {high:g}")
    return float(min(max(value, low), high))


def said(value: float, spec: str = ".2f") -> str:
    """The number, or that it is not defined, with the reason if there is one."""
    if value != value and not isinstance(value, NotDefined):
        return "not defined"
    return format(value, spec)
