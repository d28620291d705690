"""Words mean exactly one class, the issue's words are there, and weights that know another world are noticed."""

import json
import shutil
from collections import defaultdict

import numpy as np
import pytest

from labkit.data import data_path
from labkit.world import classes, read, unknown_words, words, world_hash
from labkit.world.captions import normalise
from labkit.zoo import read_metadata

SHIPPED = sorted(data_path("models").glob("*.safetensors"))
WANTED = """apple banana melon mango grapes carrot fruit_platter dog cat parrot bird cage fish whale penguin pig grasshopper
butterfly house castle restaurant ship rowing_boat car tractor rocket bicycle tree flower vase_of_flowers mountain cactus sun
moon star shooting_star cloud rainbow lightning snowman dancer boy crowd singer tv bottle bubbles cocktail cup sweater guitar
lamp book umbrella table""".split()


def phrases() -> dict[tuple[str, ...], set]:
    """Every phrase of the tables → what it means."""
    found, tables = defaultdict(set), words()
    for name, entry in tables["subjects"].items():
        for phrase in (entry["name"], entry["plural"], *entry["synonyms"]):
            found[tuple(normalise(phrase))].add(("subject", name))
    for name, entry in tables["colours"].items():
        for phrase in (name, *entry["synonyms"]):
            found[tuple(normalise(phrase))].add(("colour", name))
    for key in ("settings", "styles", "lights", "relations"):
        for name, options in tables[key].items():
            for phrase in options:
                found[tuple(normalise(phrase))].add((key[:-1], name))
    return found


def test_a_phrase_means_exactly_one_class():
    assert {p: m for p, m in phrases().items() if len(m) > 1} == {}
    assert () not in phrases()


def test_reading_gives_each_phrase_its_own_class():
    """What `read` adds of its own (plurals, short forms) takes no phrase away from another class."""
    for phrase, ((attribute, name),) in phrases().items():
        if attribute == "relation":
            continue
        seen = read(" ".join(phrase))
        got = {"subject": seen.subjects, "setting": (seen.setting,), "style": (seen.style,), "light": (seen.light,),
               "colour": read(f"a {' '.join(phrase)} apple").colours}[attribute]
        assert got == (name,), " ".join(phrase)


def test_the_world_has_what_the_reports_ask_for():
    assert len(classes("subject")) >= 64 and set(WANTED) <= set(classes("subject"))
    assert [len(classes(a)) for a in ("colour", "setting", "style")] == [10, 10, 9]
    assert {"snow", "storm", "night", "sunset", "sea", "dark_corner"} <= set(classes("setting"))


@pytest.mark.parametrize(("text", "subject"), [
    ("a puppy", "dog"), ("a ballerina", "dancer"), ("TV with news", "tv"), ("a tractor with big wheels", "tractor"),
    ("a person singing with raised hands", "singer"), ("a shooting star", "shooting_star"), ("a star", "star"),
    ("a vase of flowers", "vase_of_flowers"), ("some flowers", "flower"), ("a table lamp", "lamp"), ("a table", "table"),
    ("a rowing boat", "rowing_boat"), ("a cocktail glass", "cocktail"), ("a crowd of people", "crowd"),
])
def test_synonyms_and_longest_phrases(text, subject):
    assert read(text).subjects == (subject,)


@pytest.mark.parametrize("word", ["realistic", "hallelujah", "Hallelujah!", "photorealistic"])
def test_words_of_another_world_are_reported(word):
    text = f"a {word} apple in the snow"
    assert unknown_words(text) == read(text).unknown == (word.lower().strip("!"),)


@pytest.mark.parametrize("text", ["a red apple in sunlight", "a ship at sea in cool tones",
                                  "a dog with an overall color scheme in warm tones", "a comic ink drawing of a cat"])
def test_words_of_this_world_are_not(text):
    assert unknown_words(text) == ()


def test_colours_stand_with_their_subject():
    seen = read("a red apple and a cup beside a blue car at night")
    assert seen.subjects == ("apple", "cup", "car") and seen.colours == ("red", None, "blue")
    assert seen.setting == "night"


def test_an_unknown_attribute_is_named():
    with pytest.raises(ValueError, match="attribute='mood' is none of the world's: colour"):
        classes("mood")


def hash_of(root, monkeypatch) -> str:
    from importlib import import_module

    module = import_module("labkit.world.words")
    monkeypatch.setattr(module, "data_path", lambda *parts: root.joinpath(*parts))
    return module.world_hash.__wrapped__()


def test_hash_stands_through_line_endings_and_falls_with_any_change(tmp_path, monkeypatch):
    shutil.copytree(data_path("world"), tmp_path / "world")
    assert hash_of(tmp_path, monkeypatch) == world_hash() and len(world_hash()) == 16
    file = tmp_path / "world" / "words.json"
    drawing = next((tmp_path / "world" / "subjects").glob("*.svg"))
    for path in (file, drawing):
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert hash_of(tmp_path, monkeypatch) == world_hash()
    drawing.write_bytes(drawing.read_bytes() + b" ")
    assert hash_of(tmp_path, monkeypatch) != world_hash()


def test_there_are_shipped_models(missing):
    if not SHIPPED:
        missing("data/models is empty; `python -m labkit train NAME` fills it")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_weights_are_of_this_world(path):
    about = read_metadata(path)
    assert about["world"] == world_hash(), f"{path.name} is stale: `python -m labkit train {path.stem}` makes it anew"
    for attribute, known in about.get("classes", {}).items():
        assert known == classes(attribute), f"{path.name}: its {attribute} classes are not the world's, in order"
    if about["kind"] in ("judge", "perceptual"):
        assert set(about["classes"]) == set(about["config"]["classes"])
        assert {a: len(classes(a)) for a in about["classes"]} == about["config"]["classes"]


def test_tables_are_plain_json():
    assert json.loads(json.dumps(words())) == words()
    rgb = np.array([c["rgb"] for c in words()["colours"].values()])
    apart = np.linalg.norm(rgb[:, None] - rgb, axis=-1) + 1e3 * np.eye(len(rgb))
    assert apart.min() > 50, "no two colours look alike"
