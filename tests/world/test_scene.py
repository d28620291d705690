"""Scenes by seed: the same every time, splits that share nothing held out, ground truth within its bounds."""

import zlib

import numpy as np
import pytest

from labkit.world import classes, held_out, sample_scene, words
from labkit.world.scene import CONTAINERS, POSE, SUPPORTS
from labkit.world.sprites import natural_colour
from labkit.world.words import variants
from tests.conformance import assert_same, global_randomness

SEEN = {split: [sample_scene(k, split) for k in range(300)] for split in ("train", "val", "test", "held", "judge")}


def held(scene) -> list[bool]:
    return [held_out(p.subject, p.colour, scene.setting) for p in scene.subjects]


def test_a_seed_is_a_scene():
    before = global_randomness()
    assert [sample_scene(k, "val") for k in range(50)] == SEEN["val"][:50]
    assert_same(global_randomness(), before)
    assert len({s.truth for s in SEEN["train"]}) > 280


def test_splits_are_streams_of_their_own():
    for split, scenes in SEEN.items():
        assert {s.split for s in scenes} == {split}
    assert not {s.subjects for s in SEEN["train"]} & {s.subjects for s in SEEN["test"]}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_model_trains_or_is_tuned_on_held_out_combinations(split):
    assert not any(any(held(s)) for s in SEEN[split])


def test_the_held_split_has_nothing_else_and_the_judge_sees_both():
    assert all(all(held(s)) for s in SEEN["held"])
    assert 0.02 < np.mean([any(held(s)) for s in SEEN["judge"]]) < 0.3


def test_a_tenth_is_held_out_and_every_class_can_be_met_in_training():
    every = [(s, c, e) for s in classes("subject") for c in classes("colour") for e in classes("setting")]
    out = {x for x in every if held_out(*x)}
    assert 0.08 < len(out) / len(every) < 0.12
    for k, attribute in enumerate(("subject", "colour", "setting")):
        for name in classes(attribute):
            mine = [x for x in every if x[k] == name]
            assert 0 < len(out & set(mine)) < len(mine) / 4, name


def test_held_out_is_a_hash_that_never_changes():
    """Weights already trained rest on it: another Python or machine holds out the same."""
    for subject, colour in (("apple", "red"), ("dog", None)):
        for setting in classes("setting"):
            assert held_out(subject, colour, setting) == (zlib.crc32(f"{subject}|{colour}|{setting}".encode()) % 10 == 0)


def test_ground_truth_is_within_its_bounds():
    for scenes in SEEN.values():
        for scene in scenes:
            assert len(scene.subjects) == (2 if scene.relation else 1)
            assert scene.setting in classes("setting") and scene.style in classes("style")
            assert scene.light is None or scene.light in classes("light")
            for p in scene.subjects:
                left, top, right, bottom = p.box
                assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
                assert 0 <= p.variant < len(variants()[p.subject])
                assert (p.colour is None) == (natural_colour(p.subject) is None)
                assert all(0 <= v <= 255 for v in p.rgb)


def test_colours_are_near_what_they_are_called():
    names = classes("colour")
    table = np.array([words()["colours"][n]["rgb"] for n in names])
    placed = [p for s in SEEN["train"] for p in s.subjects if p.colour]
    nearest = [names[int(np.linalg.norm(table - np.array(p.rgb), axis=1).argmin())] for p in placed]
    assert np.mean([n == p.colour for n, p in zip(nearest, placed, strict=True)]) > 0.98


def test_relations_are_what_is_to_be_seen():
    for k in range(300):
        scene = sample_scene(k, two=True)
        (a, b), relation = scene.subjects, scene.relation
        assert a.subject != b.subject
        if relation == "left":
            assert a.x + 0.3 < b.x
        elif relation == "right":
            assert a.x > b.x + 0.3
        elif relation in ("above", "on"):
            assert a.y + 0.3 < b.y and (relation == "above" or b.subject in SUPPORTS)
        elif relation == "in":
            assert b.subject in CONTAINERS and a.size < b.size
            assert b.box[0] <= a.x <= b.box[2] and b.box[1] <= a.y <= b.box[3]
        else:
            assert relation == "beside" and abs(a.x - b.x) > 0.3


def test_given_attributes_are_kept():
    for k in range(20):
        scene = sample_scene(k, subject="cup", colour="green", setting="snow", style="neon", two=False)
        (p,) = scene.subjects
        assert (p.subject, p.colour, scene.setting, scene.style) == ("cup", "green", "snow", "neon")
    assert all(len(sample_scene(k, two=True).subjects) == 2 for k in range(5))


@pytest.mark.parametrize(("values", "message"), [
    ({"split": "dev"}, "split='dev': use one of train, val, test, held, judge"),
    ({"subject": "boat"}, "subject='boat' is not of this world: apple, banana"),
    ({"colour": "grey"}, "colour='grey' is not of this world: red"),
    ({"style": "realistic"}, "style='realistic' is not of this world"),
])
def test_what_there_is_not_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        sample_scene(0, **values)


def test_a_posed_scene_is_what_has_a_name_or_a_number_and_nothing_else():
    fixed = {"subject": "apple", "colour": "red", "setting": "snow", "style": "flat", "two": False}
    made = {}
    for k in range(200):
        split = ("train", "held", "test")[k % 3]
        scene, free = sample_scene(k, split, **fixed, posed=True), sample_scene(k, split, **fixed)
        (placed,), (other,) = scene.subjects, free.subjects
        assert (placed.variant, placed.flip, scene.background, scene.light) == (
            other.variant, other.flip, free.background, free.light)
        assert (placed.x, placed.size, placed.angle) == (0.5, POSE, 0) and 0 <= placed.box[1] and placed.box[3] <= 1
        made.setdefault((placed.variant, placed.flip, scene.background, scene.light), set()).add(scene)
    assert all(len(scenes) == 1 for scenes in made.values()), "no two differ in anything else, of whatever split"
    assert len(made) < 150
    with pytest.raises(ValueError, match="posed: takes two=False, not two=None; two subjects have places of their own"):
        sample_scene(0, posed=True)
