"""What every method owes, whatever it makes: steps, seeds, resuming, and models left as they were."""

import pytest
import torch

from labkit import methods
from labkit.spec import MAX_SEED, METHODS, Method, Training
from tests.conformance import (
    TinyLab,
    assert_same,
    condition,
    global_randomness,
    pixels,
    pocket_lab,
    through_disk,
)

methods.load_all()
OURS = {name: cls for name, cls in METHODS.items() if cls.__module__.startswith("labkit.methods.")}

# A small spec of each method: 4 steps or more, a few seconds at most. `size` is the picture's.
EXAMPLES = {
    "VQGANCLIP": {
        "spec": {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "seed": 0, "preview_every": 2,
                 "canvas": {"width": 32, "height": 16}, "cutouts": {"cutn": 4}},
        "size": (32, 16),
        "better": {"prompt": "a red apple in the snow", "steps": 15, "canvas": {"width": 32, "height": 32},
                   "cutouts": {"cutn": 8}},
    },
    "GuidedDiffusion": {
        "spec": {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "seed": 0, "preview_every": 2, "sampler": {"eta": 0.5},
                 "canvas": {"width": 32, "height": 16}, "cutouts": {"cutn": 4}},
        "size": (32, 16),
        "better": {"prompt": "a red apple in the snow", "steps": 12, "canvas": {"width": 64, "height": 64},
                   "cutouts": {"cutn": 4}},
    },
}


def spec_of(name: str, **changes) -> Method:
    assert name in EXAMPLES, f"{name}: give it a small example in EXAMPLES of {__name__}, so that it is tested"
    return OURS[name](**{**EXAMPLES[name]["spec"], **changes})


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


@pytest.fixture(params=["tiny", "pocket"])
def lab(request, tiny, name, missing):
    return tiny if request.param == "tiny" else pocket_lab(missing, OURS[name].needs)


every = pytest.mark.parametrize("name", sorted(OURS))


def test_there_are_methods_and_trainings_are_not_among_them():
    assert OURS and not any(issubclass(cls, Training) for cls in METHODS.values())
    assert set(EXAMPLES) <= set(OURS), "an example of a method that there is not"


@every
def test_spec_is_small_described_and_survives_json(name):
    cls, spec = OURS[name], spec_of(name)
    assert len(cls.model_fields) <= 12
    for field, info in cls.model_fields.items():
        assert info.description, f"{field} has no description"
    again = cls.from_json(spec.to_json())
    assert again == spec and again.digest() == spec.digest() and hash(again) == hash(spec)
    assert spec.but(seed=1).digest() != spec.digest()
    assert cls.model_fields["seed"].default == 0 or "seed" in cls.model_fields
    assert cls(**{**EXAMPLES[name]["spec"], "seed": MAX_SEED}).seed == MAX_SEED


@every
def test_needs_are_kinds_of_a_lab(name, tiny):
    assert set(OURS[name].needs) <= set(tiny.names)
    asked = []
    tiny.require(spec_of(name), asked.append)
    assert asked == [], "it was loaded already"


@every
def test_steps_are_honest(name, lab):
    spec = spec_of(name)
    steps = list(spec.run(lab))
    assert len(steps) >= 4, "an example of at least 4 steps"
    assert [s.i for s in steps] == list(range(steps[0].n)) and {s.n for s in steps} == {len(steps)}
    assert steps[-1].last and steps[-1].image is not None and not steps[0].last
    seen = [s.image for s in steps if s.image is not None]
    assert all(image.size == EXAMPLES[name]["size"] and image.mode == "RGB" for image in seen)
    assert all(isinstance(v, float) for s in steps for v in s.scores.values())
    if spec.score:
        assert all(spec.score in s.scores for s in steps)


@every
def test_the_first_step_comes_before_half_the_work(name, tiny, monkeypatch):
    """Counted in calls of the models, which is where the work is."""
    done = []
    hooks = [m.register_forward_hook(lambda *_: done.append(1)) for m in (tiny.vqgan.decoder, tiny.clip.model.visual)]
    steps = iter(spec_of(name).run(tiny))
    next(steps)
    first = len(done)
    list(steps)
    for hook in hooks:
        hook.remove()
    assert first <= len(done) / 2


