"""What every training owes: an exact resume after a kill, a lab left as it was, and an end at the first NaN."""

import math
from collections import Counter

import pytest
import torch

from labkit.clip.blip import BLIP
from labkit.kinds import trainings
from labkit.loop import NonFiniteError
from labkit.models.load import config_of
from labkit.runs.checkpoint import train_to_disk
from labkit.spec import METHODS, Training
from labkit.training.bank import SceneBank
from labkit.training.latents import LatentBank
from labkit.world import classes, world_hash
from labkit.zoo import load_tensors
from tests.conformance import assert_same, condition, global_randomness, through_disk

pytestmark = pytest.mark.usefixtures("own_bank")

SMALL = {"steps": 4, "batch": 8, "scenes": 64, "precision": "fp32", "preview_every": 3}
TRAININGS = trainings()
every = pytest.mark.parametrize("name", sorted(TRAININGS))


def spec_of(name: str, **changes):
    cls = TRAININGS[name]()
    return cls(**{**SMALL, **cls.example, **changes})


@pytest.fixture(scope="module")
def straight(tiny):
    """Each training once, straight: its steps' scores, its sheet and its weights."""
    done = {}

    def run(name):
        if name not in done:
            before, randomness = condition(tiny), global_randomness()
            steps = [(s.i, s.n, s.image, s.scores, s.extras["weights"]() if s.last else None)
                     for s in spec_of(name).run(tiny)]
            assert_same(condition(tiny), before)
            assert_same(global_randomness(), randomness)
            done[name] = steps
        return done[name]

    return run


@every
def test_is_a_training_with_bounds_and_not_a_method_of_the_views(name):
    cls = TRAININGS[name]()
    assert issubclass(cls, Training) and cls.__name__ not in METHODS
    assert all(info.description for info in cls.model_fields.values()) and len(cls.model_fields) <= 14
    assert cls.from_json(spec_of(name).to_json()) == spec_of(name)


@every
def test_steps_are_honest_and_the_lab_and_global_randomness_stay(name, straight):
    steps = straight(name)
    assert [(i, n) for i, n, *_ in steps] == [(i, 4) for i in range(4)]
    assert [image is not None for _, _, image, *_ in steps] == [True, False, True, True]
    assert all(math.isfinite(v) for *_, scores, _ in steps for v in scores.values())
    assert all("loss" in scores for *_, scores, _ in steps)


@every
def test_weights_say_what_they_are(name, straight):
    tensors, about = straight(name)[-1][-1]
    assert about["kind"] == name and about["world"] == world_hash() and about["config"]
    assert about["trained"]["steps"] == 4
    assert all(torch.isfinite(t).all() for t in tensors.values())
    for attribute, known in about.get("classes", {}).items():
        assert known == classes(attribute)


@every
def test_resumes_exactly_after_a_kill(name, tiny, straight):
    steps = iter(spec_of(name).run(tiny))
    next(steps)
    state = through_disk(next(steps).state())
    steps.close()
    rest = [(s.i, s.scores, s.extras["weights"]() if s.last else None) for s in spec_of(name).run(tiny, state)]
    assert [(i, scores) for i, scores, _ in rest] == [(i, scores) for i, _, _, scores, _ in straight(name)[2:]]
    assert_same(dict(rest[-1][2][0]), dict(straight(name)[-1][-1][0]))


@every
def test_a_nan_ends_the_run_with_the_last_good_step(name, tiny, monkeypatch):
    """What a training reads of the world, its pictures or of a prior its sentences, is poisoned in its second step."""
    batch = spec_of(name).batch

    def poison(cls, reads):
        honest, calls = getattr(cls, reads), Counter()

        def poisoned(self, asked):
            calls[id(self)] += len(asked) == batch
            return honest(self, asked) * (math.nan if len(asked) == batch and calls[id(self)] > 1 else 1)

        monkeypatch.setattr(cls, reads, poisoned)

    poison(SceneBank, "images")
    poison(BLIP, "encode_text")
    poison(LatentBank, "latents")
    seen = []
    with pytest.raises(NonFiniteError, match="step 1: no longer a number: .*; lower the learning rate") as caught:
        for step in spec_of(name).run(tiny):
            seen.append(step)
    assert [s.i for s in seen] == [0] and caught.value.last is seen[0]


def test_a_training_on_disk_goes_on_where_it_was_killed(tiny, tmp_path, straight):
    spec = spec_of("judge")
    steps = train_to_disk(spec, tiny, tmp_path)
    next(steps), next(steps)
    steps.close()
    list(train_to_disk(spec, tiny, tmp_path))
    tensors, about = load_tensors(tmp_path / "weights.safetensors")
    assert about["steps"] == 4 and (tmp_path / "sheet.png").is_file()
    wanted = {k: v.half() if v.is_floating_point() else v for k, v in straight("judge")[-1][-1][0].items()}
    assert_same(tensors, wanted)
    assert list(train_to_disk(spec, tiny, tmp_path)) == [], "a finished training has nothing left to do"


def test_precisions_can_follow_one_another_in_a_process(tiny):
    for precision in ("bf16", "fp32", "bf16"):
        step = next(iter(spec_of("judge", precision=precision).run(tiny)))
        assert math.isfinite(step.scores["loss"])


def test_a_warm_start_begins_from_the_lab_s_model(tiny):
    before = condition(tiny)
    spec = spec_of("perceptual", warm=True, lr=1e-9, steps=1)
    (step,) = spec.run(tiny)
    trained, about = step.extras["weights"]()
    assert about["config"] == config_of(tiny.perceptual)
    for key, value in tiny.perceptual.named_parameters():
        assert torch.allclose(trained[key], value, atol=1e-6), key
    assert_same(condition(tiny), before)
