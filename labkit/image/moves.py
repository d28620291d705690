"""The edges of an enhancer's tree: what one transformation more does to a recipe.

Every move shifts one slider of `Adjustments` by a stride, up or down; factors by powers of two, so that up and down undo each
other. Auto-levels takes the levels that `labkit.image.adjust.levels` finds. Which came first does not matter: a recipe is where
its sliders stand.
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.image.adjust import Adjustments
from labkit.spec import SpecError

FACTORS = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "gamma": 0.35}  # log2 of the factor at stride 1
SHIFTS = {"temperature": 0.2, "sharpness": 0.5}
CROP, PLACES = 0.9, ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
WORTH = 0.01  # levels that are nearer to 0 and 1 change nothing that is seen


def moves(recipe: Adjustments, stride: float, levels: tuple[float, float], black_white: bool, crop: bool,
          ) -> Iterator[tuple[str, Adjustments]]:
    """Each move from a recipe in words, and the recipe that it leads to; those that leave a slider's range are left out. Crops,
    auto-levels and black and white come whole, at every stride."""
    for name, size in FACTORS.items():
        for way in (1, -1):
            factor = 2.0 ** (way * size * stride)
            yield from _to(recipe, f"{name} {factor - 1:+.0%}".replace("%", " %"), **{name: getattr(recipe, name) * factor})
    for name, size in SHIFTS.items():
        for way in (1, -1):
            shift = way * size * stride
            words = {"temperature": ("cooler", "warmer"), "sharpness": ("softer", "sharper")}[name][way > 0]
            yield from _to(recipe, f"{words} {abs(shift):.2f}", **{name: getattr(recipe, name) + shift})
    black, white = levels
    if (black > WORTH or white < 1 - WORTH) and (recipe.black, recipe.white) == (0, 1):
        yield from _to(recipe, "auto-levels", black=black, white=white)
    if black_white and not recipe.black_white:
        yield from _to(recipe, "black and white", black_white=True)
    if crop and recipe.crop == 1:
        for x, y in PLACES:
            words = Adjustments(crop=CROP, crop_x=x, crop_y=y).words().rpartition(", ")[2]
            yield from _to(recipe, f"crop {words}", crop=CROP, crop_x=x, crop_y=y)


def _to(recipe: Adjustments, words: str, **changes) -> Iterator[tuple[str, Adjustments]]:
    try:
        yield words, recipe.but(**{name: round(value, 4) if isinstance(value, float) else value
                                   for name, value in changes.items()})
    except SpecError:  # beyond the slider's end
        return
