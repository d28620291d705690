"""Text from elsewhere: harmless on a terminal, whole for a model."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.text import TextError, plain, read_words


@pytest.mark.parametrize(("text", "shown"), [
    ("a red apple", "a red apple"),
    ("кафé 中 👍🏽 👩‍🚀", "кафé 中 👍🏽 👩‍🚀"),
    ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
    ("\x9b2J", "\\x9b2J"),  # the one-byte form of ESC [
    ("two\nlines\r\tone", "two\\nlines\\r\\tone"),
    ("gnp\u202egnp.exe", "gnp\\u202egnp.exe"),
    ("a\u2066b\u2028c\u0085d", "a\\u2066b\\u2028c\\x85d"),
    ("\udcff\ud800", "\\xff\\ud800"),
    ("\U000e0041", "\\U000e0041"),
    (12, "12"),
    ({"a": "\x1b"}, "{'a': '\\x1b'}"),
    (b"\x1b", "b'\\x1b'"),
])  # fmt: skip
def test_what_commands_a_terminal_is_escaped(text, shown):
    assert plain(text) == shown


@given(st.text(st.characters(exclude_categories=())), st.integers(12, 60))
def test_one_short_line_without_commands(text, longest):
    shown = plain(text, longest)
    assert len(shown) <= longest and len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    shown.encode("utf-8")
    if len(text.encode("unicode_escape", "surrogatepass")) <= longest:
        assert not shown.endswith("…") or text.endswith("…")


def test_what_is_long_is_cut_between_its_parts():
    assert plain("x" * 81) == "x" * 79 + "…" and plain("x" * 80) == "x" * 80
    assert plain("xxxxxxxx\x1b\x1b", 12) == "xxxxxxxx…", "no half of an escape"
    assert plain("y" * 10_000_000, 9) == "yyyyyyyy…"


def test_letters_are_composed():
    assert read_words("cafe\u0301") == read_words("cafe\u0301".encode()) == "café"
    assert read_words("и\u0306") == "й"
    assert read_words("а".encode("utf-16")) == read_words("\ufeffа".encode("utf-16-be")) == "а", "its mark says which"
    assert read_words("\ufeffa") == read_words(b"\xef\xbb\xbfa") == "a"


@pytest.mark.parametrize(("text", "said"), [
    ("ab\udcff", r"prompt: character 3 \(\\xff\) is no text; .*UTF-8"),
    ("\ud83d", r"prompt: character 1 \(\\ud83d\) is no text"),
    (b"ab\xff", r"prompt: byte 3 \(\\xff\) is no UTF-8; save it as UTF-8"),
    (b"\xff\xfe0\xd8", "is no UTF-16"), ("a moon".encode("utf-16-le"), "character 2 is NUL"), ("a\0", "character 2 is NUL"),
])  # fmt: skip
def test_what_is_no_text_is_refused(text, said):
    with pytest.raises(TextError, match=said):
        read_words(text, "prompt")
