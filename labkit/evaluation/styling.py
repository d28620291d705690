"""Does a style by words work? Flat scenes of held-out combinations take on every other style of the world; the judge looks.

Two ways, each with a row a picture in one table, and beside them what the judge says of the contents as they are and of the
world's own drawings in the style that was asked for:

    learnt once     one StyleNet a style, trained on `LESSONS` flat scenes of the training split, then one pass a picture
    by picture      a CLIPstyler run for each picture and style

Halves: two styles that were learnt once, in one picture, a half each; is each half in its style, and is the seam to be seen?
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.clip.learnt_style import LearntStyle, StyleOutput, laid_over
from labkit.evaluation.painting import held_out_scenes, share_of
from labkit.image import ImageInput, contact_sheet, open_upload, to_pil, to_tensor
from labkit.image.style import Style
from labkit.methods.clipstyler import CLIPStyler
from labkit.methods.clipstyler import share_of as share_of_pixels
from labkit.runs.sweep import run_cell
from labkit.runs.workers import run_all
from labkit.weights import WeightsError
from labkit.world import Scene, classes, render, sample_scene, words

LESSONS, FIRST_LESSON = 16, 2000  # flat scenes of the training split that a style is learnt on
LONGER = 5  # times as many steps as for one picture
ONCE = StyleOutput(strength=0.75)  # of a style that was learnt once, as tuned on other scenes: at 1 fewer subjects are left
CELLS = "out/styling"  # where finished cells stay
WAYS = ("learnt once", "by picture", "as it was", "the world's own")
SEAM = 2  # pixels to either side of the middle that count as the seam


def picture_of(scene: Scene) -> ImageInput:
    """A scene as a content."""
    return ImageInput.of(Image.fromarray(render(scene)), 64, 64)


def style_words(style: str) -> str:
    """A style of the world by its plainest words: "a watercolour"."""
    name = words()["styles"][style][0]
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def lessons(n: int = LESSONS, first: int = FIRST_LESSON) -> list[Scene]:
    """Flat scenes of the training split with one subject."""
    return [sample_scene(first + k, "train", style="flat", two=False) for k in range(n)]


STYLES = tuple(style for style in classes("style") if style != "flat")
TEMPLATE = CLIPStyler(content=picture_of(lessons(1)[0]), text="a watercolour", words={"source": "a flat illustration"},
                      steps=60, preview_every=10_000)


def learning(template: CLIPStyler = TEMPLATE, n: int = LESSONS) -> CLIPStyler:
    """A template that learns from n scenes at once."""
    first, *more = map(picture_of, lessons(n))
    return template.but(content=first, also=tuple(more), steps=LONGER * template.steps)


@dataclass(frozen=True)
class Styling:
    """`table`: way, style asked for, scene, whether the judge sees it (`style`) and the content's subject (`subject`), whether
    it sees what another picture was asked for (`shuffled style`, `shuffled subject`), `judge sees`, seconds. `pictures` in its
    order. `halves`: left and right style, whether the judge sees each in its half, how sharp the seam is. `learnt` by style."""

    table: pd.DataFrame
    pictures: list[Image.Image]
    halves: pd.DataFrame
    halved: list[Image.Image]
    learnt: dict[str, LearntStyle]

    def summary(self) -> pd.DataFrame:
        """A row a way: shares with Wilson's intervals, and seconds a picture."""
        return _summary(self.table.groupby("way", sort=False))

    def by_style(self, way: str = WAYS[0]) -> pd.DataFrame:
        """Likewise a row a style, of one way."""
        return _summary(self.table[self.table["way"] == way].groupby("asked", sort=False))

    def halves_summary(self) -> pd.DataFrame:
        """Of the halves: whether each shows its own style, and the seam's sharpness beside that of other places and that of
        the same place in the pictures of one style: subjects are in the middle, so it is seldom the calmest."""
        both = pd.concat([self.halves["left"], self.halves["right"]])
        other = pd.concat([self.halves["left shows right's"], self.halves["right shows left's"]])
        return pd.DataFrame([{"halves": len(both), "own style": share_of(both), "the other's style": share_of(other),
                              **{c: self.halves[c].mean() for c in ("seam", "elsewhere", "there in one style")},
                              "no sharper than in one style": share_of(
                                  (self.halves["seam"] <= self.halves["there in one style"]).astype(float))}])

    def sheet(self, way: str = WAYS[0], scenes: int = 100) -> Image.Image:
        """Every picture of a way: a row a scene, a column a style."""
        part = self.table[(self.table["way"] == way) & (self.table["number"] < scenes)]
        rows = sorted(part.index, key=lambda k: (part["number"][k], STYLES.index(part["asked"][k])))
        labels = [f"{'ok' if self.table['style'][k] and self.table['subject'][k] else 'NO'} {self.table['asked'][k]}: "
                  f"{self.table['judge sees'][k]}" for k in rows]
        return contact_sheet([self.pictures[k] for k in rows], labels, len(STYLES), 128)

    def sheets(self) -> dict[str, Image.Image]:
        """What there is to see, by name."""
        runs = {"by-picture": self.sheet(WAYS[1])} if WAYS[1] in set(self.table["way"]) else {}
        return {"": self.sheet(), **runs, "halves": self.halves_sheet()}

    def halves_sheet(self) -> Image.Image:
        """The pictures of two halves."""
        labels = [f"{row['left style']} | {row['right style']}" for _, row in self.halves.iterrows()]
        return contact_sheet(self.halved, labels, 10, 128)


