"""What the priors know: bits per code of held-out scenes with the right sentence, a wrong one and none; and what they memorise.

    python -m labkit evaluate prior_top | prior_bottom

Bits are exact and need no judge. A sentence that is heeded makes held-out codes cheaper than another scene's sentence or none;
the differences are taken scene by scene. A drawing that has more codes in common with its nearest training scene than unseen
scenes have with theirs is remembered, not made.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from labkit.evaluation.generation import BATCH, SAMPLING
from labkit.evaluation.painting import PaintingReport, held_out_scenes, hits, measure_painting, prompt_of, share_of
from labkit.methods.prior_sampling import PriorSampling, pictures_of
from labkit.models.drawing import Draw, sample_codes
from labkit.models.pixelsnail import PixelSNAIL, bits_per_code, condition_of, knows_posed_alone
from labkit.training.bank import POSED, SceneBank, scene_bank
from labkit.training.codes import bank_codes
from labkit.world import caption, render

DRAWN = 200
CANDIDATES = 16  # drawings of a prompt among which CLIP chooses


def top_figures(lab, n: int) -> dict:
    """Figures of the prior of top codes, on n held-out scenes."""
    few, several = min(n, DRAWN), SAMPLING.but(candidates=CANDIDATES)
    return {"Bits per top code, on held-out scenes": bits_table(lab, lab.prior_top, n),
            "Top codes in common with the nearest training scene": memory_table(lab, n),
            f"Heeding its prompt, on {few} held-out combinations": heeding(lab, few).summary,
            f"The same, CLIP's favourite of {CANDIDATES} drawings": heeding(lab, few, several).summary}


def heeding(lab, n: int, template: PriorSampling = SAMPLING, n_jobs: int = -1) -> PaintingReport:
    """What the judge finds in pictures sampled for held-out combinations, each with a seed of its own, as it is asked of the
    other methods."""
    return measure_painting(lab, n, 1, template, n_jobs=n_jobs, own_seeds=True)


def bottom_figures(lab, n: int) -> dict:
    """Figures of the prior of bottom codes, given true top codes, on n held-out scenes."""
    few = min(n, DRAWN)
    return {"Bits per bottom code, on held-out scenes": bits_table(lab, lab.prior_bottom, n),
            f"Bottom codes drawn under the top codes of drawn scenes, {few} held-out combinations": under_true_top(lab, few)}


@torch.no_grad()
def under_true_top(lab, n: int) -> pd.DataFrame:
    """What the judge finds in pictures of n held-out combinations whose top codes are those of drawn scenes: what the bottom
    prior can do alone. Beside it what comes back of the scenes themselves."""
    vqvae, prior = lab.vqvae, lab.prior_bottom
    scenes = held_out_scenes(n, posed=knows_posed_alone(prior))
    found, rng = {"drawn": [], "the scenes' own": []}, torch.Generator().manual_seed(0)
    for k in range(0, n, BATCH):
        some = scenes[k:k + BATCH]
        x = torch.from_numpy(np.stack([render(s) for s in some])).permute(0, 3, 1, 2).float() / 127.5 - 1
        top, own = vqvae.encode_codes(x.to(lab.device))
        e = condition_of(lab, [prompt_of(s) for s in some], prior.config.condition)
        drawn = sample_codes(prior, SAMPLING.bottom, rng, e, top).codes
        for name, bottom in zip(found, (drawn, own), strict=True):
            verdicts = lab.judge.all(pictures_of(vqvae, (top, bottom)))
            found[name] += [hits(scene, seen) for scene, seen in zip(some, verdicts, strict=True)]
    return pd.DataFrame({name: pd.DataFrame(rows).apply(share_of) for name, rows in found.items()})


def held_out(lab, n: int, prior: PixelSNAIL) -> tuple[SceneBank, tuple[Tensor, Tensor], Tensor]:
    """n held-out scenes such as a prior knows, their codes, and the embeddings of captions that name everything."""
    bank, rng = known_scenes(prior, "held", n), np.random.default_rng(0)
    texts = [caption(bank.scene(k), rng, full=True) for k in range(len(bank))]
    return bank, bank_codes(lab.vqvae, bank), condition_of(lab, texts, prior.config.condition)


def known_scenes(prior: PixelSNAIL, split: str, n: int) -> SceneBank:
    """The first n scenes of a split; posed ones where a prior learned these alone."""
    return scene_bank(split, n, **(POSED if knows_posed_alone(prior) else {}))


def bits_table(lab, prior: PixelSNAIL, n: int) -> pd.DataFrame:
    """Bits per code with the right sentence, the next scene's and none, each with the 95 % interval of its mean, and how much
    dearer a code is than with the right one. Raises ValueError for n < 2."""
    if n < 2:
        raise ValueError(f"n: {n} scenes are too few for a wrong sentence; use 2 or more")
    _, codes, e = held_out(lab, n, prior)
    level = 1 if prior.config.coarser else 0
    above = codes[0] if level else None
    told = {"right sentence": e, "another scene's": e.roll(1, 0), "none": None}
    bits = {name: bits_per_code(prior, codes[level], c, above).double().numpy() for name, c in told.items()}
    rows = {name: {"bits": mean_interval(b), "dearer by": mean_interval(b - bits["right sentence"]) if k else "", "n": len(e)}
            for k, (name, b) in enumerate(bits.items())}
    rows["uniform"] = {"bits": f"{math.log2(prior.config.n_embed):.3f}", "dearer by": "", "n": len(e)}
    return pd.DataFrame(rows).T


def mean_interval(values: np.ndarray) -> str:
    """'3.214 (3.180–3.248)': a mean and its 95 % interval, mean ± 1.96 s/√n."""
    half = 1.959964 * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():.3f} ({values.mean() - half:.3f}–{values.mean() + half:.3f})"


def memory_table(lab, n: int, training: int = 10_000) -> pd.DataFrame:
    """Share of top codes in common with the nearest training scene: of drawings for sentences of held-out scenes, at most
    `DRAWN`, and of these scenes themselves, which nothing can remember."""
    prior = lab.prior_top
    _, codes, e = held_out(lab, n, prior)
    codes, e = [level[:DRAWN] for level in codes], e[:DRAWN]
    known = bank_codes(lab.vqvae, known_scenes(prior, "train", training))[0]
    drawn = sample_codes(prior, Draw(guidance=1), torch.Generator().manual_seed(0), e).codes.cpu()
    rows = {"drawings": most_in_common(drawn, known)[0], "held-out scenes": most_in_common(codes[0], known)[0]}
    return pd.DataFrame({name: {"mean": float(shares.mean()), "largest": float(shares.max()), "n": float(len(shares)),
                                "training scenes": f"{len(known):,}"}
                         for name, shares in rows.items()}).T


def most_in_common(codes: Tensor, known: Tensor, block: int = 4096) -> tuple[Tensor, Tensor]:
    """For each grid of codes (N, h, w) the share of its cells that are equal in the most similar of `known` (M, h, w), and the
    number of that one, of equally similar ones the first: (N,) float32 and (N,) int64."""
    best, which = torch.zeros(len(codes)), torch.zeros(len(codes), dtype=torch.long)
    for k, part in enumerate(known.split(block)):
        shares, at = torch.stack([(part == grid).flatten(1).float().mean(1) for grid in codes]).max(1)
        better = shares > best
        best, which = torch.where(better, shares, best), torch.where(better, at + k * block, which)
    return best, which
