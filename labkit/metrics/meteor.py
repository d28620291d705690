"""METEOR with two of its stages: words match exactly, or by their Porter stems. No word-net, so nothing is downloaded.

    F = P·R / (α·P + (1 - α)·R),   penalty = γ·(chunks / matches)^β,   METEOR = F·(1 - penalty)

Banerjee & Lavie 2005, with α = 0.9, β = 3, γ = 0.5. Stages run one after the other, each on the words that are still free. Of
all alignments with the most matches a stage takes one with the fewest crossings, and of those one with the fewest chunks.
Published METEOR figures also match WordNet's synonyms: they are a little higher, and are not to be compared with these.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import combinations, product

import snowballstemmer

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
STAGES = "stages exact and Porter stem, no synonyms"
MOST = 2000  # alignments that are compared; a sentence with more of them is long and says the same words many times

Pairs = list[tuple[int, int]]


def tokens(text: str) -> list[str]:
    """The words of a text in lower case: letters and digits of any script, no punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


@cache
def _stemmer():
    return snowballstemmer.stemmer("porter")


@cache
def stem(word: str) -> str:
    """Porter's stem (1980) of an English word."""
    return _stemmer().stemWord(word)


def align(hypothesis: list[str], reference: list[str]) -> Pairs:
    """Pairs (place in the hypothesis, place in the reference) of words that match, in the hypothesis' order."""
    found: Pairs = []
    for key in (str, stem):
        left = [i for i in range(len(hypothesis)) if i not in {a for a, _ in found}]
        right = [j for j in range(len(reference)) if j not in {b for _, b in found}]
        found = _stage(hypothesis, reference, left, right, key, found)
    return sorted(found)


def _stage(hypothesis: list[str], reference: list[str], left: list[int], right: list[int], key: Callable[[str], str],
           before: Pairs) -> Pairs:
    """What was found before and the best matches of the free words `left` and `right` under a key."""
    where: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i in left:
        where[key(hypothesis[i])][0].append(i)
    for j in right:
        where[key(reference[j])][1].append(j)
    places = [(mine, theirs, min(len(mine), len(theirs))) for mine, theirs in where.values()]
    ways = math.prod(math.comb(len(mine), k) * math.comb(len(theirs), k) for mine, theirs, k in places)
    if ways > MOST:
        places = [(mine[:k], theirs[:k], k) for mine, theirs, k in places]
    # Which of a word's places are used; paired in order, as of the same places any other pairing crosses more.
    options = [[list(zip(a, b, strict=True)) for a in combinations(mine, k) for b in combinations(theirs, k)]
               for mine, theirs, k in places if k]
    every = ([*before, *(pair for some in choice for pair in some)] for choice in product(*options))
    return min(every, key=lambda pairs: (_crossings(pairs), chunks(pairs)))


def _crossings(pairs: Pairs) -> int:
    return sum((a < c) != (b < d) for (a, b), (c, d) in combinations(pairs, 2))


def chunks(pairs: Pairs) -> int:
    """How many runs of neighbours, on both sides, an alignment has."""
    pairs = sorted(pairs)
    return sum(k == 0 or pairs[k] != (pairs[k - 1][0] + 1, pairs[k - 1][1] + 1) for k in range(len(pairs)))


def meteor_sentence(hypothesis: str, references: list[str]) -> float:
    """METEOR in [0, 1] of a sentence: the best over its references."""
    return max(_one(tokens(hypothesis), tokens(reference)) for reference in references)


def _one(hypothesis: list[str], reference: list[str]) -> float:
    pairs = align(hypothesis, reference)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(hypothesis), len(pairs) / len(reference)
    f = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return f * (1 - GAMMA * (chunks(pairs) / len(pairs)) ** BETA)
