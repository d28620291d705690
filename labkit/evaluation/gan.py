"""What the pocket GAN can do: the figures of its card, and how far each falls short of real scenes.

    python -m labkit evaluate gan --n 2000 --card

It knows flat scenes with one subject, so these are what it is held against. CLIP had a part in its training, the judge had
none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from labkit.evaluation.painting import CLAIMS, held_out_scenes, hits, prompt_of, share_of
from labkit.metrics.kid import kid_table
from labkit.training.bank import scene_bank
from labkit.world import Scene, render

FLAT = {"style": "flat", "two": False}


def paint(lab, scenes: list[Scene], seed: int = 0) -> torch.Tensor:
    """A picture of each scene's prompt (see `prompt_of`), each with noise of its own: (N, 3, 64, 64) in [0, 1]."""
    parts = []
    for k in range(0, len(scenes), 250):
        e = lab.clip.encode_text([prompt_of(s) for s in scenes[k:k + 250]])
        parts.append((lab.gan.sample(e, seed + k) + 1) / 2)
    return torch.cat(parts).cpu()


def distance_table(lab, n: int = 2000) -> pd.DataFrame:
    """KID in the judge's features of `n` pictures against as many unseen flat one-subject scenes; beside it that of other such
    scenes (as good as it gets) and of noise of the scenes' mean and spread (as bad). The pictures' prompts are the other
    scenes' own. Raises ValueError for n < 20."""
    bank = scene_bank("test", 2 * n, **FLAT)
    real, others = ((bank.images(range(k, k + n)) + 1) / 2 for k in (0, n))
    made = paint(lab, [bank.scene(k) for k in range(n, 2 * n)])
    return kid_table(lab.judge, {"GAN": made, "other scenes": others}, real)


def prompt_table(lab, n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Does it heed its prompt? One picture for each of `n` held-out combinations, read by the judge: shares with Wilson's
    intervals, beside the rates against shuffled prompts (what chance gives) and on real scenes of the same combinations. Last
    the mean cosine of picture and prompt to CLIP, with a 95 % interval of the mean."""
    scenes = held_out_scenes(n)
    sets = {"GAN": paint(lab, scenes, seed), "real scenes": torch.stack([_picture(s) for s in scenes])}
    order = np.random.default_rng(0).permutation(n)
    text = lab.clip.encode_text([prompt_of(s) for s in scenes])
    seen = {name: (lab.judge.all(x), lab.clip.encode_image(x.to(lab.device)).detach()) for name, x in sets.items()}
    columns = {"GAN": ("GAN", range(n)), "GAN, shuffled prompts": ("GAN", order), "real scenes": ("real scenes", range(n))}
    table = {}
    for column, (name, asked) in columns.items():
        verdicts, image = seen[name]
        found = pd.DataFrame([hits(scenes[k], v) for k, v in zip(asked, verdicts, strict=True)])
        cosines = (image * text[list(asked)]).sum(1)
        half = 1.96 * float(cosines.std()) / n**0.5
        table[column] = {claim: share_of(found[claim]) for claim in CLAIMS}
        table[column]["CLIP score"] = f"{float(cosines.mean()):.3f} ± {half:.3f}"
    return pd.DataFrame(table)


def _picture(scene: Scene) -> torch.Tensor:
    return torch.from_numpy(render(scene)).permute(2, 0, 1) / 255
