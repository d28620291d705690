"""The reader of lyric files: what is sung, in which line of the file, how often; and that no line of a song is lost."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data import data_path
from labkit.lyrics import KeyPhrases, examples, load_glossary, load_norms, read_lyrics
from labkit.lyrics.markup import MOST_TIMES, header
from labkit.text import TextError
from tests.conformance import TinyLab

GENIUS = """[Verse 1: Some Singer & A Guest]
The red balloon over the town
(Oh yeah, oh yeah)
[Chorus]
Silver river, silver river (x2)
Silver river, silver river (x2)
[Bridge - Guitar Solo]
12 Contributors Translations Lyrics You might also like 23Embed
See the concert live Get tickets as low as $49
"""


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


def sung(text: str) -> list[tuple]:
    return [(line.number, line.text, line.times) for line in read_lyrics(text).lines]


def test_a_sites_page_leaves_the_song():
    read = read_lyrics(GENIUS)
    assert sung(GENIUS) == [(2, "The red balloon over the town", 1), (3, "(Oh yeah, oh yeah)", 1),
                            (5, "Silver river, silver river", 2), (6, "Silver river, silver river", 2)]
    assert [note.split(", first")[0] for note in read.notes[:2]] == [
        "3 headers of sections passed over", "2 lines had a site's own words, which were passed over"]
    assert "line 5 2 times" in read.notes[2]


def test_a_mark_is_worth_the_lines_that_it_saves(tiny):
    marked = KeyPhrases(text=GENIUS, n=50).compute(tiny)
    text = "The red balloon over the town\n(Oh yeah, oh yeah)\n" + "Silver river, silver river\n" * 4
    plain = KeyPhrases(text=text, n=50).compute(tiny)
    columns = ["phrase", "score", "repetition", "overlap", "count"]
    pd.testing.assert_frame_equal(marked.table[columns], plain.table[columns])
    assert any("headers of sections" in line for line in marked.notices)


@pytest.mark.parametrize("line", [
    "[Chorus]", "[Припев]", "[Verse 1: Artist]", "[Verse 2: A, B & C]", "(Chorus)", "Chorus:", "CHORUS", "Припев:", "припев",
    "Куплет 1", "1 куплет:", "2-й куплет", "Второй куплет", "Verse 2", "Verse II", "Verse two:", "First verse", "Pre-Chorus",
    "[Post-Chorus]", "[Instrumental]", "Instrumental", "[Guitar Solo]", "(guitar solo)", "Bridge", "Bridge:", "[Intro]",
    "Outro", "Проигрыш", "[Бридж]", "Вступление:", "[Куплет 2: Певец]", "-Chorus-", "*** Chorus ***", "## Verse 1",
    "{Chorus}", "<Chorus>", "[Some Singer]", "[Final Chorus]", "Repeat Chorus", "(Repeat chorus)", "Chorus x2",
    "[Chorus] (x2)", "Припев (2 раза):", "Припев: 2 раза", "[Hook x4]", "[Solo]", "Соло:", "[Текст песни «Река»]", "Chorus.",
    "[Verse 1", "IV.", "[Предприпев]", "[Refrain: Choir (live)]",
])  # fmt: skip
def test_headers_are_not_sung(line):
    assert sung(f"the moon\n{line}\nthe sea") == [(1, "the moon", 1), (3, "the sea", header(line).times)]


@pytest.mark.parametrize("line", [
    "Chorus of angels singing", "The bridge", "Bridge over troubled water", "Hook, line and sinker", "(Oh yeah, oh yeah)",
    "Solo", "Break", "I told you three times", "Верни мне припев", "Мост", "Все", "2 раза", "End",
    "(Bridge over troubled water)", "See the concert live", "You might also like the moon", "I want to Embed",
    "Translations of the heart", "[oh, silver river]", "[Silver river!]", "12:30 train", "Generation X", "I <3 you",
    "#1 fan of the red balloon", "#moonlight", "Read more of me", "Share", "Music", "Verses", "Verse of love",
    "the moon is a title", "Source of light", "Lyrics of the sea", "Contributors to the moon", "Куплеты про любовь",
    "Get tickets", "x", "Chorus, sing!", "4 times", "Repeat after me", "(Break) my heart", "Part of me", "Последний мост",
    "a < b > c",
])  # fmt: skip
def test_lines_that_only_look_like_markup_are_sung(line):
    assert sung(f"the moon\n{line}\nthe sea") == [(1, "the moon", 1), (2, line, 1), (3, "the sea", 1)]


@pytest.mark.parametrize(("line", "text", "times"), [
    ("Silver river (x2)", "Silver river", 2), ("Silver river x2", "Silver river", 2), ("Silver river ×3", "Silver river", 3),
    ("Silver river, x 3", "Silver river,", 3), ("Река (2 раза)", "Река", 2), ("Река (2р.)", "Река", 2),
    ("Река х3", "Река", 3), ("Река - 2 раза", "Река", 2), ("Река. 2 раза", "Река", 2),
    ("Silver river [x2]", "Silver river", 2), ("Silver river 2x", "Silver river", 2), ("2x Silver river", "Silver river", 2),
    ("(3x) Silver river", "Silver river", 3), ("x2: Silver river", "Silver river", 2),
    ("Silver river (repeat x4)", "Silver river", 4), ("Silver river (repeat)", "Silver river", 2),
    ("Silver river (twice)", "Silver river", 2), ("Река (дважды)", "Река", 2),
    ("Silver river (three times)", "Silver river", 3), ("Река /2 раза/", "Река", 2),
    ("Silver river (bis)", "Silver river", 2), ("Silver river (X2)", "Silver river", 2),
    ("Silver river *2", "Silver river", 2), ("Chorus: Silver river (x2)", "Silver river", 2),
    ("[Chorus] Silver river x2", "Silver river", 2), ("Река (повтор 2 раза)", "Река", 2),
    ("Silver river (x0)", "Silver river", 1), ("Silver river (x999999999)", "Silver river", MOST_TIMES),
    ("Silver river (3 times)", "Silver river", 3), ("Река (3 раз)", "Река", 3),
])  # fmt: skip
def test_repeat_marks_count(line, text, times):
    assert [(t, n) for _, t, n in sung(line)] == [(text, times)]


def test_a_mark_counts_the_piece_before_it():
    assert sung("Na na na (x4), hey moon (x2)") == [(1, "Na na na", 4), (1, "hey moon", 2)]


def test_a_mark_on_a_header_or_alone_counts_all_its_lines():
    assert sung("[Chorus x3]\nthe moon\nthe sea (x2)\n\nthe star") == [
        (2, "the moon", 3), (3, "the sea", 6), (5, "the star", 1)]
    assert sung("[Chorus]\n(x2)\nthe moon") == [(3, "the moon", 2)]
    assert sung("the sun\n\nthe moon\nthe sea\n(x2)\n\nthe star") == [
        (1, "the sun", 1), (3, "the moon", 2), (4, "the sea", 2), (7, "the star", 1)]
    assert sung("[Chorus x20]\nthe moon (x20)")[0][2] == MOST_TIMES


def test_a_chorus_that_is_only_named_counts_again():
    text = "Припев:\nлуна\n\nКуплет 1\nзвезда\n\nПрипев\n\nсолнце\n\nПрипев (x2)\n\nКуплет 1\n\nморе"
    assert sung(text) == [(2, "луна", 4), (5, "звезда", 1), (9, "солнце", 1), (15, "море", 1)]


def test_times_of_players():
    text = ("[ar:Some Singer]\n[ti:River]\n[offset:+500]\n[00:12.34][01:15.20]Silver river\n"
            "[00:15.00]The <00:15.10>red <00:16.00>sea\n"
            "[00:20.00]\n[1:02:03.5] Night sky\n[00:30:12]Day")
    assert sung(text) == [(4, "Silver river", 2), (5, "The red sea", 1), (7, "Night sky", 1), (8, "Day", 1)]
    assert [note for note in read_lyrics(text).notes if note.startswith(("5 lines had the times", "3 tags"))] != []


def test_subtitles():
    srt = "1\n00:00:01,000 --> 00:00:04,000\nSilver river\nThe <i>red</i> sea\n\n2\n00:00:05,000 --> 00:00:07,000\n99 moons\n"
    assert sung(srt) == [(3, "Silver river", 1), (4, "The red sea", 1), (8, "99 moons", 1)]
    assert sung(srt.replace("\n", "\r\n")) == sung(srt)
    vtt = ("\ufeffWEBVTT - x\nKind: captions\n\nNOTE of mine\nand more\n\nintro\n"
           "00:01.000 --> 00:04.000 align:start\n<v Bob>Silver river\nthe sea\n")
    assert sung(vtt) == [(9, "Silver river", 1), (10, "the sea", 1)]


def test_furniture_inside_lines():
    text = ("12 ContributorsSilver River Lyrics[Verse 1]\nThe red sea\nYou might also like[Chorus]\nSilver river"
            "See Some Singer LiveGet tickets as low as $49You might also like\nNight sky23Embed")
    assert sung(text) == [(2, "The red sea", 1), (4, "Silver river", 1), (5, "Night sky", 1)]
    assert sung("[Chorus x2]\nthe moon\nYou might also like\nthe sea") == [(2, "the moon", 2), (4, "the sea", 2)]
    page = ("12 Contributors\nTranslations\nDeutsch\nРусский\nSilver River Lyrics\nThe moon\nSee X Live\nGet tickets "
            "as low as $66\nsea\n1.2KEmbed")
    assert sung(page) == [(6, "The moon", 1), (9, "sea", 1)]
    assert sung("Silver River Lyrics\nthe moon\nRead More\nTranslations\nwww.example.org/moon\nEmbed") == [(2, "the moon", 1)]


@pytest.mark.parametrize(("text", "lines"), [
    ("# title: X\n# source: Y\n# licence: Z\n\nmoon\n#star", [(5, "moon"), (6, "#star")]),
    ("# title: X\nmoon", [(2, "moon")]), ("\n# название: X\n# by hand\n\nмоя луна", [(5, "моя луна")]),
    ("# Silver River\n\nmoon", [(3, "moon")]), ("#1 fan of the sea\nmoon", [(1, "#1 fan of the sea"), (2, "moon")]),
    ("#love\n#moon\n#star", [(1, "#love"), (2, "#moon"), (3, "#star")]), ("# moon\n# star", [(1, "# moon"), (2, "# star")]),
    ("# title: X\n#love\n#moon", [(2, "#love"), (3, "#moon")]),
    ("# title: X\n# moon\n# star", [(2, "# moon"), (3, "# star")]),
    ("moon\n# title: star", [(1, "moon"), (2, "# title: star")]), ("# 1 fan\nmoon", [(1, "# 1 fan"), (2, "moon")]),
])  # fmt: skip
def test_a_head_is_not_sung_and_hashes_are(text, lines):
    assert [(number, line) for number, line, _ in sung(text)] == lines


def test_our_own_songs_are_read_alike_from_file_and_from_python(tiny):
    for name, song in examples().items():
        whole = data_path("lyrics", "songs", f"{name}.txt").read_text(encoding="utf-8")
        read = read_lyrics(whole)
        assert [line.text for line in read.lines] == [line.text for line in read_lyrics(song.text).lines]
        assert read.about["title"] == song.title and "source" in read.about and "head" in read.notes[0]
        assert whole.splitlines()[read.lines[0].number - 1].strip() == read.lines[0].text
    found = KeyPhrases(text=whole).compute(tiny)
    assert not {"title", "source", "public domain"} & set(found.table["phrase"]) and "head" in " ".join(found.notices)


def test_bytes_that_are_not_seen():
    text = "\ufeffSilver\u00a0river\r\nmoon\u200blight\r\n\x0cred\u2028sea\x0b \rsun\u00ad\u202eset"
    assert sung(text) == [(1, "Silver river", 1), (2, "moonlight", 1), (3, "red", 1), (3, "sea", 1), (4, "sunset", 1)]
    assert sung("Don&#39;t stop<br>rock &amp; roll\n[Am]Silver ri[G7]ver\n{soc}") == [
        (1, "Don't stop", 1), (1, "rock & roll", 1), (2, "Silver river", 1)]


def test_decomposed_letters_are_the_same_words(tiny, tmp_path):
    text = "Ёлка в снегу\nСиний йод, мой зайчик\nБелый снег"
    apart = unicodedata.normalize("NFD", text)
    assert apart != text and sung(apart) == sung(text)
    tables = [KeyPhrases(text=t, morphology="endings").compute(tiny).table for t in (text, apart)]
    pd.testing.assert_frame_equal(*tables)
    for name, head, load, rows in (("n.csv", "word,concreteness", load_norms, {"зайчик": "5", "йод": "4", "café": "3"}),
                                   ("g.csv", "russian,english", load_glossary, {"зайчик": "bunny", "белый снег": "café"})):
        path = tmp_path / name
        both = []
        for form in ("NFC", "NFD"):
            lines = [head, *(f"{k},{v}" for k, v in rows.items())]
            path.write_text(unicodedata.normalize(form, "\n".join(lines)), encoding="utf-8")
            both.append(load(path))
        assert both[0] == both[1] and set(both[0]) == set(rows)


@pytest.mark.parametrize(("text", "said"), [("the moon\0", "NUL"), ("the \ud800 moon", "character 5")])
def test_what_is_no_text_is_refused(text, said):
    with pytest.raises(TextError, match=said):
        read_lyrics(text)
    with pytest.raises(ValueError, match=f"text: .*{said}"):
        KeyPhrases(text=text)


def test_a_text_of_markup_alone_says_what_was_passed_over():
    with pytest.raises(ValueError, match=r"text: has no words besides .*1 header of a section.*\[Chorus\]"):
        KeyPhrases(text="[Chorus]\n12 Contributors\n")


MIXED = ["[", "]", "(", ")", "x2", "Chorus", "Припев", ":", "#", " ", "\n", "\n", "moon", "00:12.34", "<", ">", "[00:12.34]",
         "1", "-->", "Embed", "You might also like", "12 Contributors", "Lyrics", "{", "}", "2 раза", "\f", "\r"]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(MIXED), max_size=40).map("".join))
def test_any_mixture_is_read_with_the_files_numbers(text):
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in read_lyrics(text).lines:
        assert 1 <= line.times <= MOST_TIMES and line.text == line.text.strip() and line.text
        letters = "".join(filter(str.isalpha, rows[line.number - 1]))  # times may stand between the syllables of a word
        assert all(word in letters for word in line.text.split() if word.isalpha())


def test_long_lines_take_no_long_time():
    for unit in (" ", "x2 ", "( ", "[", "See ", "12:", "repeat ", "<", "1 Contributors", "&", "- ", "\u200b"):
        read_lyrics((unit * 20_000)[:20_000])
