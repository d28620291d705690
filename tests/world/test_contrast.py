"""Captions that differ in one attribute, and which captions are true of which scenes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from labkit.world import caption, read, sample_scene
from labkit.world.contrast import ATTRIBUTES, alterable, altered, contrast, truths

SCENES = [sample_scene(k, "test") for k in range(400)]
FIELDS = {"subject": "subjects", "colour": "colours", "setting": "setting", "style": "style", "light": "light"}


def test_the_false_caption_is_false_in_its_attribute_and_in_no_other():
    rng, seen = np.random.default_rng(0), Counter()
    for scene in SCENES:
        found = contrast(scene, rng)
        right, wrong = read(found.right), read(found.wrong)
        differ = {a for a, field in FIELDS.items() if getattr(right, field) != getattr(wrong, field)}
        assert differ == ({found.attribute} if found.attribute != "relation" else set()), found
        assert found.right != found.wrong and set(right.subjects) == {p.subject for p in scene.subjects}
        seen[found.attribute] += 1
    assert set(seen) == set(ATTRIBUTES) and min(seen[a] for a in ("subject", "colour", "setting", "style")) > 50


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_can_be_asked_for(attribute):
    rng = np.random.default_rng(1)
    for scene in [s for s in SCENES if attribute in alterable(s)][:20]:
        assert contrast(scene, rng, attribute).attribute == attribute


def test_a_relation_turns_into_one_that_contradicts_it():
    scene = next(s for s in SCENES if s.relation)
    rng = np.random.default_rng(2)
    for relation, never in (("left", {"left", "beside"}), ("on", {"on", "above"}), ("beside", {"beside", "left", "right"})):
        got = {altered(replace(scene, relation=relation), "relation", rng).relation for _ in range(60)}
        assert not got & never and len(got) == 6 - len(never)


def test_what_a_scene_lacks_cannot_be_wrong():
    plain = next(s for s in SCENES if not s.relation and not s.light)
    with pytest.raises(ValueError, match="attribute: 'light' is none that this scene has: subject"):
        altered(plain, "light", np.random.default_rng(0))


def test_same_generator_same_captions():
    one, two = (contrast(SCENES[0], np.random.default_rng(4)) for _ in range(2))
    assert one == two


def test_a_caption_that_leaves_out_how_scenes_differ_is_true_of_both():
    scene = next(s for s in SCENES if len(s.subjects) == 1 and s.subjects[0].colour == "red" and s.setting == "snow")
    other = replace(scene, setting="sea")
    name = caption(other, np.random.default_rng(0), full=True)
    third = replace(scene, subjects=(replace(scene.subjects[0], colour="blue"),))
    noun = scene.subjects[0].subject.replace("_", " ")
    said = [f"a {noun}", name, f"a blue {noun}"]
    assert truths([scene, other, third], said).tolist() == [[True, False, False], [True, True, False], [True, False, True]]


def test_a_false_caption_is_true_of_the_scene_that_it_describes():
    scene = next(s for s in SCENES if len(s.subjects) == 1 and s.subjects[0].colour == "red")
    found = contrast(scene, np.random.default_rng(0), "colour")
    both = [scene, found.other]
    assert truths(both, [found.right, found.wrong], both).tolist() == [[True, False], [False, True]]
    assert truths([scene, replace(found.other)], [found.wrong], [found.other]).tolist() == [[False], [True]]


def test_of_strangers_only_their_own_caption_is_true():
    some = [SCENES[0], next(s for s in SCENES if s.subjects[0].subject != SCENES[0].subjects[0].subject)]
    assert truths(some, ["a thing", "a thing"]).tolist() == [[True, False], [False, True]]
