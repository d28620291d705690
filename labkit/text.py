"""Text from elsewhere: made fit for a terminal where it is shown, and for a model where it is read.

`plain` is for showing: a file's own words (recipes, metadata, names) could otherwise colour a terminal, move its cursor, write
backwards (Unicode's bidirectional controls, "Trojan Source", Boucher & Anderson 2021) or fill it. `read_words` is for reading:
composed letters (Unicode's normal form C), as "é" typed as e + accent is the same word, and nothing that is no text.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

JOINERS = "\u200c\u200d"  # between letters of Persian and Hindi, and inside emoji: harmless
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, format, surrogate, private, unassigned, line ends
HALVES = re.compile("[\ud800-\udfff]")
MUCH = 4096  # characters that are looked at, at most


class TextError(ValueError):
    """What was given is no text; the message says where and what to do."""


def plain(value: object, longest: int = 80) -> str:
    """A value's words on one line of at most `longest` characters: what is invisible or commands a terminal is escaped
    (`\\x1b`, `\\u202e`, `\\n`), and what is over is cut, with "…" at its end."""
    text, units, length = value if isinstance(value, str) else str(value), [], 0
    for character in text[:MUCH]:
        unit = _shown(character)
        length += len(unit)
        units.append(unit)
        if length > longest:
            break
    else:
        if len(text) <= MUCH:
            return "".join(units)
    while units and length > longest - 1:
        length -= len(units.pop())
    return "".join(units) + "…"


def _shown(character: str) -> str:
    if character in JOINERS or unicodedata.category(character) not in UNSEEN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no text, from a command line or a file's name
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def read_words(text: str | bytes, what: str = "text") -> str:
    """Text as it is read from people: in normal form C; bytes are UTF-8, or UTF-16 where a byte order mark says so.

    Raises `TextError`, which begins with `what`, for bytes of another encoding, for halves of characters (a command line
    whose bytes are not of the terminal's encoding has them) and for the character NUL, which no text has.
    """
    if isinstance(text, bytes):
        code = "UTF-16" if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "UTF-8"
        try:
            text = text.decode(code)
        except UnicodeDecodeError as error:
            raise TextError(f"{what}: byte {error.start + 1} (\\x{error.object[error.start]:02x}) is no {code}; "
                            "save it as UTF-8 (an old Russian file: iconv -f cp1251 -t utf-8)") from None
    if half := HALVES.search(text):
        raise TextError(f"{what}: character {half.start() + 1} ({_shown(half[0])}) is no text; type it in UTF-8, in a terminal "
                        "whose locale is UTF-8 (LC_ALL=C.UTF-8)")
    if "\0" in text:
        raise TextError(f"{what}: character {text.index(chr(0)) + 1} is NUL (\\x00), which no text has; is this a text?")
    return unicodedata.normalize("NFC", text.removeprefix("\ufeff"))
