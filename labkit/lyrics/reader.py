"""The one reader of lyric files: which lines of a text are sung, where they stand, and how often each counts.

    read_lyrics(text).lines     Sung("Silver river", number=5, times=2), …
    read_lyrics(text).notes     what was passed over, and what counts more than once

What is not sung (`labkit.lyrics.markup`) is passed over with a note; the numbers stay those of the file. A chorus that is
only named the second time counts again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from labkit.data import data_path
from labkit.lyrics import markup
from labkit.lyrics.words import WORD, normalise
from labkit.text import plain, read_words

WINDOW = 30  # rows in which a site's title follows its "12 Contributors"
PASSED = {  # kind → one, many
    "head": ("line of the file's head", "lines of the file's head"),
    "section": ("header of a section", "headers of sections"),
    "time": ("line had the times of a player, which were", "lines had the times of a player, which were"),
    "tag": ("tag of a player or subtitles", "tags of a player or subtitles"),
    "site": ("line had a site's own words, which were", "lines had a site's own words, which were"),
}


@dataclass(frozen=True)
class Sung:
    """A line that is sung, or a piece of one: its text, the number of its line in the file (from 1), how often it counts."""

    text: str
    number: int
    times: int = 1


@dataclass(frozen=True)
class Line:
    """A line that differs from every other: its text as first written; the numbers (from 1) of all lines that repeat it, each
    with how often it counts."""

    text: str
    times: dict[int, int]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Its lines' numbers, ascending."""
        return tuple(sorted(self.times))


