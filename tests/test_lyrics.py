"""Key phrases: closed forms of every term, what a line's candidates are, what is said where something is not known."""

import importlib.util
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.files import NotWritable
from labkit.lyrics import KeyPhrases, Weights, examples, load_glossary, load_norms, read_lyrics, songs
from labkit.lyrics import candidates as rules_module
from labkit.lyrics.candidates import candidates, grammar
from labkit.lyrics.scores import ABSTRACT, PICTURES, TERMS, likeness, mmr, overlaps
from labkit.lyrics.words import WORD, language_of, normalise, script, seed_words, stop_words
from labkit.prompt import parse
from labkit.spec import NonFiniteError, SpecError
from labkit.views.cli.commands import phrases
from labkit.views.cli.running import slug
from tests.conformance import TinyLab, pocket_lab

ABSTRACT_LINES = ["what is the meaning of eternity", "I have faith and hope", "my reason is freedom", "justice and virtue"]


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


@pytest.fixture
def dictionary(missing):
    if importlib.util.find_spec("pymorphy3") is None:
        missing("pymorphy3 is not installed")
    return grammar("ru", "dictionary")


def shown(line, rules, most=4):
    return {c.shown for c in candidates(line, rules, most)}


def row(result, phrase):
    """The row of a phrase, in whatever place it was picked."""
    (found,) = [r for _, r in result.table.iterrows() if r["phrase"] == phrase]
    return found


class Angles:
    """A CLIP of the plane: the abstract sentences lie along y, filled templates along x, a phrase at the angle in degrees
    that it begins with, or at 45."""

    name = "angles"

    def __init__(self, unseen=()):
        self.unseen = unseen

    def notices(self, text):
        return [f"never seen {w!r}" for w in self.unseen if w in text.split()]

    def encode_text(self, texts):
        degrees = [90 if t in ABSTRACT else 0 if t.startswith(("a ", "an ")) else float(WORD.match(t).group()) if t[0].isdigit()
                   else 45 for t in texts]
        return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


# the data

def test_songs_are_the_printed_table():
    table = songs()
    assert list(table.columns) == ["number", "performer", "song", "excerpt"] and table["number"].tolist() == list(range(1, 11))
    assert table["excerpt"].tolist() == [
        "shooting stars", "hallelujah", "sweater weather", "cry snowman", "news on TV", "bloody mary", "bottles of bubbles",
        "blue tractor on big wheels", "crowded restaurant", "Dancer in the dark"]
    assert table.loc["sweater-weather", "performer"] == "The neighborhood", "as printed, spelling included"
    assert list(table.index) == [slug(e) for e in table["excerpt"]]


def test_examples_say_their_source_and_are_read():
    found = examples()
    assert {s.language for s in found.values()} == {"en", "ru"}
    for song in found.values():
        assert "public domain" in song.source and song.by and language_of(song.text) == song.language
        read = read_lyrics(song.text)
        assert len(read.distinct()) >= 8 and not read.notes, "no head, no markup"


@pytest.mark.parametrize("code", ["en", "ru"])
def test_word_lists_are_sound(code):
    listed = seed_words(code)
    assert len(listed) > 500 and not any(" " in w or not w for w in listed)
    assert all(kinds and set(kinds) <= set("nav") and value in (1, 2, 3, 4, 5) for kinds, value in listed.values())
    assert not {w for w in stop_words(code) if "#" in w}


def test_glossary_covers_the_russian_list():
    assert set(seed_words("ru")) <= set(load_glossary())


# lines and languages

def test_a_chorus_is_one_line_with_several_numbers():
    text = "Oh, Moon!\n\nthe sea\noh moon\n…\nOH  MOON\nБерёза\nбере́за!"
    assert [(x.text, x.numbers) for x in read_lyrics(text).distinct()] == [
        ("Oh, Moon!", (1, 4, 6)), ("the sea", (3,)), ("Берёза", (7, 8))]


@pytest.mark.parametrize(("word", "code"), [("star", "en"), ("звезда", "ru"), ("café", "en"), ("99", "number"),
                                            ("стaр", "other"), ("星", "other"), ("one-horse", "en")])
def test_scripts(word, code):
    assert script(word) == code, "стaр has a Latin a"