def _summary(groups) -> pd.DataFrame:
    rows = [{"": name, "n": len(part), **{c: share_of(part[c]) for c in ("style", "shuffled style", "subject",
                                                                          "shuffled subject")},
             "seconds": part["seconds"].mean()} for name, part in groups]
    return pd.DataFrame(rows)


def measure_styling(lab, scenes: int = 100, by_picture: int = 25, halves: int = 40, template: CLIPStyler = TEMPLATE,
                    styles: Sequence[str] = STYLES, tuning: bool = False, folder: str | Path = CELLS,
                    n_jobs: int | None = None) -> Styling:
    """Give `scenes` held-out scenes every style that was learnt once, the first `by_picture` of them also by runs of their own,
    the first `halves` two styles each, and let the judge look. What is finished stays in `folder` and is not made again."""
    asked = held_out_scenes(scenes, tuning)
    learnt, seconds = learn_styles(lab, template, styles, folder, n_jobs)
    made = [*once(asked, styles, learnt, seconds), *each(lab, asked[:by_picture], template, styles, folder, n_jobs)]
    for way, style in itertools.product(WAYS[2:], styles):
        made += [(way, style, k, Image.fromarray(render(replace(s, style=style) if way == WAYS[3] else s)), 0.0)
                 for k, s in enumerate(asked)]
    pictures = [picture for *_, picture, _ in made]
    table = look(lab, asked, made)
    halved, rows = in_halves(lab, asked[:halves], learnt)
    return Styling(table, pictures, pd.DataFrame(rows), halved, learnt)


def learn_styles(lab, template: CLIPStyler = TEMPLATE, styles: Sequence[str] = STYLES, folder: str | Path = CELLS,
                 n_jobs: int | None = None, n: int = LESSONS) -> tuple[dict[str, LearntStyle], dict[str, float]]:
    """Each style learnt once, on n scenes of the training split, and the seconds that it took."""
    specs = [learning(template, n).but(text=style_words(style)) for style in styles]
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    paths = run_all(partial(learn_cell, folder=str(folder)), specs, lab, n_jobs)
    learnt = {style: LearntStyle.load(path) for style, path in zip(styles, paths, strict=True)}
    return learnt, {style: float(one.about[0]["seconds"]) for style, one in learnt.items()}


def learn_cell(spec: CLIPStyler, lab, folder: str) -> str:
    """One style, in whatever process: its file."""
    made_by = json.dumps(lab.fingerprints(spec.needs) | {"precision": lab.precision}, sort_keys=True)
    path = Path(folder, f"{spec.digest()}-{sha256(made_by.encode()).hexdigest()[:8]}.safetensors")
    try:
        LearntStyle.load(path)
    except WeightsError:  # not there yet
        lab.require(spec)
        started = time.perf_counter()
        *_, last = spec.run(lab)
        (style,) = last.extras["learnt"]
        replace(style, about=({**style.about[0], "seconds": time.perf_counter() - started},)).save(path)
    return str(path)


def once(asked: Sequence[Scene], styles: Sequence[str], learnt: dict[str, LearntStyle],
         seconds: dict[str, float]) -> list[tuple]:
    """One pass for each picture and style; seconds are the style's share of its learning."""
    x = torch.cat([picture_of(scene).tensor() for scene in asked])
    return [(WAYS[0], style, k, to_pil(one), seconds[style] / len(asked)) for style in styles
            for k, one in enumerate(ONCE.of(x, learnt[style].paint(x)))]


