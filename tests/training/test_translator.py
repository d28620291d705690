"""Trainings of the nets that make sketches into pictures: what they meet, their losses in closed form, and that they learn."""

import pytest
import torch

from labkit.training.bank import FLAT, scene_bank
from labkit.training.translator import TrainCycleGAN, TrainPix2Pix, critic_loss
from labkit.world import render_sketch
from tests.conformance import TinyLab

SMALL = {"steps": 3, "batch": 2, "scenes": 32, "precision": "fp32", "preview_every": 1000}


@pytest.fixture(scope="module")
def lab(own_bank):
    return TinyLab()


def test_a_critic_that_cannot_tell_loses_a_quarter():
    half, one = torch.full((2, 1, 8, 8), 0.5), torch.ones(2, 1, 8, 8)
    assert float(critic_loss(half, half)) == 0.25
    assert float(critic_loss(one, 0 * one)) == 0 and float(critic_loss(0 * one, one)) == 1


def test_sketches_are_of_the_subject_alone_and_lie_in_a_file_of_their_own(own_bank):
    scenes, sketches = (scene_bank("train", 32, sketched=s, **FLAT) for s in (False, True))
    assert scenes.scene(5) == sketches.scene(5)
    assert (sketches.pixels[5] == render_sketch(scenes.scene(5), alone=True)[..., None]).all()
    assert (render_sketch(scenes.scene(5), alone=True) == 255).mean() > 0.5, "an empty sheet around it"
    assert len(list(own_bank.glob("*style-flat*_32.npy"))) == 2


def met(lab, monkeypatch, cls):
    """The pairs (sketches, scenes) that a training shows its critics."""
    seen = []
    honest = cls.turn

    def watched(self, model, s, x, e, noise):
        seen.append((s.clone(), x.clone(), e))
        return honest(self, model, s, x, e, noise)

    monkeypatch.setattr(cls, "turn", watched)
    list(cls(**SMALL).run(lab))
    return seen


def test_pix2pix_meets_pairs_and_a_cyclegan_none(lab, monkeypatch):
    scenes, sketches = (scene_bank("train", 32, sketched=s, **FLAT).images(range(32)) for s in (False, True))

    def numbers(pictures, of):
        return [next(k for k in range(32) if torch.equal(p, of[k])) for p in pictures]

    pairs = met(lab, monkeypatch, TrainPix2Pix)
    assert all(numbers(s, sketches) == numbers(x, scenes) and e is not None for s, x, e in pairs)
    apart = met(lab, monkeypatch, TrainCycleGAN)
    assert all(numbers(s, sketches) != numbers(x, scenes) and e is None for s, x, e in apart)


@pytest.mark.parametrize(("cls", "score"), [(TrainPix2Pix, "error"), (TrainCycleGAN, "cycle")])
def test_what_has_to_agree_comes_to_agree(lab, cls, score):
    scores = [step.scores[score] for step in cls(**SMALL | {"steps": 60, "batch": 4, "lr": 2e-3}).run(lab)]
    assert sum(scores[-10:]) < 0.9 * sum(scores[:10]), scores
