"""Labelled pictures to fine-tune CLIP on: classes in folders, as the fruit-and-vegetable set of Kaggle lies, or captions.

    FOLDER/train/apple/*.jpg  FOLDER/validation/apple/*.jpg  FOLDER/test/apple/*.jpg      Kaggle's layout ("val", "valid" too)
    FOLDER/apple/*.jpg                                                                   no splits: 70, 15 and 15 of a hundred
    FOLDER/metadata.csv (or .jsonl): file_name, text                                     captions, read through `datasets`

    data = read_labelled("fruit", size=224)
    data.train.pictures, data.train.labels, data.classes          # uint8 (N, 3, S, S), index (N,), words
    data.twins, data.broken                                       # pictures in two splits; files that cannot be opened

Pictures are turned as the camera says and cut to their middle square, as CLIP's own preprocessing does. A picture of `train`
that comes again in `validation` or `test` is left out of `train` and told of: what was learned is no test.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps

from labkit.image import ImageError, open_upload, to_tensor
from labkit.pairs.folder import LISTS, read_captioned
from labkit.pairs.pair import PairsError
from labkit.pairs.twins import Mark, mark_of, twins
from labkit.text import plain

SPLITS = {"train": ("train", "training"), "validation": ("validation", "val", "valid", "dev"), "test": ("test", "testing")}
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
MAX_BYTES, MAX_PIXELS = 64_000_000, 120_000_000  # of a camera's picture
COLUMNS = ["file", "split", "twin", "of", "how"]


@dataclass(frozen=True)
class Part:
    """A split: `pictures` (N, 3, S, S) uint8, `labels` (N,) indices into the set's classes, `names` of the files."""

    pictures: torch.Tensor
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, index: Sequence[int]) -> Part:
        """These pictures of it, in this order."""
        rows = np.asarray(index, np.int64)
        return Part(self.pictures[torch.from_numpy(rows)], self.labels[rows], tuple(self.names[k] for k in rows))

    def joined(self, other: Part) -> Part:
        """This part and then the other."""
        return Part(torch.cat([self.pictures, other.pictures]), np.concatenate([self.labels, other.labels]),
                    self.names + other.names)


@dataclass(frozen=True)
class LabelledSet:
    """`classes` are the labels as words, or, of a `captioned` set, its different captions. `broken`: file → why it was left
    out. `twins`: a row for each picture of `train` that comes again in another split: file, split, twin, of (its split) and
    how."""

    classes: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    captioned: bool = False
    name: str = "picture world"
    broken: dict[str, str] | None = None
    twins: pd.DataFrame | None = None

    def map(self, change: Callable[[torch.Tensor], torch.Tensor], *splits: str) -> LabelledSet:
        """The set with its pictures changed, in these splits or in all."""
        done = {name: replace(getattr(self, name), pictures=change(getattr(self, name).pictures)) for name in splits or SPLITS}
        return replace(self, **done)

    def notices(self) -> list[str]:
        """What a user should know about the set."""
        lines, of_test = [], Counter(self.classes[k] for k in self.test.labels)
        if self.twins is not None and len(self.twins):
            first = self.twins.iloc[0]
            lines.append(f"{len(self.twins)} of train's pictures come again in validation or test ({plain(first['file'], 60)} "
                         f"is {first['how']} as {plain(first['twin'], 60)}); they were left out of train")
        if self.broken:
            name, why = next(iter(self.broken.items()))
            many = f"{len(self.broken)} files were left out, the first" if len(self.broken) > 1 else "1 file was left out:"
            lines.append(f"{many} {plain(name, 60)}: {plain(why, 120)}")
        learnt = Counter(self.classes[k] for k in self.train.labels)
        if unseen := [c for c in self.classes if of_test[c] and not learnt[c]]:
            lines.append(f"train has no picture of {plain(', '.join(unseen), 120)}, which test asks for")
        return lines

    def counts(self) -> pd.DataFrame:
        """Pictures a class and split."""
        rows = {name: np.bincount(getattr(self, name).labels, minlength=len(self.classes)) for name in SPLITS}
        return pd.DataFrame(rows, index=list(self.classes))


def read_labelled(folder: str | os.PathLike, size: int, keep_twins: bool = False,
                  done: Callable[[int, int], None] = lambda made, of: None) -> LabelledSet:
    """The set in a folder, its pictures at `size` × `size`. `keep_twins` leaves pictures in train that other splits have, too:
    to show what that does. Raises `PairsError`, which names the folder, class or file and what to do: no pictures, one class
    only, a class with a single picture, or no file that can be opened."""
    root = Path(folder)
    where = plain(root, 200)
    if not root.is_dir():
        raise PairsError(f"{where}: no such folder; give one with train, validation and test in it, or with a folder a class")
    listed = _files(root)
    captioned = listed is None
    rows = _captions(root) if listed is None else listed
    if not rows:
        raise PairsError(f"{where}: holds no pictures in folders named by their class, and no {' or '.join(LISTS[:2])}; put "
                         "some there as in train/apple/1.jpg")
    opened, broken = [], {}
    for k, (split, label, path) in enumerate(rows):
        try:
            picture = open_upload(path, MAX_BYTES, MAX_PIXELS)
        except ImageError as error:
            broken[path.relative_to(root).as_posix()] = str(error).removeprefix(f"{plain(path, 200)}: ")
        else:
            opened.append((split, label, path.relative_to(root).as_posix(), mark_of(picture), _square(picture, size)))
        done(k + 1, len(rows))
    if not opened:
        name, why = next(iter(broken.items()))
        raise PairsError(f"{where}: none of its {len(rows)} pictures can be opened; the first, {plain(name, 80)}: {why}")
    _enough(opened, where, captioned)
    return _built(_split(opened), captioned, keep_twins, broken, root.name)


