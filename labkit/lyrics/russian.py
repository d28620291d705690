"""Russian noun phrases: by pymorphy3's dictionary where it is installed, else by endings.

Korobov, Morphological Analyzer and Generator for Russian and Ukrainian Languages, 2015 (pymorphy).
"""

from __future__ import annotations

from functools import lru_cache

from labkit.lyrics.rules import KEPT, Chunk, Rules
from labkit.lyrics.words import normalise, script, seed_words

GENITIVE = "of"  # stands between the two nouns of сон могилы among a candidate's tokens; a glossary has it as itself


class RussianDictionary(Rules):
    """Parts of speech, agreement and lemmas by pymorphy3 (Korobov 2015), its dictionary on the disk."""

    code, name = "ru", "Russian by pymorphy3's dictionary"
    connectors = frozenset("в во на под над с со из за перед между среди через сквозь около возле у по".split())
    articles: frozenset[str] = frozenset()

    def __init__(self):
        import pymorphy3

        self._parse = lru_cache(KEPT)(pymorphy3.MorphAnalyzer(lang="ru").parse)

    def lemma(self, word: str) -> str:
        """The normal form of the likeliest reading, a noun or adjective before any other."""
        readings = self._nouns(word) or self._adjectives(word) or self._parse(word)
        return normalise(readings[0].normal_form)

    stem = lemma

    def is_noun(self, word: str) -> bool:
        return bool(self._nouns(word))

    def _nouns(self, word: str) -> list:
        found = [p for p in self._parse(word) if p.tag.POS == "NOUN"]
        guessed = not any(p.is_known for p in found) and word.endswith(RussianEndings.verb)  # заломати is not in the dictionary
        return found if sum(p.score for p in found) > 0.3 and not guessed else []

    def _adjectives(self, word: str) -> list:
        return [p for p in self._parse(word) if p.tag.POS in ("ADJF", "PRTF")]

    @staticmethod
    def _agree(adjective, noun) -> bool:
        a, n = adjective.tag, noun.tag
        return a.case == n.case and a.number == n.number and (n.number == "plur" or a.gender == n.gender)

    def _reading(self, words: tuple[str, ...]):
        """The readings (adjectives …, noun) in which ADJ* NOUN agree; None if there are none."""
        for noun in self._nouns(words[-1]):
            each = [next((a for a in self._adjectives(w) if self._agree(a, noun)), None) for w in words[:-1]]
            if all(each):
                return [*each, noun]
        return None

    def _turned(self, words: tuple[str, ...]):
        """The readings (adjective, noun) of NOUN ADJ in agreement whose adjective does not belong to a third word; or None."""
        if len(words) < 2 or self._nouns(words[1]) or len(words) > 2 and self._reading(words[1:3]):
            return None
        return self._reading(words[1::-1])

    def chunks(self, words: tuple[str, ...], most: int) -> list[Chunk]:
        """(start, end, tokens) of ADJ* NOUN and NOUN ADJ in agreement, and of two such whose second is in the genitive."""
        simple = []
        for i in range(len(words)):
            if i + 1 < len(words) and self._reading(words[i:i + 2]):
                continue  # an adjective that could be a noun too: красных in красных яблок
            for start in range(i, max(-1, i - most), -1):
                reading = self._reading(words[start:i + 1])
                if reading is None:
                    break
                simple.append((start, i + 1, _normal(reading)))
            if turned := most > 1 and self._turned(words[i:i + 3]):
                simple.append((i, i + 2, _normal(turned)))
        owners: dict[int, list[Chunk]] = {}
        for chunk in simple:
            if any(p.tag.case == "gent" for p in self._nouns(words[chunk[1] - 1])):
                owners.setdefault(chunk[0], []).append(chunk)
        return simple + [(a, d, (*head, GENITIVE, *tail)) for a, b, head in simple for _, d, tail in owners.get(b, ())
                         if d - a <= most]

    def base(self, words: tuple[str, ...]) -> str:
        """The first noun and its adjectives in the nominative, what follows as it stands: белую берёзу → белая берёза."""
        i = next((i for i in reversed(range(len(words))) if self._reading(words[:i + 1])), None)
        if i is None:
            return " ".join(words)
        turned = self._turned(words[:2]) if i == 0 else None
        *adjectives, noun = turned or self._reading(words[:i + 1])
        i += turned is not None
        head = noun.normalized
        asked = {"nomn", "plur"} if head.tag.number == "plur" else {"nomn", "sing", head.tag.gender} - {None}
        inflected = [a.inflect(asked) for a in adjectives]
        if not all(inflected):
            return " ".join(words)
        return " ".join([*(a.word for a in inflected), head.word, *words[i + 1:]])


def _normal(readings) -> tuple[str, ...]:
    return tuple(normalise(p.normal_form) for p in readings)


class RussianEndings(Rules):
    """Rules of ours by endings, for where pymorphy3 is not installed: no agreement, stems instead of lemmas."""

    code, name = "ru", "Russian by endings (the simpler rule: without agreement; pip install pymorphy3 brings the dictionary)"
    connectors, articles, stems = RussianDictionary.connectors, frozenset(), True
    adjective = tuple("ый ий ой ая яя ое ее ые ие ого его ому ему ым им ую юю ых их ыми ими".split())
    verb = tuple("ть ться тся лся лась лись ла ло ли ет ит ют ут ат ят ешь ишь ем им ете ите ти яй ай уй "
                 "аю яю ею жу щу чу ал ел ил ял".split())
    case = sorted("иями ями ами иях ях ах ями ого его ому ему ыми ими ою ею ью ая яя ое ее ые ие ый ий ой ей ую юю ым им ых их "
                  "ом ем ам ям ов ев ия ии ию ья ье ьи а я о е ы и у ю ь й".split(), key=len, reverse=True)

    @lru_cache(KEPT)  # noqa: B019
    def lemma(self, word: str) -> str:
        """The word without its case ending; at least three letters stay."""
        return next((word.removesuffix(end) for end in self.case if word.endswith(end) and len(word) - len(end) >= 3), word)

    stem = lemma

    @lru_cache(KEPT)  # noqa: B019
    def _listed(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for word, (kinds, _) in seed_words("ru").items():
            found.setdefault(self.lemma(word), kinds)
        return found

    def _is_adjective(self, word: str) -> bool:
        kinds = self._listed().get(self.lemma(word))
        return word.endswith(self.adjective) and (kinds == "a" or kinds is None and len(word) > 4)

    def is_noun(self, word: str) -> bool:
        kinds = self._listed().get(self.lemma(word))
        if kinds:
            return "n" in kinds
        return len(word) > 2 and script(word) != "number" and not word.endswith((*self.verb, *self.adjective, "о", "я"))

    def chunks(self, words: tuple[str, ...], most: int) -> list[Chunk]:
        """(start, end, tokens) of adjective-like words before a noun-like one."""
        found = []
        for i in range(len(words)):
            start = i
            while self.is_noun(words[i]) and start > i - most and (start == i or self._is_adjective(words[start])):
                found.append((start, i + 1, tuple(map(self.lemma, words[start:i + 1]))))
                start -= 1
                if start < 0:
                    break
        return found

    def base(self, words: tuple[str, ...]) -> str:
        """As it stands, in lower case: endings alone do not say what the nominative is."""
        return " ".join(words)
