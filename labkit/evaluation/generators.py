"""Other generators on the same sketches: diffusion, pairs, no pairs, and no sketch at all, in one table.

    python -m labkit study generators

Every way gets the line art of held-out combinations' subjects and a prompt that adds colour and setting, and takes of both what
it can read: Stable Diffusion and pix2pix all, CycleGAN the sketch alone, the bottleneck VAE the prompt alone. Judge, CLIP and
edges are looked at as in the sweep over strength and guidance (`labkit.evaluation.sketching`). KID is against unseen flat
scenes; the perceptual distance is from the scene that each sketch is of, as the codes report's table may mean it for CycleGAN.
Seconds are those of one picture after another, without loading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.evaluation.painting import paint_all
from labkit.evaluation.sketch_figures import LEAST, means
from labkit.evaluation.sketching import CLAIMS, TEMPLATE, Asked, held_out_sketches, look
from labkit.image import ImageInput, contact_sheet, to_pil, to_tensor
from labkit.kinds import KINDS
from labkit.metrics.kid import kid
from labkit.metrics.perceptual import pocket_distance
from labkit.sketches import prepare
from labkit.training.bank import FLAT, scene_bank

VALUES = (*CLAIMS, "clip", "edges kept", "edges beyond chance")
SHOWN = 8  # sketches on the sheet


@dataclass(frozen=True)
class Comparison:
    """`pictures`: way → (N, 3, H, W) in [0, 1].  `table`: a row a way and sketch, what judge, CLIP and edges say.  `summary`: a
    row a way, with 95 % intervals of means; the last rows are what ways are to be held against.  `sheet`: a row a way."""

    pictures: dict[str, Tensor]
    table: pd.DataFrame
    summary: pd.DataFrame
    sheet: Image.Image


def by_diffusion(lab, asked: Sequence[Asked]) -> tuple[Tensor, float]:
    """Pictures by img2img with its defaults, at the sketch's size, and the median of their seconds."""
    specs = [TEMPLATE.but(prompt=one.prompt, picture=ImageInput.of(one.sketch.picture, *one.sketch.picture.size), seed=seed)
             for seed, one in enumerate(asked)]
    made = paint_all(specs, lab, n_jobs=1)
    return (torch.cat([to_tensor(p.picture.resize(one.sketch.picture.size)) for p, one in zip(made, asked, strict=True)]),
            median(p.seconds for p in made))


def one_pass(draw: Callable[[object, Tensor, str, int], Tensor]) -> Callable[[object, Sequence[Asked]], tuple[Tensor, float]]:
    """Pictures by `draw` of (lab, sketch in [-1, 1], prompt, seed) → picture in [-1, 1], and the median of their seconds."""
    @torch.no_grad()
    def made(lab, asked: Sequence[Asked]) -> tuple[Tensor, float]:
        pictures, seconds = [], []
        for seed, one in enumerate(asked):
            started = time.perf_counter()
            x = to_tensor(one.sketch.picture).to(lab.device) * 2 - 1
            pictures.append((draw(lab, x, one.prompt, seed).cpu() + 1) / 2)
            seconds.append(time.perf_counter() - started)
        return torch.cat(pictures), median(seconds)

    return made


WAYS: dict[str, tuple[str, Callable[[object, Sequence[Asked]], tuple[Tensor, float]]]] = {
    "Stable Diffusion, img2img": ("stable_diffusion", by_diffusion),
    "pix2pix (sketch and prompt)": ("pix2pix", one_pass(
        lambda lab, x, text, seed: lab.pix2pix(x, lab.clip.encode_text([text])))),
    "CycleGAN (sketch)": ("cyclegan", one_pass(lambda lab, x, text, seed: lab.cyclegan(x))),
    "bottleneck VAE (prompt)": ("bottleneck", one_pass(
        lambda lab, x, text, seed: lab.bottleneck.sample(lab.clip.encode_text([text]), seed))),
}  # fmt: skip