def test_language_is_found_or_refused():
    assert language_of("the moon") == "en" and language_of("луна на небе and TV") == "ru"
    assert language_of("moon", "en") == "en"
    german = "Der Mond ist aufgegangen die goldnen Sternlein prangen am Himmel hell und klar der Wald steht schwarz " * 2
    assert language_of(german, "en") == "en", "who names the language is believed"
    for text, given_, words in [(german, "auto", "not look English.*language='en'"), ("星の光", "auto", "neither in Latin"),
                                ("Ой у лузі червона калина", "auto", "letters that Russian has not"),
                                ("the moon", "ru", "no word in Russian letters"), ("луна", "en", "no word in English letters")]:
        with pytest.raises(ValueError, match=words):
            language_of(text, given_)
        with pytest.raises(SpecError, match=f"language: .*{words}"):
            KeyPhrases(text=text, language=given_)


@pytest.mark.parametrize(("values", "words"), [
    ({"text": ""}, "text: has no words"), ({"text": "12 !?\n—"}, "text: has no words"),
    ({"text": "a" * 20_001}, "text: .*20000"),
    ({"n": 0}, "n: .*1"), ({"most_words": 5}, "most_words: .*4"), ({"diversity": 1.5}, "diversity: .*1"),
    ({"weights": {"overlap": 11}}, "weights: overlap: .*10"), ({"dedupLim": 0.9}, "dedupLim: KeyPhrases has no such field"),
    ({"weights": {"length": 1}}, "weights.*length: Weights has no such field"), ({"language": "de"}, "language"),
    ({"morphology": "magic"}, "morphology"),
])  # fmt: skip
def test_bad_specs_say_which_field(values, words):
    with pytest.raises(SpecError, match=words):
        KeyPhrases(**({"text": "the moon"} | values))


def test_spec_round_trips():
    spec = KeyPhrases(text="the moon\nлуна", language="ru", weights={"overlap": 2}, diversity=0)
    assert KeyPhrases.from_json(spec.to_json()) == spec and spec.but(weights__overlap=0.5).weights == Weights()
    assert KeyPhrases.needs == ("clip",)


# candidates

def test_english_candidates():
    rules = grammar("en")
    assert shown("Like a diamond in the sky.", rules) == {"diamond", "sky", "diamond in the sky"}
    assert shown("In a One-Horse open sleigh,", rules) == {"One-Horse open sleigh", "open sleigh", "sleigh"}
    assert "blue tractor on big wheels" in shown("blue tractor on big wheels", rules)
    assert "blue tractor on big wheels" not in shown("blue tractor on big wheels", rules, most=3)
    assert shown("little star shining brightly", rules) == {"little star", "star"}, "no phrase ends in a verb or an adverb"
    assert shown("the night falls", rules) == {"night"} and "falls" in shown("the falls", rules)
    assert shown("red, apple", rules) == {"apple"}, "punctuation breaks a phrase"
    assert shown("I would not have been there", rules) == set()
    assert shown("one two three four five stars", rules, most=2) == {"five stars", "stars"}


@pytest.mark.parametrize("excerpt", songs()["excerpt"])
def test_every_excerpt_of_the_report_is_a_candidate(excerpt):
    assert excerpt in shown(excerpt, grammar("en"))
    assert excerpt in shown(f"and then I see the {excerpt}, oh yeah", grammar("en"))


def test_english_plurals_are_one_phrase():
    keys = {c.tokens for line in ("shooting stars", "Shooting star") for c in candidates(line, grammar("en"), 4)}
    assert keys == {("shooting", "star"), ("star",)}
    lemma = grammar("en").lemma
    words = {"snowmen": "snowman", "berries": "berry", "boxes": "box", "churches": "church", "leaves": "leaf", "grass": "grass",
             "news": "news", "lover's": "lover", "skies": "sky", "roses": "rose", "houses": "house"}
    assert {w: lemma(w) for w in words} == words


