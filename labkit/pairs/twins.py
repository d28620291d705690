"""Pictures that come twice: the same pixels, or nearly the same after another compression or a slight resize.

    exact   sha256 of size and RGB pixels, after the camera's rotation: a copy under another name, or in another format
    near    dHash (Krawetz 2013) of 16 × 16 bits: is a cell of a small grey version darker than its right neighbour? Two
            pictures are near where at most `NEAR` of the 256 bits differ; unrelated ones differ in about 128

Only what lies in two splits spoils a measurement, so only that is told: a picture that was learned is no test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 16
NEAR = 10  # bits


@dataclass(frozen=True)
class Mark:
    """What a picture is recognised by: `exact`, a digest of its pixels, and `near`, (256,) bool."""

    exact: str
    near: np.ndarray


def mark_of(picture: Image.Image) -> Mark:
    """The marks of an RGB picture."""
    exact = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
    small = np.asarray(picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.int16)
    return Mark(exact, (small[:, 1:] > small[:, :-1]).ravel())


def twins(a: Sequence[Mark], b: Sequence[Mark]) -> list[tuple[int, int, str]]:
    """(i, j, how) for every i of `a` that has a twin j in `b`, the nearest one; how is "the same pixels" or "nearly the same".
    A picture without any structure (all its bits are equal) is near to nothing."""
    if not a or not b:
        return []
    first = {mark.exact: j for j, mark in reversed(list(enumerate(b)))}
    x, y = (np.stack([mark.near for mark in marks]).astype(np.float32) * 2 - 1 for marks in (a, b))
    differ = (SIDE * SIDE - x @ y.T) / 2
    differ[[mark.near.all() or not mark.near.any() for mark in a]] = np.inf
    found = []
    for i, mark in enumerate(a):
        if mark.exact in first:
            found.append((i, first[mark.exact], "the same pixels"))
        elif differ[i].min() <= NEAR:
            found.append((i, int(differ[i].argmin()), "nearly the same"))
    return found
