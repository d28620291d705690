"""Candidate phrases of a line, in English and Russian: noun phrases that stand literally in it.

A line breaks into runs at stop words, punctuation and words of another script. Within a run a noun phrase is

    English   up to N words that end in a noun-like word (by our word list, else by endings)
    Russian   ADJ* NOUN in agreement (case, number, gender), NOUN ADJ as verse turns it (вихри снежные), and either with a
              second NOUN in the genitive, by pymorphy3's dictionary; without pymorphy3 ADJ* NOUN by endings alone, where
              agreement is not looked at

and two of them may be joined by one preposition: "dancer in the dark", "blue tractor on big wheels".
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache

from labkit.lyrics.rules import English, Rules
from labkit.lyrics.russian import GENITIVE, RussianDictionary, RussianEndings
from labkit.lyrics.words import WORD, normalise, script


@dataclass(frozen=True)
class Candidate:
    """A phrase of a line: `shown` is a piece of the line, letter by letter.

    words   lemmas of its content words.  base  the phrase in its citation form.
    tokens  lemmas with the prepositions between them, adjectives before their noun, for the glossary.
    """

    shown: str
    words: tuple[str, ...]
    tokens: tuple[str, ...]
    base: str


@cache
def grammar(code: str, morphology: str = "auto") -> Rules:
    """The rules for 'en' or 'ru'. `morphology` of Russian: 'dictionary' (pymorphy3), 'endings', or 'auto': what is there.

    Raises ImportError if the dictionary is asked for and not installed.
    """
    if code == "en":
        return English()
    there = importlib.util.find_spec("pymorphy3") is not None
    if morphology == "dictionary" and not there:
        raise ImportError("morphology='dictionary' needs pymorphy3; pip install pymorphy3, or set morphology='endings'")
    return RussianDictionary() if there and morphology != "endings" else RussianEndings()


def candidates(line: str, rules: Rules, most: int) -> list[Candidate]:
    """The noun phrases of a line, of at most `most` content words each."""
    matches = list(WORD.finditer(line))
    words = [normalise(m.group()) for m in matches]
    glued = [i > 0 and line[matches[i - 1].end():m.start()].isspace() for i, m in enumerate(matches)]
    inner = [not rules.stop(w) and script(w) in (rules.code, "number") for w in words]
    chunks = []
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and inner[end] and (end == start or glued[end]):
            end += 1
        chunks += [(a + start, b + start, tokens) for a, b, tokens in rules.chunks(tuple(words[start:end]), most)]
        start = max(end, start + 1)
    out = [_cut(line, matches, words, rules, a, b, tokens) for a, b, tokens in chunks]
    begin: dict[int, list[tuple[int, tuple[str, ...]]]] = {}
    for c, d, tail in chunks:
        begin.setdefault(c, []).append((d, tail))
    for a, b, head in chunks:
        if b >= len(words) or words[b] not in rules.connectors or not glued[b]:
            continue
        c = b + 2 if b + 1 < len(words) and words[b + 1] in rules.articles else b + 1
        right = [(d, tail) for d, tail in begin.get(c, ()) if b - a + d - c <= most]
        if right and all(glued[b:c + 1]):
            d, tail = max(right)
            out.append(_cut(line, matches, words, rules, a, d, (*head, words[b], *tail)))
    return out


def single_words(line: str, rules: Rules) -> list[Candidate]:
    """The content words of a line one by one: what is left to offer where no noun phrase is found in a whole text."""
    out = []
    for m in WORD.finditer(line):
        word = normalise(m.group())
        if not rules.stop(word) and script(word) == rules.code:
            lemma = rules.lemma(word)
            out.append(Candidate(m.group(), (lemma,), (lemma,), word))
    return out


def _cut(line, matches, words, rules, start, end, tokens) -> Candidate:
    shown = line[matches[start].start():matches[end - 1].end()]
    lemmas = tuple(t for t in tokens if t != GENITIVE and t not in rules.connectors)
    return Candidate(shown, lemmas, tokens, rules.base(tuple(words[start:end])))
