"""The GAN's training: losses and R1 in closed form, captions that a resume reads again, and a game that goes somewhere."""

import math

import pytest
import torch

from labkit.models.gan import Discriminator
from labkit.models.judge import VGGClassifier, VGGConfig
from labkit.spec import SpecError
from labkit.training.bank import scene_bank
from labkit.training.gan import (
    TrainGAN,
    caption_embeddings,
    critic_scores,
    difference,
    discriminator_loss,
    gradient_penalty,
    sheet,
)
from labkit.world import sample_scene
from tests.conformance import TinyLab, assert_same

pytestmark = pytest.mark.usefixtures("own_bank")


@pytest.fixture(scope="module")
def tiny():
    lab = TinyLab()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        # unlike the tiny lab's own it has features where the critic looks
        eye = VGGClassifier(VGGConfig([[4]] * 4, {"subject": 3}))
    lab._models["perceptual"] = eye.eval().requires_grad_(False)
    return lab


def spec(**changes) -> TrainGAN:
    return TrainGAN(**{"steps": 2, "batch": 4, "scenes": 32, "precision": "fp32", "preview_every": 100, **changes})


def test_r1_of_a_linear_discriminator_is_the_square_of_its_slope():
    a = torch.tensor([3.0, -4.0, 0.5], requires_grad=True)
    for n in (1, 7):
        penalty = gradient_penalty(lambda x: x @ a + 2, torch.randn(n, 3))
        assert float(penalty.detach()) == pytest.approx(25.25, rel=1e-6), "wherever the pictures are"
    penalty.backward()
    assert torch.allclose(a.grad, 2 * a.detach()), "and it can be descended"


def test_r1_of_a_quadratic_discriminator_depends_on_where_the_pictures_are():
    x = torch.randn(5, 2, 3, 3)
    penalty = gradient_penalty(lambda y: y.square().flatten(1).sum(1) / 2, x)
    assert float(penalty.detach()) == pytest.approx(float(x.square().flatten(1).sum(1).mean()), rel=1e-5)
    assert not x.requires_grad


def test_discriminator_loss_in_closed_form():
    zero = torch.zeros(3)
    assert float(discriminator_loss(zero, zero, zero)) == pytest.approx(2 * math.log(2))
    one = torch.ones(1)
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert float(discriminator_loss(one, -one, -one)) == pytest.approx(2 * right, rel=1e-6)
    assert float(discriminator_loss(-one, one, -one)) == pytest.approx(wrong + wrong / 2 + right / 2, rel=1e-6)
    assert float(discriminator_loss(100 * one, -100 * one, -100 * one)) == pytest.approx(0, abs=1e-6)


def test_a_real_picture_with_its_neighbour_s_caption_is_a_negative():
    critic = Discriminator(6, widths=(4, 4, 4))
    real, painted, e, said = torch.randn(4, 192), torch.randn(4, 192), torch.randn(4, 6), torch.randn(4, 6)
    right, fake, wrong = critic_scores(critic, real, painted, e, said)
    assert torch.equal(right, critic.score(real, e)) and torch.equal(fake, critic.score(painted, said))
    assert torch.allclose(wrong[2], critic.score(real[2:3], e[1:2])[0]), "picture 2, caption 1"