def each(lab, asked: Sequence[Scene], template: CLIPStyler, styles: Sequence[str], folder: str | Path,
         n_jobs: int | None) -> list[tuple]:
    """A run for each picture and style. Raises ValueError where one failed; the others are kept."""
    cells = [(style, k) for style in styles for k in range(len(asked))]
    specs = [template.but(content=picture_of(asked[k]), text=style_words(style)) for style, k in cells]
    rows = run_all(partial(run_cell, folder=str(Path(folder).resolve())), specs, lab, n_jobs) if specs else []
    if failed := [row["error"] for row in rows if row["error"]]:
        raise ValueError(f"{len(failed)} of {len(rows)} pictures failed, the first: {failed[0]}. The others are kept")
    return [(WAYS[1], style, k, open_upload(row["path"]), row["seconds"]) for (style, k), row in zip(cells, rows, strict=True)]


def look(lab, asked: Sequence[Scene], made: Sequence[tuple]) -> pd.DataFrame:
    """What the judge sees in (way, style, number of the scene, picture, seconds), a row each."""
    seen = lab.judge.all(torch.cat([to_tensor(picture) for *_, picture, _ in made]))
    rng, others = np.random.default_rng(0), {}
    for way in WAYS:
        own = [k for k, one in enumerate(made) if one[0] == way]
        others |= dict(zip(own, rng.permutation(own).tolist(), strict=True))
    rows = []
    for k, ((way, style, number, _, seconds), verdict) in enumerate(zip(made, seen, strict=True)):
        _, other, elsewhere, *_ = made[others[k]]
        rows.append({"way": way, "asked": style, "prompt": style_words(style), "number": number,
                     "content": asked[number].subjects[0].subject,
                     "style": float(verdict.style == style),
                     "shuffled style": float(verdict.style == other),
                     "subject": float(verdict.subject == asked[number].subjects[0].subject),
                     "shuffled subject": float(verdict.subject == asked[elsewhere].subjects[0].subject),
                     "judge sees": f"{verdict.subject}, {verdict.style}".replace("_", " "), "seconds": round(seconds, 3)})
    return pd.DataFrame(rows)


def in_halves(lab, asked: Sequence[Scene], learnt: dict[str, LearntStyle]) -> tuple[list[Image.Image], list[dict]]:
    """Two styles in each picture, left and right: the pictures, and what the judge sees in each half and its mirror image."""
    pairs = np.random.default_rng(0).permutation(list(itertools.permutations(learnt, 2))).tolist()
    pictures, rows = [], []
    for k, scene in enumerate(asked):
        left, right = pairs[k % len(pairs)]
        x = picture_of(scene).tensor()
        painted = [learnt[left].paint(x), learnt[right].paint(x)]
        y = ONCE.of(x, laid_over(x, painted, share_of_pixels(two_halves(), 64, 64)))
        ends = [torch.cat([half, half.flip(-1)], -1) for half in y.chunk(2, -1)]
        a, b = lab.judge.all(torch.cat(ends))
        seam, elsewhere = sharpness(y)
        there = sum(sharpness(ONCE.of(x, one))[0] for one in painted) / 2
        pictures.append(to_pil(y))
        rows.append({"number": k, "left style": left, "right style": right, "left": float(a.style == left),
                     "right": float(b.style == right), "left shows right's": float(a.style == right),
                     "right shows left's": float(b.style == left), "seam": seam, "elsewhere": elsewhere,
                     "there in one style": there})
    return pictures, rows


def two_halves(side: int = 64) -> tuple[Style, Style]:
    """Two styles of one weight, one left, one right."""
    mask = np.zeros((side, side, 3), np.uint8)
    mask[:, :side // 2] = 255
    return tuple(Style(text=name, mask=ImageInput.of(one, side, side)) for name, one in (("left", mask), ("right", 255 - mask)))


def sharpness(y: Tensor) -> tuple[float, float]:
    """How much neighbours across differ (mean of |∂_x y|) at the middle of a picture (1, 3, H, W), and elsewhere."""
    by_column = (y[..., 1:] - y[..., :-1]).abs().mean((0, 1, 2))
    middle = torch.zeros(len(by_column), dtype=torch.bool)
    middle[len(by_column) // 2 - SEAM:len(by_column) // 2 + SEAM + 1] = True
    return float(by_column[middle].mean()), float(by_column[~middle].mean())
