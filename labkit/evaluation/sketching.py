"""Sketches made into pictures over a grid, and looked at: the resumable sweep of strength × guidance × prompt × seed.

    asked = held_out_sketches(12)                          # or asked_of(read_sketch_zip("ImageNet-Sketch.zip", n=300).sketches)
    swept = sketch_sweep(lab, asked, {"strength": (0.5, 0.8), "guidance": (1.0, 2.0), "seed": (0, 1)})
    swept.table                                            # a row a picture
    swept.sheet(across="strength", down="guidance", sketch=asked[0].sketch.id)

Every field of `ImageToImage` can be an axis: other prompts, steps, samplers, negative prompts. A finished picture stays in the
sweep's folder and is not made again.

The lines that a picture should have kept are those that `labkit.sketches.prepare` finds in what the run started from: so a
sketch in white on black, or on lined paper, is held against its strokes and not against its paper.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from labkit.clip.pull import clip_score, targets_of
from labkit.evaluation.painting import held_out_scenes, prompt_of
from labkit.image import ImageInput, contact_sheet, open_upload, to_pil, to_tensor
from labkit.methods.img2img import ImageToImage
from labkit.metrics.edges import EdgesKept, edges_kept
from labkit.models.latent_path import way
from labkit.prompt import parse
from labkit.runs.sweep import shown, sweep
from labkit.sketches import SketchError, prepare
from labkit.sketches.sets import Sketch
from labkit.spec import SpecError
from labkit.world import read, render, render_sketch

TEMPLATE = ImageToImage(prompt="-", picture=ImageInput.of(Image.new("RGB", (64, 64), "white"), 64, 64), preview_every=1000)
GRID: dict[str, tuple] = {"strength": (0.2, 0.35, 0.5, 0.65, 0.8, 1.0), "guidance": (1.0, 2.0, 3.0, 5.0, 7.5, 15.0),
                          "seed": (0, 1)}
CLAIMS = ("subject", "colour", "setting", "style")
CELLS = "out/sketching"  # where finished pictures stay
EDGES = ("edges kept", "edges by chance", "edges beyond chance")
ALWAYS = ("prompt", "strength", "guidance", "seed")  # columns of every table, axes or not


@dataclass(frozen=True)
class Asked:
    """A sketch, what shall be made of it, and what tells it from others in the table. `drawn` is a picture that fits, where
    there is one: what could be reached."""

    sketch: Sketch
    prompt: str
    about: Mapping[str, Any] = field(default_factory=dict)
    drawn: Image.Image | None = None


@dataclass(frozen=True)
class SketchSweep:
    """`table`, a row a picture: `sketch` (its id), what tells it, prompt, strength, guidance, seed and the other axes; `steps
    run` and `signal` √ᾱ, what is left of the sketch at the first; what the judge finds of the prompt's `subject`, `colour`,
    `setting`, `style` (1 or 0, NaN where the prompt names none) and `as asked`, the mean of these; `clip`, the cosine of
    picture and prompt; `edges kept`, `edges by chance` and `edges beyond chance` (see `labkit.metrics.edges`); `judge sees`;
    seconds, path, error ("" if none)."""

    table: pd.DataFrame
    asked: list[Asked]

    def whole(self) -> SketchSweep:
        """This sweep. Raises ValueError, which tells the first error, where a picture failed."""
        failed = self.table[self.table["error"] != ""]
        if len(failed):
            raise ValueError(f"{len(failed)} of {len(self.table)} pictures failed, the first of {failed['sketch'].iloc[0]}: "
                             f"{failed['error'].iloc[0]}. The others are kept: the same call makes what is missing")
        return self

    def kept(self) -> pd.DataFrame:
        """The table without what only holds here: where the pictures lie."""
        return self.table.drop(columns=["path", "error"])

    def sheet(self, across: str, down: str, tile: int = 128, title: str | None = None, **where: Any) -> Image.Image:
        """A row for every value of the column `down`, a picture in it for every value of `across`; `where` names values of
        other columns, and of what it leaves open the first is shown. On the left is the sketch. Raises ValueError where
        nothing is left."""
        part = self.table
        for name, value in where.items():
            part = part[part[name] == value]
        if part.empty:
            raise ValueError(f"where: no picture has {', '.join(f'{k}={v!r}' for k, v in where.items())}")
        sketches, columns = {one.sketch.id: one.sketch.picture for one in self.asked}, list(dict.fromkeys(part[across]))
        pictures, labels = [], []
        for value in dict.fromkeys(part[down]):
            row = part[part[down] == value]
            pictures.append(sketches[row["sketch"].iloc[0]])
            labels.append(row["prompt"].iloc[0] if down == "sketch" else f"{down} {shown(value)}")
            for place in columns:
                cell = row[row[across] == place].head(1)
                pictures.append(picture_of(cell.iloc[0]) if len(cell) else Image.new("RGB", (64, 64), "white"))
                labels.append(f"{across} {shown(place)}: {told(cell.iloc[0])}" if len(cell) else "")
        return contact_sheet(pictures, labels, 1 + len(columns), tile, title)


def picture_of(row: pd.Series) -> Image.Image:
    """The picture of a row; grey where it failed."""
    return Image.new("RGB", (64, 64), "grey") if row["error"] else open_upload(row["path"])


def told(row: pd.Series) -> str:
    """What a label says of a row's picture."""
    if row["error"]:
        return "failed"
    kept = "" if math.isnan(row["edges kept"]) else f", {row['edges kept']:.0%} of the edges"
    return f"{row['judge sees']}{kept}"


