"""What a VQ-VAE keeps of a picture, which codes it uses, and what each level carries.

    python -m labkit evaluate vqvae

PSNR and MSE are of pictures in [-1, 1] (range 2: PSNR = 10 log10(4 / MSE)); of ones in [0, 1] the MSE would be a quarter and
the PSNR the same.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from labkit.image import grid, to_pil
from labkit.models.codebook import perplexity
from labkit.models.vqvae import LEVELS
from labkit.training.bank import scene_bank

COLLAPSED = 0.1  # share of the codes: of equally likely ones, a level then says a third less than it could


def mse_and_psnr(x: Tensor, y: Tensor, high: float = 1.0, low: float = -1.0) -> tuple[Tensor, Tensor]:
    """Per picture (B,) the mean squared error of y against x, (B, C, H, W) each in [low, high], and its PSNR in dB."""
    error = (x - y).square().mean((1, 2, 3))
    return error, 10 * torch.log10((high - low) ** 2 / error)


def collapse(codes: list[Tensor], n_embed: int) -> pd.DataFrame:
    """A row a level of codes [(N, h, w)]: how many of `n_embed` are used, perplexity, the share of the likeliest code, and an
    alarm ("" or a sentence) where a level says next to nothing: then its prior is right nearly always and knows nothing."""
    rows = {}
    for level, indices in zip(LEVELS, codes, strict=True):
        counts = torch.bincount(indices.flatten(), minlength=n_embed)
        spread = perplexity(indices, n_embed)
        alarm = (f"{level}: perplexity {spread:.1f} of {n_embed} codes; it has collapsed: train on with a higher dead_below"
                 if spread < COLLAPSED * n_embed else "")
        rows[level] = {"used": float((counts > 0).float().mean()), "dead": int((counts == 0).sum()), "perplexity": spread,
                       "likeliest": float(counts.max() / counts.sum()), "alarm": alarm}
    return pd.DataFrame(rows).T


@torch.no_grad()
def reconstruction_table(lab, n: int = 2000) -> tuple[pd.DataFrame, list[Tensor]]:
    """MSE, PSNR, SSIM and the judge's "same subject" of `n` unseen scenes of each split, of a constant picture (a scene's own
    mean colour) beside them; and the codes of both levels."""
    table, codes = {}, []
    for split in ("test", "held"):
        bank, rows = scene_bank(split, n), []
        for s in range(0, n, 100):
            ks = range(s, min(s + 100, n))
            x = bank.images(ks)
            found = lab.vqvae.encode_codes(x)
            y = lab.vqvae.decode_codes(*found).clamp(-1, 1)
            error, psnr = mse_and_psnr(x, y)
            alike = ssim(y, x, data_range=2.0, reduction="none")
            flat, flat_psnr = mse_and_psnr(x, x.mean((2, 3), keepdim=True).expand_as(x))
            pairs = zip(lab.judge.all((x + 1) / 2), lab.judge.all((y + 1) / 2), strict=True)
            for j, (k, (a, b)) in enumerate(zip(ks, pairs, strict=True)):
                one = len(bank.scene(k).subjects) == 1
                rows.append({"mse": float(error[j]), "psnr": float(psnr[j]), "ssim": float(alike[j]),
                             "same subject": float(a.subject == b.subject) if one else np.nan,
                             "constant mse": float(flat[j]), "constant psnr": float(flat_psnr[j])})
            if split == "test":
                codes.append(found)
        table["all" if split == "test" else "held-out"] = {**pd.DataFrame(rows).mean().to_dict(), "n": n}
    return pd.DataFrame(table).T, [torch.cat(level) for level in zip(*codes, strict=True)]


def vqvae_figures(lab, n: int) -> dict:
    """Reconstruction and use of the codes."""
    table, codes = reconstruction_table(lab, n)
    return {"Reconstruction": table, "Codes": collapse(codes, lab.vqvae.n_embed).drop(columns="alarm").astype(float)}


@torch.no_grad()
def level_panel(model, pictures: Tensor) -> Image.Image:
    """What each level carries. A column a picture (B, 3, H, W) in [-1, 1], B ≥ 2; rows: the picture, both levels, top alone,
    the bottom alone (the other level's vectors are their mean), and its top with the next picture's bottom."""
    (top, bottom), _ = model.encode(pictures)
    no_top, no_bottom = (level.mean((0, 2, 3), keepdim=True).expand_as(level) for level in (top, bottom))
    rows = [pictures, model.decode(top, bottom), model.decode(top, no_bottom), model.decode(no_top, bottom),
            model.decode(top, bottom.roll(-1, 0))]
    return grid([to_pil((p.clamp(-1, 1) + 1) / 2) for row in rows for p in row], columns=len(pictures), pad=2)
