"""Captions of scenes, and the reading of prompts: which of the world's words a text names.

`caption(scene, rng)` draws a sentence from a grammar with synonyms; some leave attributes unsaid, as people do.
`read(text)` is its inverse for the judge's report: the longest phrase wins, so that "shooting star" is not a star.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from labkit.world.scene import Scene
from labkit.world.words import words

PICTURE_OF = ("a picture of ", "an image of ", "", "", "")
POSTURES = {"animal": ("sitting", "looking at you"), "person": ("standing",), "vehicle": ("moving",),
            "building": ("standing",)}


def caption(scene: Scene, rng: np.random.Generator, full: bool = False) -> str:
    """One caption of the scene. `full` names every attribute; otherwise some are left unsaid."""
    say = (lambda p: True) if full else (lambda p: rng.random() < p)  # noqa: E731
    pick = lambda options: options[int(rng.integers(len(options)))]  # noqa: E731
    text = _subject(scene, 0, rng, say, pick)
    if len(scene.subjects) == 2:
        relation = pick(words()["relations"][scene.relation])
        text = f"{text} {relation} {_subject(scene, 1, rng, say, pick)}"
    if not full and rng.random() < 0.06:
        kind = words()["subjects"][scene.subjects[0].subject]["kind"]
        text = f"{text} {pick(POSTURES.get(kind, ('alone',)))}"
    parts = [pick(words()["settings"][scene.setting])] if say(0.75) else []
    if scene.light and say(0.8):
        parts.append(pick(words()["lights"][scene.light]))
        if not full and rng.random() < 0.2:
            parts.reverse()
    text = " ".join([text, *parts])
    if not say(0.7):
        return pick(PICTURE_OF) + text
    style = pick(words()["styles"][scene.style])
    article = "an" if style[0] in "aeiou" else "a"
    return f"{article} {style} of {text}" if rng.random() < 0.8 else f"{text}, {article} {style}"


def _subject(scene: Scene, index: int, rng, say, pick) -> str:
    placed = scene.subjects[index]
    entry = words()["subjects"][placed.subject]
    synonyms = entry["synonyms"]
    noun = pick(synonyms) if synonyms and rng.random() < 0.3 else entry["name"]
    adjectives = []
    if len(scene.subjects) == 1 and rng.random() < 0.35:
        if placed.size < 0.68:
            adjectives.append("small")
        elif placed.size > 0.8:
            adjectives.append("big")
    if placed.colour and say(0.8):
        entry_c = words()["colours"][placed.colour]
        other = entry_c["synonyms"]
        adjectives.append(pick(other) if other and rng.random() < 0.15 else placed.colour)
    elif rng.random() < 0.05:
        adjectives.append("colourful")
    phrase = " ".join([*adjectives, noun])
    if noun in words()["without_article"]:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


@dataclass(frozen=True)
class Reading:
    """What a prompt names: subjects and their colours in the order of the text, setting, style, light, and the words
    that the world does not have."""

    subjects: tuple[str, ...]
    colours: tuple[str | None, ...]
    setting: str | None
    style: str | None
    light: str | None
    unknown: tuple[str, ...]


FILLERS = frozenset("a an the of in on at and with is are to by picture image drawing some it its against small big little "
                    "large thing something colourful colorful style sitting standing looking moving alone you".split())


def normalise(text: str) -> list[str]:
    """Lower-case words of a text, its letters composed (normal form C), punctuation dropped (hyphens and apostrophes inside
    words stay)."""
    return re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", unicodedata.normalize("NFC", text).lower())


def plural(noun: str) -> str:
    """The plural of a synonym: puppy → puppies, fortress → fortresses, kitten → kittens."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


@lru_cache(maxsize=1)
def _phrases() -> dict[tuple[str, ...], tuple[str, str]]:
    """Every phrase of the world → (attribute, class)."""
    out = {}
    w = words()
    for name, e in w["subjects"].items():
        for phrase in (e["name"], e["plural"], *e["synonyms"], *map(plural, e["synonyms"])):
            out[tuple(normalise(phrase))] = ("subject", name)
    for name, e in w["colours"].items():
        for phrase in (name, *e["synonyms"]):
            out[tuple(normalise(phrase))] = ("colour", name)
    for key in ("settings", "styles", "lights"):
        for name, phrases in w[key].items():
            for phrase in phrases:
                out[tuple(normalise(phrase))] = (key[:-1], name)
    for core, name in {"snow": "snow", "sea": "sea", "ocean": "sea", "meadow": "meadow", "grass": "meadow", "storm": "storm",
                       "rain": "storm", "night": "night", "sunset": "sunset", "room": "room", "city": "city",
                       "dark corner": "dark_corner", "plain background": "plain"}.items():
        out[tuple(core.split())] = ("setting", name)
    for core, name in {"comic": "comic", "comic-style": "comic", "pencil": "pencil", "oil": "oil",
                       "impressionist": "oil", "cubist": "cubist", "neon": "neon", "pixel art": "pixel", "flat": "flat",
                       "watercolor": "watercolour", "illustration": "flat"}.items():
        out[tuple(core.split())] = ("style", name)
    return out


def read(text: str) -> Reading:
    """Which of the world's classes a text names, longest phrase first, and which words the world lacks."""
    tokens, phrases = normalise(text), _phrases()
    longest = max(map(len, phrases))
    subjects, colours, single, unknown = [], [], {}, []
    pending, i = None, 0
    while i < len(tokens):
        for n in range(min(longest, len(tokens) - i), 0, -1):
            found = phrases.get(tuple(tokens[i:i + n]))
            if found:
                attribute, name = found
                if attribute == "subject":
                    subjects.append(name)
                    colours.append(pending)
                    pending = None
                elif attribute == "colour":
                    pending = name
                else:
                    single.setdefault(attribute, name)
                i += n
                break
        else:
            if tokens[i] not in _known_words():
                unknown.append(tokens[i])
            i += 1
    return Reading(tuple(subjects), tuple(colours), single.get("setting"), single.get("style"), single.get("light"),
                   tuple(dict.fromkeys(unknown)))


@lru_cache(maxsize=1)
def _known_words() -> frozenset[str]:
    """Every word that a caption can contain."""
    grammar = [*words()["relations"].values(), POSTURES.values(), PICTURE_OF]
    spoken = {w for phrase in _phrases() for w in phrase}
    for group in grammar:
        for item in group:
            for phrase in ([item] if isinstance(item, str) else item):
                spoken.update(normalise(phrase))
    return frozenset(spoken | FILLERS)


def unknown_words(text: str) -> tuple[str, ...]:
    """The words of a text that no caption of the world contains, in order, each once."""
    return tuple(dict.fromkeys(w for w in normalise(text) if w not in _known_words()))
