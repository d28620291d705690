"""Who sees which picture when: the survey's pictures, and for every rater a balanced order with hidden checks.

    Williams 1949: row r of a design for n treatments shows (s_p + r) mod n at position p, s = 0, 1, n−1, 2, n−2, …

Over n raters (2n for an odd n) every picture stands at every place equally often and follows every other picture
equally often, so neither tiredness nor the picture before favours one. Raters see a picture and its prompt, never the
settings. Some pictures come back later in the order unannounced (does the rater say the same?), and one picture asks
for a certain number (does the rater look?). Both are put in after the order is balanced.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from labkit.image import ImageError, open_upload, read_recipe, to_rgb
from labkit.image.convert import png_bytes
from labkit.image.recipe import NoRecipe
from labkit.spec import MAX_SEED, Spec
from labkit.world import read

LOW, HIGH = 0, 10  # the scale: 0 nothing alike, 10 exactly what the words say
LONGEST = 500  # characters of a setting that is kept; pictures inside a recipe are longer


class Plan(Spec):
    """How a survey is run."""

    repeats: int = Field(2, ge=0, le=20, description="pictures that each rater sees a second time, unannounced")
    gap: int = Field(4, ge=1, le=50, description="least number of pictures between one and its repeat")
    attention: bool = Field(True, description="one picture that asks for a certain number")
    min_dwell: float = Field(1.0, ge=0, le=60, description="seconds a picture is looked at before a vote counts")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="of the orders")

    def fits(self, pictures: int) -> None:
        """Raises ValueError where so few pictures leave no room for the repeats."""
        if pictures < 2:
            raise ValueError(f"items: {pictures} pictures are too few to rate; give at least 2")
        if self.repeats and pictures < self.repeats + self.gap:
            raise ValueError(
                f"repeats={self.repeats}, gap={self.gap}: {pictures} pictures leave no room for them; "
                f"give {self.repeats + self.gap} pictures, or lower one of the two"
            )


@dataclass(frozen=True)
class Item:
    """A picture to rate: `png` without any metadata, and what made it (never shown to a rater but the prompt).

    key  names it in tables.  expected  the number that an attention item asks for, None for a picture.
    """

    key: str
    png: bytes = field(repr=False)
    prompt: str = ""
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    expected: int | None = None


@dataclass(frozen=True)
class Place:
    """What stands at a position (from 0) of a rater's order."""

    position: int
    item: str
    repeat: bool = False


def items_of_folder(folder: str | os.PathLike) -> list[Item]:
    """The finished pictures of a sweep's folder, in order of their names; a PNG without a recipe (a contact sheet) is
    left out. Raises ValueError where there are none."""
    pictures, others = pictures_of_folder(folder)
    if not pictures:
        raise ValueError(f"folder: {str(folder)!r} holds {len(others)} PNGs, none with a recipe; give the folder of a sweep")
    return items_of_pictures(pictures)


def pictures_of_folder(folder: str | os.PathLike) -> tuple[list[Path], list[Path]]:
    """The PNGs of a folder with a recipe, and those without, each in order of their names; hidden ones are no pictures.

    Raises `ImageError` for a damaged one: a survey should not lose a picture in silence.
    """
    inside = sorted(path for path in Path(folder).glob("*.png") if not path.name.startswith("."))
    kept = [path for path in inside if _has_recipe(path)]
    return kept, [path for path in inside if path not in kept]


def _has_recipe(path: Path) -> bool:
    try:
        read_recipe(path)
    except NoRecipe:
        return False
    return True


def items_of_pictures(paths: Iterable[str | os.PathLike]) -> list[Item]:
    """Items from PNGs that carry a labkit recipe; its prompt, seed, settings and scores go along.

    Raises ValueError that names the file: no picture, no recipe, or the same name twice.
    """
    items: dict[str, Item] = {}
    for path in map(Path, paths):
        if path.stem in items:
            raise ValueError(f"pictures: two are called {path.stem!r}; rename one, as names identify them")
        try:
            recipe, picture = read_recipe(path), open_upload(path)
        except ImageError as error:
            raise ImageError(f"pictures: {error}") from None
        spec = recipe.get("spec")
        settings = flat(spec if isinstance(spec, dict) else {})
        prompt, seed = settings.pop("prompt", ""), settings.pop("seed", None)
        method = {"method": recipe["method"]} if isinstance(recipe.get("method"), str) else {}
        scores = recipe.get("scores")
        scores = {k: float(v) for k, v in scores.items() if _is_number(v)} if isinstance(scores, dict) else {}
        seed = seed if _is_number(seed) else None
        items[path.stem] = Item(path.stem, png_without_metadata(picture), str(prompt), seed, {**method, **settings}, scores)
    return list(items.values())


