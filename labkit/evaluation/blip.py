"""What the pocket BLIP can do, on unseen scenes: the figures of its card; and what any BLIP scores on labelled pairs.

    python -m labkit evaluate blip --n 2000 --card

Matching is asked with a true caption and one that is false in a single attribute (`labkit.world.contrast`). Beside the scores
of the codes report stand those of always giving the commoner answer and of the same answers dealt to other pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image

from labkit.clip.blip import BLIP
from labkit.metrics.pairs import NAMES, notices_of, pair_table, similarity_table
from labkit.training.bank import SceneBank, scene_bank
from labkit.world import Scene, classes, read
from labkit.world.contrast import ATTRIBUTES, Contrast, contrast

PART = 250  # pictures at once
DEALS = 20  # of answers to other pairs: on a card no interval is shown


@dataclass(frozen=True)
class PairReport:
    """`scores` has rows ours, majority, shuffled (see `labkit.metrics.pairs`); `similarity` rows all, matching, not matching;
    `notices` name what is suspicious in them."""

    scores: pd.DataFrame
    similarity: pd.DataFrame
    notices: list[str]


def report_on_pairs(blip: BLIP, pictures: torch.Tensor | Sequence[Image.Image], texts: list[str], labels: Sequence[bool],
                    groups: Sequence | None = None, threshold: float = 0.5, draws: int = 1000) -> PairReport:
    """Scores of labelled pairs: a picture (in [0, 1], or PIL) and a text each, a label, and the picture's id in `groups`, where
    several pairs share one; `draws` of the intervals' resampling. Leave unlabelled pairs out. Raises ValueError where all are
    labelled the same."""
    probabilities, cosines = _asked(blip, pictures, texts)
    labels = np.asarray(labels, dtype=bool)
    similarity = similarity_table(cosines, labels)
    return PairReport(pair_table(labels, probabilities, threshold, groups, draws), similarity, notices_of(similarity))


@torch.no_grad()
def _asked(blip: BLIP, pictures, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a match and cosine of each pair."""
    match, cosine = [], []
    for k in range(0, len(texts), PART):
        x, some = pictures[k:k + PART], texts[k:k + PART]
        match.append(blip.match(x, some))
        cosine.append((blip.encode_image(x) * blip.encode_text(some)).sum(1).clamp(-1, 1))
    return torch.cat(match).cpu().numpy(), torch.cat(cosine).cpu().numpy()


@dataclass(frozen=True)
class Asked:
    """A bank's scenes with a true and a false caption each: probabilities and cosines (N, 2), the true one first."""

    contrasts: list[Contrast]
    match: np.ndarray
    cosine: np.ndarray


def ask(blip: BLIP, bank: SceneBank, seed: int = 11) -> Asked:
    """What a BLIP says of the scenes of a bank and of captions that are false in one attribute."""
    rng, found, match, cosine = np.random.default_rng(seed), [], [], []
    for k in range(0, len(bank), PART):
        index = range(k, min(k + PART, len(bank)))
        x, some = _pictures(bank, index), [contrast(bank.scene(j), rng) for j in index]
        right, wrong = (_asked(blip, x, list(texts)) for texts in zip(*((c.right, c.wrong) for c in some), strict=True))
        match.append(np.stack([right[0], wrong[0]], axis=1))
        cosine.append(np.stack([right[1], wrong[1]], axis=1))
        found += some
    return Asked(found, np.concatenate(match), np.concatenate(cosine))


def _pictures(bank: SceneBank, index) -> torch.Tensor:
    return (bank.images(index) + 1) / 2


def matching_table(asked: dict[str, Asked]) -> pd.DataFrame:
    """A row per set of scenes and per attribute that the false caption gets wrong (of the first set): the share of pairs told
    right, of true captions taken for true, of false ones taken for false, of scenes whose true caption is the likelier one;
    `n` scenes, each with two pairs."""
    first = next(iter(asked.values()))
    rows = {name: (a, range(len(a.contrasts))) for name, a in asked.items()}
    rows |= {f"wrong {attribute}": (first, [k for k, c in enumerate(first.contrasts) if c.attribute == attribute])
             for attribute in ATTRIBUTES}
    table = {}
    for name, (a, ks) in rows.items():
        true, false = a.match[list(ks)].T
        if len(true):
            kept, refused = (true >= 0.5).mean(), (false < 0.5).mean()
            table[name] = {"accuracy": (kept + refused) / 2, "true": kept, "false": refused,
                           "true before false": (true > false).mean(), "n": len(true)}
    return pd.DataFrame(table).T


def named(text: str, scene: Scene) -> dict[str, float]:
    """What a caption names of a scene: 1 or 0 for each attribute, NaN where it is not asked. Subject and colour of one-subject
    scenes, the colour where there is one; of two subjects both."""
    found, wanted = read(text), [p.subject for p in scene.subjects]
    single, colour = len(wanted) == 1, scene.subjects[0].colour
    return {"subject": float(found.subjects[:1] == (wanted[0],)) if single else np.nan,
            "two subjects": np.nan if single else float(set(found.subjects) == set(wanted)),
            "colour": float(colour in found.colours) if single and colour else np.nan,
            "setting": float(found.setting == scene.setting), "style": float(found.style == scene.style)}


def caption_table(blip: BLIP, banks: dict[str, SceneBank]) -> pd.DataFrame:
    """Shares of captions that name what is in the picture (see `named`), a row per set of scenes and per style of the first."""
    seen = {}
    for name, bank in banks.items():
        parts = [range(k, min(k + PART, len(bank))) for k in range(0, len(bank), PART)]
        texts = [t for part in parts for t in blip.caption(_pictures(bank, part))]
        seen[name] = pd.DataFrame([named(t, bank.scene(k)) for k, t in enumerate(texts)])
    first, bank = next(iter(seen.items()))
    styles = np.array([banks[first].scene(k).style for k in range(len(bank))])
    seen |= {s: bank[styles == s] for s in classes("style") if (styles == s).any()}
    return pd.DataFrame({name: {**frame.mean().to_dict(), "n": len(frame)} for name, frame in seen.items()}).T


def blip_figures(lab, n: int) -> dict:
    """Matching, captions, and the report's scores beside their baselines."""
    banks = {"all": scene_bank("test", n), "held-out": scene_bank("held", n)}
    asked = {name: ask(lab.blip, bank) for name, bank in banks.items()}
    both = asked["all"]
    labels = np.tile([True, False], n)
    scores = pair_table(labels, both.match.ravel(), groups=np.repeat(np.arange(n), 2), draws=DEALS)
    similarity = similarity_table(both.cosine.ravel(), labels)
    digits = similarity.drop(columns="n").map(lambda v: f"{v:.3f}").assign(n=similarity["n"])
    return {"Matching: a true caption, and one that is false in one attribute": matching_table(asked),
            "Captions name": caption_table(lab.blip, banks),
            "Scores of the same pairs": scores[[*NAMES, "n"]], "Cosines of the same pairs": digits}