def held_out_sketches(n: int, size: int = 64, tuning: bool = False) -> list[Asked]:
    """`n` held-out combinations (see `held_out_scenes`): the subject's line art alone, as the published sets have it, and a
    prompt that adds colour and setting. `size` of the sketch divides 256."""
    asked = []
    for scene in held_out_scenes(n, tuning):
        sketch = Sketch(Image.fromarray(render_sketch(scene, size, alone=True)).convert("RGB"), scene.subjects[0].subject,
                        f"{scene.split}-{scene.seed}")
        asked.append(Asked(sketch, prompt_of(scene), drawn=Image.fromarray(render(scene, size))))
    return asked


def asked_of(sketches: Iterable[Sketch], prompt: str = "a {label}") -> list[Asked]:
    """A set's sketches (see `labkit.sketches.sets`), each asked for by its label. Raises ValueError for a prompt without
    {label}, and for a label that is a number of WordNet, which no model can read."""
    if "{label}" not in prompt:
        raise ValueError(f"prompt: {prompt!r} must have {{label}} in it, where a sketch's label is to stand")
    sketches = list(sketches)
    if wrong := [one for one in sketches if re.fullmatch(r"n\d{8}", one.label)]:
        raise ValueError(f"label: {wrong[0].label!r} of {wrong[0].id} is a number, no word; read the whole of ImageNet-Sketch, "
                         "whose numbers become words, or name the folder by what it shows")
    return [Asked(one, prompt.replace("{label}", one.label)) for one in sketches]


def sketch_sweep(lab, asked: Sequence[Asked], over: Mapping[str, Sequence] = GRID, template: ImageToImage = TEMPLATE,
                 folder: str | Path = CELLS, n_jobs: int | None = None,
                 done: Callable[[int, int], None] = lambda made, of: None) -> SketchSweep:
    """Make every sketch into a picture at every combination of `over` (fields of `ImageToImage`, as in
    `labkit.runs.sweep.sweep`), then look. `done` is told how many pictures there are, of how many. Raises `SpecError` on values
    out of bounds; a picture that fails is a row with its `error`, and the others are made."""
    rows, points = [], [dict(zip(over, values, strict=True)) for values in itertools.product(*over.values())]
    if (most := max(template.but(**point).count for point in points)) > 1:
        raise SpecError(f"count: {most} pictures on one sheet are not looked at one by one; use 1, and several seeds")
    told_of = itertools.count(1)
    for one in asked:
        spec = template.but(prompt=one.prompt, picture=ImageInput.of(one.sketch.picture, *one.sketch.picture.size))
        made = sweep(spec, dict(over), lab, folder, n_jobs, lambda k, row: done(next(told_of), len(points) * len(asked)))
        lines: dict[str, Image.Image | None] = {}
        for point, (_, cell) in zip(points, made.table.iterrows(), strict=True):
            this = spec.but(**point)
            frame = this.frame.to_json()
            if frame not in lines:
                lines[frame] = lines_of(this, lab)
            picture = None if cell["error"] else open_upload(cell["path"])
            rows.append({"sketch": one.sketch.id, **one.about, **{name: getattr(this, name) for name in ALWAYS}, **point,
                         **_steps(this, lab), **look(lab, picture, this.prompt, lines[frame]),
                         **{name: cell[name] for name in ("seconds", "path", "error")}})
    return SketchSweep(pd.DataFrame(rows), list(asked))


def lines_of(spec: ImageToImage, lab) -> Image.Image | None:
    """The lines of the sketch that a run of the spec starts from: dark on white, of the size that is made. None where
    `prepare` finds none."""
    height, width = spec.frame.size(lab.stable_diffusion)
    try:
        return prepare(to_pil((spec.picture_at((height, width))[0] + 1) / 2), width, height, crop=False).picture
    except (SketchError, SpecError):  # the second where the run itself would prepare it
        return None


def look(lab, picture: Image.Image | None, prompt: str, lines: Image.Image | None) -> dict[str, Any]:
    """What the judge, CLIP and the lines say of a picture; NaN where there is nothing to say."""
    nothing = float("nan")
    if picture is None:
        return {**dict.fromkeys([*CLAIMS, "as asked", "clip", *EDGES], nothing), "judge sees": ""}
    verdict = lab.judge(picture)
    finds = {name: float(found) for name, found in verdict.finds(read(prompt)).items()}
    x = to_tensor(picture).to(lab.device)
    edges = edges_kept(lines, picture) if lines is not None else EdgesKept(nothing, nothing)
    return {**{name: finds.get(name, nothing) for name in CLAIMS},
            "as asked": sum(finds.values()) / len(finds) if finds else nothing,
            "clip": clip_score(x, lab.clip, targets_of(lab.clip, parse(prompt))),
            **dict(zip(EDGES, (edges.kept, edges.by_chance, edges.beyond_chance), strict=True)),
            "judge sees": f"{verdict.colour} {verdict.subject}".replace("_", " ")}


def references(lab, asked: Sequence[Asked]) -> pd.DataFrame:
    """What a grid's figures are to be held against, a row a sketch and kind: the `sketch` as it is, as if nothing had been
    made of it, and the picture that was `drawn` of it, where there is one."""
    rows = []
    for one in asked:
        size = (one.drawn or one.sketch.picture).size
        try:
            lines = prepare(one.sketch.picture, *size, crop=False).picture
        except SketchError:
            lines = None
        for kind, picture in (("the sketch as it is", one.sketch.picture.resize(size)), ("a drawn scene", one.drawn)):
            if picture is not None:
                rows.append({"sketch": one.sketch.id, **one.about, "kind": kind, "prompt": one.prompt,
                             **look(lab, picture, one.prompt, lines)})
    return pd.DataFrame(rows)


def _steps(spec: ImageToImage, lab) -> dict[str, float]:
    course = way(lab.stable_diffusion.scheduler, spec.sampler.name, spec.steps, spec.strength, spec.exact).told
    return {name: course[name] for name in ("steps run", "signal")}
