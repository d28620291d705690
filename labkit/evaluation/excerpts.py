"""The lyrics paper's experiment in full: its ten excerpts, each at three CLIP guidance scales × three range scales.

The paper made two experiments, 1000/100 and 1500/150, and one picture at 500. Both scales moved together, so that what it says
of "1500/150" may be owed to either. All nine cells tell them apart: `effects` has the paper's step and each scale's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from labkit.evaluation.cells import paint_cells
from labkit.image import contact_sheet
from labkit.lyrics.words import songs
from labkit.methods.guided_diffusion import Guidance, GuidedDiffusion, Sampler
from labkit.survey.statistics import t_interval

CLIP_SCALES = (500.0, 1000.0, 1500.0)
RANGE_SCALES = (50.0, 100.0, 150.0)
EXPERIMENTS = {(1000.0, 100.0): 1, (1500.0, 150.0): 2}
THIRD = (500.0, 50.0)  # of "shooting stars" alone, 1.3; the paper does not print its range scale, the pattern says 50
STEPS = {"the paper's: 1000/100 to 1500/150": ((1000.0, 100.0), (1500.0, 150.0)),
         "clip_guidance_scale alone, 1000 to 1500": ((1000.0, 100.0), (1500.0, 100.0)),
         "range_scale alone, 100 to 150": ((1000.0, 100.0), (1000.0, 150.0))}
CLASSIC = GuidedDiffusion(prompt="-", guidance=Guidance(strength=None), sampler=Sampler(name="ddpm"))  # as the paper had it


@dataclass(frozen=True)
class ExcerptGrid:
    """`table`: a row a picture, with number of the song, both scales, `paper` ("1.2" for song 1, experiment 2; "" where the
    paper has no picture), and all that `paint_cells` says of it (`prompt` is the excerpt); `pictures` in the same order."""

    table: pd.DataFrame
    pictures: list[Image.Image]

    def figure(self, number: int) -> Image.Image:
        """All nine pictures of a song: a row a CLIP guidance scale."""
        rows = self.table[self.table["number"] == number]
        if rows.empty:
            raise ValueError(f"number={number}: the grid has the songs {sorted(set(self.table['number']))}")
        return self._sheet(rows, [f"{r.clip_guidance_scale:g}/{r.range_scale:g}{f', the paper: {r.paper}' if r.paper else ''}, "
                                  f"clip {r.clip:.2f}" for r in rows.itertuples()], len(RANGE_SCALES), rows["prompt"].iloc[0])

    def paper_figure(self) -> Image.Image:
        """Figure 5 of the paper: its two experiments, numbered as there, with scores; words never seen are in the caption."""
        rows = self.table[self.table["paper"].str[-2:].isin([".1", ".2"])]
        return self._sheet(rows, [f"{r.paper} {r.prompt}: clip {r.clip:.2f}, sees {r.sees}"
                                  + (f"; never seen: {r.unknown}" if r.unknown else "")
                                  for r in rows.rename(columns={"judge sees": "sees"}).itertuples()], 4)

    def _sheet(self, rows: pd.DataFrame, labels: list[str], columns: int, title: str | None = None) -> Image.Image:
        return contact_sheet([self.pictures[k] for k in rows.index], labels, columns, tile=192, title=title)


def effects(table: pd.DataFrame, value: str = "clip") -> pd.DataFrame:
    """Mean change of `value` over the songs of a grid's table, with a 95 % t interval: of the paper's step, and of each scale
    alone. Raises ValueError where fewer than two songs have a number in both cells."""
    wide = table.pivot(index="number", columns=["clip_guidance_scale", "range_scale"], values=value)
    rows = {}
    for name, (before, after) in STEPS.items():
        change = (wide[after] - wide[before]).dropna()
        if len(change) < 2:
            raise ValueError(f"{value}: {len(change)} songs have a number in both cells of {name!r}; two are needed")
        low, high = t_interval(change.mean(), change.var(ddof=1), len(change))
        rows[name] = {"change": change.mean(), "low": float(low), "high": float(high), "songs": len(change)}
    return pd.DataFrame(rows).T


def excerpt_grid(lab, excerpts: Mapping[int, str] | None = None, steps: int = 50, seed: int = 0,
                 n_jobs: int = -1) -> ExcerptGrid:
    """Every excerpt (number → text; default: Table 1 of the paper) in all nine cells, one seed for all. Sampler DDPM, classic
    scales, as the paper had them."""
    excerpts = dict(songs().set_index("number")["excerpt"] if excerpts is None else excerpts)
    cells = [({"number": number, "clip_guidance_scale": c, "range_scale": r, "paper": _paper(number, c, r)},
              CLASSIC.but(prompt=text, steps=steps, seed=seed, guidance__clip_guidance_scale=c, guidance__range_scale=r))
             for number, text in excerpts.items() for c in CLIP_SCALES for r in RANGE_SCALES]
    made = paint_cells(lab, cells, len(RANGE_SCALES), n_jobs)
    return ExcerptGrid(made.table, made.pictures)


def _paper(number: int, clip_scale: float, range_scale: float) -> str:
    """The number of the paper's own picture with these scales, "" if it has none."""
    scales = clip_scale, range_scale
    experiment = EXPERIMENTS.get(scales) or (3 if number == 1 and scales == THIRD else None)
    return f"{number}.{experiment}" if experiment else ""
