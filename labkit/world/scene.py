"""Scenes: the ground truth of a picture, sampled by seed.

`sample_scene(seed, split)` is deterministic. Splits are streams of seeds: 'train', 'val' and 'test' draw combinations of
subject, colour and setting that models may train on; 'held' draws the held-out tenth that no model but the judge sees.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from labkit.world.sprites import natural_colour, settings
from labkit.world.words import classes, variants, words

SPLITS = {"train": 1, "val": 2, "test": 3, "held": 4, "judge": 5}
CONTAINERS = ("cage", "ship", "car", "house", "castle", "rowing_boat", "tv", "train")
SUPPORTS = ("table", "car", "book", "elephant", "house", "mountain", "train", "tractor", "whale", "turtle", "cloud")
COARSE = ("oil", "cubist", "mosaic")  # styles whose strokes swallow small subjects
PLAIN = ("flat", "comic", "pencil", "neon")  # styles that are lines and areas: no strokes, no tiles
DARK = ("night", "dark_corner", "storm")
POSE = 0.74  # size of a posed subject


@dataclass(frozen=True)
class Placed:
    """One subject in a scene: drawing number, colour class (None where it cannot be coloured), its RGB, and where it is:
    centre `x`, `y`, `size` of its box in [0, 1] of the picture's side, `angle` in degrees, mirrored or not."""

    subject: str
    variant: int
    colour: str | None
    rgb: tuple[int, int, int]
    x: float
    y: float
    size: float
    angle: float
    flip: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in [0, 1] (upright box, clipped to the picture)."""
        h = self.size / 2
        return (max(0.0, self.x - h), max(0.0, self.y - h), min(1.0, self.x + h), min(1.0, self.y + h))


@dataclass(frozen=True)
class Scene:
    """Ground truth of one picture. `subjects` holds one or two; `relation` is of the first to the second."""

    seed: int
    split: str
    subjects: tuple[Placed, ...]
    relation: str | None
    setting: str
    background: tuple[int, int, bool]  # drawing number, zoom, mirrored
    style: str
    light: str | None

    @property
    def truth(self) -> tuple:
        """What a caption that names everything says: scenes with equal truth look alike to it."""
        return (tuple((p.subject, p.colour) for p in self.subjects), self.relation, self.setting, self.style, self.light)


def held_out(subject: str, colour: str | None, setting: str) -> bool:
    """Whether the combination is held out from training (one in ten, by a hash that never changes)."""
    return zlib.crc32(f"{subject}|{colour}|{setting}".encode()) % 10 == 0


def sample_scene(seed: int, split: str = "train", *, subject: str | None = None, colour: str | None = None,
                 setting: str | None = None, style: str | None = None, two: bool | None = None, posed: bool = False) -> Scene:
    """The scene of a seed. Given attributes are fixed (and then not checked against the held-out list).

    `two`: True for two subjects, False for one, None for one scene in five with two.
    `posed`: nothing is left to chance that has no name or number: every subject is in the middle, upright, of one size and of
    its colour's very tone, and every background is cut out at one place. Takes one subject.
    """
    if posed and two is not False:
        raise ValueError(f"posed: takes two=False, not two={two}; two subjects have places of their own")
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: use one of {', '.join(SPLITS)}")
    for name, value in (("subject", subject), ("colour", colour), ("setting", setting), ("style", style)):
        if value is not None and value not in classes(name):
            raise ValueError(f"{name}={value!r} is not of this world: {', '.join(classes(name))}")
    fixed = subject or colour or setting
    rng = np.random.default_rng([SPLITS[split], seed])
    while True:
        scene = _draw(rng, seed, split, subject, colour, setting, style, two)
        held = [held_out(p.subject, p.colour, scene.setting) for p in scene.subjects]
        if fixed or split == "judge" or (all(held) if split == "held" else not any(held)):
            return _posed(scene) if posed else scene


def _posed(scene: Scene) -> Scene:
    """The same things, posed; all of one seed and split, which decide where a background is cut out."""
    (placed,) = scene.subjects
    y = 0.93 - POSE / 2 if words()["subjects"][placed.subject]["stands"] else 0.5
    rgb = tuple(words()["colours"][placed.colour or "white"]["rgb"])
    return replace(scene, seed=0, split="train", subjects=(replace(placed, rgb=rgb, x=0.5, y=y, size=POSE, angle=0.0),))


def _draw(rng, seed, split, subject, colour, setting, style, two) -> Scene:
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    setting = setting or pick(classes("setting"))
    both = two if two is not None else rng.random() < 0.2
    relation = pick(classes("relation")) if both else None
    first = subject or pick(classes("subject"))
    names = [first]
    if relation:
        pool = {"in": CONTAINERS, "on": SUPPORTS}.get(relation, classes("subject"))
        names.append(pick([s for s in pool if s != first]))
    drawings = settings()[setting]
    background = (int(rng.integers(max(1, len(drawings)))), int(rng.integers(3)), bool(rng.random() < 0.5))
    style = style or pick(classes("style"))
    boxes = _boxes(rng, names, relation, 0.68 if style in COARSE else 0.56)
    placed = tuple(_place(rng, name, colour if i == 0 else None, box)
                   for i, (name, box) in enumerate(zip(names, boxes, strict=True)))
    light = pick(classes("light")) if rng.random() < 0.15 else None
    return Scene(seed, split, placed, relation, setting, background, style, light)


def _boxes(rng, names, relation, least: float) -> list[tuple[float, float, float]]:
    """(x, y, size) of each subject; one alone has at least the size `least`."""
    u = lambda a, b: float(rng.uniform(a, b))  # noqa: E731
    if relation is None:
        size = u(least, 0.9)
        if words()["subjects"][names[0]]["stands"]:
            y = min(u(0.86, 0.96) - size / 2, 1 - size / 2)
        else:
            y = u(size / 2, 1 - size / 2)
        return [(u(size / 2, 1 - size / 2) * 0.6 + 0.2, y, size)]
    a, b = u(0.46, 0.54), u(0.46, 0.54)
    if relation in ("left", "right", "beside"):
        y = u(0.55, 0.72)
        left, right = (u(0.24, 0.28), y, a), (u(0.72, 0.76), y + u(-0.06, 0.06), b)
        swap = relation == "right" or (relation == "beside" and rng.random() < 0.5)
        return [(right[0], right[1], a), (left[0], left[1], b)] if swap else [left, right]
    if relation == "above":
        return [(u(0.35, 0.65), u(0.24, 0.28), a), (u(0.35, 0.65), u(0.72, 0.76), b)]
    if relation == "on":
        x = u(0.4, 0.6)
        return [(x + u(-0.06, 0.06), 0.56 - a / 2, a), (x, 0.5 + b / 2, b + 0.06)]
    big = u(0.8, 0.94)  # in
    return [(u(0.46, 0.54), u(0.52, 0.6), u(0.4, 0.46)), (0.5, 0.52, big)]


def _place(rng, name, colour, box) -> Placed:
    natural = natural_colour(name)
    drawn = classes("colour")[int(rng.integers(10))]
    own = rng.random() < 0.2
    jitter = rng.normal(0, 7, 3)
    if natural is None:
        colour = None
    elif colour is None:
        colour = natural if own else drawn
    rgb = np.asarray(words()["colours"][colour or "white"]["rgb"])
    # One gain for all channels keeps the hue; the per-channel jitter is small.
    rgb = tuple(int(v) for v in np.clip(rgb * rng.uniform(0.93, 1.05) + jitter, 0, 255))
    return Placed(name, int(rng.integers(len(variants()[name]))), colour, rgb, *box,
                  float(rng.normal(0, 5)), bool(rng.random() < 0.5))
