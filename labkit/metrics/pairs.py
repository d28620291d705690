"""Scores of a yes-or-no question about pairs, beside two answers that know nothing.

    pair_table(labels, probabilities)      rows: ours, majority, shuffled;  columns: accuracy, precision, recall, F1, macro-F1

An accuracy means something only beside that of always giving the commoner answer (`majority`), and of the same answers dealt
out to the wrong pairs (`shuffled`). What is 0/0 counts as 0, as in scikit-learn.
Intervals resample pairs; give `groups` (a picture's id, say) where several pairs share a picture, and groups are resampled.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

NAMES = ("accuracy", "precision", "recall", "F1", "macro-F1")


def pair_scores(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """The five scores of yes-or-no answers (n,) against labels (n,); precision, recall and F1 are those of "yes"."""
    return dict(zip(NAMES, scores_of(outcomes(labels, answers).sum(0)).tolist(), strict=True))


def outcomes(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(n, 4) zeros and ones: true yes, false yes, false no, true no."""
    labels, answers = np.asarray(labels, bool), np.asarray(answers, bool)
    return np.stack([labels & answers, ~labels & answers, labels & ~answers, ~labels & ~answers], -1).astype(np.int64)


def scores_of(counts: np.ndarray) -> np.ndarray:
    """Counts (…, 4) of outcomes → (…, 5): accuracy, precision, recall, F1, macro-F1. 0/0 is 0, as in scikit-learn."""
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)

    def share(a, b):
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    f1, f1_no = share(2 * tp, 2 * tp + fp + fn), share(2 * tn, 2 * tn + fp + fn)
    return np.stack([share(tp + tn, tp + fp + fn + tn), share(tp, tp + fp), share(tp, tp + fn), f1, (f1 + f1_no) / 2], -1)


def pair_table(labels, probabilities, threshold: float = 0.5, groups=None, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """A row each of our answers (probability ≥ threshold), of the majority's and of ours shuffled (the mean of `draws` deals),
    with the ends of a 95 % interval as "F1 low" and "F1 high"; `n`, and the share of "yes" among labels.

    Raises ValueError on lengths that differ, on fewer than 2 pairs, on labels that are not 0 and 1, and where all labels are
    the same: then there is nothing to tell apart, and 1.0 is what any constant answer gets.
    """
    labels, p, groups = _checked(labels, probabilities, groups)
    ours, majority = p >= threshold, np.full(len(labels), labels.mean() >= 0.5)
    rng, n = np.random.default_rng(seed), groups.max() + 1
    drawn = rng.multinomial(n, np.full(n, 1 / n), draws)  # how often each group is in each resample
    rows = {}
    for name, answers in (("ours", ours), ("majority", majority)):
        each = outcomes(labels, answers)
        per_group = np.stack([np.bincount(groups, each[:, k], n) for k in range(4)], -1)
        rows[name] = _row(scores_of(each.sum(0)), scores_of(drawn @ per_group))
    deals = scores_of(np.stack([outcomes(labels, rng.permutation(ours)).sum(0) for _ in range(draws)]))
    rows["shuffled"] = _row(deals.mean(0), deals)
    return pd.DataFrame(rows).T.assign(n=len(labels), yes=labels.mean(), groups=n)


def _row(values: np.ndarray, resampled: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return {f"{score}{end}": float(v[k]) for k, score in enumerate(NAMES)
            for end, v in (("", values), (" low", low), (" high", high))}


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
