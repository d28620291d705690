"""Scores of captions against reference captions: BLEU, METEOR, ROUGE-1 and ROUGE-L, each with a bootstrap interval.

    caption_scores(["a red apple"], [["a red apple in the snow", "an apple"]])          # a list of `Score`

BLEU is sacrebleu's (Papineni et al. 2002; Post 2018), ROUGE torchmetrics' (Lin 2004), METEOR ours (`labkit.metrics.meteor`).
All lie in [0, 1] here; papers often print them times 100. The interval resamples captions, so that it says how far another set
of as many would differ. BLEU is a figure of the whole set (its counts are summed before they are divided), the others are
means.
"""

from __future__ import annotations

import numpy as np
from sacrebleu.metrics import BLEU
from torchmetrics.functional.text import rouge_score

from labkit.metrics.intervals import bootstrap
from labkit.metrics.meteor import STAGES, meteor_sentence, tokens
from labkit.metrics.score import UNIT, Score, mean_score

PARTS = ("precision", "recall", "fmeasure")


def checked(hypotheses: list[str], references: list[list[str]]) -> None:
    """Raises ValueError where captions and references are no pairs, or a text is missing."""
    if isinstance(hypotheses, str) or any(isinstance(refs, str) for refs in references):
        raise ValueError("references: give a list of texts for each caption, as one picture may have several")
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(f"references: {len(hypotheses)} captions need as many lists of references, at least one; got "
                         f"{len(references)}")
    for k, refs in enumerate(references):
        if not refs or not all(tokens(text) for text in refs):
            raise ValueError(f"references: those of caption {k} hold no words; give one text or more, or leave the caption out")


def bleu(hypotheses: list[str], references: list[list[str]], order: int = 4, draws: int = 1000, seed: int = 0) -> Score:
    """Corpus BLEU up to n-grams of `order`, lower-cased. Smoothed (Chen & Cherry 2014, method 3) only where an order has no
    match at all, as sacrebleu does. Parts: the precision of each order, the brevity penalty."""
    checked(hypotheses, references)
    if not 1 <= order <= 4:
        raise ValueError(f"order: must be 1 to 4; got {order}")
    metric = BLEU(lowercase=True, max_ngram_order=order, effective_order=True)
    lines = [metric.sentence_score(h, refs) for h, refs in zip(hypotheses, references, strict=True)]
    counts, totals = (np.array([getattr(line, name) for line in lines]) for name in ("counts", "totals"))
    lengths = np.array([(line.sys_len, line.ref_len) for line in lines])

    def of(rows: np.ndarray):
        ours, theirs = lengths[rows].sum(0)
        return BLEU.compute_bleu(counts[rows].sum(0).tolist(), totals[rows].sum(0).tolist(), int(ours), int(theirs),
                                 smooth_method="exp", max_ngram_order=order)

    whole = of(np.arange(len(lines)))
    parts = {f"{n + 1}-gram precision": p / 100 for n, p in enumerate(whole.precisions)} | {"brevity penalty": whole.bp}
    low, high = bootstrap(lambda rows: of(rows).score / 100, len(lines), draws, seed)
    return Score(f"BLEU-{order}", "corpus, lower-cased, 13a tokens, smoothed if an order has no match (sacrebleu)",
                 whole.score / 100, low, high, len(lines), UNIT, "higher", parts=parts)


def meteor(hypotheses: list[str], references: list[list[str]], draws: int = 1000, seed: int = 0) -> Score:
    """The mean METEOR of the captions, exact and stem stages only."""
    checked(hypotheses, references)
    values = [meteor_sentence(h, refs) for h, refs in zip(hypotheses, references, strict=True)]
    return mean_score("METEOR-ES", f"{STAGES}; α 0.9, β 3, γ 0.5; best reference", values, draws=draws, seed=seed)


def rouge(hypotheses: list[str], references: list[list[str]], kind: str = "1", part: str = "fmeasure", draws: int = 1000,
          seed: int = 0) -> Score:
    """The mean ROUGE-1 or ROUGE-L of the captions, their best references', as "fmeasure" (β = 1), "precision" or "recall": all
    three are in its parts. No stemming."""
    checked(hypotheses, references)
    if kind not in ("1", "2", "L") or part not in PARTS:
        raise ValueError(f"kind, part: must be 1, 2 or L and one of {', '.join(PARTS)}; got {kind!r} and {part!r}")
    key, rows = f"rouge{kind}", []
    for h, refs in zip(hypotheses, references, strict=True):
        found = rouge_score([h], [list(refs)], rouge_keys=key, normalizer=str.lower, tokenizer=tokens)
        rows.append([float(found[f"{key}_{p}"]) for p in PARTS])
    values = np.array(rows)
    means = dict(zip(PARTS, values.mean(0).tolist(), strict=True))
    variant = {"fmeasure": "F with β = 1", "precision": "precision", "recall": "recall"}[part]
    return mean_score(f"ROUGE-{kind}", f"{variant}, no stemming, best reference (torchmetrics)", values[:, PARTS.index(part)],
                      draws=draws, seed=seed, parts=means)


def caption_scores(hypotheses: list[str], references: list[list[str]], draws: int = 1000, seed: int = 0) -> list[Score]:
    """BLEU-1, BLEU-4, METEOR, ROUGE-1, ROUGE-L. Raises ValueError on captions without references."""
    given = (hypotheses, references)
    return [bleu(*given, 1, draws, seed), bleu(*given, 4, draws, seed), meteor(*given, draws, seed),
            rouge(*given, "1", draws=draws, seed=seed), rouge(*given, "L", draws=draws, seed=seed)]
