"""Does the pocket Stable Diffusion work, and what does its autoencoder keep: the figures of their cards.

    python -m labkit evaluate stable_diffusion | autoencoder --card

Text → picture is measured as every painter is (`labkit.evaluation.painting`): held-out combinations, two seeds each, 25 steps.
Pictures are made one at a time on all threads, so that the seconds are those of somebody who waits for one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from labkit.evaluation.models import reconstruction_rows
from labkit.evaluation.painting import PaintingReport, held_out_scenes, measure_painting
from labkit.image import to_tensor
from labkit.methods.text_to_image import TextToImage
from labkit.metrics.kid import kid_table
from labkit.world import render, sample_scene

PAINT = TextToImage(prompt="-", steps=25, preview_every=1000)
SEEDS = 2
LEAST = 20  # pictures, for a distance between sets


def stable_figures(lab, n: int) -> dict:
    """Whether `n` held-out prompts × 2 seeds are heeded, how far the pictures are from drawn scenes, and seconds a picture."""
    report = measure_painting(lab, n, SEEDS, PAINT, n_jobs=1)
    found = {f"Text → picture: {n} held-out combinations × {SEEDS} seeds, {PAINT.steps} steps, guidance {PAINT.guidance:g}":
             report.summary, "Time": time_table(lab, report)}
    if n * SEEDS >= LEAST:
        found[f"Distance to {n * SEEDS} flat scenes with one subject"] = distance_table(lab, report, n)
    return found


def time_table(lab, report: PaintingReport) -> pd.DataFrame:
    """Seconds a picture: the median, and the range that nine in ten lie in. The first picture is left out where there are
    more: it warms up."""
    seconds = report.table["seconds"].to_numpy()
    seconds = seconds[1:] if len(seconds) > 1 else seconds
    low, middle, high = np.quantile(seconds, [0.05, 0.5, 0.95])
    where = f"{torch.get_num_threads()} threads" if lab.device.type == "cpu" else str(lab.device)
    return pd.DataFrame({"median": f"{middle:.2f} s", "nine in ten": f"{low:.2f}–{high:.2f} s", "on": where},
                        index=["a picture"])


def distance_table(lab, report: PaintingReport, prompts: int) -> pd.DataFrame:
    """KID in the judge's features of a report's pictures against as many unseen flat scenes, beside that of the drawn scenes of
    the same prompts (as good as it gets: the prompts' combinations are not the other scenes') and of noise."""
    count = len(report.pictures)
    made = torch.cat([to_tensor(p) for p in report.pictures])
    asked = held_out_scenes(prompts)
    drawn = _stack([sample_scene(s.seed + 1_000_000 + k, "held", subject=s.subjects[0].subject, colour=s.subjects[0].colour,
                                 setting=s.setting, style="flat", two=False) for s in asked for k in range(count // prompts)])
    real = _stack([sample_scene(k, "test", style="flat", two=False) for k in range(count)])
    return kid_table(lab.judge, {"painted": made, "drawn scenes of the same prompts": drawn}, real)


def autoencoder_figures(lab, n: int) -> dict:
    """What comes back of `n` unseen scenes, through the mean of the autoencoder's belief."""
    net = lab.autoencoder

    def back(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return net.decode(net.encode(x).latent_dist.mode()).sample.float(), torch.zeros(0)

    return {"Reconstruction": reconstruction_rows(lab, n, back)}


def _stack(scenes: list) -> torch.Tensor:
    return torch.from_numpy(np.stack([render(s) for s in scenes])).permute(0, 3, 1, 2).float() / 255