def compare_generators(lab, n: int = 100, ways: Sequence[str] = tuple(WAYS)) -> Comparison:
    """A picture of each of `n` held-out sketches by each way. Raises `WeightsNotFound` where a way has no weights here."""
    asked = held_out_sketches(n)
    for kind in {WAYS[way][0] for way in ways}:
        lab.model(kind)  # loaded before clocks start
    made = {way: WAYS[way][1](lab, asked) for way in ways}
    drawn = torch.cat([to_tensor(one.drawn) for one in asked])
    pictures = {way: x for way, (x, _) in made.items()} | {
        "the sketch as it is": torch.cat([to_tensor(one.sketch.picture) for one in asked]), "drawn scenes": drawn}
    rows = []
    for one in zip(asked, *pictures.values(), strict=True):
        sketch, *each = one
        lines = prepare(sketch.sketch.picture, *sketch.sketch.picture.size, crop=False).picture
        rows += [{"way": way, "sketch": sketch.sketch.id, "prompt": sketch.prompt, **look(lab, to_pil(x), sketch.prompt, lines)}
                 for way, x in zip(pictures, each, strict=True)]
    table = pd.DataFrame(rows)
    return Comparison(pictures, table, _summary(lab, table, pictures, drawn, {way: s for way, (_, s) in made.items()}),
                      _sheet(asked, pictures))


def pix2pix_figures(lab, n: int) -> dict:
    """What pix2pix makes of n held-out sketches."""
    return _figures(lab, n, "pix2pix")


def cyclegan_figures(lab, n: int) -> dict:
    """What the CycleGAN makes of n held-out sketches."""
    return _figures(lab, n, "cyclegan")


def _figures(lab, n: int, kind: str) -> dict:
    (way,) = (way for way, (of, _) in WAYS.items() if of == kind)
    return {f"On the sketches of {n} held-out combinations": compare_generators(lab, n, [way]).summary.set_index("way").T}


def _summary(lab, table: pd.DataFrame, pictures: dict[str, Tensor], drawn: Tensor, seconds: dict[str, float]) -> pd.DataFrame:
    found, rows = means(table, ["way"], VALUES).set_index(["way", "measure"]), []
    bank = scene_bank("test", len(drawn), **FLAT)
    real = (bank.images(range(len(bank))) + 1) / 2
    for way, x in pictures.items():
        row: dict[str, object] = {"way": way}
        for value in VALUES:
            cell = found.loc[(way, value)]
            number = "{:.3f}" if value == "clip" else "{:.1%}"
            row[value] = f"{number} ({number}–{number})".format(cell["mean"], cell["low"], cell["high"])
        if len(x) >= LEAST:
            row["KID (judge)"] = "{:.2f} ± {:.2f}".format(*kid(lab.judge, x, real))
        if way != "drawn scenes":
            far = pocket_distance(lab.perceptual, x, drawn)
            row["perceptual distance"] = f"{far.value:.3f} ({far.low:.3f}–{far.high:.3f})"
        if way in seconds:
            kind = WAYS[way][0]
            parameters = sum(p.numel() for p in KINDS[kind].module(lab.model(kind)).parameters())
            row |= {"seconds": f"{seconds[way]:.3f}", "parameters": f"{parameters / 1e6:.1f} M"}
        # A minus sign: a spreadsheet takes a cell that begins with a hyphen for a formula.
        rows.append({name: cell if name == "way" else cell.replace("-", "−") for name, cell in row.items()})
    return pd.DataFrame(rows).fillna("–")


def _sheet(asked: Sequence[Asked], pictures: dict[str, Tensor]) -> Image.Image:
    order = ["the sketch as it is", *(way for way in pictures if way != "the sketch as it is")]
    some = range(min(SHOWN, len(asked)))
    labels = [asked[k].prompt if way == order[0] else (way if k == 0 else "") for way in order for k in some]
    return contact_sheet([to_pil(pictures[way][k]) for way in order for k in some], labels, columns=len(some), tile=128)
