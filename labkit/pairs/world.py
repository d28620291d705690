"""The picture world in MUSTI's format: pictures, and texts that belong to them or nearly do.

    write_world("out/musti-world", 200)     # musti.json, truth.json, pictures/000000.png …

Each picture has two texts of its own (YES), one text of a scene that differs in a single attribute, and one of a scene with
another subject (both NO); here NO does mean "not this picture". One text in ten is not labelled, as in MUSTI's test set. A
caption (title) names every attribute; a passage (text) is three sentences that leave some unsaid. As MUSTI's labels are
sources of smell, the world's are its subjects.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from labkit.files import writable, write_atomically
from labkit.image.convert import png_bytes
from labkit.pairs.musti import write_musti
from labkit.pairs.pair import Pair, PairsError
from labkit.world import Scene, caption, classes, held_out, render, sample_scene, world_hash
from labkit.world.sprites import natural_colour

ATTRIBUTES = ("subject", "colour", "setting")
UNLABELLED = 0.1
LABEL_SEED = 20_230  # keeps the texts' draws apart from the scenes'


def write_world(folder: str | os.PathLike, n: int = 200, split: str = "train", seed: int = 0, base_url: str = "",
                done: Callable[[int, int], None] | None = None) -> list[Pair]:
    """Draw `n` scenes of a split, from `seed` on, and write them as MUSTI is written; returns the pairs, 4 a picture.

    `base_url`, as in "http://127.0.0.1:8000", stands before the pictures' names, for a folder that is served; without it they
    are files beside the list. `truth.json` says of each id the scene, what differs and whether the pair matches, labelled or
    not. The list is written last: where it is, all is there. Raises `PairsError`, `FileError`.
    """
    folder = Path(folder)
    if not 1 <= n <= 1_000_000:
        raise PairsError(f"n: must be 1 to 1,000,000 scenes; got {n}")
    writable(folder / "musti.json")
    pairs, truth = [], {}
    for k in range(n):
        scene = sample_scene(seed + k, split)
        name = f"pictures/{k:06d}.png"
        write_atomically(folder / name, png_bytes(Image.fromarray(render(scene))))
        rng = np.random.default_rng([LABEL_SEED, seed + k])
        image = f"{base_url.rstrip('/')}/{name}" if base_url else name
        for j, (told, differs) in enumerate(_told(scene, rng)):
            match, labelled = differs is None, rng.random() >= UNLABELLED
            smells = tuple(p.subject.replace("_", " ") for p in scene.subjects) if match and labelled else ()
            pair = Pair(f"world-{split}-{seed + k:06d}-{j}", image, caption(told, rng, full=True), passage(told, rng), "en",
                        match if labelled else None, smells, folder / name)
            pairs.append(pair)
            truth[pair.id] = {"seed": scene.seed, "split": split, "match": match, "differs": differs or ""}
        if done:
            done(k + 1, n)
    about = {"world": world_hash(), "pairs": truth}
    write_atomically(folder / "truth.json", (json.dumps(about, indent=1) + "\n").encode())
    write_musti(folder / "musti.json", pairs)
    return pairs


def _told(scene: Scene, rng: np.random.Generator) -> list[tuple[Scene, str | None]]:
    """The scenes that a picture's texts tell of, and what is not so of the picture (None: all is)."""
    able = [a for a in ATTRIBUTES if a != "colour" or scene.subjects[0].colour]
    attribute = able[int(rng.integers(len(able)))]
    return [(scene, None), (scene, None), (changed(scene, attribute, rng), attribute), (_stranger(scene, rng), "scene")]


def changed(scene: Scene, attribute: str, rng: np.random.Generator) -> Scene:
    """The scene with another value of one attribute: 'subject' or 'colour' of the first subject, or 'setting'. For texts, not
    to be drawn. A scene of trained combinations stays one, and a held-out one where a value allows it: what a text tells of
    its combination should not give the answer away.

    Raises `PairsError` on another attribute and on the colour of what has none.
    """
    first = scene.subjects[0]
    if attribute not in ATTRIBUTES or attribute == "colour" and not first.colour:
        raise PairsError(f"attribute: {attribute!r} must be one of {', '.join(ATTRIBUTES)}, a colour only where there is one")
    values = set(classes(attribute)) - {scene.setting if attribute == "setting" else getattr(first, attribute)}
    if attribute == "subject":  # one that has a colour, or none, as the first has
        values = {v for v in values - {p.subject for p in scene.subjects} if (natural_colour(v) is None) == (not first.colour)}
    if attribute == "setting":
        options = [replace(scene, setting=value) for value in sorted(values)]
    else:
        options = [replace(scene, subjects=(replace(first, **{attribute: value}), *scene.subjects[1:]))
                   for value in sorted(values)]
    kept = [other for other in options if _held(other) == _held(scene)] or options
    return kept[int(rng.integers(len(kept)))]


def _held(scene: Scene) -> list[bool]:
    return [held_out(p.subject, p.colour, scene.setting) for p in scene.subjects]


def _stranger(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene of the same split with none of the subjects."""
    mine = {p.subject for p in scene.subjects}
    while True:
        other = sample_scene(int(rng.integers(2**31)), scene.split)
        if not mine & {p.subject for p in other.subjects}:
            return other


def passage(scene: Scene, rng: np.random.Generator) -> str:
    """Three sentences about a scene, each of which leaves something unsaid."""
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in (caption(scene, rng) for _ in range(3)))
