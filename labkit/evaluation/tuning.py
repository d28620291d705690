"""What fine-tuning did to a CLIP, in numbers: its domain, what it kept, sentences against words, and how many directions its
vectors still have.

    effective rank = exp(−Σ p_k log p_k),  p_k = σ_k / Σ σ        of the centred vectors' singular values (Roy & Vetterli 2007)

`wise_curve` goes from the start to what was learnt (Wortsman et al. 2022): the best point has the best mean of the two shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from labkit.clip.encoder import Encoder
from labkit.clip.zero_shot import SENTENCE, TEMPLATES, WORD, Probe, accuracy, class_vectors, picture_vectors, world_probe
from labkit.lab import Lab
from labkit.pairs.labelled import LabelledSet
from labkit.training.clip_finetune import FineTuneCLIP


@dataclass(frozen=True)
class Tuned:
    """A finished fine-tuning: its `spec`, the scores of every step (`course`), the encoder at any of WiSE-FT's α (`at`), and
    what saves (`weights`)."""

    spec: FineTuneCLIP
    course: pd.DataFrame
    at: Callable[[float], Encoder]
    weights: tuple[dict, dict]

    @property
    def encoder(self) -> Encoder:
        """The encoder that is saved."""
        return self.at(self.spec.holds.wise)


def tune(lab, spec: FineTuneCLIP, data: LabelledSet | None = None) -> Tuned:
    """Run a fine-tuning to its end."""
    course, last = [], None
    for step in spec.run(lab, data=data):
        course.append(step.scores)
        last = step
    return Tuned(spec, pd.DataFrame(course), last.extras["tuned"], last.extras["weights"]())


def effective_rank(vectors: Tensor) -> float:
    """How many directions vectors (N, D) fill, 1 to N − 1; 1 where all of them are one."""
    centred = vectors.double() - vectors.double().mean(0)
    spectrum = torch.linalg.svdvals(centred)
    if float(spectrum.sum()) < 1e-9:
        return 1.0
    share = spectrum / spectrum.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


@torch.no_grad()
def check_up(encoder: Encoder, data: LabelledSet, templates: Sequence[str] = TEMPLATES, probe: Probe | None = None) -> dict:
    """The encoder's state in shares and counts, on the set's test pictures and on the probe:

    in-domain            zero-shot accuracy by the templates       word, sentence   by the bare label; by "a picture of a …"
    retained, colour     among the world's subjects and colours    sentences        captions that find their own scene (R@1)
    text rank            effective rank of captions' vectors       picture rank     of the probe's pictures
    agreement            mean cosine of one label's prompts by other templates, less that of other labels' by the same
    confidence           mean probability of what it decides, in-domain
    """
    probe = probe or world_probe(96, encoder.size)
    own, others = picture_vectors(encoder, data.test.pictures), picture_vectors(encoder, probe.pictures)
    prompts, y = class_vectors(encoder, data.classes, templates), data.test.labels
    by = {name: class_vectors(encoder, data.classes, some) for name, some in (("word", WORD), ("sentence", SENTENCE))}
    return {"in-domain": accuracy(own, y, prompts), **{name: accuracy(own, y, w) for name, w in by.items()},
            "retained": probe.subject_accuracy(encoder, others), "colour": probe.colour_accuracy(encoder, others),
            "sentences": probe.sentence_recall(encoder, others),
            "text rank": effective_rank(encoder.encode_text(list(probe.captions))), "picture rank": effective_rank(others),
            "agreement": _agreement(encoder, data, templates),
            "confidence": float((own @ prompts.T * encoder.scale).softmax(1).amax(1).mean())}


def _agreement(encoder: Encoder, data: LabelledSet, templates: Sequence[str]) -> float:
    each = torch.stack([class_vectors(encoder, data.classes, (t,)) for t in dict.fromkeys([*templates, *WORD, *SENTENCE])])
    t, c = each.shape[:2]
    cosine = torch.einsum("tcd,sed->tsce", each, each)
    same = cosine.diagonal(dim1=2, dim2=3).mean(-1)[~torch.eye(t, dtype=torch.bool)].mean()
    others = cosine.diagonal(dim1=0, dim2=1)[~torch.eye(c, dtype=torch.bool)].mean()
    return float(same - others)


def wise_curve(tuned: Tuned, data: LabelledSet, alphas: Sequence[float], part: str = "validation") -> pd.DataFrame:
    """A row for each α: `alpha`, `in-domain` (of a split), `retained`, `sentences`, `mean` of in-domain and retained."""
    probe, rows, split = world_probe(96, tuned.at(0.0).size), [], getattr(data, part)
    for alpha in alphas:
        encoder = tuned.at(alpha)
        others = picture_vectors(encoder, probe.pictures)
        own = accuracy(picture_vectors(encoder, split.pictures), split.labels,
                       class_vectors(encoder, data.classes, tuned.spec.prompts_of(data)))
        kept = probe.subject_accuracy(encoder, others)
        rows.append({"alpha": alpha, "in-domain": own, "retained": kept, "sentences": probe.sentence_recall(encoder, others),
                     "mean": (own + kept) / 2})
    return pd.DataFrame(rows)


def best_alpha(curve: pd.DataFrame) -> float:
    """The α with the best mean; of equal ones the nearest to the start."""
    return float(curve["alpha"].iloc[int(np.argmax(curve["mean"].round(6)))])


def with_guide(lab: Lab, guide: Encoder) -> Lab:
    """A lab that shares this one's models and is guided by another CLIP. For this process: workers need a file."""
    other = Lab(**lab.arguments)
    other._models.update({kind: lab.model(kind) for kind in lab.loaded})
    other._models["guide"] = guide
    return other
