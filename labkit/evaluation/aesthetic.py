"""What an aesthetic predictor knows: the order of degradations on unseen scenes, and what a difference of one means.

    python -m labkit evaluate aesthetic

Of every scene one ladder per kind of degradation, six rungs from nothing to all: Spearman's correlation of the scores with the
order within a ladder, its mean over scenes; and the share of pairs of neighbouring rungs in the right order. `calibration` asks
what the scores' differences promise: P(better) = σ(Δ) (Bradley & Terry 1952) against how often it is so.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from labkit.image.degrade import KINDS, Degradation, degraded, drawn, ladder, scaled
from labkit.training.bank import SceneBank, scene_bank

RUNGS = 6
BINS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # of Δ


@torch.no_grad()
def ladder_scores(lab, bank: SceneBank, index, kind: str, normalised: bool = True, rungs: int = RUNGS) -> np.ndarray:
    """(scenes, rungs): the scores of each scene's ladder of one kind, undegraded first; even scenes one way, odd ones the
    other, where there are two."""
    rng, out = torch.Generator().manual_seed(17), []
    for k in index:
        x = (bank.images([k]) + 1) / 2
        noise = torch.randn(x.shape, generator=rng)
        made = degraded(x, ladder([Degradation(kind, 1.0, 1 if k % 2 else -1)], rungs), noise)
        out.append(lab.aesthetic.score(lab.clip, made.to(lab.device), normalised).cpu().numpy())
    return np.stack(out)


def spearman(scores: np.ndarray) -> np.ndarray:
    """(scenes,): Spearman's correlation of each row's scores with the order first to last = best to worst. Equal scores share
    their mean rank; a row of nothing but equal ones correlates 0."""
    ranks = pd.DataFrame(-scores).rank(axis=1).to_numpy()
    order = np.arange(scores.shape[1], dtype=float)
    a, b = ranks - ranks.mean(1, keepdims=True), order - order.mean()
    size = np.sqrt((a**2).sum(1) * (b**2).sum())
    return np.divide((a * b).sum(1), size, out=np.zeros(len(scores)), where=size > 0)


def order_table(lab, n: int = 500, normalised: bool = True) -> pd.DataFrame:
    """A row a kind and one for all, of test scenes; a row for held-out combinations. Columns Spearman and pairs right."""
    per_kind, rows = max(1, n // len(KINDS)), {}

    def row(scores: list[np.ndarray]) -> dict[str, float]:
        return {"Spearman": float(np.mean([r for s in scores for r in spearman(s)])),
                "neighbours right": float(np.mean([(np.diff(s, axis=1) < 0).mean() for s in scores])),
                "n": sum(map(len, scores))}

    found = {split: {kind: ladder_scores(lab, scene_bank(split, n), range(m * per_kind, (m + 1) * per_kind), kind, normalised)
                     for m, kind in enumerate(KINDS)} for split in ("test", "held")}
    rows = {"all": row(list(found["test"].values())), "held-out": row(list(found["held"].values()))}
    return pd.DataFrame(rows | {kind: row([scores]) for kind, scores in found["test"].items()}).T


@torch.no_grad()
def pair_differences(lab, n: int = 500, split: str = "test") -> np.ndarray:
    """(n,): score of the less degraded minus that of the more degraded, of pairs drawn as in training from unseen scenes."""
    bank, rng, generator, out = scene_bank(split, n), np.random.default_rng(23), torch.Generator().manual_seed(23), []
    for k in range(n):
        those, share = drawn(rng, 1 + int(rng.random() < 0.4), least=0.3), 0.0 if rng.random() < 0.4 else rng.uniform(0, 0.8)
        x = (bank.images([k]) + 1) / 2
        two = [scaled(those, share), scaled(those, rng.uniform(share + 0.1, 1))]
        made = degraded(x, two, torch.randn(x.shape, generator=generator))
        a, b = lab.aesthetic.score(lab.clip, made.to(lab.device)).tolist()
        out.append(a - b)
    return np.array(out)


def calibration(differences: np.ndarray) -> pd.DataFrame:
    """Per bin of |Δ|: how often the higher score was of the better picture (`right`), what σ(|Δ|) promises, and n."""
    size, rows = np.abs(differences), {}
    for low, high in zip(BINS, (*BINS[1:], np.inf), strict=True):
        inside = (size >= low) & (size < high)
        if inside.any():
            rows[f"{low:g} to {high:g}"] = {"right": float((differences[inside] > 0).mean()),
                                            "promised": float((1 / (1 + np.exp(-size[inside]))).mean()), "n": int(inside.sum())}
    return pd.DataFrame(rows).T


def unit_of(differences: np.ndarray) -> float:
    """The factor c for which σ(c · Δ) fits best: 1 is calibrated, below 1 the scores promise too much. By Newton's method on
    the likelihood."""
    c = 1.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-c * differences))
        slope, bend = ((1 - p) * differences).sum(), (p * (1 - p) * differences**2).sum()
        c += float(np.clip(slope / max(bend, 1e-9), -0.5, 0.5))
    return c


def aesthetic_figures(lab, n: int) -> dict:
    """The order of degradations, the calibration, and the mistake of vectors that were not brought to length 1."""
    differences = pair_differences(lab, n)
    one = (np.abs(differences) > 0.75) & (np.abs(differences) < 1.25)
    return {"Order of degradations": order_table(lab, n),
            "Calibration: how often the higher score is of the better picture, by the scores' difference":
                calibration(differences),
            "What a difference of one means": {"right where scores differ by one": float((differences[one] > 0).mean()),
                                               "factor that would fit best": unit_of(differences)},
            "The mistake: CLIP's vectors not brought to length 1": order_table(lab, n, normalised=False).loc[["all"]]}
