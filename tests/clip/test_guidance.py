"""Guidance in closed form: the distance and its gradient, the two odd gradients, and a prompt's pull."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.clip.guidance import clamp_with_grad, prompt_loss, replace_grad, spherical_distance


def unit(*values: float) -> torch.Tensor:
    return F.normalize(torch.tensor(values, dtype=torch.float32), dim=-1)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("y", "d"), [
    ((1, 0, 0), 0), ((0, 1, 0), math.pi**2 / 8), ((-1, 0, 0), math.pi**2 / 2), ((1, 1, 0), (math.pi / 4) ** 2 / 2),
])
def test_distance_is_half_the_squared_angle(y, d):
    x = unit(1, 0, 0)
    assert float(spherical_distance(x, unit(*y))) == pytest.approx(d, abs=1e-6)
    assert float(spherical_distance(3 * x, 0.2 * unit(*y))) == pytest.approx(d, abs=1e-6), "lengths do not matter"


def test_orthogonal_is_the_known_number():
    assert float(spherical_distance(unit(1, 0), unit(0, 1))) == pytest.approx(1.2337005501361697, abs=1e-6)


def test_distance_equals_the_published_arcsine():
    x, y = F.normalize(random(500, 16), dim=-1), F.normalize(random(500, 16, seed=1), dim=-1)
    published = 2 * ((x - y).norm(dim=-1) / 2).arcsin().square()
    assert torch.allclose(spherical_distance(x, y), published, atol=1e-5)


def test_gradient_equals_the_published_one_where_that_is_finite():
    y, grads = F.normalize(random(100, 8, seed=1), dim=-1), []
    for distance in (spherical_distance, lambda a, b: 2 * ((F.normalize(a, dim=-1) - b).norm(dim=-1) / 2).arcsin() ** 2):
        x = random(100, 8).requires_grad_()
        grads.append(torch.autograd.grad(distance(x, y).sum(), x)[0])
    assert torch.allclose(*grads, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_is_finite_at_equality_and_at_the_antipode(sign):
    for vector in (unit(1, 0, 0), unit(0.3, -0.5, 0.8)):
        x = (sign * vector).clone().requires_grad_()
        (grad,) = torch.autograd.grad(spherical_distance(x, vector), x)
        assert torch.isfinite(grad).all() and grad.norm() < 10


def test_gradient_near_the_antipode_has_the_length_of_the_angle():
    """d = θ²/2, so |∂d/∂x| on the sphere is θ: π at the antipode, where the arcsine's overflows."""
    angle = math.pi - 1e-3
    x = torch.tensor([math.cos(angle), math.sin(angle)], requires_grad=True)
    (grad,) = torch.autograd.grad(spherical_distance(x, unit(1, 0)), x)
    assert float(grad.norm()) == pytest.approx(angle, rel=1e-3)


def test_distance_broadcasts_over_cuts_and_prompts():
    assert spherical_distance(random(5, 1, 8), random(3, 8)).shape == (5, 3)


def test_replace_grad_takes_the_value_of_one_and_the_gradient_to_the_other():
    value, through = random(2, 3).requires_grad_(), random(1, 3, seed=1).requires_grad_()
    out = replace_grad(value, through)
    assert torch.equal(out, value)
    grads = torch.autograd.grad((out * torch.arange(6.0).view(2, 3)).sum(), (value, through), allow_unused=True)
    assert grads[0] is None
    assert torch.equal(grads[1], torch.tensor([[3.0, 5.0, 7.0]])), "summed to the shape it was broadcast from"


def test_clamp_with_grad_keeps_what_leads_back_and_drops_what_leads_out():
    x = torch.tensor([-1.0, -1.0, 0.5, 0.5, 2.0, 2.0], requires_grad=True)
    out = clamp_with_grad(x, 0, 1)
    assert torch.equal(out.detach(), torch.tensor([0, 0, 0.5, 0.5, 1, 1]))
    # a descent step goes against the gradient: at -1 a negative one leads back, at 2 a positive one
    (grad,) = torch.autograd.grad((out * torch.tensor([1.0, -1, 1, -1, 1, -1])).sum(), x)
    assert grad.tolist() == [0, -1, 1, -1, 1, 0]


def test_a_prompt_pulls_with_its_weight_times_the_mean_distance():
    cuts, target = random(7, 8), random(8, seed=1)
    mean = spherical_distance(cuts, target).mean()
    for weight in (1.0, 2.5, 0.25):
        assert float(prompt_loss(cuts, target, weight)) == pytest.approx(weight * float(mean), rel=1e-6)


def test_a_negative_weight_repels():
    cuts = random(7, 8).requires_grad_()
    target = random(8, seed=1)
    (pull,) = torch.autograd.grad(prompt_loss(cuts, target, 2.0), cuts)
    (push,) = torch.autograd.grad(prompt_loss(cuts, target, -2.0), cuts)
    assert torch.allclose(pull, -push) and pull.norm() > 0
    there = cuts.detach()
    assert float(prompt_loss(there, target, -2.0)) == pytest.approx(-float(prompt_loss(there, target, 2.0)))


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_stop_leaves_the_value_and_takes_the_gradient_of_what_is_near_enough(weight):
    target = unit(1, 0)
    cuts = torch.stack([unit(1, 0.2), unit(-0.2, 1)]).requires_grad_()
    v = weight * spherical_distance(cuts, target).detach()
    stop = float(v.mean())  # between the two
    loss = prompt_loss(cuts, target, weight, stop)
    (grad,) = torch.autograd.grad(loss, cuts)
    assert float(loss.detach()) == pytest.approx(float(v.mean()), rel=1e-6), "the value stays"
    free = torch.autograd.grad(prompt_loss(cuts, target, weight), cuts)[0]
    pulled = v > stop
    assert torch.equal(grad[~pulled], torch.zeros_like(grad[~pulled]))
    assert torch.allclose(grad[pulled], free[pulled]) and grad[pulled].norm() > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_distance_is_symmetric_bounded_and_blind_to_length(seed, length):
    x, y = random(8, seed=seed), random(8, seed=seed + 1)
    d = float(spherical_distance(x, y))
    assert 0 <= d <= math.pi**2 / 2 + 1e-5
    assert float(spherical_distance(y, x * length)) == pytest.approx(d, rel=1e-4, abs=1e-5)
