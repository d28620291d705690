"""A picture and a text: the record that every reader of captioned pictures gives, and a split that keeps a picture together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from labkit.fetch import sha256_of

LABELS = {True: "YES", False: "NO", None: ""}


class PairsError(ValueError):
    """What is wrong with a set of pictures and texts, in words that name the file and what to do."""


@dataclass(frozen=True)
class Pair:
    """One picture with one text.

    `image`: its address, or its file's name beside the list. `path`: the file, once it is at hand. `caption` is short,
    `passage` long ("" where there is none), `language` as in "en".

    `match`: whether they belong together; None is unlabelled and never scored (`scored`). In MUSTI it says whether both evoke
    the *same source of a smell*: so False is a noisy negative for "not this picture's text", as a text about roses is for a
    picture of lilies, and fair only where the smell is what is asked for. `smells` are the sources that both evoke.
    """

    id: str
    image: str
    caption: str
    passage: str = ""
    language: str = ""
    match: bool | None = None
    smells: tuple[str, ...] = ()
    path: Path | None = None

    def at(self, path: Path) -> Pair:
        """The same, with its picture's file at hand."""
        return replace(self, path=path)


def scored(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that are labelled: only these may be counted as right or wrong."""
    return [pair for pair in pairs if pair.match is not None]


def label_table(pairs: Sequence[Pair]) -> pd.DataFrame:
    """How many pairs have which label, a row per language: `YES`, `NO`, `unlabelled`, `pictures`, and `majority`, the accuracy
    of always giving the commoner label (NaN without labels)."""
    rows = {}
    for language in sorted({pair.language for pair in pairs}):
        mine = [pair for pair in pairs if pair.language == language]
        yes, no = (sum(pair.match is match for pair in mine) for match in (True, False))
        rows[language or "(none)"] = {
            "YES": yes, "NO": no, "unlabelled": len(mine) - yes - no, "pictures": len({pair.image for pair in mine}),
            "majority": max(yes, no) / (yes + no) if yes + no else float("nan"),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def split_by_image(pairs: Sequence[Pair], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[Pair]]:
    """The pairs in parts of about these shares, such as {"train": 0.8, "val": 0.1, "test": 0.1}: all pairs of a picture in one.

    Two pictures are one where their files are equal byte by byte, or, of pictures that are not at hand, where they have one
    address. A hash of picture and seed decides, so a picture stays where it is when others come or go; only where a part would
    be empty does one move into it. Raises `PairsError` on fewer pictures than parts and on shares that are not.
    """
    total = sum(shares.values())
    if not shares or min(shares.values()) <= 0 or not 0 < total < float("inf"):
        raise PairsError(f"shares: {dict(shares)} must name parts, each above 0")
    files = {pair.path: "" for pair in pairs if pair.path}
    files = {path: sha256_of(path) for path in files}
    group = [files.get(pair.path) or pair.image for pair in pairs]
    place = {g: int.from_bytes(hashlib.sha256(f"{seed}:{g}".encode()).digest()[:8], "big") / 2**64 for g in group}
    if len(place) < len(shares):
        raise PairsError(f"split: {len(place)} picture{'s' * (len(place) != 1)} cannot make the {len(shares)} parts "
                         f"{', '.join(shares)}; give at least {len(shares)} different pictures, or fewer parts")
    parts: dict[str, list[str]] = {name: [] for name in shares}
    for g in sorted(place, key=place.get):
        edge, names = 0.0, list(shares)
        for name in names:
            edge += shares[name] / total
            if place[g] < edge or name == names[-1]:
                parts[name].append(g)
                break
    for inside in parts.values():
        if not inside:
            inside.append(max(parts.values(), key=len).pop())
    part_of = {g: name for name, inside in parts.items() for g in inside}
    out: dict[str, list[Pair]] = {name: [] for name in shares}
    for pair, g in zip(pairs, group, strict=True):
        out[part_of[g]].append(pair)
    return out
