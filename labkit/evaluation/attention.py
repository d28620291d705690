"""What the attention auto-encoder can do: make scenes again, and look where their subjects are.

    python -m labkit evaluate attention_autoencoder

Attention was never told where a subject is. Scenes have their subject about the middle, so a map that knew nothing but that
would often be right: beside each share stands that of the next scene's map on this one's boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.metrics.intervals import bootstrap, share
from labkit.models.attention_autoencoder import as_map
from labkit.training.bank import scene_bank
from labkit.world import Scene, classes

BATCH = 100


@dataclass(frozen=True)
class Looked:
    """Of scenes: `psnr` of each one made again, in dB; `strength`, the mean of |A|; `maps` (N, H, W), |A|'s mean over channels
    at the pictures' size, as it is; `smooth`, likewise as it fuses strokes, in [0, 1]."""

    psnr: np.ndarray
    strength: np.ndarray
    maps: Tensor
    smooth: Tensor


@torch.no_grad()
def look(lab, x: Tensor) -> Looked:
    """Of pictures (N, 3, H, W) in [-1, 1], whose sides are multiples of the model's cell."""
    model, parts = lab.attention_autoencoder, []
    model.check(lab.perceptual)
    for some in x.split(BATCH):
        some = some.to(lab.device)
        made, a = model(model.read(lab.perceptual, some))
        error = (made.clamp(-1, 1) - some).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
        strong = a.abs().mean(1, keepdim=True)
        raw, smooth = (F.interpolate(m, some.shape[2:], mode="nearest")[:, 0] for m in (strong, as_map(a)[:, None]))
        parts.append([t.cpu() for t in (-10 * (error / 4).log10(), strong.mean(dim=(1, 2, 3)), raw, smooth)])
    psnr, strength, raw, smooth = (torch.cat(part) for part in zip(*parts, strict=True))
    return Looked(psnr.numpy(), strength.numpy(), raw, smooth)


def boxes(scene: Scene, height: int = 64, width: int = 64) -> Tensor:
    """(height, width), bool: the pixels in any subject's box."""
    inside = torch.zeros(height, width, dtype=torch.bool)
    for placed in scene.subjects:
        left, top, right, bottom = placed.box
        inside[round(height * top):round(height * bottom), round(width * left):round(width * right)] = True
    return inside


def higher_inside(maps: Tensor, scenes: Sequence[Scene]) -> np.ndarray:
    """Per scene the mean of its map (H, W) in subjects' boxes over the mean elsewhere: above 1 where attention is on the
    subject; NaN where a box is the whole picture, or attention is nowhere else."""
    out = []
    for m, scene in zip(maps, scenes, strict=True):
        inside = boxes(scene, *m.shape)
        there, elsewhere = float(m[inside].mean()), float(m[~inside].mean())
        out.append(there / elsewhere if elsewhere > 0 else float("nan"))
    return np.array(out)


def attention_figures(lab, n: int) -> dict[str, pd.DataFrame]:
    """Reconstruction by style, and attention in the boxes of n unseen scenes."""
    bank = scene_bank("test", n)
    scenes = [bank.scene(k) for k in range(n)]
    seen = look(lab, bank.images(range(n)))
    return {"Reconstruction": _by_style(seen.psnr, scenes), "Attention": attention_table(seen, scenes)}


def _by_style(psnr: np.ndarray, scenes: Sequence[Scene]) -> pd.DataFrame:
    styles = np.array([scene.style for scene in scenes])
    rows = {"all": psnr} | {style: psnr[styles == style] for style in classes("style") if (styles == style).any()}
    return pd.DataFrame({name: {"psnr": values.mean(), "n": float(len(values))} for name, values in rows.items()}).T


def attention_table(seen: Looked, scenes: Sequence[Scene]) -> pd.DataFrame:
    """A row per map, as it is and smoothed: in how many scenes attention is higher in subjects' boxes than elsewhere, the same
    with the next scene's map, the median of that ratio; and the mean of |A|, with 95 % intervals."""
    rows = {}
    for name, maps in (("as it is", seen.maps), ("as it fuses strokes", seen.smooth)):
        ratio, chance = (higher_inside(m, scenes) for m in (maps, maps.roll(1, 0)))
        known = ratio[np.isfinite(ratio)]
        middle = "–"
        if len(known):
            low, high = bootstrap(lambda at, known=known: float(np.median(known[at])), len(known))
            middle = f"{np.median(known):.2f} ({low:.2f}–{high:.2f})"
        rows[name] = {"higher on the subject": _share(ratio), "the next scene's map": _share(chance),
                      "times as high there": middle}
    low, high = bootstrap(lambda at: float(seen.strength[at].mean()), len(seen.strength))
    rows["as it is"]["mean |A|"] = f"{seen.strength.mean():.4f} ({low:.4f}–{high:.4f})"
    return pd.DataFrame(rows).T.fillna("–")


def _share(ratio: np.ndarray) -> str:
    known = ratio[np.isfinite(ratio)]
    return share(int((known > 1).sum()), len(known)) if len(known) else "–"
