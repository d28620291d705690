"""Captions that differ in one attribute: a true one and a false one of the same scene, and which captions are true of which.

    contrast(scene, rng)   # Contrast(right="a red dog in the snow", wrong="a blue dog in the snow", attribute="colour", …)

The wrong caption is the caption of a scene that is the same but for one attribute, spoken with the same random choices. So a
matcher cannot tell them apart by anything but that attribute. `captions.read` confirms that nothing else changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.world.captions import Reading, caption, read
from labkit.world.scene import Scene
from labkit.world.sprites import natural_colour
from labkit.world.words import classes

ATTRIBUTES = ("subject", "colour", "setting", "style", "light", "relation")
# "beside" says nothing about the side, and what is on a thing is above it: these do not contradict one another.
COMPATIBLE = ({"left", "beside"}, {"right", "beside"}, {"above", "on"})


@dataclass(frozen=True)
class Contrast:
    """A true caption, a false one, the attribute in which they differ, and the scene of which the false one is true."""

    right: str
    wrong: str
    attribute: str
    other: Scene


def alterable(scene: Scene) -> list[str]:
    """The attributes that a caption of the scene can get wrong: those it has."""
    has = {"colour": any(p.colour for p in scene.subjects), "light": scene.light, "relation": scene.relation}
    return [a for a in ATTRIBUTES if has.get(a, True)]


def altered(scene: Scene, attribute: str, rng: np.random.Generator) -> Scene:
    """The scene with another class of one attribute: of two subjects one changes. A subject that has a colour becomes one that
    can have it; a relation becomes one that contradicts it. Raises ValueError for an attribute that the scene lacks."""
    if attribute not in alterable(scene):
        raise ValueError(f"attribute: {attribute!r} is none that this scene has: {', '.join(alterable(scene))}")
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    if attribute in ("setting", "style", "light"):
        return replace(scene, **{attribute: pick([c for c in classes(attribute) if c != getattr(scene, attribute)])})
    if attribute == "relation":
        true = set().union({scene.relation}, *(pair for pair in COMPATIBLE if scene.relation in pair))
        return replace(scene, relation=pick([c for c in classes("relation") if c not in true]))
    k = pick([k for k, p in enumerate(scene.subjects) if attribute == "subject" or p.colour])
    was = scene.subjects[k]
    if attribute == "colour":
        other = replace(was, colour=pick([c for c in classes("colour") if c != was.colour]))
    else:
        there = {p.subject for p in scene.subjects}
        other = replace(was, variant=0, subject=pick([c for c in classes("subject") if c not in there and
                                                      bool(natural_colour(c)) == bool(was.colour)]))
    return replace(scene, subjects=tuple(other if j == k else p for j, p in enumerate(scene.subjects)))


def contrast(scene: Scene, rng: np.random.Generator, attribute: str | None = None) -> Contrast:
    """A true and a false caption of a scene, of an attribute that the true one names (drawn unless given)."""
    while True:
        chosen = attribute or ATTRIBUTES[int(rng.integers(len(ATTRIBUTES)))]
        if attribute is None and chosen not in alterable(scene):
            continue
        other, seed = altered(scene, chosen, rng), int(rng.integers(2**63))
        right, wrong = (caption(s, np.random.default_rng(seed)) for s in (scene, other))
        if right != wrong and _differ_in(read(right), read(wrong), chosen):
            return Contrast(right, wrong, chosen, other)


def _differ_in(a: Reading, b: Reading, attribute: str) -> bool:
    """Whether two readings are equal but for one attribute (relations are not read: there all has to be equal)."""
    field = {"subject": "subjects", "colour": "colours"}.get(attribute, attribute)
    return all((getattr(a, name) != getattr(b, name)) == (name == field)
               for name in ("subjects", "colours", "setting", "style", "light"))


def truths(scenes: Sequence[Scene], captions: Sequence[str], of: Sequence[Scene] | None = None) -> np.ndarray:
    """Which captions are true of which scenes, caption j being one of scene `of[j]`, unless given of scene j: (scenes,
    captions) bool.

    A caption is true of another scene if that has the same subjects and relation, and all else that the caption names. So no
    picture is a negative of a caption that leaves out how they differ.
    """
    of, alike = scenes if of is None else of, defaultdict(list)
    for i, scene in enumerate(scenes):
        alike[_shown(scene)].append(i)
    out = np.array([[scene is own for own in of] for scene in scenes], dtype=bool).reshape(len(scenes), len(of))
    for j, own in enumerate(of):
        others = [i for i in alike[_shown(own)] if not out[i, j]]
        said = read(captions[j]) if others else None
        for i in others:
            out[i, j] = _holds(said, scenes[i])
    return out


def _shown(scene: Scene) -> tuple:
    return (scene.relation, *(p.subject for p in scene.subjects))


def _holds(said: Reading, scene: Scene) -> bool:
    """Whether what was said of a scene with the same subjects holds of this one."""
    colours = zip(said.colours, (p.colour for p in scene.subjects), strict=False)
    return (all(named in (None, there) for named, there in colours)
            and all(getattr(said, a) in (None, getattr(scene, a)) for a in ("setting", "style", "light")))
