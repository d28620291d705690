"""How much does a sketch's quality decide: the same sketches thin, thick, broken, wobbly, inverted, shifted and on lined paper.

Each is made into a picture twice, from the sketch as it is and from the sketch as `labkit.sketches.prepare` makes it fit. What
is spoiled, and how, is `labkit.sketches.spoil`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from labkit.evaluation.sketch_claims import differences
from labkit.evaluation.sketching import CELLS, TEMPLATE, Asked, SketchSweep, picture_of, sketch_sweep, told
from labkit.image import contact_sheet
from labkit.methods.img2img import ImageToImage
from labkit.sketches.sets import Sketch
from labkit.sketches.spoil import spoiled

AS_DRAWN = "as drawn"
FITS = {"crop": "as it is", "sketch": "prepared"}
VALUES = ("subject", "as asked", "clip", "edges beyond chance")


def spoiled_ways(asked: Sequence[Asked], seed: int = 0) -> list[Asked]:
    """Every sketch in every way, `about` which its `way` tells; the ids stay, as they are the same sketches."""
    return [Asked(Sketch(picture, one.sketch.label, one.sketch.id), one.prompt, {**one.about, "way": way}, one.drawn)
            for one in asked for way, picture in spoiled(one.sketch.picture, seed).items()]


def quality_sweep(lab, asked: Sequence[Asked], seeds: Sequence[int] = (0, 1), template: ImageToImage = TEMPLATE,
                  folder: str | Path = CELLS, n_jobs: int | None = None, **more) -> SketchSweep:
    """A picture of every sketch in every way, as it is and prepared, from every seed. `more` goes to `sketch_sweep`."""
    over = {"frame__fit": tuple(FITS), "seed": tuple(seeds)}
    return sketch_sweep(lab, spoiled_ways(asked), over, template, folder, n_jobs, **more)


def quality_table(table: pd.DataFrame, values: Sequence[str] = VALUES) -> pd.DataFrame:
    """What each way does to the result, a row a way, a preparation (`sketch`: "as it is" or "prepared") and a `measure`: its
    `mean`, its `change` from the sketch as it was drawn, likewise prepared or not, with a 95 % interval (`low`, `high`) for all
    ways together, and `sketches`."""
    rows = []
    for fit, name in FITS.items():
        part = table[table["frame__fit"] == fit]
        for value in values:
            means = part.groupby(["way", "sketch"])[value].mean().groupby("way", sort=False).mean()
            found = differences(part, "way", AS_DRAWN, value)
            for way in dict.fromkeys(part["way"]):
                change = found.loc[way] if way in found.index else pd.Series({"change": 0.0, "low": 0.0, "high": 0.0})
                rows.append({"way": way, "sketch": name, "measure": value, "mean": means[way],
                             **{k: float(change[k]) for k in ("change", "low", "high")},
                             "sketches": part["sketch"].nunique()})
    return pd.DataFrame(rows)


def quality_sheet(swept: SketchSweep, sketch: str, tile: int = 128, title: str | None = None) -> Image.Image:
    """One sketch in every way, and below each what became of it as it is and prepared."""
    ways = [one for one in swept.asked if one.sketch.id == sketch]
    if not ways:
        raise ValueError(f"sketch: {sketch!r} is none of {', '.join(dict.fromkeys(one.sketch.id for one in swept.asked))}")
    pictures, labels = [one.sketch.picture for one in ways], [one.about["way"] for one in ways]
    for fit, name in FITS.items():
        for one in ways:
            here = swept.table[(swept.table["sketch"] == sketch) & (swept.table["way"] == one.about["way"])
                               & (swept.table["frame__fit"] == fit)].iloc[0]
            pictures.append(picture_of(here))
            labels.append(f"{name}: {told(here)}")
    return contact_sheet(pictures, labels, len(ways), tile, title)