def test_russian_candidates_agree(dictionary):
    assert shown("Сквозь туман кремнистый путь блестит", dictionary) == {"туман", "путь", "кремнистый путь"}
    assert shown("Белую берёзу заломаю", dictionary) == {"Белую берёзу", "берёзу"}
    assert shown("белый берёза", dictionary) == {"берёза"}, "no agreement, no phrase"
    assert shown("кудрявой берёзу", dictionary) == {"берёзу"} == shown("кудрявые берёзу", dictionary), "in case and number"
    assert shown("Вихри снежные крутя", dictionary) == {"Вихри", "Вихри снежные"}, "as verse turns it"
    assert shown("красных яблок", dictionary) == {"красных яблок", "яблок"}
    assert "холодным сном могилы" in shown("Но не тем холодным сном могилы", dictionary)
    assert "танцовщица в темноте" in shown("танцовщица в темноте", dictionary)
    assert shown("дремали и шумели", dictionary) == set()


def test_russian_phrases_have_lemmas(dictionary):
    by_shown = {c.shown: c for line in ("Белую берёзу", "Вихри снежные крутя", "красных яблок")
                for c in candidates(line, dictionary, 4)}
    assert (by_shown["Белую берёзу"].base, by_shown["Белую берёзу"].tokens) == ("белая берёза", ("белый", "береза"))
    assert (by_shown["Вихри снежные"].base, by_shown["Вихри снежные"].tokens) == ("снежный вихрь", ("снежный", "вихрь"))
    assert by_shown["красных яблок"].base == "красное яблоко"


def test_endings_are_the_simpler_rule_and_say_so(tiny, monkeypatch):
    rules = grammar("ru", "endings")
    assert {"кремнистый путь", "путь", "туман"} <= shown("Сквозь туман кремнистый путь блестит", rules)
    assert shown("Белую берёзу стояла", rules) == {"Белую берёзу", "берёзу"}
    result = KeyPhrases(text="Белую берёзу\nберёза", morphology="endings").compute(tiny)
    assert "simpler rule" in result.notices[0]
    assert row(result, "Белую берёзу")["prompt"] == "white birch" and row(result, "берёзу")["count"] == 2
    # as where pymorphy3 is not installed
    monkeypatch.setattr(rules_module.importlib.util, "find_spec", lambda name: None)
    assert grammar.__wrapped__("ru", "auto").name == rules.name
    with pytest.raises(ImportError, match="pip install pymorphy3.*morphology='endings'"):
        grammar.__wrapped__("ru", "dictionary")


# the terms

def test_overlap_by_hand():
    words = [("blue", "tractor"), ("tractor",), ("blue", "tractor", "wheel"), ("tractor", "mud"), ("blue",)]
    times = [{1: 1}, {1: 1, 2: 1}, {1: 1}, {1: 1}, {3: 1}]
    # tractor is a piece in line 1, alone in line 2; blue is alone in line 3; of tractor mud one word is in the longest
    assert overlaps(words, times) == [1.0, 0.5, 0.0, 0.5, 0.0]
    assert overlaps(words[:2] + words[2:3], [{1: 1}, {1: 1, 2: 3}, {1: 1}])[1] == 0.25, "what is sung alone three times more"
    assert overlaps([], []) == []


def test_likeness_by_hand():
    got = likeness([("a", "b", "c"), ("c",), ("b", "c", "d", "e"), ("x",)])
    third = 2 / 3
    assert np.allclose(got, [[1, 1, third, 0], [1, 1, 1, 0], [third, 1, 1, 0], [0, 0, 0, 1]])


def test_mmr_by_hand():
    scores, similarity = [1.0, 0.9, 0.5], np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    assert mmr(scores, similarity, 3, 0.0) == [0, 1, 2], "by score alone"
    # second pick at d = 0.3: 0.7 · 0.9 − 0.3 · 1 = 0.33 against 0.7 · 0.5 − 0 = 0.35
    assert mmr(scores, similarity, 3, 0.3) == [0, 2, 1]
    assert mmr(scores, similarity, 3, 0.28) == [0, 1, 2], "0.72 · 0.9 − 0.28 = 0.368 against 0.36"
    # the likeness to any pick counts, not only to the last: 2 is like 0, 3 is like nothing
    chain = np.eye(4)
    chain[0, 2] = chain[2, 0] = 1
    assert mmr([1.0, 0.9, 0.8, 0.1], chain, 4, 0.5) == [0, 1, 3, 2]
    assert mmr([0.5, 0.5], np.eye(2), 5, 1.0) == [0, 1], "the first of equals, and no more than there are"
    assert mmr([], np.zeros((0, 0)), 3, 0.5) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-2, 2), max_size=8), st.integers(1, 10), st.floats(0, 1))