def test_the_difference_of_a_phrase_s_pictures_in_closed_form():
    x = torch.tensor([0.0, 1.0, 0.5, -1.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert difference(x).tolist() == [0.5, 2.0], "the first with the third, the second with the fourth"
    assert difference(x[:3]).tolist() == [0.5], "an odd batch leaves one alone"


def test_captions_come_from_the_seed_alone(tiny):
    bank = scene_bank("train", 32, style="flat", two=False)
    a, b, other = (caption_embeddings(tiny.clip, bank, seed) for seed in (1, 1, 2))
    assert a.shape == (32, 16) and torch.equal(a, b) and not torch.equal(a, other)
    assert torch.allclose(a.norm(dim=1), torch.ones(32), atol=1e-5)


def test_flat_scenes_are_flat_hold_one_subject_and_lie_in_a_file_of_their_own(own_bank):
    flat, mixed = scene_bank("train", 32, style="flat", two=False), scene_bank("train", 32)
    assert all(flat.scene(k).style == "flat" and len(flat.scene(k).subjects) == 1 for k in range(32))
    assert len({mixed.scene(k).style for k in range(32)}) > 3
    names = {p.name for p in own_bank.glob("*_32.npy")}
    assert len(names) == 2 and any("style-flat_two-False" in n for n in names)


def test_no_held_out_combination_is_among_the_flat_scenes():
    from labkit.world.scene import held_out

    scenes = [sample_scene(k, "train", style="flat", two=False) for k in range(2000)]
    assert not any(held_out(s.subjects[0].subject, s.subjects[0].colour, s.setting) for s in scenes)


@pytest.mark.parametrize("changes", [{"generator": "ffnn"}, {"r1": 0}, {"clip": 0}, {"seek": 0}, {"perceptual": False},
                                     {"flat": False}, {"precision": "bf16"}])
def test_every_choice_trains_and_differs(tiny, changes):
    plain, other = ([s.scores for s in spec(**c).run(tiny)] for c in ({}, changes))
    assert all(math.isfinite(v) for scores in other for v in scores.values())
    assert other[-1] != plain[-1]
    assert ("r1" in other[0]) == (changes.get("r1") != 0) and ("clip" in other[0]) == (changes.get("clip") != 0)
    assert ("apart" in other[0]) == (changes.get("seek") != 0)
    assert "r1" not in other[1], "R1 is taken every eighth step"


def test_the_discriminator_learns_and_the_average_follows(tiny):
    steps = [(s.scores, s.extras["weights"]()[0] if s.i in (0, 29) else None)
             for s in spec(steps=30, batch=8, clip=0, lr=1e-3).run(tiny)]
    tail = [scores for scores, _ in steps[-10:]]
    assert sum(s["real"] for s in tail) > sum(s["painted"] for s in tail), "real pictures get the higher logits"
    assert sum(s["critic"] for s in tail) / 10 < 2 * math.log(2), "better than one that cannot tell"


def test_weights_are_the_generator_s_alone_with_its_captions_statistics(tiny):
    *_, last = spec().run(tiny)
    tensors, about = last.extras["weights"]()
    assert not any("phi" in name or "level" in name for name in tensors)
    bank = scene_bank("train", 32, style="flat", two=False)
    assert torch.allclose(tensors["centre"], caption_embeddings(tiny.clip, bank, spec().seed).mean(0), atol=1e-6)
    assert about["config"]["embed"] == 16 and about["config"]["kind"] == "conv"


def test_a_warm_start_begins_from_the_lab_s_generator(tiny):
    before = {k: v.clone() for k, v in tiny.gan.state_dict().items()}
    (step,) = spec(steps=1, warm=True, lr=1e-12).run(tiny)
    trained, _ = step.extras["weights"]()
    for key, value in tiny.gan.named_parameters():
        assert torch.allclose(trained[key], value, atol=1e-6), key
    assert_same(dict(tiny.gan.state_dict()), before)


def test_a_sheet_shows_scenes_above_what_their_captions_become(tiny):
    bank = scene_bank("train", 32, style="flat", two=False)
    texts = caption_embeddings(tiny.clip, bank, 1)
    picture = sheet(tiny.gan, bank, texts, columns=4, rows=2)
    assert picture.size == (4 * 64, 3 * 64) and not tiny.gan.training


@pytest.mark.parametrize(("changes", "message"), [
    ({"generator": "deep"}, "generator: .*'conv' or 'ffnn'.*'deep'"),
    ({"batch": 1}, "batch: .*greater than or equal to 2; got 1"),
    ({"r1": -1}, "r1: .*greater than or equal to 0; got -1"),
    ({"clip": 101}, "clip: .*less than or equal to 100; got 101"),
])
def test_bad_values_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        spec(**changes)
