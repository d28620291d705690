"""The one loop: parts whose state is the whole state, honest steps, pictures when somebody looks, an end at the first NaN."""

import math

import pytest
import torch
from torch import nn

from labkit.loop import Made, NonFiniteError, Rng, Values, loop
from tests.conformance import assert_same, through_disk


def test_rng_goes_on_where_it_was():
    a, b = Rng(5), Rng(6)
    a.np.integers(10, size=3), torch.rand(2, generator=a.torch)
    b.load_state_dict(through_disk(a.state_dict()))
    assert a.np.random() == b.np.random() and torch.equal(torch.rand(3, generator=a.torch), torch.rand(3, generator=b.torch))


def steps_of(n=5, resume=None, poison=None, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(2, 1)
    optimiser, rng, looks = torch.optim.Adam(net.parameters(), lr=0.1), Rng(seed), []

    def step(i):
        x = torch.rand(4, 2, generator=rng.torch) * rng.np.random()
        loss = net(x).square().mean() * (math.nan if i == poison else 1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        weights = {k: v.clone() for k, v in net.state_dict().items()}
        return Made({"loss": float(loss.detach())}, lambda: looks.append(i) or f"sheet {i}", {"weights": weights})

    return loop(n, {"net": net, "optimiser": optimiser, "rng": rng}, step, 3, resume), looks


def test_resume_is_exact_and_a_state_serves_twice():
    straight = [(s.i, s.scores, s.extras["weights"]) for s in steps_of()[0]]
    run, _ = steps_of()
    next(run)
    state = next(run).state()
    kept = through_disk(state)
    for _ in range(2):
        rest = [(s.i, s.scores, s.extras["weights"]) for s in steps_of(resume=state)[0]]
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
    with pytest.raises(NonFiniteError, match="step 3: no longer a number: loss nan; lower the learning rate") as caught:
        seen.extend(iter(lambda: next(run), None))
    assert caught.value.last.i == 2


def test_another_seed_is_another_training():
    a, b = ([s.scores["loss"] for s in steps_of(seed=s)[0]] for s in (0, 1))
    assert a != b


def test_what_was_no_preview_can_be_drawn_until_the_run_goes_on():
    run, looks = steps_of(5)
    next(run)
    second = next(run)
    assert second.image is None and second.picture() == "sheet 1" and looks == [0, 1]
    next(run)
    assert second.picture() is None, "its parts are another step's by now"


def test_a_step_may_say_itself_that_it_met_no_number_and_the_last_picture_is_kept():
    def step(i):
        if i == 4:
            raise NonFiniteError("the gradient is gone; lower lr")
        return Made({}, lambda: f"picture {i}")

    with pytest.raises(NonFiniteError, match="step 4: the gradient is gone; lower lr") as caught:
        list(loop(9, {}, step, 3))
    assert caught.value.last.i == 2 and caught.value.last.image == "picture 2"


def test_values_keep_what_an_optimiser_holds_and_copy_the_rest():
    leaf = torch.zeros(2, requires_grad=True)
    now = Values(z=leaf, x=torch.ones(2), chunk=8)
    state = now.state_dict()
    with torch.no_grad():
        leaf.add_(5)
    now.x, now.chunk = now.x * 7, 2
    assert state["z"].tolist() == [0, 0] and not state["z"].requires_grad
    now.load_state_dict(state)
    assert now.z is leaf and leaf.tolist() == [0, 0] and now.x.tolist() == [1, 1] and now.chunk == 8
    now.x.add_(1)
    assert state["x"].tolist() == [1, 1]