def test_mmr_picks_each_once(scores, n, d):
    picked = mmr(scores, np.eye(len(scores)), n, d)
    assert len(picked) == len(set(picked)) == min(n, len(scores))
    assert not picked or scores[picked[0]] == max(scores) or d == 1


def test_repetition_counts_lines_and_a_chorus_once_read(tiny):
    text = "a red apple\na blue ship\nthe apple is here\n" + "a blue ship\n" * 3
    result = KeyPhrases(text=text, n=50).compute(tiny)
    assert row(result, "blue ship")["repetition"] == pytest.approx(math.log(4))
    assert row(result, "blue ship")["lines"] == "2, 4, 5, 6"
    assert row(result, "red apple")["repetition"] == 0 and row(result, "apple")["repetition"] == pytest.approx(math.log(2))
    assert result.table["phrase"].is_unique


def test_concreteness_by_hand(tiny):
    result = KeyPhrases(text="a blue apple\nthe zorble of faith\na flumpness", n=50).compute(tiny)
    value = {w: seed_words("en")[w][1] for w in ("blue", "apple", "faith")}
    assert row(result, "blue apple")["concreteness"] == pytest.approx(((value["blue"] + value["apple"]) / 2 - 1) / 4)
    assert row(result, "zorble of faith")["concreteness"] == pytest.approx(((3 + value["faith"]) / 2 - 1) / 4)
    assert "'zorble' is a guess (3 of 5)" in row(result, "zorble of faith")["note"]
    assert row(result, "flumpness")["concreteness"] == pytest.approx(0.25), "an ending of abstract nouns"
    own = KeyPhrases(text="a blue apple\nthe zorble of faith", n=50).compute(tiny, norms={"Zorble": 5, "blue apple": 2})
    assert row(own, "zorble")["concreteness"] == 1 and "guess" not in row(own, "zorble")["note"]
    assert row(own, "blue apple")["concreteness"] == 0.25, "an expression of the norms goes before its words"
    assert row(KeyPhrases(text="an apple").compute(tiny, norms={"apple": 1}), "apple")["concreteness"] == 0, "before our list"
    with pytest.raises(SpecError, match="'moon' has concreteness 7"):
        KeyPhrases(text="the moon").compute(tiny, norms={"moon": 7})


def test_picturability_by_hand():
    lab = SimpleNamespace(clip=Angles())
    result = KeyPhrases(text="30 moons\nand 60 moons\nand 90 moons", diversity=0).compute(lab)
    for degrees in (30, 60, 90):
        expected = math.cos(math.radians(degrees)) - math.sin(math.radians(degrees))
        assert row(result, f"{degrees} moons")["picturability"] == pytest.approx(expected, abs=1e-6)
    assert result.model == "angles"


def test_templates_that_are_not_read_are_left_out():
    assert all(t.count("{}") == 1 for t in PICTURES)
    result = KeyPhrases(text="30 moons").compute(SimpleNamespace(clip=Angles(unseen=("photo", "idea"))))
    assert row(result, "30 moons")["picturability"] == pytest.approx(math.cos(math.pi / 6) - 0.5, abs=1e-6)
    blind = KeyPhrases(text="30 moons").compute(SimpleNamespace(clip=Angles(unseen=("thing", "an"))))
    assert math.isnan(row(blind, "30 moons")["picturability"])
    assert any("reads none of the templates" in line for line in blind.notices)


def test_words_the_model_has_never_seen_are_not_measured(tiny):
    result = KeyPhrases(text="a red apple\nsweater weather").compute(tiny)
    assert math.isfinite(row(result, "red apple")["picturability"]) and row(result, "red apple")["note"] == ""
    unseen = row(result, "sweater weather")
    assert math.isnan(unseen["picturability"]) and "never seen 'weather'" in unseen["note"]
    assert unseen["score"] == pytest.approx(unseen["concreteness"]), "the term adds nothing"
    assert any("not measured of 2 of 4" in line for line in result.notices)


def test_nan_is_told():
    clip = Angles()
    clip.encode_text = lambda texts: torch.full((len(texts), 2), torch.nan)
    with pytest.raises(NonFiniteError, match="angles"):
        KeyPhrases(text="30 moons").compute(SimpleNamespace(clip=clip))


