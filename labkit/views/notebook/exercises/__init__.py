"""The table of the notebooks' exercises. A file `nbNN.py` beside this one has the checks of notebook NN and enters them.

A check is a function of the answer that returns a hint, or "" if the answer is right; where the answer is a function the check
calls it. `labkit.views.notebook.lesson.check` finds the file by the exercise's number, so that a new notebook's checks are one
new file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """`hint` of an answer, and whether None is an answer and not the lack of one."""

    hint: Callable[[Any], str]
    takes_none: bool = False


EXERCISES: dict[str, Exercise] = {}


def exercise(name: str, takes_none: bool = False) -> Callable:
    """Enter a check under its name, NN-what. Raises ValueError on a name that is there already."""

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        if name in EXERCISES:
            raise ValueError(f"exercise {name!r} is registered twice")
        EXERCISES[name] = Exercise(function, takes_none)
        return function

    return register
