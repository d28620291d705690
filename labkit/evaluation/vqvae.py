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
from labkit.metrics.reconstruction import mse_of, psnr_of, reconstruction_scores
from labkit.models.codebook import use_of
from labkit.models.vqvae import LEVELS
from labkit.training.bank import scene_bank

REPORT = {"MSE": 0.240, "PSNR": 6.5799}  # the codes report's; of which range, and what peak, it does not say
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


def range_table(x: Tensor, y: Tensor) -> pd.DataFrame:
    """The report's two figures read in each way, beside reconstructions y of pictures x, both (N, 3, H, W) in [-1, 1], and
    beside answers that know nothing of a picture.

    A row a reading; columns: the MSE of pixels in 0 … 1 and in -1 … 1, the PSNR that it means (of the mean MSE: the mean of the
    pictures' own, as in `reconstruction_table`, is higher), and by how many of 255 grey levels a pixel is off (root mean
    square). Raises ValueError on unequal shapes.
    """
    if x.shape != y.shape:
        raise ValueError(f"x, y: {tuple(x.shape)} and {tuple(y.shape)} must be of one shape")
    mse, square, said = (x - y).square().mean(), x.square().mean(), mse_of(REPORT["PSNR"])
    rows = {
        "report: MSE, if pixels are 0 … 1": REPORT["MSE"],
        "report: MSE, if pixels are -1 … 1": REPORT["MSE"] / 4,
        "report: PSNR, if its peak is the pixels' range": said,
        "report: PSNR, if pixels are -1 … 1, its peak 1": said / 4,
        "noise, each pixel drawn evenly": (square + 1 / 3) / 4,  # E (x - u)² = x² + E u², u even in [-1, 1]
        "mid-grey": square / 4,
        "one picture for all, their mean": (x - x.mean(0)).square().mean() / 4,
        "each picture's mean colour": (x - x.mean((2, 3), keepdim=True)).square().mean() / 4,
        "ours": mse / 4,
    }
    return pd.DataFrame({name: {"MSE, 0 … 1": float(v), "MSE, -1 … 1": 4 * float(v), "PSNR, dB": psnr_of(float(v)),
                                "grey levels off": 255 * float(v) ** 0.5} for name, v in rows.items()}).T


def _figures(x: Tensor, y: Tensor) -> dict[str, str]:
    scores = reconstruction_scores(x, y, data_range=(-1.0, 1.0))
    return {s.name: f"{s.value:.3f} ({s.low:.3f}–{s.high:.3f})" for s in scores}


def vqvae_figures(lab, n: int) -> dict:
    """Reconstruction and use of the codes."""
    table, codes = reconstruction_table(lab, n)
    use = collapse(codes, lab.vqvae.n_embed).drop(columns="alarm")
    return {"Reconstruction": table, "Codes": use.map(lambda figure: f"{figure:.4g}")}


@torch.no_grad()
def by_level(model, pictures: Tensor) -> dict[str, Tensor]:
    """What each level carries of pictures (B, 3, H, W) in [-1, 1]: name → pictures likewise. Beside the bottom alone stands the
    mean of the top's vectors over all of them; the last has each one's top with the next one's bottom."""
    (top, bottom), _ = model.encode(pictures)
    no_top = top.mean((0, 2, 3), keepdim=True).expand_as(top)
    vectors = {"both": (top, bottom), "top alone": (top, None), "bottom alone": (no_top, bottom),
               "the next one's bottom": (top, bottom.roll(-1, 0))}
    return {name: model.decode(*levels).clamp(-1, 1) for name, levels in vectors.items()}


def level_panel(model, pictures: Tensor) -> Image.Image:
    """What each level carries. A column a picture (B, 3, H, W) in [-1, 1], B ≥ 2; rows: the picture, and those of `by_level`:
    both levels, top alone, the bottom alone, and its top with the next picture's bottom."""
    rows = [pictures, *by_level(model, pictures).values()]
    return grid([to_pil((p.clamp(-1, 1) + 1) / 2) for row in rows for p in row], columns=len(pictures), pad=2)


def level_table(lab, pictures: Tensor) -> pd.DataFrame:
    """Whose picture it is that the levels of pictures (B, 3, H, W) in [-1, 1], B ≥ 2, paint, a row each of `by_level`: the mean
    PSNR against the picture and against the next one, and the share in which the judge sees the same subject as there."""
    def subjects(x: Tensor) -> list[str]:
        return [v.subject for v in lab.judge.all((x + 1) / 2)]

    own, rows = subjects(pictures), {}
    following = own[1:] + own[:1]
    for name, made in by_level(lab.vqvae, pictures).items():
        seen, row = subjects(made), {}
        for whose, x, names in (("its picture", pictures, own), ("the next", pictures.roll(-1, 0), following)):
            row[f"PSNR to {whose}, dB"] = float((10 * (4 / (made - x).square().mean((1, 2, 3))).log10()).mean())
            row[f"subject of {whose}"] = sum(a == b for a, b in zip(seen, names, strict=True)) / len(names)
        rows[name] = row
    return pd.DataFrame(rows).T