Row = tuple[str, str, str, Mark, torch.Tensor]  # split ("" where none is said), label, file, marks, picture


def _square(picture: Image.Image, size: int) -> torch.Tensor:
    """(1, 3, size, size) uint8 of the middle square."""
    return (to_tensor(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)) * 255).round().byte()


def _files(root: Path) -> list[tuple[str, str, Path]] | None:
    """(split, label, file) of classes in folders; None where a list of captions is there instead."""
    parts = {name: path for path in sorted(root.iterdir()) if path.is_dir()
             for name, called in SPLITS.items() if path.name.lower() in called}
    homes = parts or {"": root}
    found = [(split, path.parent.relative_to(home).as_posix(), path) for split, home in homes.items()
             for path in sorted(home.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file() and path.parent != home
             and not any(part.startswith(".") for part in path.relative_to(root).parts)]
    lists = any((home / name).is_file() for home in homes.values() for name in LISTS)
    if lists and len({label for _, label, _ in found}) < 2:
        return None
    return [(split, label.replace("_", " ").replace("-", " ").strip().lower(), path) for split, label, path in found]


def _captions(root: Path) -> list[tuple[str, str, Path]]:
    """Likewise of lists of captions: one, or one in each split's folder."""
    parts = {name: path for path in sorted(root.iterdir()) if path.is_dir() and any((path / n).is_file() for n in LISTS)
             for name, called in SPLITS.items() if path.name.lower() in called}
    return [(split, pair.caption, pair.path) for split, home in (parts or {"": root}).items()
            for pair in read_captioned(home) if pair.path]


def _enough(rows: list[Row], where: str, captioned: bool) -> None:
    count = Counter(label for _, label, *_ in rows)
    what = "caption" if captioned else "class"
    if len(count) < 2:
        raise PairsError(f"{where}: has one {what} only, {plain(repr(next(iter(count))))}; to tell apart there must be two")
    alone = [label for label, n in count.items() if n < 2]
    if alone and not captioned:
        raise PairsError(f"{where}: class {plain(repr(alone[0]))} has one picture that can be opened; give it two at least, "
                         "one to learn from and one to be tested on, or take the class out")
    if len(rows) < 4:
        raise PairsError(f"{where}: has {len(rows)} pictures; give four at least")


def _split(rows: list[Row]) -> list[Row]:
    """The rows with a split each. Where the folder says none, a class is dealt out by its pictures' digests, equal pixels into
    one split; where it lacks a test, its validation serves, and a part of train where it lacks both."""
    if all(split for split, *_ in rows):
        have = {split for split, *_ in rows}
        if have == set(SPLITS):
            return rows
        if have == {"train", "validation"} or have == {"train", "test"}:
            other = next(iter(have - {"train"}))
            dealt = _dealt([row for row in rows if row[0] == other], {"validation": 0.5, "test": 0.5})
            return [row for row in rows if row[0] == "train"] + dealt
    return _dealt(rows, SHARES)


def _dealt(rows: list[Row], shares: dict[str, float]) -> list[Row]:
    names, out = list(shares), []
    for label in dict.fromkeys(row[1] for row in rows):
        digests = sorted({row[3].exact for row in rows if row[1] == label},
                         key=lambda d: hashlib.sha256(d.encode()).hexdigest())
        n, place = len(digests), {}
        for k, digest in enumerate(digests):
            edges = np.cumsum([shares[name] for name in names])
            place[digest] = names[int(np.searchsorted(edges, (k + 0.5) / n))]
        if n > 1 and "test" not in place.values():
            place[digests[-1]] = "test"
        out += [(place[row[3].exact], *row[1:]) for row in rows if row[1] == label]
    return out


def _built(rows: list[Row], captioned: bool, keep_twins: bool, broken: dict[str, str], name: str) -> LabelledSet:
    classes = tuple(sorted({label for _, label, *_ in rows}))
    by = {split: [row for row in rows if row[0] == split] for split in SPLITS}
    told = []
    for other in ("validation", "test"):
        pairs = twins([row[3] for row in by["train"]], [row[3] for row in by[other]])
        told += [(i, by["train"][i][2], "train", by[other][j][2], other, how) for i, j, how in pairs]
    if not keep_twins:
        gone = {i for i, *_ in told}
        by["train"] = [row for i, row in enumerate(by["train"]) if i not in gone]
    if not by["train"]:
        raise PairsError(f"{plain(name, 80)}: every picture of train comes again in validation or test; nothing is left to "
                         "learn from")
    if not by["validation"]:
        by["validation"] = by["test"]
    parts = {split: Part(torch.cat([row[4] for row in some]), np.array([classes.index(row[1]) for row in some]),
                         tuple(row[2] for row in some)) for split, some in by.items()}
    table = pd.DataFrame([line[1:] for line in told], columns=COLUMNS)
    return LabelledSet(classes, **parts, captioned=captioned, name=name, broken=broken, twins=table)
