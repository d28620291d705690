"""The pocket BLIP's training: where it starts, what stays as it is at first, its texts, what it refuses."""

import numpy as np
import pytest
import torch

from labkit.kinds import kind_of
from labkit.spec import SpecError
from labkit.training.bank import scene_bank
from labkit.training.blip import TrainBLIP, blurred, said
from labkit.training.clip import JUNK
from labkit.world import read, sample_scene
from tests.conformance import TinyLab, assert_same

pytestmark = pytest.mark.usefixtures("own_bank")

SMALL = {"steps": 4, "batch": 6, "scenes": 32, "precision": "fp32", "preview_every": 4}


def test_it_starts_from_clip_s_trunk_which_stays_until_it_is_let_go(tiny):
    trunk = tiny.clip.model.visual.trunk.state_dict()
    name = "retrieval.vision_model.embeddings.patch_embedding.trunk."

    def trained(frozen: float) -> dict:
        *_, last = TrainBLIP(**SMALL, frozen=frozen).run(tiny)
        return {k.removeprefix(name): v for k, v in last.extras["weights"]()[0].items() if k.startswith(name)}

    assert_same(trained(1.0), dict(trunk))
    free = trained(0.5)
    assert not torch.equal(free["0.weight"], trunk["0.weight"])
    assert torch.equal(free["1.running_mean"], trunk["1.running_mean"]), "statistics are CLIP's"


def test_clip_s_vectors_are_told_for_a_while(tiny):
    told = [s.scores for s in TrainBLIP(**SMALL, distil=0.5).run(tiny)]
    assert ["distil" in scores for scores in told] == [True, True, False, False]
    assert all({"itc", "itm", "lm", "matched", "temperature"} <= set(scores) for scores in told)


def test_few_steps_teach_it_to_speak(tiny):
    spec = TrainBLIP(**{**SMALL, "steps": 40, "batch": 16, "lr": 3e-3}, distil=0.5, frozen=1.0)
    scores = [s.scores for s in spec.run(tiny)]
    first, last = (np.mean([s["lm"] for s in part]) for part in (scores[:5], scores[-5:]))
    assert last < 0.85 * first, (first, last)


def test_a_start_from_the_lab_s_own_keeps_its_tokenizer(tiny):
    step = next(iter(TrainBLIP(**SMALL, warm=True).run(tiny)))
    _, about = step.extras["weights"]()
    assert about["tokenizer"] == tiny.blip.tokenizer.json and "distil" not in step.scores


def test_without_a_pocket_clip_it_says_what_it_needs(monkeypatch):
    lab = TinyLab()
    monkeypatch.setattr(lab.clip, "model", torch.nn.Linear(1, 1))
    with pytest.raises(SpecError, match="clip: pocket has no trunk for the pocket BLIP, which starts from the pocket CLIP's"):
        next(iter(TrainBLIP(**SMALL).run(lab)))


def test_both_texts_of_a_scene_get_the_same_word_that_means_nothing():
    rng, changed = np.random.default_rng(0), 0
    for k in range(300):
        *pair, _ = said(sample_scene(k), rng)
        strange = [read(text).unknown for text in pair]
        assert strange[0] == strange[1], pair
        changed += bool(strange[0] or set(JUNK) & set(pair[0].split()))
    assert 10 < changed < 45


def test_a_fifth_is_blurred():
    x = scene_bank("train", 32).images(range(32)).repeat(20, 1, 1, 1)
    y = blurred(x.clone(), torch.Generator().manual_seed(0))
    touched = (x != y).flatten(1).any(1)
    assert 0.15 < float(touched.float().mean()) < 0.25
    assert y[touched].diff(dim=-1).abs().mean() < x[touched].diff(dim=-1).abs().mean()


def test_its_record_names_it():
    record = kind_of("blip")
    assert record.training == "labkit.training.blip:TrainBLIP" and record.net == "net" and not record.draws