def judged(items: Iterable[Item], judge) -> list[Item]:
    """The items with what a `labkit.metrics.judge.Judge` sees of their prompts as the score "judge"; an item whose prompt names
    nothing that the judge knows stays without."""
    found = []
    for item in items:
        score = judge(open_upload(item.png)).score(read(item.prompt))
        found.append(item if math.isnan(score) else replace(item, scores={**item.scores, "judge": round(score, 4)}))
    return found


def flat(spec: dict, prefix: str = "") -> dict[str, Any]:
    """A nested spec as one table, `a__b` for field b of a; what is no short value (a picture, a list) is left out."""
    found: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}__")
        elif isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST):
            found[prefix + name] = value
    return found


def png_without_metadata(picture: Image.Image) -> bytes:
    """The pixels as RGB PNG and nothing else: a recipe inside would tell the settings to who saves the picture."""
    return png_bytes(to_rgb(picture))


def attention_item(plan: Plan, size: tuple[int, int] = (256, 256)) -> Item:
    """A picture that asks, in English and Russian, for a number that chance or habit gives seldom."""
    answer = (2, 3, 7, 8)[plan.seed % 4]
    picture = Image.new("RGB", size, "#f4f1ea")
    draw, (width, height) = ImageDraw.Draw(picture), size
    draw.rectangle((0, 0, width - 1, height - 1), outline="#8a8577", width=max(1, width // 80))
    lines = (("Please choose", 0.09, 0.24), (str(answer), 0.26, 0.5), ("Выберите это число", 0.075, 0.76))
    for text, share, at in lines:
        font = ImageFont.truetype(_font(), max(6, int(share * min(size))))
        draw.text((width / 2, height * at), text, "#2b2a27", font, anchor="mm")
    return Item(f"attention-{answer}", png_without_metadata(picture), expected=answer)


def williams(n: int) -> np.ndarray:
    """The balanced square of n treatments: (n, n) for an even n, (2n, n) for an odd one, rows are raters.

    Every treatment is as often at every position and as often right after every other one.
    """
    if n < 1:
        raise ValueError(f"n={n}: an order needs at least one picture")
    first = [0]
    for step in range(1, n // 2 + 1):
        first += [step, n - step]
    square = (np.array(first[:n])[None] + np.arange(n)[:, None]) % n
    return square if n % 2 == 0 else np.concatenate([square, square[:, ::-1]])


def order_of(plan: Plan, pictures: list[str], rater: int, attention: str | None = None) -> list[Place]:
    """The order of the rater-th person (from 0) who joins: a list of places, the same for the same arguments.

    pictures  their keys, in the survey's order.  attention  the key of the attention item, if there is one.
    """
    plan.fits(len(pictures))
    n = len(pictures)
    labels, square = np.random.default_rng([plan.seed, 0]).permutation(n), williams(n)
    # neighbouring rows of the square are shifts of each other; a block of raters takes them in a drawn order
    block, row = divmod(rater, len(square))
    rows = np.random.default_rng([plan.seed, 1, block]).permutation(len(square))
    order = [(pictures[labels[k]], False) for k in square[rows[row]]]
    generator = np.random.default_rng([plan.seed, 2, rater])
    if plan.repeats:
        # fixed positions: as each picture stands there equally often, each is repeated equally often
        chosen = np.linspace(0, n - plan.gap - 1, plan.repeats).round().astype(int)
        for key in [order[p][0] for p in chosen]:
            after = order.index((key, False)) + plan.gap + 1
            order.insert(int(generator.integers(after, len(order) + 1)), (key, True))
    if attention is not None:
        order.insert(int(generator.integers(len(order) // 3, 2 * len(order) // 3 + 1)), (attention, False))
    return [Place(position, key, repeat) for position, (key, repeat) in enumerate(order)]


@cache
def _font() -> str:
    return font_manager.findfont("DejaVu Sans")  # matplotlib brings it, and it knows Cyrillic


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
