"""Exercises of the notebooks: `check(name, value)` says whether an answer is right, and gives a hint where it is not.

The checks are in `exercises/`, a file a notebook; they run offline. Answers stand in the notebooks' own Markdown, inside
HTML's <details>, which hides them until they are asked for, also where a notebook is only read on a web page.
"""

from __future__ import annotations

import html
import pkgutil
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from labkit.views.notebook import exercises


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


def every_exercise() -> list[str]:
    """The names of all exercises, sorted; imports the files of all notebooks."""
    for found in pkgutil.iter_modules(exercises.__path__):
        import_module(f"{exercises.__name__}.{found.name}")
    return sorted(exercises.EXERCISES)


def check(name: str, value: Any) -> Checked:
    """Check the answer to an exercise; `...` is no answer yet, nor is None, unless the exercise takes it for one.

    Raises KeyError on an unknown exercise.
    """
    if name not in exercises.EXERCISES and name not in every_exercise():
        near = get_close_matches(name, exercises.EXERCISES, n=2) or sorted(exercises.EXERCISES)
        raise KeyError(f"{name!r} is no exercise; near names: {', '.join(near)}")
    asked = exercises.EXERCISES[name]
    if value is ... or (value is None and not asked.takes_none):
        return Checked(name, None, "replace the … above and run the cell again; the answer is folded below")
    try:
        hint = asked.hint(value)
    except Exception as error:  # the learner's own code ran: whatever it raises belongs on the page, not in a traceback
        hint = f"your answer raised {type(error).__name__}: {error}"
    return Checked(name, not hint, hint or "well done")
