"""What a VQ-VAE keeps of a picture, which codes it uses, and what each level carries.

    python -m labkit evaluate vqvae

Pixels are in [-1, 1]: MSE is four times that of the same pictures in [0, 1], PSNR is the same (see
`labkit.metrics.reconstruction`).
"""

from __future__ import annotations

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.image import grid, to_pil
from labkit.metrics.intervals import share
from labkit.metrics.reconstruction import reconstruction_scores
from labkit.models.codebook import use_of
from labkit.models.vqvae import LEVELS
from labkit.training.bank import scene_bank

COLLAPSED = 0.1  # share of the codes: of equally likely ones, a level then says a third less than it could


def collapse(codes: list[Tensor], n_embed: int) -> pd.DataFrame:
    """A row a level of codes [(N, h, w)]: its use (see `use_of`) and an alarm, "" or a sentence where it says next to nothing:
    then its prior is right nearly always and knows nothing."""
    rows = {}
    for level, indices in zip(LEVELS, codes, strict=True):
        use = use_of(torch.bincount(indices.flatten().cpu(), minlength=n_embed))
        alarm = (f"{level}: perplexity {use['perplexity']:.1f} of {n_embed} codes; it has collapsed: train on with a higher "
                 "dead_below" if use["perplexity"] < COLLAPSED * n_embed else "")
        rows[level] = {**use, "alarm": alarm}
    return pd.DataFrame(rows).T


@torch.no_grad()
def reconstruction_table(lab, n: int = 2000) -> tuple[pd.DataFrame, list[Tensor]]:
    """MSE, PSNR, SSIM, each with its interval, of `n` unseen scenes of each split, and of their mean colours in their place;
    how often the judge takes a one-subject scene's reconstruction for the same subject. And the codes of both levels."""
    table, codes = {}, []
    for row, split in (("all", "test"), ("held-out", "held")):
        bank = scene_bank(split, n)
        x = bank.images(range(n))
        found = [lab.vqvae.encode_codes(part.to(lab.device)) for part in x.split(100)]
        y = torch.cat([lab.vqvae.decode_codes(*part).clamp(-1, 1).cpu() for part in found])
        seen = [[v.subject for part in side.split(100) for v in lab.judge.all((part + 1) / 2)] for side in (x, y)]
        same = [a == b for k, (a, b) in enumerate(zip(*seen, strict=True)) if len(bank.scene(k).subjects) == 1]
        table[row] = {**_figures(x, y), "same subject": share(sum(same), len(same)) if same else "–"}
        table[f"{row}: mean colour"] = {**_figures(x, x.mean((2, 3), keepdim=True).expand_as(x)), "same subject": "–"}
        codes.append([torch.cat(level) for level in zip(*found, strict=True)])
    return pd.DataFrame(table).T, codes[0]


def _figures(x: Tensor, y: Tensor) -> dict[str, str]:
    scores = reconstruction_scores(x, y, data_range=(-1.0, 1.0))
    return {s.name: f"{s.value:.3f} ({s.low:.3f}–{s.high:.3f})" for s in scores}


def vqvae_figures(lab, n: int) -> dict:
    """Reconstruction and use of the codes."""
    table, codes = reconstruction_table(lab, n)
    use = collapse(codes, lab.vqvae.n_embed).drop(columns="alarm")
    return {"Reconstruction": table, "Codes": use.map(lambda figure: f"{figure:.4g}")}


@torch.no_grad()
def level_panel(model, pictures: Tensor) -> Image.Image:
    """What each level carries. A column a picture (B, 3, H, W) in [-1, 1], B ≥ 2; rows: the picture, both levels, top alone,
    the bottom alone (the other level's vectors are their mean), and its top with the next picture's bottom."""
    (top, bottom), _ = model.encode(pictures)
    no_top, no_bottom = (level.mean((0, 2, 3), keepdim=True).expand_as(level) for level in (top, bottom))
    rows = [pictures, model.decode(top, bottom), model.decode(top, no_bottom), model.decode(no_top, bottom),
            model.decode(top, bottom.roll(-1, 0))]
    return grid([to_pil((p.clamp(-1, 1) + 1) / 2) for row in rows for p in row], columns=len(pictures), pad=2)