def test_score_is_the_weighted_sum(tiny):
    weights = Weights(concreteness=2, repetition=0.5, picturability=3, overlap=1.5)
    result = KeyPhrases(text="a red apple\nan apple\nthe sea\nthe sea", n=50, weights=weights).compute(tiny)
    table = result.table.fillna(0.0)
    expected = (2 * table["concreteness"] + 0.5 * table["repetition"] + 3 * table["picturability"] - 1.5 * table["overlap"])
    assert np.allclose(table["score"], expected) and np.allclose(result.shares.to_numpy().sum(1), expected)
    why = row(result, "sea")["why"]
    assert why.startswith("2 × 1.00 concreteness + 0.5 × 0.69 repetition") and "overlap" not in why


def test_each_weight_moves_its_term_only(tiny):
    text = "a red apple\nan apple\nthe sea\nthe sea"
    base = KeyPhrases(text=text, n=50).compute(tiny).table.set_index("phrase").sort_index()
    for term in TERMS:
        spec = KeyPhrases(text=text, n=50).but(**{f"weights__{term}": 0})
        table = spec.compute(tiny).table.set_index("phrase").sort_index()
        change = (base["score"] - table["score"]).to_numpy()
        share = (getattr(Weights(), term) * base[term].fillna(0)).to_numpy() * (-1 if term == "overlap" else 1)
        assert np.allclose(change, share) and np.abs(change).max() > 0


# whole texts

WORDS = st.sampled_from(["the", "red", "apple", "of", "in", "stars", "don't", "one-horse", "sleigh", "TV", "oh", "99", "Ünder",
                         "звезда", "белую", "берёзу", "в", "темноте", "стояла", "Люли", "ночь", "бере́за", ",", "—", "\n", "\n",
                         "'", "…", "it's", "x", "я", "²", "İ", "ﬁre", "ß", "½"])  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(WORDS, min_size=1, max_size=40).map(" ".join))


@settings(deadline=None, max_examples=200)
@given(text=TEXTS, language=st.sampled_from(["auto", "en", "ru"]), morphology=st.sampled_from(["auto", "endings"]))
def test_any_text_gives_phrases_of_it_or_a_clear_error(text, language, morphology):
    try:
        spec = KeyPhrases(text=text, language=language, morphology=morphology, n=50)
    except SpecError as error:
        assert str(error).startswith(("text: ", "language: "))
        return
    table = spec.compute(LAB).table
    rows, sung = re.split("\r\n|\r|\n", text), read_lyrics(text).lines
    assert all(1 <= line.number <= len(rows) and 1 <= line.times <= 20 for line in sung)
    for _, found in table.iterrows():
        assert found["phrase"] in found["line"], "it stands there, letter by letter"
        numbers = [int(n) for n in found["lines"].split(", ")]
        assert len(numbers) <= found["count"] and found["line"] in [s.text for s in sung if s.number == numbers[0]]
        assert 0 <= found["concreteness"] <= 1 and 0 <= found["overlap"] <= 1 and math.isfinite(found["score"])
        if found["prompt"]:
            assert [p.text for p in parse(found["prompt"])] == [found["prompt"]], "ready for painting"


LAB = TinyLab()


@pytest.mark.parametrize("text", ["hallelujah", "run", "moon", "night and day", "люблю", "ночь"])
def test_short_texts_give_something(text, tiny):
    result = KeyPhrases(text=text).compute(tiny)
    assert 1 <= len(result.table) <= 3 and result.figure()._repr_png_().startswith(b"\x89PNG")


def test_a_text_of_stop_words_gives_an_empty_table(tiny):
    result = KeyPhrases(text="oh oh oh\nyou and I").compute(tiny)
    full = KeyPhrases(text="the moon").compute(tiny).table
    assert result.table.empty and list(result.table.columns) == list(full.columns)
    assert "all are stop words" in result.notices and result.prompts() == []
    assert result.figure()._repr_png_() and phrases.report(result) == "no phrase was found"


def test_words_of_another_script_are_told(tiny):
    result = KeyPhrases(text="the red apple\nthe yellow moon\nкрасное яблоко").compute(tiny)
    assert "2 words in another script were passed over" in result.notices
    assert not any(script(w) == "ru" for p in result.table["phrase"] for w in WORD.findall(p))


