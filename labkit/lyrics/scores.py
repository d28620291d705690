"""The terms of a key phrase's score, its English prompt, and the pick of phrases that are unlike each other.

Equations in `labkit.lyrics.phrases`. Maximal marginal relevance: Carbonell & Goldstein 1998; the shared words over the
shorter phrase's: Szymkiewicz 1934, Simpson 1943.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from labkit.lyrics.candidates import Candidate, candidates
from labkit.lyrics.words import checked_norms, normalise, seed_words
from labkit.spec import NonFiniteError

PICTURES = ("a picture of {}", "a photo of {}", "a drawing of {}", "a painting of {}", "an illustration of {}")
ABSTRACT = ("an abstract idea", "a thought", "a feeling", "something", "a thing")
TERMS = ("concreteness", "repetition", "picturability", "overlap")
SIGNS = {"concreteness": 1, "repetition": 1, "picturability": 1, "overlap": -1}
BLOCK = 512  # rows at once of a line's words × words, which bounds memory on a text without line breaks
GUESS, ABSTRACT_GUESS = 3.0, 2.0  # concreteness of a word that no list has; and of one with an ending of abstract nouns
ENDINGS = {"en": ("ness", "tion", "sion", "ity", "ism", "hood", "ship", "ment", "ance", "ence", "dom"),
           "ru": ("ость", "ение", "ание", "ство", "изм", "ция", "ота", "ост", "ени", "ани", "ств", "от")}


@dataclass
class Phrase:
    """A candidate of the whole text: its first line, the numbers of all lines that have it with how often each counts, its
    terms (what was not measured is missing), its English prompt, and notes."""

    candidate: Candidate
    line: str
    times: dict[int, int]
    terms: dict[str, float] = field(default_factory=dict)
    prompt: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its lines, ascending."""
        return tuple(sorted(self.times))

    @property
    def count(self) -> int:
        """How often it is sung."""
        return sum(self.times.values())

    def score(self, weights) -> float:
        """Σ ± weight · term; a term that was not measured adds 0."""
        return sum(SIGNS[t] * getattr(weights, t) * v for t, v in self.terms.items())


def gather(lines, find) -> list[Phrase]:
    """The candidates of all distinct lines, one per key (its lemmas), with its first line and every line's number."""
    found: dict[tuple[str, ...], Phrase] = {}
    for line in lines:
        for key, candidate in {c.tokens: c for c in reversed(find(line.text))}.items():
            if key not in found:
                found[key] = Phrase(candidate, line.text, {})
            for number, times in line.times.items():  # two pieces of one line add up
                found[key].times[number] = found[key].times.get(number, 0) + times
    return sorted(found.values(), key=lambda p: (p.numbers[0], p.line.find(p.candidate.shown), -len(p.candidate.words)))


class Concreteness:
    """Mean concreteness of a phrase's words in [0, 1]: the reader's norms, then our list, then a guess that is noted."""

    def __init__(self, code: str, rules, norms: Mapping[str, float] | None):
        own = {word: value for word, (_, value) in seed_words(code).items()}
        self.values = own | (checked_norms(norms) if norms else {})
        self.code, self.rules = code, rules
        if rules.stems:
            self.values = {rules.lemma(word): value for word, value in self.values.items()}

    def __call__(self, phrase: Phrase) -> float:
        whole = self.values.get(" ".join(phrase.candidate.tokens), self.values.get(normalise(phrase.candidate.shown)))
        if whole is not None:
            return (whole - 1) / 4
        ratings = []
        for word in phrase.candidate.words:
            rating = self.values.get(word, self.values.get(self.rules.stem(word)))
            if rating is None:
                rating = ABSTRACT_GUESS if len(word) > 5 and word.endswith(ENDINGS[self.code]) else GUESS
                phrase.notes.append(f"concreteness of '{word}' is a guess ({rating:g} of 5)")
            ratings.append(rating)
        return (sum(ratings) / len(ratings) - 1) / 4


def overlaps(words: Sequence[tuple[str, ...]], times: Sequence[Mapping[int, int]]) -> list[float]:
    """How much of each phrase is a piece of a longer one: in each of its lines the largest share of its words that one phrase
    of more words in that line has as well, averaged over its lines as often as each counts. 1: it never stands alone."""
    total = np.zeros(len(words))
    lines: dict[int, list[int]] = {}
    for i, where in enumerate(times):
        for number in where:
            lines.setdefault(number, []).append(i)
    for number, here in lines.items():
        often = np.array([times[i][number] for i in here])
        has = _incidence([words[i] for i in here])
        size = has.sum(1)
        for k in range(0, len(here), BLOCK):
            longer = size[None, :] > size[k:k + BLOCK, None]
            shared = np.where(longer, has[k:k + BLOCK] @ has.T, 0).max(1) / size[k:k + BLOCK]
            total[here[k:k + BLOCK]] += often[k:k + BLOCK] * shared
    return [float(t) / sum(where.values()) for t, where in zip(total, times, strict=True)]


