"""Scores of a yes-or-no question about pairs, beside two answers that know nothing.

    pair_table(labels, probabilities)      rows: ours, majority, shuffled;  columns: accuracy, precision, recall, F1, macro-F1

An accuracy means something only beside that of always giving the commoner answer (`majority`), and of the same answers dealt
out to the wrong pairs (`shuffled`). Scores are scikit-learn's; what is 0/0 counts as 0 there, and is counted in `undefined`.
Intervals resample pairs; give `groups` (a picture's id, say) where several pairs share a picture, and groups are resampled.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from labkit.metrics.intervals import bootstrap

NAMES = ("accuracy", "precision", "recall", "F1", "macro-F1")


def pair_scores(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """The five scores of yes-or-no answers (n,) against labels (n,); precision, recall and F1 are those of "yes"."""
    labels, answers = np.asarray(labels, bool), np.asarray(answers, bool)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, answers, labels=[False, True], zero_division=0)
    values = (np.mean(labels == answers), precision[1], recall[1], f1[1], f1.mean())
    return dict(zip(NAMES, map(float, values), strict=True))


def pair_table(labels, probabilities, threshold: float = 0.5, groups=None, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """A row each of our answers (probability ≥ threshold), of the majority's and of ours shuffled (the mean of `draws` deals),
    with the ends of a 95 % interval as "F1 low" and "F1 high"; `n`, and the share of "yes" among labels.

    Raises ValueError on lengths that differ, on fewer than 2 pairs, on labels that are not 0 and 1, and where all labels are
    the same: then there is nothing to tell apart, and 1.0 is what any constant answer gets.
    """
    labels, p, groups = _checked(labels, probabilities, groups)
    ours, majority = p >= threshold, np.full(len(labels), labels.mean() >= 0.5)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng = np.random.default_rng(seed)
    deals = [pair_scores(labels, rng.permutation(ours)) for _ in range(draws)]
    rows = {}
    for name, answers in (("ours", ours), ("majority", majority)):
        rows[name] = pair_scores(labels, answers)
        for score in NAMES:
            def of(drawn: np.ndarray, answers=answers, score=score) -> float:
                picked = np.concatenate([members[k] for k in drawn])
                return pair_scores(labels[picked], answers[picked])[score]

            ends = bootstrap(of, len(members), min(draws, 200 if len(labels) > 5000 else draws), seed)
            rows[name] |= dict(zip((f"{score} low", f"{score} high"), ends, strict=True))
    dealt = pd.DataFrame(deals)
    rows["shuffled"] = dealt.mean().to_dict()
    for score in NAMES:
        low, high = dealt[score].quantile([0.025, 0.975])
        rows["shuffled"] |= {f"{score} low": low, f"{score} high": high}
    table = pd.DataFrame(rows).T
    columns = [c for score in NAMES for c in (score, f"{score} low", f"{score} high")]
    return table[columns].assign(n=len(labels), yes=labels.mean(), groups=len(members))


def similarity_table(similarities, labels=None) -> pd.DataFrame:
    """Mean, median, standard deviation (of the sample), least, largest and n of cosines in [-1, 1]: of all pairs and, where
    labels are given, of those that belong together and of those that do not.

    Raises ValueError on what is no cosine. A standard deviation of 0 is told by `notices_of`.
    """
    values = np.asarray(similarities, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or np.abs(values).max() > 1 + 1e-4:
        raise ValueError("similarities: give cosines in [-1, 1], one a pair, at least one")
    some = {"all": np.ones(len(values), bool)}
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != values.shape:
            raise ValueError(f"labels: {labels.shape} must be as many as the {len(values)} similarities")
        some |= {"matching": labels.astype(bool), "not matching": ~labels.astype(bool)}
    rows = {}
    for name, where in some.items():
        v = values[where]
        rows[name] = {"mean": v.mean(), "median": np.median(v), "std": v.std(ddof=1) if len(v) > 1 else np.nan, "min": v.min(),
                      "max": v.max(), "n": len(v)} if len(v) else {"n": 0}
    return pd.DataFrame(rows).T


def notices_of(table: pd.DataFrame) -> list[str]:
    """What is suspicious in a `similarity_table`: cosines that do not vary, or all near 1."""
    row = table.loc["all"]
    if row["n"] > 1 and row["std"] < 1e-6:
        return [f"all {row['n']:.0f} similarities are {row['mean']:.3f}: is a vector compared with itself?"]
    return []


def _checked(labels, probabilities, groups) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.shape != p.shape or labels.ndim != 1 or len(labels) < 2:
        raise ValueError(f"labels, probabilities: give one of each a pair, 2 pairs or more; got {labels.shape} and {p.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels: each must be 0 or 1; leave unlabelled pairs out, they are no negatives")
    if not np.isfinite(p).all():
        raise ValueError("probabilities: some are NaN or infinite")
    if labels.min() == labels.max():
        raise ValueError(f"labels: all {len(labels)} are {int(labels[0])}, so that any constant answer would be right; give "
                         "pairs of both kinds")
    groups = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if groups.shape != labels.shape:
        raise ValueError(f"groups: give one a pair, {len(labels)}; got {groups.shape}")
    return labels.astype(bool), p, groups