def test_a_long_text_without_line_breaks_is_read(tiny):
    text = " ".join(f"a {a}{b}nk" for a in "bcdfghklmnprst" for b in ("a", "e", "i", "o", "u") for _ in range(3)) * 12
    assert len(KeyPhrases(text=text[:20_000], language="en").compute(tiny).table) == 10


# Russian prompts

def test_russian_prompts_come_from_the_glossary_or_from_the_reader(tiny, dictionary):
    result = KeyPhrases(text="красное яблоко\nчетвёртую балалайку\nсном могилы", n=50).compute(tiny)
    apple = row(result, "красное яблоко")
    assert apple["prompt"] == "red apple" and "word by word: look it over" in apple["note"]
    assert math.isfinite(apple["picturability"]), "measured on the English prompt"
    fourth = row(result, "четвёртую балалайку")
    assert fourth["prompt"] == "" and "write an English prompt" in fourth["note"] and math.isnan(fourth["picturability"])
    assert "red apple" in result.prompts() and "" not in result.prompts()
    own = result.prompts({"четвёртую балалайку": "a fourth balalaika", "красное яблоко": "a red apple"})
    assert {"a fourth balalaika", "a red apple"} <= set(own) and "red apple" not in own
    with pytest.raises(ValueError, match="'луна' is not in the table"):
        result.prompts({"луна": "moon"})
    mine = KeyPhrases(text="красное яблоко").compute(tiny, glossary={"Красное яблоко": "an apple, red"})
    assert mine.prompts() == ["an apple, red"] and row(mine, "красное яблоко")["note"] == "prompt from the glossary"
    assert row(KeyPhrases(text="сном звезды").compute(tiny), "сном звезды")["prompt"] == "dream of star"


def test_english_prompts_are_the_phrases(tiny):
    result = KeyPhrases(text="Dancer   in the dark").compute(tiny)
    assert row(result, "Dancer   in the dark")["prompt"] == "Dancer in the dark"


# reading files

def test_norms_are_read_by_their_columns(tmp_path):
    path = tmp_path / "norms.txt"
    path.write_text("Word\tBigram\tConc.M\tConc.SD\nApple\t0\t5\t0\nhot dog\t1\t4.9\t0.3\n", encoding="utf-8")
    assert load_norms(path) == {"apple": 5.0, "hot dog": 4.9}
    path.write_text("\ufeffword;concreteness\nберёза;5\n", encoding="utf-8")
    assert load_norms(path) == {"береза": 5.0}
    for text, words in [("a,b\n1,2\n", "columns word and concreteness or conc.m; it has a, b"), ("", "no rows"),
                        ("word,concreteness\nmoon,x\n", "'moon' has concreteness 'x'"),
                        ("word,concreteness\nmoon,nan\n", "'moon'")]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match=words):
            load_norms(path)
    path.write_bytes("russian,english\nлуна,moon\n".encode("cp1251"))
    with pytest.raises(SpecError, match="UTF-8"):
        load_glossary(path)
    with pytest.raises(FileNotFoundError):
        load_norms(tmp_path / "none.csv")


# what it says of the report's words

def test_picturable_phrases_come_before_abstract_ones(missing):
    lab = pocket_lab(missing, ["clip"])
    excerpts = [e for e in songs()["excerpt"] if e != "hallelujah"]
    result = KeyPhrases(text="\n".join([*excerpts, *ABSTRACT_LINES]), n=50).compute(lab)
    order = result.table["phrase"].tolist()
    ideas = {"meaning", "eternity", "faith", "hope", "reason", "freedom", "justice", "virtue"}
    abstract = [p for p in order if ideas & set(WORD.findall(p))]
    assert len(abstract) >= 5
    assert max(map(order.index, excerpts)) < min(map(order.index, abstract)), order
    table = result.table.set_index("phrase")
    for phrase in ("shooting stars", "blue tractor on big wheels", "news on TV", "bottles of bubbles", "Dancer in the dark"):
        assert table.loc[phrase, "picturability"] > 0 and table.loc[phrase, "note"] == ""
    for phrase in ("sweater weather", "cry snowman", "crowded restaurant", "bloody mary"):
        assert "never seen" in table.loc[phrase, "note"] and math.isnan(table.loc[phrase, "picturability"])


