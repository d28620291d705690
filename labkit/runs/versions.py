"""Recipes of older labkits: brought to today's fields, and what has changed since in words.

A table by version: add a `Change` to it where a spec's field goes or gets another meaning, and where the same recipe gives
other pixels on purpose.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass

from labkit.text import plain


@dataclass(frozen=True)
class Change:
    """What the labkit of `version` does otherwise than those before, for recipes of `method` ("": of any).

    what  is told after a replay; "" where the picture is the same.  mend  changes an older recipe in place.
    """

    version: str
    method: str
    what: str = ""
    mend: Callable[[dict], None] | None = None


def _init_says_it(recipe: dict) -> None:
    """`start="image"` said what a given `init` says."""
    canvas = recipe["spec"].get("canvas")
    if isinstance(canvas, dict) and canvas.get("start") == "image" and canvas.get("init") is not None:
        del canvas["start"]


def _nothing_was_smoothed(recipe: dict) -> None:
    """`optimiser.smooth` is new, and its default is not nothing."""
    optimiser = recipe["spec"].setdefault("optimiser", {})
    if isinstance(optimiser, dict):
        optimiser.setdefault("smooth", 0.0)
        optimiser.setdefault("lr", 0.1)
    recipe["spec"].setdefault("steps", 200)


def _one_start(recipe: dict) -> None:
    """`canvas.tries` is new: there was one start."""
    canvas = recipe["spec"].setdefault("canvas", {})
    if isinstance(canvas, dict):
        canvas.setdefault("tries", 1)


def _picture_of_the_last_preview(recipe: dict) -> None:
    """A run that was stopped between two previews kept the older one; today it keeps the picture of its last step."""
    done, steps, every = recipe.get("steps_done"), recipe["spec"].get("steps"), recipe["spec"].get("preview_every")
    if type(done) is type(steps) is type(every) is int and 0 < every and 0 < done < steps:
        recipe["steps_done"] = max(1, done // every * every)


CHANGES = (
    Change("0.2.0", "VQGANCLIP", mend=_init_says_it),
    Change("0.2.0", "VQGANCLIP", "a latent's nearest code is found without rounding: here and there it is another one",
           _nothing_was_smoothed),
    Change("0.2.1", "VQGANCLIP", mend=_one_start),
    Change("0.2.0", "", mend=_picture_of_the_last_preview),
)


def upgrade(recipe: dict) -> dict:
    """A copy of the recipe with today's fields; what is no recipe of a method stays as it is."""
    recipe = copy.deepcopy(recipe)
    if isinstance(recipe.get("spec"), dict):
        for change in _since(recipe):
            if change.mend:
                change.mend(recipe)
    return recipe


def changes_since(recipe: dict) -> list[str]:
    """What gives other pictures since the recipe was written, a line each."""
    return [f"since labkit {change.version}: {change.what}" for change in _since(recipe) if change.what]


def made_by(recipe: dict) -> str:
    """Which labkit wrote the recipe, fit for a terminal."""
    return f"labkit {plain(recipe['labkit'], 20)}" if isinstance(recipe.get("labkit"), str) else "a labkit of unknown version"


def _since(recipe: dict) -> list[Change]:
    then = _number(recipe.get("labkit"))
    return [c for c in CHANGES if then < _number(c.version) and c.method in ("", recipe.get("method"))]


def _number(version: object) -> tuple[int, ...]:
    """'0.10.2' → (0, 10, 2); what is no version is older than any, as the first labkits had none."""
    known = isinstance(version, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){1,3}", version)
    return tuple(map(int, version.split("."))) if known else ()
