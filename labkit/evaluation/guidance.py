"""What guidance does to a diffusion model: three studies, each a function that returns a table and a figure.

1. `compare_ways`: the lyrics paper's headline claim, measured. The model alone, CLIP alone (on the pixels), and the two
   together, with the same prompts and seeds.
2. `strength_study`: a classic scale means one thing at 25 steps and another at 250; a strength means the same.
3. `range_study`: what `range_scale` does to pixels beyond the range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image

from labkit.evaluation.painting import PaintingReport, held_out_scenes, measure_painting, paint_all, prompt_of
from labkit.image import to_tensor
from labkit.lab import Lab
from labkit.methods.guided_diffusion import Guidance, GuidedDiffusion
from labkit.methods.vqgan_clip import VQGANCLIP, Canvas
from labkit.metrics.kid import kid
from labkit.world import render, sample_scene

UNGUIDED = GuidedDiffusion(prompt="-", guidance=Guidance(strength=0))
GUIDED = GuidedDiffusion(prompt="-")
ON_PIXELS = VQGANCLIP(prompt="-", canvas=Canvas(start="noise"))


@dataclass(frozen=True)
class Ways:
    """`table`: a row a way; `reports`: what was painted each way."""

    table: pd.DataFrame
    reports: dict[str, PaintingReport]


def compare_ways(lab, prompts: int = 25, seeds: int = 2, steps: int = 50, n_jobs: int = -1) -> Ways:
    """Held-out prompts × seeds, painted by the diffusion model alone, by CLIP's ascent on the pixels alone and by both; each
    picture has a seed of its own, the same in all three ways.

    KID is in the judge's features, between the pictures and as many unseen one-subject scenes in the flat style, which the
    prompts ask for; its spread is over random halves. `seconds` are of one thread.
    """
    pixels = Lab(**{**lab.arguments, "vqgan": "pixels"})
    ways = {"diffusion, unguided": (lab, UNGUIDED.but(steps=steps)),
            "CLIP ascent on pixels": (pixels, ON_PIXELS.but(steps=steps)),
            "guided diffusion": (lab, GUIDED.but(steps=steps))}
    reports = {name: measure_painting(a_lab, prompts, seeds, spec, n_jobs=n_jobs, own_seeds=True)
               for name, (a_lab, spec) in ways.items()}
    return Ways(ways_table(lab, reports), reports)


def ways_table(lab, reports: Mapping[str, PaintingReport]) -> pd.DataFrame:
    """A row for each way of making the same pictures (see `scores_of`)."""
    return pd.DataFrame([scores_of(lab, report) for report in reports.values()], list(reports))


def scores_of(lab, report: PaintingReport) -> dict[str, object]:
    """One row of the comparison, of a report on 20 or more pictures. `clip` is the cosine of the whole finished picture and its
    prompt, whichever way it was made."""
    n = len(report.pictures)
    scenes = [sample_scene(k, "test", style="flat", two=False) for k in range(n)]
    pictures, real = (torch.cat([to_tensor(p) for p in some]) for some in (report.pictures, map(render, scenes)))
    distance, spread = kid(lab.judge, pictures, real)
    image, text = lab.clip.encode_image(pictures.to(lab.device)), lab.clip.encode_text(list(report.table["prompt"]))
    return {"KID": distance, "spread": spread, "judge: subject": report.summary.loc["subject", "painted"],
            "shuffled": report.summary.loc["subject", "shuffled"], "clip": float((image * text).sum(1).mean()),
            "seconds": report.table["seconds"].mean(), "n": n}


def strength_study(lab, prompts: int = 3, steps: Sequence[int] = (25, 50, 100, 250),
                   strength: float = GUIDED.guidance.strength, scale: float = 1000.0, seed: int = 0,
                   n_jobs: int = -1) -> tuple[pd.DataFrame, list[Image.Image]]:
    """Every prompt at every number of steps, by the strength and by the classic scale: the CLIP score at the end, and how far
    guidance moved the picture (root mean square of the difference from the unguided one, in [0, 1]). With eta = 0, as here,
    DDIM's way from noise to picture is deterministic: unguided pictures of one seed are nearly the same at any number."""
    ways = {"unguided": Guidance(strength=0), "strength": Guidance(strength=strength),
            "classic scale": Guidance(strength=None, clip_guidance_scale=scale)}
    return _study(lab, {(name, n): GUIDED.but(guidance=g, steps=n, sampler__eta=0) for n in steps for name, g in ways.items()},
                  ("way", "steps"), prompts, seed, n_jobs, apart=lambda key: ("unguided", key[1]))


def range_study(lab, prompts: int = 6, scales: Sequence[float] = (0.0, 50.0, 150.0, 500.0, 5000.0),
                clip_guidance_scale: float = 1000.0, steps: int = 50, seed: int = 0,
                n_jobs: int = -1) -> tuple[pd.DataFrame, list[Image.Image]]:
    """Every prompt at every `range_scale`, with classic scales: the share of the pixels of x̂_0 beyond [-1, 1], over all
    steps and at the last."""
    classic = Guidance(strength=None, clip_guidance_scale=clip_guidance_scale)
    cells = {(s,): GUIDED.but(steps=steps, guidance=classic.but(range_scale=s)) for s in scales}
    return _study(lab, cells, ("range_scale",), prompts, seed, n_jobs, apart=lambda key: (scales[0],))


def _study(lab, cells: Mapping[tuple, GuidedDiffusion], names: tuple[str, ...], prompts: int, seed: int, n_jobs: int, apart):
    """Table (a row a cell and prompt) and pictures; `apart` names the cell that a cell's picture is compared with."""
    texts = [prompt_of(s) for s in held_out_scenes(prompts, tuning=True)]
    made = paint_all([spec.but(prompt=t, seed=seed) for spec in cells.values() for t in texts], lab, n_jobs)
    keyed = dict(zip([(key, t) for key in cells for t in texts], made, strict=True))
    rows = []
    for (key, text), one in keyed.items():
        other = keyed[apart(key), text].picture
        moved = np.asarray(one.picture, float) - np.asarray(other, float)
        rows.append({**dict(zip(names, key, strict=True)), "prompt": text, "clip": one.scores["clip"].iloc[-1],
                     "moved": float(np.sqrt(np.square(moved / 255).mean())), "out of range": one.scores["out of range"].mean(),
                     "out of range, last": one.scores["out of range"].iloc[-1]})
    return pd.DataFrame(rows), [one.picture for one in made]
