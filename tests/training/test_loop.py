"""The training loop: schedules, averages, and parts whose state is the whole state."""

import math

import pytest
import torch
from torch import nn

from labkit.spec import NonFiniteError
from labkit.training.loop import Rng, average, cosine, training_steps, update_average
from tests.conformance import assert_same, through_disk


def test_cosine_warms_up_and_falls_to_a_fiftieth():
    rates = [cosine(i, 100, 2.0, 10) for i in range(101)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert [rates[k] for k in (10, 55, 100)] == pytest.approx([2, 2 * (0.02 + 0.98 / 2), 0.04])
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))


def test_average_begins_at_the_model_follows_slowly_and_copies_statistics():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    averaged = average(model, decay=0.5)
    values = []
    for k in range(200):
        with torch.no_grad():
            model[0].weight.fill_(0.0 if k == 0 else 1.0)
            model[1].running_mean.fill_(k)
        update_average(averaged, model)
        values.append(float(averaged.module[0].weight))
    assert values[0] == 0 and 0 < values[1] < 1 and all(a <= b for a, b in zip(values, values[1:], strict=False))
    assert values[-1] == pytest.approx(1, abs=1e-3)
    assert float(averaged.module[1].running_mean) == 199
    kept = [(1 - after) / (1 - before) for before, after in zip(values[:12], values[1:12], strict=False)]
    assert kept == pytest.approx([min(0.5, (1 + n) / (10 + n)) for n in range(1, 12)], rel=0.02)
    assert not any(p.requires_grad for p in averaged.parameters())


def test_rng_goes_on_where_it_was():
    a, b = Rng(5), Rng(6)
    a.np.integers(10, size=3), torch.rand(2, generator=a.torch)
    b.load_state_dict(through_disk(a.state_dict()))
    assert a.np.random() == b.np.random() and torch.equal(torch.rand(3, generator=a.torch), torch.rand(3, generator=b.torch))


def steps_of(n=5, resume=None, poison=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(2, 1)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)

    def step(i, rng):
        x = torch.rand(4, 2, generator=rng.torch) * rng.np.random()
        loss = net(x).square().mean() * (math.nan if i == poison else 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": float(loss.detach())}

    looks = []
    run = training_steps(n, seed, {"net": net, "optimiser": optimiser}, step, lambda: looks.append(1) or "sheet",
                         lambda: ({k: v.clone() for k, v in net.state_dict().items()}, {}), 3, resume)
    return run, looks


def test_resume_is_exact_and_a_state_serves_twice():
    straight = [(s.i, s.scores, s.extras["weights"]()[0]) for s in steps_of()[0]]
    run, _ = steps_of()
    next(run)
    state = next(run).state()
    kept = through_disk(state)
    for _ in range(2):
        rest = [(s.i, s.scores, s.extras["weights"]()[0]) for s in steps_of(resume=state)[0]]
        assert_same(rest, straight[2:])
    assert_same(state, kept)


def test_a_state_is_refused_once_the_run_has_gone_on():
    run, _ = steps_of()
    first = next(run)
    state = first.state()
    next(run)
    assert state["i"] == 0
    with pytest.raises(ValueError, match="step 0: the run has gone on"):
        first.state()


def test_sheets_are_drawn_only_when_shown():
    run, looks = steps_of(7)
    assert [s.i for s in run if s.image] == [0, 2, 5, 6] and len(looks) == 4


def test_nan_ends_it_with_the_last_good_step():
    run, seen = steps_of(poison=3)[0], []
    with pytest.raises(NonFiniteError, match="step 3: the loss is no longer a number.*lower lr") as caught:
        seen.extend(iter(lambda: next(run), None))
    assert caught.value.last.i == 2


def test_another_seed_is_another_training():
    a, b = ([s.scores["loss"] for s in steps_of(seed=s)[0]] for s in (0, 1))
    assert a != b
