"""What key phrases know of words: stop words, concreteness, the glossary, songs' excerpts; which language a text is in.

Everything is read from `data/lyrics/`, small lists of our own; a reader's own norms (such as the table of Brysbaert,
Warriner and Kuperman 2014, 40,000 English lemmas rated from 1, abstract, to 5, concrete) and glossary load the same way.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from labkit.data import data_path
from labkit.spec import SpecError
from labkit.text import TextError, read_words

LANGUAGES = {"en": "English", "ru": "Russian"}
LEAST_SHARE = 0.12  # of stop words in a text of the language; our songs have 0.4 to 0.65
JUDGED = 30  # words; a shorter text is never refused for having few stop words
NOT_RUSSIAN = frozenset("іїєґўјљњћђџќѓѕ")
MARKS = "\u0300-\u036f"  # accents that no composed letter has, such as stress marks
WORD = re.compile(rf"(?:[^\W_][{MARKS}]*)+(?:['’‑-](?:[^\W_][{MARKS}]*)+)*")  # with inner hyphens and apostrophes; of NFC text


def normalise(text: str) -> str:
    """A word or phrase as keys have it: no capitals or stress marks, ё as е, one apostrophe, one hyphen, single spaces."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    text = re.sub(f"[{MARKS}]", "", text)
    return " ".join(text.replace("’", "'").replace("‑", "-").replace("ё", "е").split())


def script(word: str) -> str:
    """'en' of a word in Latin letters, 'ru' of one in Cyrillic letters, 'number' without letters, else 'other'."""
    letters = [c for c in word if c.isalpha()]
    if not letters:
        return "number"
    names = {unicodedata.name(c, "").partition(" ")[0] for c in letters}
    return {frozenset({"LATIN"}): "en", frozenset({"CYRILLIC"}): "ru"}.get(frozenset(names), "other")


def language_of(text: str, given: str = "auto") -> str:
    """'en' or 'ru': the script of most words, or what was given, if the text has words of it.

    Raises ValueError: no words; most words in another script; a long text in the right script, yet with next to none
    of the language's stop words (German, Ukrainian, …), unless the language was given.
    """
    words = WORD.findall(unicodedata.normalize("NFC", text))
    counts = {code: sum(script(w) == code for w in words) for code in (*LANGUAGES, "other")}
    if not any(counts.values()):
        raise ValueError("the text has no words; give at least one line of a song")
    best = max(counts, key=counts.get)
    if given != "auto":
        if not counts[given]:
            raise ValueError(f"the text has no word in {LANGUAGES[given]} letters; set language to the text's own, or to auto")
        return given
    if best == "other":
        raise ValueError("the text is neither in Latin nor in Cyrillic letters; English and Russian can be read")
    said = [normalise(w) for w in words if script(w) == best]
    share = sum(w in stop_words(best) for w in said) / len(said)
    foreign = best == "ru" and any(NOT_RUSSIAN & set(w) for w in said)
    if foreign or (len(said) >= JUDGED and share < LEAST_SHARE):
        why = "it has letters that Russian has not" if foreign else f"stop words are {share:.0%} of it, of a song about half"
        raise ValueError(f"the text does not look {LANGUAGES[best]} ({why}); English and Russian can be read. "
                         f"If it is {LANGUAGES[best]}, set language='{best}'")
    return best


@cache
def stop_words(code: str) -> frozenset[str]:
    """The words at which a phrase breaks, normalised."""
    lines = read_words(data_path("lyrics", f"stop_words_{code}.txt").read_bytes()).splitlines()
    return frozenset(normalise(w) for line in lines if not line.startswith("#") for w in line.split())


@cache
def seed_words(code: str) -> dict[str, tuple[str, float]]:
    """Our own list: normalised word → (kinds, a string of n noun, a adjective, v verb; concreteness from 1 to 5)."""
    rows = _rows(data_path("lyrics", f"concreteness_{code}.csv"))
    return {normalise(r["word"]): (r["kind"], float(r["concreteness"])) for r in rows}


def load_norms(path: str | Path) -> dict[str, float]:
    """Concreteness norms from a CSV or tab-separated file: normalised word or expression → 1 … 5.

    The columns are called word and concreteness, or as Brysbaert et al. (2014) call theirs, Word and Conc.M.
    Raises FileNotFoundError, SpecError on columns, numbers or encoding that it cannot read.
    """
    return checked_norms(_pairs(Path(path), ("word",), ("concreteness", "conc.m")))


def checked_norms(norms: Mapping[str, float]) -> dict[str, float]:
    """Norms with normalised words. Raises SpecError on a value that is no number from 1 to 5."""
    out = {}
    for word, value in norms.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not 1 <= number <= 5:
            raise SpecError(f"norms: {word!r} has concreteness {value!r}; give a number from 1 (abstract) to 5 (concrete)")
        out[normalise(word)] = number
    return out


def load_glossary(path: str | Path | None = None) -> dict[str, str]:
    """A glossary from a CSV with the columns russian and english (ours unless a path is given): word or phrase → English.

    Raises FileNotFoundError, SpecError on columns or encoding that it cannot read.
    """
    path = Path(path) if path is not None else data_path("lyrics", "glossary_ru_en.csv")
    return {normalise(r): e.strip() for r, e in _pairs(path, ("russian",), ("english",)).items() if e.strip()}


def songs() -> pd.DataFrame:
    """Table 1 of the lyrics paper as printed: number, performer, song, excerpt; and a normalised key, the index."""
    return pd.read_csv(data_path("songs.csv")).set_index("key")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = read_words(path.read_bytes(), str(path))
    except TextError as error:
        raise SpecError(f"{error} (a CSV in UTF-8 is needed)") from None
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter))


def _pairs(path: Path, keys: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    """Two columns of a file, found by name whatever their case."""
    rows = _rows(path)
    columns = {name.strip().casefold(): name for name in (rows[0] if rows else {}) if name}
    key, value = (next((columns[n] for n in names if n in columns), None) for names in (keys, values))
    if key is None or value is None:
        have = ", ".join(columns) or "no rows"
        raise SpecError(f"{path}: needs the columns {' or '.join(keys)} and {' or '.join(values)}; it has {have}")
    return {row[key]: row[value] or "" for row in rows if (row[key] or "").strip()}
