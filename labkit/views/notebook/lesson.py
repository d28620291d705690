"""Exercises of the notebooks: `check(name, value)` says whether an answer is right, and gives a hint where it is not.

The checks are in `exercises.py` beside it; they run offline. Answers stand in the notebooks' own Markdown, inside HTML's
<details>, which hides them until they are asked for, also where a notebook is only read on a web page.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

EXERCISES: dict[str, Callable[[Any], str]] = {}


@dataclass(frozen=True)
class Checked:
    """What became of an answer: `right` is None where there is none yet. A notebook shows it in colour."""

    name: str
    right: bool | None
    words: str

    def __repr__(self) -> str:
        mark = {True: "✓ right", False: "✗ not yet", None: "… no answer yet"}[self.right]
        return f"{mark} ({self.name}): {self.words}"

    def _repr_html_(self) -> str:
        ink = {True: "#2e7d32", False: "#c62828", None: "#6d6d6d"}[self.right]
        return f'<div style="color:{ink}">{html.escape(repr(self))}</div>'


def exercise(name: str) -> Callable:
    """Register a check: a function of the answer that returns a hint, or "" if the answer is right.

    Where the answer is a function the check calls it. An error in the answer becomes the hint.
    """

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        if name in EXERCISES:
            raise ValueError(f"exercise {name!r} is registered twice")
        EXERCISES[name] = function
        return function

    return register


def check(name: str, value: Any) -> Checked:
    """Check the answer to an exercise; `None` and `...` count as no answer. Raises KeyError on an unknown exercise."""
    import labkit.views.notebook.exercises  # noqa: F401 - fills EXERCISES

    if name not in EXERCISES:
        near = get_close_matches(name, EXERCISES, n=2) or sorted(EXERCISES)
        raise KeyError(f"{name!r} is no exercise; near names: {', '.join(near)}")
    if value is None or value is ...:
        return Checked(name, None, "replace the … above and run the cell again; the answer is folded below")
    try:
        hint = EXERCISES[name](value)
    except Exception as error:  # the learner's own code ran: whatever it raises belongs on the page, not in a traceback
        hint = f"your answer raised {type(error).__name__}: {error}"
    return Checked(name, not hint, hint or "well done")
