"""What the models can do that draw a picture of a sentence's vector in one pass: the GAN and the bottleneck VAE.

    python -m labkit evaluate gan | bottleneck --n 2000 --card

They know flat scenes with one subject, so these are what they are held against. CLIP had a part in their training, the judge
had none.
"""

from __future__ import annotations

import time
from functools import partial

import pandas as pd
import torch

from labkit.evaluation.painting import Painted, PaintingReport, held_out_scenes, prompt_of, report_on
from labkit.image import to_pil
from labkit.metrics.kid import kid_table
from labkit.runs.workers import run_all
from labkit.training.bank import FLAT, scene_bank
from labkit.world import Scene

NAMES = {"gan": "GAN", "bottleneck": "bottleneck VAE"}


def paint(lab, scenes: list[Scene], seed: int = 0, kind: str = "gan") -> torch.Tensor:
    """A picture of each scene's prompt (see `prompt_of`), each with noise of its own: (N, 3, 64, 64) in [0, 1]."""
    parts = []
    for k in range(0, len(scenes), 250):
        e = lab.clip.encode_text([prompt_of(s) for s in scenes[k:k + 250]])
        parts.append((lab.model(kind).sample(e, seed + k) + 1) / 2)
    return torch.cat(parts).cpu()


def distance_table(lab, n: int = 2000, kind: str = "gan") -> pd.DataFrame:
    """KID in the judge's features of `n` pictures against as many unseen flat one-subject scenes; beside it that of other such
    scenes (as good as it gets) and of noise of the scenes' mean and spread (as bad). The pictures' prompts are the other
    scenes' own. Raises ValueError for n < 20."""
    bank = scene_bank("test", 2 * n, **FLAT)
    real, others = ((bank.images(range(k, k + n)) + 1) / 2 for k in (0, n))
    made = paint(lab, [bank.scene(k) for k in range(n, 2 * n)], kind=kind)
    return kid_table(lab.judge, {NAMES[kind]: made, "other scenes": others}, real)


def measure_gan(lab, prompts: int = 100, seeds: int = 2, n_jobs: int = -1, kind: str = "gan") -> PaintingReport:
    """Does it heed its prompt? The report that `measure_painting` makes of a method, on the same combinations: one pass of the
    generator for each, in processes of one thread, as the methods' pictures are timed. There is no score before that pass, so
    "clip before" is NaN."""
    asked = [(s, seed) for s in held_out_scenes(prompts) for seed in range(seeds)]
    return report_on(lab, asked, run_all(partial(_timed, kind=kind), asked, lab, n_jobs))


def _timed(asked: tuple[Scene, int], lab, kind: str) -> Painted:
    scene, seed = asked
    clip, model = lab.clip, lab.model(kind)  # loaded before the clock starts
    started = time.perf_counter()
    e = clip.encode_text([prompt_of(scene)])
    x = model.sample(e, seed)
    seconds = time.perf_counter() - started
    x = (x + 1) / 2
    cosine = float((clip.encode_image(x) * e).sum())
    return Painted(to_pil(x), pd.DataFrame({"clip": [float("nan"), cosine]}), seconds)


def gan_figures(lab, n: int) -> dict:
    """Distance to real scenes, and whether prompts are heeded."""
    return _figures(lab, n, "gan")


def bottleneck_figures(lab, n: int) -> dict:
    """The same of the bottleneck VAE."""
    return _figures(lab, n, "bottleneck")


def _figures(lab, n: int, kind: str) -> dict:
    heeding = measure_gan(lab, min(n, 200), 1, kind=kind).summary
    return {f"Distance to {n:,} flat scenes with one subject": distance_table(lab, n, kind),
            f"Heeding its prompt, on {min(n, 200)} held-out combinations": heeding}