@every
def test_same_seed_same_pixels_and_another_seed_another_picture(name, lab):
    before = global_randomness()
    run = pixels(spec_of(name).run(lab))
    assert_same(global_randomness(), before)
    torch.manual_seed(123)
    torch.rand(3)
    assert pixels(spec_of(name).run(lab)) == run
    assert len({pixels(spec_of(name, seed=s).run(lab))[-1] for s in (0, 1, 2)}) == 3


@every
@pytest.mark.parametrize("k", [0, 2])
def test_k_steps_and_a_resume_equal_a_straight_run(name, k, lab):
    spec = spec_of(name)
    straight = list(spec.run(lab))
    for step in spec.run(lab):
        if step.i == k:
            state = through_disk(step.state())
            held = step.state()
            break
    for _ in range(2):  # a state serves more than once
        rest = list(spec.run(lab, state))
        assert [s.i for s in rest] == [s.i for s in straight[k + 1 :]]
        assert pixels(rest) == pixels(straight[k + 1 :])
        assert [s.scores for s in rest] == [s.scores for s in straight[k + 1 :]]
    assert_same(held, state)


@every
def test_a_state_is_a_copy_and_is_refused_once_the_run_has_gone_on(name, tiny):
    steps = iter(spec_of(name).run(tiny))
    first = next(steps)
    state, same = first.state(), first.state()
    next(steps)
    assert_same(state, same)
    with pytest.raises(ValueError, match="gone on"):
        first.state()


@every
def test_stopping_early_leaves_the_models_as_they_were(name, lab):
    lab.require(spec_of(name))
    before = condition(lab)
    # Compared with a fresh model's as well: an earlier run may have changed them for good.
    for seen in before.values():
        assert not any(seen["modes"]) and not any(seen["hooks"])
        assert not any(wants or grad is not None for wants, grad, *_ in seen["parameters"])
    steps = iter(spec_of(name).run(lab))
    kept = next(steps), next(steps)
    steps.close()
    assert_same(condition(lab), before)
    list(spec_of(name).run(lab))
    assert_same(condition(lab), before)
    assert any(s.image is not None for s in kept)


@every
def test_interleaved_runs_equal_runs_alone(name, lab):
    specs = [spec_of(name), spec_of(name, seed=3)]
    alone = [pixels(s.run(lab)) for s in specs]
    together = list(zip(*(s.run(lab) for s in specs), strict=True))
    assert [pixels(run) for run in zip(*together, strict=True)] == alone


@every
def test_a_prompt_of_weight_0_changes_nothing(name, lab):
    cls = OURS[name]
    if not cls.weighted_prompts:
        pytest.skip("takes no weighted prompts; its own tests say what it means")
    plain = pixels(spec_of(name).run(lab))
    prompt = EXAMPLES[name]["spec"]["prompt"] + " | a much longer description of a guitar in a dark corner of a cellar:0"
    assert pixels(spec_of(name, prompt=prompt).run(lab)) == plain
    other = EXAMPLES[name]["spec"]["prompt"] + " | a guitar:1"
    assert pixels(spec_of(name, prompt=other).run(lab)) != plain, "a prompt that does weigh has no effect"


@every
def test_the_score_rises_on_the_pocket_models(name, missing):
    cls = OURS[name]
    if cls.score is None:
        pytest.skip("declares no score; its own tests say what it means")
    lab = pocket_lab(missing, cls.needs)
    for seed in (0, 1):
        scores = [s.scores[cls.score] for s in cls(**EXAMPLES[name]["better"], seed=seed).run(lab)]
        assert sum(scores[-4:]) > sum(scores[:4])


@every
def test_runs_under_no_grad_and_prints_nothing(name, tiny, capsys):
    plain = pixels(spec_of(name).run(tiny))
    with torch.no_grad():
        assert pixels(spec_of(name).run(tiny)) == plain
    assert torch.is_grad_enabled() and capsys.readouterr() == ("", "")