def test_pocket_clip_tells_what_shows_something_from_what_does_not(missing):
    """Words that its captions have: things and places against words that say nothing of a picture."""
    lab = pocket_lab(missing, ["clip"])
    things = ["red apple", "rainbow", "castle", "night sky", "green field", "dancer", "tractor", "storm"]
    nothing = ["scheme", "image", "tones", "style", "day"]
    result = KeyPhrases(text="\n".join([*things, *nothing]), n=50).compute(lab)
    measured = result.table.set_index("phrase")["picturability"]
    assert measured[things].min() > measured[nothing].max()


# what is shown

def test_figure_has_a_bar_for_each_share(tiny):
    result = KeyPhrases(text="a red $5 {apple}\nan apple\nthe sea\nthe sea\nsweater weather").compute(tiny)
    figure = result.figure()
    bars = [p for p in figure.axes[0].patches if p.get_width()]
    assert sum(p.get_width() for p in bars) == pytest.approx(result.table["score"].sum(), abs=1e-6)
    assert len(bars) == (result.shares != 0).to_numpy().sum()
    for y, total in enumerate(result.shares.clip(lower=0).to_numpy().sum(1)):
        here = [p for p in bars if p.get_y() < y < p.get_y() + p.get_height()]
        assert max(p.get_x() + p.get_width() for p in here) == pytest.approx(total), "stacked, not laid over each other"
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert all(f"{s:.2f}" in texts for s in result.table["score"]) and "sweater weather *" in texts
    assert any(t.get_text().startswith("* not measured") for t in figure.texts)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def command(tiny, monkeypatch):
    """`labkit phrases …` with small random models."""
    import labkit.lab

    monkeypatch.setattr(labkit.lab, "Lab", lambda **names: tiny)
    return phrases.main


def test_command_prints_every_term_and_line(command, tmp_path, capsys):
    path, table, figure = tmp_path / "song.txt", tmp_path / "t.csv", tmp_path / "f.png"
    path.write_text("# title: x\n\nA red apple\nthe sea\nThe sea!\n", encoding="utf-8")
    assert command([str(path), "--csv", str(table), "--out", str(figure), "--weights.overlap", "1"]) == 0
    out, err = capsys.readouterr()
    assert all(term in out for term in TERMS) and "line 3: A red apple" in out and "line 4, 5: the sea" in out
    assert "overlap -1" in out and "note: phrases: English" in err and "title" not in out
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert pd.read_csv(table)["phrase"].tolist()[0] in ("sea", "red apple")
    assert all(len(line) <= 100 for line in out.splitlines() if "/" not in line)


def test_command_reads_standard_input_and_says_what_is_wrong(command, tmp_path, capsys, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("белая берёза".encode()), encoding="utf-8"))
    assert command(["--morphology", "endings"]) == 0
    assert "prompt: white birch" in capsys.readouterr().out
    path = tmp_path / "song.txt"
    for data, args, kind, words in [
        (b"", [], SpecError, "song.txt: has no words"),
        ("луна".encode("cp1251"), [], SpecError, "song.txt: byte 1 .*no UTF-8.*iconv"),
        (b"the moon\0", [], SpecError, "NUL"), (b"[Chorus]\n", [], SpecError, "no words besides .*header"),
        (b"the moon", ["--language", "ru"], SpecError, "--language: the text has no word"),
        (b"the moon", ["--norms", "none.csv"], FileNotFoundError, "--norms: none.csv: no such file"),
        (b"the moon", ["--n", "99"], SpecError, "--n: .*50"),
        (b"the moon", ["--out", "x.txt"], NotWritable, "--out: .*must end in .png"),
    ]:
        path.write_bytes(data)
        with pytest.raises(kind, match=words):
            command([str(path), *args])
    with pytest.raises(FileNotFoundError, match="none.txt: no such file"):
        command([str(tmp_path / "none.txt")])


def test_normalise_and_vectors():
    assert normalise("  Бере́за  ЁЛКА’s ") == "береза елка's"
    assert torch.allclose(Angles().encode_text(["45 x"]), F.normalize(torch.ones(1, 2), dim=1))
