"""The bank of rendered scenes: the world's own pictures, rendered once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.spec import SpecError
from labkit.training import bank as module
from labkit.training.bank import scene_bank
from labkit.world import PLAIN, classes, render, sample_scene, world_hash


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return scene_bank("val", 24, tmp_path_factory.mktemp("bank"))


def test_pictures_are_the_world_s(bank):
    assert len(bank) == 24
    for k in (0, 23):
        assert np.array_equal(bank.pixels[k], render(sample_scene(k, "val"))) and bank.scene(k) == sample_scene(k, "val")
    x = bank.images([3, 1])
    assert x.shape == (2, 3, 64, 64) and -1 <= x.min() and x.max() <= 1
    assert torch.equal((x[1].permute(1, 2, 0) + 1).mul(127.5).round().byte(), torch.from_numpy(bank.pixels[1].copy()))


def test_targets_are_distributions_over_what_is_there(bank):
    targets = bank.targets(range(24))
    for k in range(24):
        scene = bank.scene(k)
        for attribute in ("setting", "style"):
            assert classes(attribute)[int(targets[attribute][k].argmax())] == getattr(scene, attribute)
        there = {classes("subject")[j] for j in targets["subject"][k].nonzero().flatten()}
        assert there == {p.subject for p in scene.subjects}
        coloured = {p.colour for p in scene.subjects} - {None}
        assert {classes("colour")[j] for j in targets["colour"][k].nonzero().flatten()} == coloured
        assert float(targets["colour"][k].sum()) == pytest.approx(float(bool(coloured)))
    for attribute in ("subject", "setting", "style"):
        assert torch.allclose(targets[attribute].sum(1), torch.ones(24))


def test_a_part_of_a_bank_is_its_pictures_of_one_subject_in_some_styles(bank):
    plain = bank.only(PLAIN)
    wanted = [k for k, s in enumerate(map(bank.scene, range(24))) if len(s.subjects) == 1 and s.style in PLAIN]
    assert plain.index.tolist() == wanted and 0 < len(plain) < 24
    assert [plain.scene(j) for j in range(len(plain))] == [bank.scene(k) for k in wanted]
    assert torch.equal(plain.images(range(len(plain))), bank.images(wanted)) and len(bank) == 24
    hard = min(set(range(24)) - set(wanted))
    bank.index = np.array([hard])
    with pytest.raises(SpecError, match="scenes: none of 1 is of one subject in the style flat or comic or pencil or neon"):
        bank.only(PLAIN)
    bank.index = np.arange(24)


def test_is_rendered_once_and_named_by_the_world(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_BANK", str(tmp_path))
    scene_bank("test", 8)
    assert [p.name for p in tmp_path.iterdir()] == [f"{world_hash()}_test_8.npy"], "no half-written file stays"
    monkeypatch.setattr(module, "_draw", None)
    assert len(scene_bank("test", 8)) == 8


def test_the_same_scenes_drawn_in_one_style(tmp_path):
    own, flat = (scene_bank("val", 6, tmp_path, two=False, drawn_as=style) for style in ("", "flat"))
    for k in range(6):
        assert own.scene(k) == flat.scene(k), "the ground truth is the scene's"
        assert np.array_equal(flat.pixels[k], render(replace(own.scene(k), style="flat")))