@dataclass(frozen=True)
class Lyrics:
    """What a lyric file holds: its `lines` in order, `notes` on what was passed over, `about` what its head says."""

    lines: tuple[Sung, ...]
    notes: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is sung, a line a line."""
        return "\n".join(line.text for line in self.lines)

    def distinct(self) -> list[Line]:
        """The lines that hold a word, in order, each once. Lines that differ in case, punctuation, spaces or stress marks only
        are the same line: a chorus sung four times is one line that counts four times."""
        found: dict[str, Line] = {}
        for line in self.lines:
            key = " ".join(normalise(w) for w in WORD.findall(line.text))
            if key:
                times = found.setdefault(key, Line(line.text, {})).times
                times[line.number] = times.get(line.number, 0) + line.times
        return list(found.values())


@lru_cache(maxsize=8)
def read_lyrics(text: str) -> Lyrics:
    """The lyrics in a text: of a plain file, a site's page, a player's LRC, or SRT and VTT subtitles.

    Raises `labkit.text.TextError` on what is no text.
    """
    rows = re.split("\r\n|\r|\n", read_words(text))
    walk = _Walk()
    length, about = markup.head(rows)
    for number, row in enumerate(rows[:length], 1):
        if row.strip():
            walk.passed("head", number, row)
    outside = _outside(rows)
    for number, row in enumerate(rows[length:], length + 1):
        if number - 1 in outside:
            walk.passed(outside[number - 1], number, row)
            continue
        for part in markup.BREAKS.split(markup.cleaned(row)):
            walk.take(part, number)
    walk.end_section()
    lines = tuple(Sung(text, number, markup.bounded(times)) for text, number, times in walk.sung)
    return Lyrics(lines, (*walk.passed_over(), *walk.repeated(lines)), about)


def _outside(rows: list[str]) -> dict[int, str]:
    """Rows that are no lines of the song by what stands near them: index → kind."""
    found: dict[int, str] = {}
    captions = rows[0].lstrip("\ufeff").startswith("WEBVTT")
    block = captions
    for i, row in enumerate(rows):
        if captions and (block or re.match(r"(?:NOTE|STYLE|REGION)\b", row) and (i == 0 or not rows[i - 1].strip())):
            block = bool(row.strip())
            if block:
                found[i] = "tag"
        elif markup.ARROW.fullmatch(row):
            found[i] = "tag"
            if i and rows[i - 1].strip() and (rows[i - 1].strip().isdigit() or captions and (i < 2 or not rows[i - 2].strip())):
                found[i - 1] = "tag"
        elif markup.TICKETS_BELOW.match(row) and i and markup.SEE_LIVE.fullmatch(rows[i - 1]):
            found[i - 1] = found[i] = "site"
    first = next((i for i, row in enumerate(rows) if row.strip()), 0)
    if markup.ONLY_CONTRIBUTORS.fullmatch(rows[first]):  # then languages, the title, perhaps more, a line each
        window = range(first, min(len(rows), first + WINDOW))
        last = next((i for i in window if re.search(r"Lyrics\s*$", rows[i])), first)
        found |= {i: "site" for i in range(first, last + 1) if rows[i].strip()}
    return found


class _Walk:
    """The state between the lines: which section and stanza they are in, what was found so far."""

    def __init__(self):
        self.sung: list[list] = []  # [text, number, times]
        self.skipped: dict[str, list[tuple[int, str]]] = {}
        self.stanza: list[list] = []
        self.section: markup.Header | None = None
        self.times = 1
        self.inside: list[list] = []
        self.choruses: dict[str, list[tuple[list, int]]] = {}

    def passed(self, kind: str, number: int, what: str) -> None:
        self.skipped.setdefault(kind, []).append((number, what.strip()))

    def take(self, part: str, number: int) -> None:
        """One line of the file, or what a form feed left of it."""
        found = markup.without_furniture(part, not self.sung and not self.section)
        if found == part:
            self.piece(part, number)
            return
        self.passed("site", number, part)
        for piece in markup.BREAKS.split(found):
            if piece.strip():  # what stood there is no empty line of the song
                self.piece(piece, number)

    def piece(self, bare: str, number: int) -> None:
        if markup.ID_TAG.fullmatch(bare) and not re.search(r"\{\s*(?:repeat|x\d)", bare):
            self.passed("tag", number, bare)
            return
        whole, (bare, stamps) = bare, markup.without_times(bare)
        if stamps:
            self.passed("time", number, whole)
        if not bare.strip():
            self.blank()
        elif not self.sung and not self.section and markup.credit(bare):
            self.passed("head", number, bare)
        else:
            self.line(bare, number, max(stamps, 1))

    def line(self, bare: str, number: int, times: int) -> None:
        parts = markup.pieces(bare)
        if not re.search(r"\w", parts[0][0]):  # a mark alone: of the header above it, or of the stanza
            self.all_times(parts[0][1])
            return
        if found := markup.header(bare):
            self.passed("section", number, bare)
            self.end_section()
            self.section, self.times = found, found.times
            if not found.rest:
                return
            parts = markup.pieces(found.rest)
        for text, count in parts:
            entry = [text, number, markup.bounded(count * times)]
            if self.section is not None:
                self.inside.append((entry, entry[2]))
            entry[2] = markup.bounded(entry[2] * self.times)
            self.sung.append(entry)
            self.stanza.append(entry)

    def all_times(self, count: int) -> None:
        """A mark on a line of its own: of the section whose header stands above it, else of the stanza."""
        if self.section is not None and not self.inside:
            self.times = markup.bounded(self.times * count)
        for entry in self.stanza:
            entry[2] = markup.bounded(entry[2] * count)

    def blank(self) -> None:
        """An empty line ends a stanza, and a section that has lines or stands for one that was written before."""
        self.stanza = []
        if self.section is not None and (self.inside or self.section.name in self.choruses):
            self.end_section()

    def end_section(self) -> None:
        if self.section is not None and markup.repeated_by_name(self.section.name):
            if self.inside:
                self.choruses[self.section.name] = self.inside
            elif before := self.choruses.get(self.section.name):
                for entry, once in before:
                    entry[2] = markup.bounded(entry[2] + once * self.times)
        self.section, self.times, self.inside, self.stanza = None, 1, [], []

    def passed_over(self) -> Iterator[str]:
        for kind, (one, many) in PASSED.items():
            if found := self.skipped.get(kind):
                numbers = sorted({number for number, _ in found})
                number, what = min(found)
                some = f"1 {one}" if len(numbers) == 1 else f"{len(numbers)} {many}"
                yield f"{some} passed over, first line {number}: {plain(what, 60)}"

    def repeated(self, lines: tuple[Sung, ...]) -> Iterator[str]:
        often = [line for line in lines if line.times > 1]
        if often:
            some = ", ".join(f"line {line.number} {line.times} times" for line in often[:4])
            yield f"counted as often as marks or times say: {some}{' …' * (len(often) > 4)}"


@dataclass(frozen=True)
class Song:
    """A song of `data/lyrics/songs`: public domain, with its source."""

    title: str
    by: str
    language: str
    source: str
    text: str


def examples() -> dict[str, Song]:
    """The public-domain songs of `data/lyrics/songs`: file name → `Song`, its text without the file's head."""
    found = {}
    for path in sorted(data_path("lyrics", "songs").glob("*.txt")):
        rows = read_words(path.read_bytes(), path.name).splitlines()
        length, about = markup.head(rows)
        found[path.stem] = Song(text="\n".join(rows[length:]).strip(), **about)
    return found
