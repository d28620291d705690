"""The picture world in MUSTI's format: its texts are true or false as it says, its pictures are the world's."""

import json

import numpy as np
import pytest

from labkit.image import open_upload
from labkit.pairs.musti import read_musti
from labkit.pairs.pair import PairsError, label_table
from labkit.pairs.world import changed, write_world
from labkit.world import held_out, read, render, sample_scene


def test_it_is_read_as_musti(world):
    pairs = read_musti(world / "musti.json", ["en"])
    fields = {"id", "image", "language", "subtask1_label", "subtask2_labels", "text", "title"}
    assert all(set(record) == fields for record in json.loads((world / "musti.json").read_text()))
    table = label_table(pairs).loc["en"]
    assert len(pairs) == 24 and table["pictures"] == 6 and table["YES"] > 6 and table["NO"] > 6
    assert np.array_equal(open_upload(pairs[8].path), render(sample_scene(2)))


def test_texts_are_true_or_false_as_the_truth_says(world):
    truth = json.loads((world / "truth.json").read_text())["pairs"]
    kinds = set()
    for pair in read_musti(world / "musti.json"):
        about = truth[pair.id]
        scene, said = sample_scene(about["seed"], about["split"]), read(pair.caption)
        first = scene.subjects[0]
        facts = {"subject": said.subjects[0] == first.subject, "setting": said.setting == scene.setting,
                 "colour": first.colour is None or said.colours[0] == first.colour}
        wrong = [name for name, so in facts.items() if not so]
        kinds.add(about["differs"])
        if about["differs"] == "scene":
            assert not {p.subject for p in scene.subjects} & set(said.subjects), pair
        else:
            assert wrong == ([] if about["match"] else [about["differs"]]), pair
        assert pair.match in (about["match"], None) and pair.passage.count(".") == 3
        assert bool(pair.smells) == (pair.match is True)
    assert {"", "scene"} < kinds


def test_one_attribute_changes_and_the_split_stays():
    rng = np.random.default_rng(0)
    stayed = {"train": [], "held": []}
    for split in stayed:
        for seed in range(12):
            scene = sample_scene(seed, split, two=False)
            for attribute in ("subject", "setting", *(["colour"] if scene.subjects[0].colour else [])):
                other = changed(scene, attribute, rng)
                a, b = scene.subjects[0], other.subjects[0]
                differs = {"subject": a.subject != b.subject, "colour": a.colour != b.colour,
                           "setting": scene.setting != other.setting}
                assert [name for name, so in differs.items() if so] == [attribute]
                stayed[split].append(held_out(b.subject, b.colour, other.setting) == (split == "held"))
    assert all(stayed["train"]) and sum(stayed["held"]) > len(stayed["held"]) / 2
    plain = next(s for s in map(sample_scene, range(200)) if s.subjects[0].colour is None)
    with pytest.raises(PairsError, match="attribute: 'colour' must be one of subject, colour, setting"):
        changed(plain, "colour", rng)


def test_the_same_again_and_with_addresses(tmp_path, world):
    pairs = write_world(tmp_path / "a", 2, base_url="http://127.0.0.1:8000/")
    assert pairs[0].image == "http://127.0.0.1:8000/pictures/000000.png"
    ours, theirs = ([p.caption for p in read_musti(folder / "musti.json")][:8] for folder in (tmp_path / "a", world))
    assert ours == theirs
    assert {p.image for p in write_world(tmp_path / "b", 1, seed=1)} == {"pictures/000000.png"}
    assert np.array_equal(open_upload(tmp_path / "b/pictures/000000.png"), open_upload(world / "pictures/000001.png"))


def test_counts_that_are_refused(tmp_path):
    with pytest.raises(PairsError, match="n: must be 1 to 1,000,000 scenes; got 0"):
        write_world(tmp_path, 0)
    with pytest.raises(ValueError, match="split='x': use one of"):
        write_world(tmp_path, 1, "x")
    assert not list(tmp_path.iterdir())
