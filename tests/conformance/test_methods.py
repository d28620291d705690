"""What every method owes, whatever it makes: steps, seeds, resuming, and models left as they were.

What there is to ask follows from a method's fields: a seed where it has one, exact resuming where it has several steps.
"""

import pytest
import torch

from labkit import methods
from labkit.kinds import KINDS
from labkit.spec import MAX_SEED, METHODS, Method, Training
from tests.conformance import (
    assert_same,
    condition,
    global_randomness,
    pixels,
    pocket_lab,
    through_disk,
)

methods.load_all()
OURS = {name: cls for name, cls in METHODS.items() if cls.__module__.startswith("labkit.methods.")}


def spec_of(name: str, **changes) -> Method:
    """The method's own example."""
    cls = OURS[name]
    assert cls.example, f"{name}: give it an `example`, the values of a spec of a few steps, so that it is tested"
    return cls(**{**cls.example, **changes})


def those(asks):
    """The test is of the methods of which `asks(cls)` holds."""
    def of(test):
        test.asks = asks
        return pytest.mark.parametrize("name", sorted(name for name, cls in OURS.items() if asks(cls)))(test)

    return of


def with_field(field: str):
    """The test is of the methods that have a field."""
    return those(lambda cls: cls.has(field))


@pytest.fixture(params=["tiny", "pocket"])
def lab(request, tiny, name, missing):
    return tiny if request.param == "tiny" else pocket_lab(missing, OURS[name].needs)


every = those(lambda cls: True)


def test_there_are_methods_and_trainings_are_not_among_them():
    assert OURS and not any(issubclass(cls, Training) for cls in METHODS.values())


@every
def test_spec_is_small_described_and_survives_json(name):
    cls, spec = OURS[name], spec_of(name)
    assert len(cls.model_fields) <= 12
    for field, info in cls.model_fields.items():
        assert info.description, f"{field} has no description"
    again = cls.from_json(spec.to_json())
    assert again == spec and again.digest() == spec.digest() and hash(again) == hash(spec)


@with_field("seed")
def test_0_is_a_seed_and_so_is_the_largest(name):
    spec = spec_of(name)
    assert OURS[name].model_fields["seed"].default == 0 and spec_of(name, seed=MAX_SEED).seed == MAX_SEED
    assert spec.but(seed=1).digest() != spec.digest()


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
    assert len(steps) >= 4 or not spec.has("steps"), "an example of at least 4 steps"
    assert [s.i for s in steps] == list(range(steps[0].n)) and {s.n for s in steps} == {len(steps)}
    assert steps[-1].last and steps[-1].image is not None and not steps[0].last
    seen = [s.image for s in steps if s.image is not None]
    size = (spec.canvas.width, spec.canvas.height) if spec.has("canvas") else seen[0].size
    assert all(image.size == size and image.mode == "RGB" for image in seen)
    assert all(isinstance(v, float) for s in steps for v in s.scores.values())
    if spec.score:
        assert all(spec.score in s.scores for s in steps)


@with_field("steps")
def test_the_first_step_comes_before_half_the_work(name, tiny):
    """Counted in calls of the layers of whatever models it needs, which is where the work is."""
    done, spec = [], spec_of(name)
    layers = {m for kind in spec.needs for m in KINDS[kind].module(tiny.model(kind)).modules() if not list(m.children())}
    hooks = [m.register_forward_hook(lambda *_: done.append(1)) for m in layers]
    steps = iter(spec.run(tiny))
    next(steps)
    first = len(done)
    list(steps)
    for hook in hooks:
        hook.remove()
    assert first <= len(done) / 2 and (done or not spec.needs), "it says that it needs models and calls none"


@with_field("seed")
def test_same_seed_same_pixels_and_another_seed_another_picture(name, lab):
    before = global_randomness()
    run = pixels(spec_of(name).run(lab))
    assert_same(global_randomness(), before)
    torch.manual_seed(123)
    torch.rand(3)
    assert pixels(spec_of(name).run(lab)) == run
    assert len({pixels(spec_of(name, seed=s).run(lab))[-1] for s in (0, 1, 2)}) == 3


@with_field("steps")
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


@with_field("steps")
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
    kept = [next(steps) for _ in range(1 + spec_of(name).has("steps"))]
    steps.close()
    assert_same(condition(lab), before)
    list(spec_of(name).run(lab))
    assert_same(condition(lab), before)
    assert any(s.image is not None for s in kept)


@with_field("seed")
def test_interleaved_runs_equal_runs_alone(name, lab):
    specs = [spec_of(name), spec_of(name, seed=3)]
    alone = [pixels(s.run(lab)) for s in specs]
    together = list(zip(*(s.run(lab) for s in specs), strict=True))
    assert [pixels(run) for run in zip(*together, strict=True)] == alone


@those(lambda cls: cls.weighted_prompts)
def test_a_prompt_of_weight_0_changes_nothing(name, lab):
    plain, prompt = pixels(spec_of(name).run(lab)), OURS[name].example["prompt"]
    more = prompt + " | a much longer description of a guitar in a dark corner of a cellar:0"
    assert pixels(spec_of(name, prompt=more).run(lab)) == plain
    other = prompt + " | a guitar:1"
    assert pixels(spec_of(name, prompt=other).run(lab)) != plain, "a prompt that does weigh has no effect"


@those(lambda cls: cls.score)
def test_the_score_rises_on_the_pocket_models(name, missing):
    """At the size and with the settings that are its defaults, in a few steps."""
    cls = OURS[name]
    lab = pocket_lab(missing, cls.needs)
    required = {field: cls.example[field] for field, info in cls.model_fields.items() if info.is_required()}
    for seed in ({"seed": 0}, {"seed": 1}) if cls.has("seed") else ({},):
        scores = [s.scores[cls.score] for s in cls(**required, steps=12, **seed).run(lab)]
        assert sum(scores[-3:]) > sum(scores[:3])


@every
def test_runs_under_no_grad_and_prints_nothing(name, tiny, capsys):
    plain = pixels(spec_of(name).run(tiny))
    with torch.no_grad():
        assert pixels(spec_of(name).run(tiny)) == plain
    assert torch.is_grad_enabled() and capsys.readouterr() == ("", "")
