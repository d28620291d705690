"""Captions say what is in the picture, and reading them gives it back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.world import Reading, caption, read, sample_scene, unknown_words, words

SCENES = [sample_scene(k, split) for k in range(250) for split in ("train", "held")]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_full_caption_names_every_attribute_and_reads_back():
    for k, scene in enumerate(SCENES):
        text = caption(scene, rng(k), full=True)
        seen = read(text)
        assert seen.subjects == tuple(p.subject for p in scene.subjects), text
        assert seen.colours == tuple(p.colour for p in scene.subjects), text
        assert (seen.setting, seen.style, seen.light) == (scene.setting, scene.style, scene.light), text
        assert seen.unknown == () == unknown_words(text), text
        if scene.relation:
            assert any(f" {r} " in text for r in words()["relations"][scene.relation]), text


def test_a_caption_may_leave_things_unsaid_but_says_nothing_wrong():
    said = {"setting": 0, "style": 0, "light": 0}
    for k, scene in enumerate(SCENES):
        text = caption(scene, rng(k))
        seen = read(text)
        assert seen.subjects == tuple(p.subject for p in scene.subjects) and seen.unknown == (), text
        for colour, placed in zip(seen.colours, scene.subjects, strict=True):
            assert colour in (None, placed.colour), text
        for attribute in said:
            assert getattr(seen, attribute) in (None, getattr(scene, attribute)), text
            said[attribute] += getattr(seen, attribute) is not None
    assert 0.5 < said["setting"] / len(SCENES) < 0.95 and 0.4 < said["style"] / len(SCENES) < 0.95
    assert 0 < said["light"] < len(SCENES) / 4


def test_full_captions_differ_where_the_truth_does():
    """What retrieval among fully captioned scenes rests on, short of relations that share the word 'in'."""
    truths = {}
    for k, scene in enumerate(SCENES):
        seen = read(caption(scene, rng(k), full=True))
        key = (seen.subjects, seen.colours, seen.setting, seen.style, seen.light)
        truth = scene.truth[:1] + scene.truth[2:]
        assert truths.setdefault(key, truth) == truth


def test_captions_are_drawn_from_their_generator():
    scene = SCENES[0]
    assert caption(scene, rng(1)) == caption(scene, rng(1))
    assert len({caption(scene, rng(k)) for k in range(30)}) > 10


def test_articles():
    for k, scene in enumerate(SCENES):
        for full in (True, False):
            parts = caption(scene, rng(k), full=full).replace(",", "").split()
            for article, word in zip(parts, parts[1:], strict=False):
                if article in ("a", "an"):
                    assert (article == "an") == (word[0] in "aeiou"), " ".join(parts)
                    assert word not in ("grapes", "bubbles")


@pytest.mark.parametrize("text", ["", "   ", "|:^", "¿?", "a the of"])
def test_nothing_named_reads_as_nothing(text):
    assert read(text) == Reading((), (), None, None, None, ())


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    seen = read(text)
    assert len(seen.subjects) == len(seen.colours) and set(seen.unknown) <= set(unknown_words(text))
    assert len(set(seen.unknown)) == len(seen.unknown)
