"""What guidance does to a diffusion model: three studies, each a function that returns a table and its pictures.

1. `compare_ways`: the lyrics paper's headline claim, measured. The model alone, CLIP alone (on the pixels), and the two
   together, with the same prompts and seeds; beside them the GAN that the paper first proposed.
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

from labkit.evaluation.cells import Study, paint_cells
from labkit.evaluation.gan import measure_gan
from labkit.evaluation.painting import PaintingReport, held_out_scenes, measure_painting, prompt_of
from labkit.image import contact_sheet, to_tensor
from labkit.lab import Lab
from labkit.methods.guided_diffusion import Guidance, GuidedDiffusion
from labkit.methods.vqgan_clip import VQGANCLIP, Canvas, Optimiser
from labkit.metrics.kid import kid
from labkit.world import render, sample_scene

UNGUIDED = GuidedDiffusion(prompt="-", guidance=Guidance(strength=0))
GUIDED = GuidedDiffusion(prompt="-")
# Pixels are not codes: their learning rate is their own. Nothing smooths them, as the question is what CLIP alone makes.
ON_PIXELS = VQGANCLIP(prompt="-", steps=200, canvas=Canvas(start="noise", tries=1), optimiser=Optimiser(lr=0.1, smooth=0.0))


@dataclass(frozen=True)
class Ways:
    """`table`: a row a way; `reports`: what was painted each way."""

    table: pd.DataFrame
    reports: dict[str, PaintingReport]

    def pictures(self) -> pd.DataFrame:
        """A row a picture: the way, the prompt, what the judge saw, whether that is the subject."""
        parts = [r.table.assign(way=name) for name, r in self.reports.items()]
        table = pd.concat(parts, ignore_index=True).rename(columns={"painted subject": "subject found"})
        return table[["way", "prompt", "seed", "saw", "subject found", "seconds"]]

    def figure(self, n: int = 6, tile: int = 128) -> Image.Image:
        """The first n prompts, a row a way."""
        shown = [(name, k) for name, r in self.reports.items() for k in range(min(n, len(r.pictures)))]
        labels = []
        for name, k in shown:
            row = self.reports[name].table.iloc[k]
            asked, saw = row["prompt"].removeprefix("a flat illustration of "), row["saw"].split(",")[0].replace("_", " ")
            labels.append(f"{name}: {asked} | saw {saw}")
        return contact_sheet([self.reports[name].pictures[k] for name, k in shown], labels, min(n, len(shown)), tile)


def compare_ways(lab, prompts: int = 25, seeds: int = 2, steps: int = 50, gan: bool = True, n_jobs: int = -1) -> Ways:
    """Held-out prompts × seeds, painted by the diffusion model alone, by CLIP's ascent on the pixels alone and by both; each
    picture has a seed of its own, the same in all three ways. With `gan` the same prompts by one pass of the GAN, too.

    KID is in the judge's features, between the pictures and as many unseen one-subject scenes in the flat style, which the
    prompts ask for; its spread is over random halves. `seconds` are of one thread.
    """
    pixels = Lab(**{**lab.arguments, "vqgan": "pixels"})
    ways = {"diffusion, unguided": (lab, UNGUIDED.but(steps=steps)),
            "CLIP ascent on pixels": (pixels, ON_PIXELS.but(steps=steps)),
            "guided diffusion": (lab, GUIDED.but(steps=steps))}
    reports = {name: measure_painting(a_lab, prompts, seeds, spec, n_jobs=n_jobs, own_seeds=True)
               for name, (a_lab, spec) in ways.items()}
    if gan:
        reports["GAN, one pass"] = measure_gan(lab, prompts, seeds, n_jobs)
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
                   strength: float = GUIDED.guidance.strength, scale: float = 1000.0, seed: int = 0, n_jobs: int = -1) -> Study:
    """Every prompt at every number of steps, by the strength and by the classic scale: the CLIP score at the end, and how far
    guidance moved the picture (root mean square of the difference from the unguided one, in [0, 1]). With eta = 0, as here,
    DDIM's way from noise to picture is deterministic: unguided pictures of one seed are nearly the same at any number."""
    ways = {"unguided": Guidance(strength=0), "strength": Guidance(strength=strength),
            "classic scale": Guidance(strength=None, clip_guidance_scale=scale)}
    cells = [({"way": way, "steps": n}, GUIDED.but(guidance=g, steps=n, sampler__eta=0))
             for way, g in ways.items() for n in steps]
    return _study(lab, cells, len(steps), prompts, seed, n_jobs, apart=lambda about: {**about, "way": "unguided"})


def range_study(lab, prompts: int = 6, scales: Sequence[float] = (0.0, 50.0, 150.0, 500.0, 5000.0),
                clip_guidance_scale: float = 1000.0, steps: int = 50, seed: int = 0, n_jobs: int = -1) -> Study:
    """Every prompt at every `range_scale`, with classic scales: the share of the pixels of x̂_0 beyond [-1, 1], over all
    steps and at the last."""
    classic = Guidance(strength=None, clip_guidance_scale=clip_guidance_scale)
    cells = [({"range_scale": s}, GUIDED.but(steps=steps, guidance=classic.but(range_scale=s))) for s in scales]
    return _study(lab, cells, len(scales), prompts, seed, n_jobs, apart=lambda about: {"range_scale": scales[0]})


def _study(lab, cells: list, columns: int, prompts: int, seed: int, n_jobs: int, apart) -> Study:
    """Every cell for every prompt, prompt by prompt; `apart` names the cell that a cell's picture is compared with."""
    texts = [prompt_of(s) for s in held_out_scenes(prompts, tuning=True)]
    asked = [(about, spec.but(prompt=t, seed=seed)) for t in texts for about, spec in cells]
    made = paint_cells(lab, asked, columns, n_jobs)
    place = {(*about.values(), spec.prompt): k for k, (about, spec) in enumerate(asked)}
    pixels = [np.asarray(picture, float) / 255 for picture in made.pictures]
    against = [pixels[place[*apart(about).values(), spec.prompt]] for about, spec in asked]
    beyond = [one.scores["out of range"] for one in made.painted]
    made.table["moved"] = [float(np.sqrt(np.square(a - b).mean())) for a, b in zip(pixels, against, strict=True)]
    made.table["out of range"], made.table["out of range, last"] = [b.mean() for b in beyond], [b.iloc[-1] for b in beyond]
    return made
