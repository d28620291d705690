"""Fine-tuning BLIP on labelled pairs: what is learned from, what stays, an exact resume, and that it learns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image.convert import png_bytes
from labkit.pairs.pair import Pair
from labkit.spec import SpecError
from labkit.training.blip_finetune import FineTuneBLIP, PairSet, pair_set, what_fits, world_pairs
from labkit.world import render, sample_scene
from tests.conformance import TinyLab, assert_same, condition, through_disk

pytestmark = pytest.mark.usefixtures("own_bank")

SMALL = {"steps": 4, "batch": 4, "scenes": 32, "precision": "fp32", "preview_every": 4}


def pair(tmp_path: Path, k: int, caption: str, match, image: int = 0, there: bool = True) -> Pair:
    path = tmp_path / f"{image}.png"
    if there:
        path.write_bytes(png_bytes(Image.fromarray(render(sample_scene(image)))))
    return Pair(str(k), f"https://x.org/{image}.png", caption, "a passage", "en", match, path=path if there else None)


def test_unlabelled_pairs_dead_pictures_and_empty_texts_are_left_out_and_a_picture_is_one(tmp_path):
    some = [pair(tmp_path, 0, "a red apple", True), pair(tmp_path, 1, "a boat", False), pair(tmp_path, 2, "what?", None),
            pair(tmp_path, 3, "an apple", True), pair(tmp_path, 4, " ", True), pair(tmp_path, 5, "a dog", True, 1),
            pair(tmp_path, 6, "a cat", True, 2, there=False)]
    found = pair_set(some, "caption", 64)
    assert found.texts == ["a red apple", "a boat", "an apple", "a dog"] and found.owner.tolist() == [0, 0, 0, 1]
    assert found.match.tolist() == [True, False, True, True] and found.pictures.shape == (2, 3, 64, 64)
    assert np.array_equal(found.pictures[1].permute(1, 2, 0).numpy(), render(sample_scene(1)))
    assert pair_set(some, "passage", 32).texts == ["a passage"] * 5
    with pytest.raises(SpecError, match="pairs: none of the 1 is labelled, has a caption and its picture at hand; fetch"):
        pair_set(some[2:3], "caption", 64)
    with pytest.raises(SpecError, match="pairs: none of them is labelled YES"):
        pair_set(some[1:2], "caption", 64)


def test_all_texts_of_a_picture_and_equal_texts_of_others_fit_and_no_denied_one():
    owner, texts = np.array([0, 0, 0, 1, 2]), ["a", "b", "no", "a", "c"]
    fits = what_fits(3, owner, texts, np.array([True, True, False, True, True]))
    assert fits.tolist() == [[True, True, False, True, False], [True, False, False, True, False], [False] * 4 + [True]]
    assert what_fits(2, np.array([0]), ["a"], np.array([False])).tolist() == [[False], [False]]


def test_pairs_of_the_world_are_a_true_and_a_false_caption_each():
    pairs = world_pairs(32, 1, 64)
    assert pairs.match.tolist() == [True, False] * 32 and pairs.owner.tolist() == sorted([*range(32)] * 2)
    assert all(a != b for a, b in zip(pairs.texts[::2], pairs.texts[1::2], strict=True))


@pytest.mark.parametrize("frozen", [True, False])
def test_the_tower_stays_if_it_shall_and_the_lab_stays_in_any_case(tiny, frozen):
    before = condition(tiny)
    *_, last = FineTuneBLIP(**SMALL, frozen=frozen).run(tiny)
    tensors, about = last.extras["weights"]()
    tower = {k: v for k, v in tensors.items() if k.startswith("retrieval.vision_model.")}
    was = {k: v for k, v in tiny.blip.net.state_dict().items() if k in tower}
    assert all(torch.equal(tower[k], was[k]) for k in tower) == frozen
    assert not torch.equal(tensors["retrieval.itm_head.weight"], tiny.blip.net.retrieval.itm_head.weight)
    assert about["kind"] == "blip" and about["tokenizer"] and about["trained"]["frozen"] == frozen and last.image
    assert_same(condition(tiny), before)


def test_resumes_exactly_after_a_kill(tiny):
    spec = FineTuneBLIP(**SMALL)
    straight = [s.scores for s in spec.run(tiny)]
    steps = iter(spec.run(tiny))
    next(steps)
    state = through_disk(next(steps).state())
    assert [s.scores for s in spec.run(tiny, state)] == straight[2:]


def test_it_learns_the_pairs_that_it_is_given(tiny):
    """Pictures of one colour each: a text names it, and another is denied of all of them."""
    colours = {"red": (220, 40, 40), "green": (40, 160, 70), "blue": (40, 110, 220), "white": (245, 245, 245)}
    x = torch.stack([torch.tensor(rgb, dtype=torch.uint8).view(3, 1, 1).expand(3, 64, 64) for rgb in colours.values()])
    texts = [t for name in colours for t in (name, "a storm at sea")]
    pairs = PairSet(x, np.repeat(np.arange(4), 2), texts, np.tile([True, False], 4))
    spec = FineTuneBLIP(steps=40, batch=4, lr=1e-2, precision="fp32", preview_every=40)
    *_, last = spec.run(tiny, pairs=pairs)
    p = last.extras["blip"].match(x[torch.from_numpy(pairs.owner)].float() / 255, texts)
    assert ((p > 0.5).numpy() == pairs.match).all(), p


def test_a_model_that_only_captions_cannot_be_tuned_to_match(monkeypatch):
    lab = TinyLab()
    monkeypatch.setattr(lab.blip.net, "retrieval", None)
    with pytest.raises(SpecError, match="blip: tiny has no part that matches, so there is nothing to fine-tune"):
        next(iter(FineTuneBLIP(**SMALL).run(lab)))
