"""What stands in lyric files and is not sung: headers of sections, repeat marks, times of players, furniture of sites.

`labkit.lyrics.reader` walks through a file with these. Every rule asks for the whole form of a mark, so that "Chorus of angels
singing" and "I told you three times" stay lines of the song.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

MOST_TIMES = 20  # that a mark may make a line count

_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(r"</?(?:i|b|u|s|em|strong|small|big|sup|sub|span|div|p|font|a|v|c|lang|ruby|rt|center|h[1-6]|li|ul|ol|img|"
                  r"pre|blockquote|section)(?:[\s./][^<>]{0,200})?>|\{\\[^{}]{0,80}\}", re.IGNORECASE)  # HTML, subtitles
_CHORD = re.compile(r"\[[A-H][b#♭♯]?(?:maj|min|dim|aug|sus|add|m|M)?\d{0,2}(?:(?:sus|add|b|#)\d{1,2})*(?:/[A-H][b#♭♯]?)?\]")
BREAKS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")  # break a line of the song, but not a line of the file


def cleaned(line: str) -> str:
    """A line without what cannot be seen, references (&amp;), tags and chords; every blank is a space, of a long run eight
    are left; in normal form C."""
    line = _ENTITY.sub(lambda m: html.unescape(m.group()), line)
    line = re.sub(r"<br\s*/?>", "\u2028", line, flags=re.IGNORECASE)
    line = _CHORD.sub("", _TAG.sub("", _INVISIBLE.sub("", line)))
    line = "".join(c if c in " \v\f\x1c\x1d\x1e\x85\u2028\u2029" else " " if c.isspace() or c < " " or c == "\x7f" else c
                   for c in line)
    return unicodedata.normalize("NFC", re.sub(" {9,}", " " * 8, line))  # patterns that begin with blanks stay fast


# times of players and subtitles

_TIME = r"(?:\d{1,2}:)?\d{1,3}:\d{2}(?:[.,:]\d{1,3})?"
_LEADING = re.compile(rf"\s*\[\s*{_TIME}\s*\]")
_STAMP = re.compile(rf"\s*[\[<]\s*{_TIME}\s*[\]>]")
_ONLY_TIME = re.compile(rf"\s*[\[(<]?\s*{_TIME}(?:\s*[-–—]\s*{_TIME})?\s*[\])>]?\s*")
ARROW = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
ID_TAG = re.compile(r"\s*\[\s*(?:ar|al|ti|au|by|re|ve|length|offset|la|lang|id|tool|encoding|sign|total|hash|key|#)\s*:.*\]\s*|"
                    r"\s*\{\s*[a-z_]+\s*(?::.*)?\}\s*", re.IGNORECASE)


def without_times(line: str) -> tuple[str, int]:
    """The line without `[00:12.34]` and `<00:12.34>`, and how many times it began with, 0 if there is none in it."""
    if _ONLY_TIME.fullmatch(line):
        return "", 1
    begins, found = 0, 0
    while found < len(line) and (m := _LEADING.match(line, found)):
        begins, found = begins + 1, m.end()
    rest = line[found:]
    bare = _STAMP.sub(lambda m: " " if m.group()[0] == " " else "", rest)
    return (rest, begins) if bare == rest else (" ".join(bare.split()), max(begins, 1))


# repeat marks

_CROSS = "x×х✕✖"  # the third is Cyrillic
_WORDS = {"twice": 2, "thrice": 3, "bis": 2, "бис": 2, "дважды": 2, "трижды": 3, "четырежды": 4, "two": 2, "three": 3,
          "four": 4, "five": 5, "six": 6, "два": 2, "две": 2, "три": 3, "четыре": 4, "пять": 5, "шесть": 6}
_COUNT = (rf"(?:[{_CROSS}*]\s?\d{{1,9}}|\d{{1,9}}\s?(?:[{_CROSS}]|times?|раза?|р\.?)(?!\w)|(?:two|three|four|five|six)\s+times|"
          r"(?:два|две|три|четыре|пять|шесть)\s+раза?|twice|thrice|bis|бис|дважды|трижды|четырежды)")
_AGAIN = r"(?:(?:to\s+be\s+)?repeat(?:ed|s)?|повтор(?:ить|яется|яем)?|исполняется|по[её]тся)"
_SAID = rf"(?:{_AGAIN}\s*[:\-–—]?\s*)?{_COUNT}"
_MARK = rf"{_SAID}|{_AGAIN}"
_BOXED = re.compile(rf"(?:\(\s*(?:{_MARK})\s*[.!]?\s*\)|\[\s*(?:{_MARK})\s*[.!]?\s*\]|\{{\s*(?:{_MARK})\s*[.!]?\s*\}}|"
                    rf"/+\s*(?:{_MARK})\s*[.!]?\s*/+|\|+\s*(?:{_MARK})\s*[.!]?\s*\|+)", re.IGNORECASE)
_BARE_CROSS = r"(?:[xX×хХ✕✖*]\d{1,9}|[x×х✕✖*] \d{1,9}|\d{1,9} ?[xX×хХ✕✖])"
_AT_END = re.compile(rf"(?:(?<=[\s,.;:!?)…»”\"'’])|^){_BARE_CROSS}\s*\.?\s*$|"
                     r"(?:\s[-–—]|[.,;:!?…}]|\s\s)\s*\d{1,2}\s*раза?\s*\.?\s*$")
_AT_START = re.compile(rf"^\s*(?:{_BARE_CROSS}\s*[:.)\-–—]|(?:[x×х]\d{{1,9}}|\d{{1,9}}[x×х])(?=\s))\s*")
_SAID_AT_END = re.compile(rf"\s*[,:\-–—]?\s*(?:{_SAID})\s*$", re.IGNORECASE)


def _count(mark: str, unsaid: int = 2) -> int:
    if number := re.search(r"\d+", mark):
        return int(number.group())
    return next((_WORDS[w] for w in re.findall(r"\w+", mark.casefold()) if w in _WORDS), unsaid)


def bounded(times: int) -> int:
    """At least 1, at most `MOST_TIMES`."""
    return min(max(times, 1), MOST_TIMES)


def pieces(line: str) -> list[tuple[str, int]]:
    """(text, times) of the pieces of a line: a mark counts for the piece before it, at the line's start for the one behind.
    A line that is nothing but a mark is one piece without text."""
    found: list[tuple[str, int]] = []
    start, waiting = 0, 1
    if m := _AT_START.match(line):
        start, waiting = m.end(), _count(m.group())
    for m in _BOXED.finditer(line, start):
        text = line[start:m.start()].strip(" ,;")
        if text:
            found.append((text, bounded(_count(m.group()) * waiting)))
            waiting = 1
        else:
            waiting *= _count(m.group())
        start = m.end()
    rest = line[start:].strip(" ,;" if found else None)
    if rest and (m := _AT_END.search(rest)):
        rest, waiting = rest[:m.start()].strip(), waiting * _count(m.group())
    if re.search(r"\w", rest) or not found:
        found.append((rest, bounded(waiting)))
    return found


# headers of sections

@dataclass(frozen=True)
class Header:
    """`name`: what is repeated where it stands alone; `times` of its mark; `rest`: what is sung on the same line."""

    name: str
    times: int = 1
    rest: str = ""


_PLAYED = "guitar|piano|sax(?:ophone)?|drums?|bass|violin|organ|harmonica|keyboards?|synth|flute|trumpet|horns?|fiddle|harp|" \
          "strings?|brass|vocal|dance|music(?:al)?|beat|instrumental"
_PLAIN = (  # on a line of their own
    r"verse|stanza|(?:pre|post)[- ]?chorus|chorus(?:es)?|refrain|bridge|hook|intro(?:duction)?|outro|interlude|instrumental|"
    rf"(?:{_PLAYED})[- ](?:solo|break|bridge|interlude|intro|outro|riff|section)|coda|prelude|middle (?:8|eight)|ad[- ]?libs?|"
    r"(?:пред|пре|пост)[- ]?припев|припева?|куплет|рефрен|бридж|интро|аутро|проигрыш|вступление|кода|речитатив|инструментал|"
    r"(?:инструментальн|музыкальн|гитарн)\w+ (?:проигрыш|вставка|соло|вступление|часть)|соло (?:на )?гитар\w+|строфа|вокализ"
)
_MARKED = (  # lines of a song may be these words alone, so that brackets, a colon or a number has to say what is meant
    r"solo|break(?:down)?|drop|build[- ]?up|skit|tag|vamp|fade(?:[- ]?(?:in|out)|s)?|end(?:ing)?|part|all|both|music|riff|rap|"
    r"spoken(?: (?:word|part|intro|outro))?|turnaround|repeat|соло|мост|переход|финал|конец|концовка|заключение|часть|повтор|"
    r"все|вместе|вставка|музыка|запев|хук"
)
_ORDER = (r"final|last|first|second|third|fourth|opening|closing|main|repeat|double|half|\d{1,2}(?:st|nd|rd|th)|"
          r"\d{1,2}(?:-?(?:й|ый|ой|ий))?|первый|второй|третий|четвертый|последний|повтор(?:ить)?")
_WHICH = r"\d{1,2}[a-d]?|[ivx]{1,4}|[a-d]|one|two|three|four|five|six|первый|второй|третий|четвертый"
_LATER = r"repeats?|repeated|again|cont(?:inued|\.)?|тот же|повторяется|еще раз"
_SECTION = re.compile(
    rf"(?P<order>(?:(?:{_ORDER})[. ]+)*)(?:(?P<plain>{_PLAIN})|(?P<marked>{_MARKED}))"
    rf"(?P<which>\s*(?:#|№|no\.?)?\s*(?:{_WHICH}))?(?:\s+(?:{_LATER}))?"
)
_TAIL = re.compile(r"\s*(?::|\s[-–—]|[-–—]\s|\|)\s*(?P<tail>.*)")
_DECOR = " \t-–—=*_~#:.•·|+/\\<>«»(){}[]"
_REPEATED = re.compile(r"(?:chorus|refrain|hook|припев|рефрен)")  # what a song text names once more instead of writing it out
_ROMAN = re.compile(r"(?=[IVX])X{0,2}(?:IX|IV|V?I{0,3})[.):]?")


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace("ё", "е").split())


def _section(text: str, marked: bool, tail: bool) -> Header | None:
    """The header that a text is from its first to its last character; with `tail` something may follow a colon or a dash."""
    text, times = text.strip(), 1
    if tail and (m := _TAIL.search(text)) and (found := _section(text[:m.start()], True, False)):
        return Header(found.name, bounded(found.times * (_header_times(m["tail"]) or 1)))
    bare = text.strip(_DECOR)
    if m := _BOXED.search(text):
        times, bare = _count(m.group(), 1), _BOXED.sub(" ", text).strip(_DECOR)
    elif m := _SAID_AT_END.search(bare):
        times, bare = _count(m.group()), bare[:m.start()].strip(_DECOR)
    m = _SECTION.fullmatch(_folded(bare))
    if not m or (m["marked"] and not (marked or re.search(r"\d", m["which"] or ""))):
        return None
    return Header(" ".join((m["plain"] or m["marked"], (m["which"] or "").strip())).strip(), bounded(times))


def _header_times(text: str) -> int | None:
    """The number of a text that is nothing but a repeat mark."""
    bare = text.strip(_DECOR + ",")
    return _count(bare) if bare and re.fullmatch(_SAID, bare, re.IGNORECASE) else None


def repeated_by_name(name: str) -> bool:
    """Whether a header of this name without lines stands for lines that were written before: a chorus."""
    return bool(_REPEATED.search(name))


def header(line: str) -> Header | None:
    """The header of a section that a line is, with or without brackets; None for a line of the song.

    Square brackets hold headers and other remarks ("[Some Singer]"); what begins with a small letter in them, is a sentence or
    is long is sung. Elsewhere the words of sections have to fill the line, or stand before a colon or in brackets before it.
    """
    line = line.strip()
    if m := re.fullmatch(r"[\[({<]([^\[\](){}<>]*(?:\([^()]*\))?)[\])}>]\s*[:.]?\s*(.*)", line):
        inside, rest = m[1].strip(), m[2].strip()
        after = _header_times(rest)
        found = _section(inside, line[0] == "[" or not rest or bool(after), True)  # "(Break) my heart" is sung
        if found and (not rest or after):
            return Header(found.name, bounded(found.times * (after or 1)))
        if found:
            return Header(found.name, found.times, rest)
        if line[0] == "[" and (not rest or after) and _remark(inside):
            return Header(_folded(inside), after or 1)
        if line[0] == "[" and inside.endswith(":") and rest and _remark(inside):
            return Header(_folded(inside), 1, rest)
        return None
    colon = line.find(":")
    if colon > 0 and (found := _section(line[:colon], True, False)):
        rest = line[colon + 1:].strip()
        after = _header_times(rest)
        words = re.search(r"\w", rest)
        return Header(found.name, bounded(found.times * (after or 1)), rest if words and not after else "")
    if _ROMAN.fullmatch(line):
        return Header(line)
    return _section(line, line[0] in "([{<*=#_~", False)


def _remark(inside: str) -> bool:
    return bool(inside) and not inside[0].islower() and inside[-1] not in "!?" and len(inside.split()) <= 12


# furniture of sites

_LIKE = re.compile(r"You might also like(?=\s*(?:$|\[|\d*Embed)|[A-ZА-ЯЁ\"“«(])")
_EMBED = re.compile(r"\d*(?:[.,]\d+)?K?Embed\s*Share\s*U(?:RL|rl):?\s*Copy(?:\s*Embed:?\s*Copy)?\s*$|"
                    r"(?:(?<=[^\s])|^\s*|\s*\d+(?:[.,]\d+)?K?)(?:\d+(?:[.,]\d+)?K?)?Embed\s*$")
_TICKETS = re.compile(r"See (?:(?!See ).){1,80}?\s*[Ll]ive\s*Get tickets as low as\s*[$€£₽]?\s*\d*(?:[.,]\d+)*|"
                      r"^\s*Get tickets as low as\s*[$€£₽]?\s*\d*(?:[.,]\d+)*")
_CONTRIBUTORS = re.compile(r"^\s*\d+\s*Contributors?.*?Lyrics(?:.*Read More)?|^\s*\d+\s*Contributors?\s*$")
_WHOLE = re.compile(
    r"(?:translations|read more|embed|lyrics|you might also like|advertisement|submit corrections|"
    r"lyrics (?:powered|licensed|provided) (?:by|&).*|(?:source|writer\(s\)|(?:song)?writers?|written by|produced by|"
    r"lyrics (?:by|©)|слова и музыка|автор текста)\s*[:©].*|all rights reserved.*|(?:copyright|©|\(c\))\s*(?:©\s*)?\d{4}.*|"
    r"thanks to .* for (?:adding|correcting) these lyrics.*|\**\s*this lyrics is not for commercial use\s*\**|"
    r"реклама|поделиться|скачать|(?:https?://|www\.)\S+)[.…]?", re.IGNORECASE)
_TRANSLATIONS = re.compile(r"Translations(?:[A-ZÀ-ÖØ-ÞА-ЯЁ].*)?|.*… ?Read More")
_TITLE = re.compile(r"(?:Текст песни|Слова песни|.{1,80}\sLyrics$).*")
_AFTER_TITLE = re.compile(r"^(.{1,80}?\sLyrics)(?=\[)")
ONLY_CONTRIBUTORS = re.compile(r"\s*\d+\s*Contributors?\s*")
TICKETS_BELOW = re.compile(r"\s*Get tickets as low as\b")
SEE_LIVE = re.compile(r"\s*See .{1,80}\s?[Ll]ive\s*")


def without_furniture(line: str, first: bool) -> str:
    """The line without what sites of lyrics put into it, a break of the line where it was. `first`: nothing of the song came
    before."""
    if _WHOLE.fullmatch(line.strip()) or _TRANSLATIONS.fullmatch(line.strip()) or (first and _TITLE.fullmatch(line.strip())):
        return ""
    for pattern in (_CONTRIBUTORS, *([_AFTER_TITLE] if first else []), _TICKETS, _EMBED, _LIKE):
        line = pattern.sub("\u2028", line)
    return line


# heads as our own songs have them

_HEAD_LINE = re.compile(r"#\s*(?P<key>[^\W\d_][\w .()-]{0,23}?)\s*:\s*(?P<value>.*)")
_HEAD_KEYS = frozenset(
    "title by artist performer singer author composer lyricist language source licence license album year genre copyright "
    "rights words music lyrics song note translation translator collected url название автор исполнитель язык источник "
    "лицензия слова музыка альбом год перевод песня композитор".split())
_CREDIT = re.compile(
    r"(?:title|artist|album|songwriters?|performer|исполнитель|название|альбом|автор)\s*:\s*\S.*", re.IGNORECASE)


def credit(line: str) -> bool:
    """Whether a line before the song says its title or its people: "Title: Silver River"."""
    return bool(_CREDIT.fullmatch(line.strip()))


def head(rows: list[str]) -> tuple[int, dict[str, str]]:
    """How many rows of a file are a head of lines "# key: value", as our songs have it, and what it says.

    Lines that begin with # are a song's own ("#1 fan") unless the first names something known, or all have a space after the
    mark ("# Silver River") and a blank row before the song ends them.
    """
    start = next((i for i, row in enumerate(rows) if row.strip()), 0)
    end = start
    while end < len(rows) and re.match(r"\s*#(?:\s|$)|\s*#\w+\s*:", rows[end]):
        end += 1
    found = [_HEAD_LINE.fullmatch(row.strip()) for row in rows[start:end]]
    said = {m["key"].casefold(): m["value"].strip() for m in found if m}
    song = [row for row in rows[end:] if row.strip()]
    if not song:  # every line begins with the mark: what does not name something known is the song
        known = [bool(m and m["key"].casefold() in _HEAD_KEYS) for m in found]
        end = start + (known.index(False) if False in known else len(known))
        return (end, {m["key"].casefold(): m["value"].strip() for m in found[:end - start]}) if end > start else (0, {})
    blank = end < len(rows) and not rows[end].strip()
    titled = end > start and blank and song and not all(row.lstrip().startswith("#") for row in song)
    if end > start and (_HEAD_KEYS & set(said) if found[0] else titled):
        return end, said
    return 0, {}
