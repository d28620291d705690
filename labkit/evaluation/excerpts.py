"""The lyrics paper's experiment in full: its ten excerpts, each at three CLIP guidance scales × three range scales.

The paper made two experiments, 1000/100 and 1500/150, and one picture at 500. Both scales moved together, so that what it says
of "1500/150" may be owed to either. All nine cells tell them apart: `effects` has the paper's step and each scale's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from labkit.image import contact_sheet
from labkit.lyrics.words import songs
from labkit.methods.guided_diffusion import Guidance, GuidedDiffusion, Sampler
from labkit.runs.sweep import sweep
from labkit.survey.statistics import t_interval
from labkit.world import read

CLIP_SCALES = (500.0, 1000.0, 1500.0)
RANGE_SCALES = (50.0, 100.0, 150.0)
EXPERIMENTS = {(1000.0, 100.0): 1, (1500.0, 150.0): 2}
THIRD = (500.0, 50.0)  # of "shooting stars" alone, 1.3; the paper does not print its range scale, the pattern says 50
STEPS = {"the paper's: 1000/100 to 1500/150": ((1000.0, 100.0), (1500.0, 150.0)),
         "clip_guidance_scale alone, 1000 to 1500": ((1000.0, 100.0), (1500.0, 100.0)),
         "range_scale alone, 100 to 150": ((1000.0, 100.0), (1000.0, 150.0))}


@dataclass(frozen=True)
class ExcerptGrid:
    """`table`: a row a picture, with number and excerpt of the song, both scales, `paper` ("1.2" for song 1, experiment 2; ""
    where the paper has no picture), CLIP score, share of pixels out of range, what the judge sees and the probability that it
    gives the excerpt's own subject (NaN where the excerpt names none), words never seen, path, error."""

    table: pd.DataFrame

    def figure(self, number: int) -> Image.Image:
        """All nine pictures of a song: a row a CLIP guidance scale."""
        rows = self.table[self.table["number"] == number]
        if rows.empty:
            raise ValueError(f"number={number}: the grid has the songs {sorted(set(self.table['number']))}")
        return _sheet(rows, [f"{r.clip_guidance_scale:g}/{r.range_scale:g}{f', the paper: {r.paper}' if r.paper else ''}, "
                             f"clip {r.clip:.2f}" for r in rows.itertuples()], len(RANGE_SCALES), rows["excerpt"].iloc[0])

    def paper_figure(self) -> Image.Image:
        """Figure 5 of the paper: its two experiments, numbered as there, with scores; words never seen are in the caption."""
        rows = self.table[self.table["paper"].str[-2:].isin([".1", ".2"])]
        return _sheet(rows, [f"{r.paper} {r.excerpt}: clip {r.clip:.2f}, sees {r.sees}"
                             + (f"; never seen: {r.unknown}" if r.unknown else "") for r in rows.itertuples()], 4)

    def effects(self, value: str = "clip") -> pd.DataFrame:
        """Mean change of `value` over the songs, with a 95 % t interval: of the paper's step, and of each scale alone."""
        wide = self.table.pivot(index="number", columns=["clip_guidance_scale", "range_scale"], values=value)
        rows = {}
        for name, (before, after) in STEPS.items():
            change = (wide[after] - wide[before]).dropna()
            if len(change) < 2:
                raise ValueError(f"{value}: {len(change)} songs have a number in both cells of {name!r}; two are needed")
            low, high = t_interval(change.mean(), change.var(ddof=1), len(change))
            rows[name] = {"change": change.mean(), "low": float(low), "high": float(high), "songs": len(change)}
        return pd.DataFrame(rows).T


def excerpt_grid(lab, excerpts: Mapping[int, str] | None = None, steps: int = 50, seed: int = 0,
                 folder: str | Path = "out/lyrics/grid", n_jobs: int | None = None) -> ExcerptGrid:
    """Every excerpt (number → text; default: Table 1 of the paper) in all nine cells, one seed for all; finished pictures stay
    in `folder`, and the next call skips them. Sampler DDPM, classic scales, as the paper had them."""
    excerpts = dict(excerpts or songs().set_index("number")["excerpt"])
    spec = GuidedDiffusion(prompt="-", steps=steps, seed=seed, guidance=Guidance(strength=None), sampler=Sampler(name="ddpm"))
    over = {"prompt": list(dict.fromkeys(excerpts.values())), "guidance__clip_guidance_scale": CLIP_SCALES,
            "guidance__range_scale": RANGE_SCALES}
    done = sweep(spec, over, lab, folder, n_jobs).table.rename(columns=lambda c: c.removeprefix("guidance__"))
    cells = done.groupby("prompt", sort=False)
    return ExcerptGrid(pd.DataFrame([_row(lab, number, row) for number, text in excerpts.items()
                                     for row in cells.get_group(text).to_dict("records")]))


def _row(lab, number: int, cell: dict) -> dict:
    scales = cell["clip_guidance_scale"], cell["range_scale"]
    experiment = EXPERIMENTS.get(scales) or (3 if number == 1 and scales == THIRD else None)
    reading, verdict = read(cell["prompt"]), None
    if not cell["error"]:
        with Image.open(cell["path"]) as picture:
            verdict = lab.judge(picture.convert("RGB"))
    known = verdict is not None and reading.subjects
    own = verdict.probabilities["subject"].get(reading.subjects[0], float("nan")) if known else float("nan")
    return {"number": number, "excerpt": cell["prompt"], "clip_guidance_scale": scales[0], "range_scale": scales[1],
            "paper": f"{number}.{experiment}" if experiment else "", "clip": cell.get("clip", float("nan")),
            "out of range": cell.get("out of range", float("nan")), "p(subject)": own,
            "sees": f"{verdict.colour} {verdict.subject}".replace("_", " ") if verdict else "",
            "unknown": " ".join(reading.unknown), "path": cell["path"], "error": cell["error"]}


def _sheet(rows: pd.DataFrame, labels: list[str], columns: int, title: str | None = None) -> Image.Image:
    pictures = []
    for row in rows.itertuples():
        if row.error:
            pictures.append(Image.new("RGB", (64, 64), (160, 160, 160)))
        else:
            with Image.open(row.path) as picture:
                pictures.append(picture.convert("RGB"))
    return contact_sheet(pictures, labels, columns, tile=192, title=title)