def likeness(words: Sequence[tuple[str, ...]]) -> np.ndarray:
    """(N, N) shared words over the words of the shorter phrase (Szymkiewicz–Simpson): 1 where one holds the other."""
    has = _incidence(words)
    size = has.sum(1)
    return has @ has.T / np.maximum(np.minimum(size[:, None], size[None, :]), 1)


def _incidence(words: Sequence[tuple[str, ...]]) -> np.ndarray:
    """(phrases, distinct words): 1 where the phrase has the word."""
    every = {w: i for i, w in enumerate(dict.fromkeys(w for some in words for w in some))}
    has = np.zeros((len(words), len(every)), np.float32)
    for row, some in zip(has, words, strict=True):
        row[[every[w] for w in some]] = 1
    return has


def mmr(scores: Sequence[float], similarity: np.ndarray, n: int, diversity: float) -> list[int]:
    """Indices of up to n items in the order picked: each has the largest (1 − d) · score − d · max similarity to those
    picked before, the first of equals. scores (N,), similarity (N, N), d in [0, 1]."""
    left, picked = list(range(len(scores))), []
    near = np.zeros(len(scores))
    while left and len(picked) < n:
        best = max(left, key=lambda i: ((1 - diversity) * scores[i] - diversity * near[i], -i))
        left.remove(best)
        near = similarity[best] if not picked else np.maximum(near, similarity[best])
        picked.append(best)
    return picked


def measure_picturability(encoder, phrases: list[Phrase]) -> list[str]:
    """Measure the picturability of phrases that have an English prompt which the encoder reads in full; say of the others why
    not. Returns notices for all. Raises NonFiniteError."""
    pictures = [t for t in PICTURES if not encoder.notices(t.format("a thing"))]
    abstract = [t for t in ABSTRACT if not encoder.notices(t)]
    if not pictures or not abstract:
        return [f"{encoder.name} reads none of the templates: picturability was not measured"]
    readable = []
    for p in phrases:
        said = encoder.notices(max(pictures, key=len).format(p.prompt)) if p.prompt else ["it has no English prompt"]
        if said:
            p.notes.append(f"picturability not measured: {'; '.join(said)}")
        else:
            readable.append(p)
    if not readable:
        return [f"picturability was measured of no phrase: {encoder.name} reads none of them in full"] if phrases else []
    prompts = [p.prompt for p in readable]
    x = encoder.encode_text(prompts)
    seen = sum((x * encoder.encode_text([t.format(p) for p in prompts])).sum(1) for t in pictures) / len(pictures)
    gap = seen - (x @ encoder.encode_text(abstract).T).mean(1)
    if not bool(gap.isfinite().all()):
        raise NonFiniteError(f"{encoder.name} gave NaN or infinity for one of the phrases")
    for p, value in zip(readable, gap.tolist(), strict=True):
        p.terms["picturability"] = value
    missed = len(phrases) - len(readable)
    return [f"picturability was not measured of {missed} of {len(phrases)} candidates, and adds 0 there"] if missed else []


def translate(phrases: list[Phrase], rules, glossary: Mapping[str, str]) -> None:
    """Give Russian phrases the English prompt that the glossary has for them: whole, or piece by piece, the longest first.
    A phrase that the glossary does not cover stays without; either way a note says so."""
    known = {_tokens(key, rules): english for key, english in glossary.items()}
    for p in phrases:
        tokens, parts = p.candidate.tokens, []
        while tokens:
            fit = next((n for n in range(len(tokens), 0, -1) if tokens[:n] in known), 1)
            part = known.get(tokens[:fit], tokens[0] if tokens[0] == "of" else None)
            if part is None:
                break
            parts.append(part)
            tokens = tokens[fit:]
        if tokens:
            p.notes.append("write an English prompt: the glossary does not have it")
        else:
            p.prompt = " ".join(parts)
            p.notes.append("prompt from the glossary" + (", word by word: look it over" if len(parts) > 1 else ""))


def _tokens(entry: str, rules) -> tuple[str, ...]:
    """A glossary's entry as a candidate would have it: of кровавая мэри the lemmas of its reading as a phrase."""
    whole = [c.tokens for c in candidates(entry, rules, 4) if c.shown == entry] if " " in entry else []
    return whole[0] if whole else tuple(w if w in rules.connectors else rules.lemma(w) for w in entry.split())
