"""Diffusion's arithmetic: against closed forms and against diffusers' schedulers."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from labkit.models.schedule import (
    add_noise,
    cosine_alpha_bar,
    ddim_step,
    ddpm_step,
    drawn_times,
    linear_alpha_bar,
    log_variance,
    noise_ratio,
    respaced,
)

GENERATOR = torch.Generator().manual_seed(3)
X0, EPS, NOISE = (torch.randn(2, 3, 4, 4, generator=GENERATOR) for _ in range(3))


@pytest.mark.parametrize("ours, theirs", [(cosine_alpha_bar, "squaredcos_cap_v2"), (linear_alpha_bar, "linear")])
def test_schedules_are_the_published_ones(ours, theirs):
    wanted = DDPMScheduler(num_train_timesteps=1000, beta_schedule=theirs).alphas_cumprod.double()
    assert torch.allclose(ours(1000), wanted, rtol=1e-4, atol=1e-7)
    assert ours(200).dtype == torch.float64 and (ours(200).diff() < 0).all()


def test_respacing_has_both_ends_and_even_gaps():
    times = respaced(1000, 50)
    assert times[0] == 0 and times[-1] == 999 and len(times) == 50
    assert set(times.diff().tolist()) <= {20, 21}
    assert respaced(10, 10).tolist() == list(range(10)) and respaced(10, 1).tolist() == [9]
    for wrong in (0, 11):
        with pytest.raises(ValueError, match=f"steps={wrong}"):
            respaced(10, wrong)


def test_noise_is_added_as_the_forward_process_says():
    assert torch.allclose(add_noise(X0, EPS, 0.36), 0.6 * X0 + 0.8 * EPS, atol=1e-6)
    both = add_noise(X0, EPS, torch.tensor([1.0, 0.0]))
    assert torch.equal(both[0], X0[0]) and torch.equal(both[1], EPS[1])
    assert noise_ratio(0.36) == pytest.approx(0.8 / 0.6)


def test_ddim_without_noise_lands_on_the_same_line():
    x = ddim_step(X0, EPS, 0.2, 0.7, 0.0, NOISE)
    assert torch.allclose(x, add_noise(X0, EPS, 0.7), atol=1e-6)
    assert torch.allclose(ddim_step(X0, EPS, 0.2, 1.0, 1.0, NOISE), X0, atol=1e-6), "the last step ends at x0"


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_diffusers(eta):
    theirs = DDIMScheduler(num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=True)
    theirs.set_timesteps(50)
    t, a = 500, theirs.alphas_cumprod
    x = add_noise(X0, EPS, float(a[t]))
    wanted = theirs.step(EPS, t, x, eta=eta, variance_noise=NOISE).prev_sample
    assert torch.allclose(ddim_step(X0, EPS, float(a[t]), float(a[t - 20]), eta, NOISE), wanted, atol=1e-5)


def test_ddpm_is_diffusers():
    theirs = DDPMScheduler(num_train_timesteps=1000, clip_sample=False, variance_type="fixed_small")
    theirs.set_timesteps(1000)
    t, a = 400, theirs.alphas_cumprod
    x = add_noise(X0, EPS, float(a[t]))
    wanted = theirs.step(EPS, t, x, generator=torch.Generator().manual_seed(8)).prev_sample
    noise = torch.randn(X0.shape, generator=torch.Generator().manual_seed(8))
    now, after = float(a[t]), float(a[t - 1])
    assert torch.allclose(ddpm_step(x, X0, now, after, log_variance(now, after, None), noise), wanted, atol=1e-4)


def test_learned_variance_lies_between_the_two_bounds():
    now, after = 0.3, 0.5
    beta = 1 - now / after
    low = beta * (1 - after) / (1 - now)
    shares = torch.tensor([-1.0, 0.0, 1.0])
    wanted = torch.tensor([low, math.sqrt(low * beta), beta])
    assert torch.allclose(log_variance(now, after, shares).exp(), wanted, rtol=1e-5)
    assert float(log_variance(now, after, None).exp()) == pytest.approx(low, rel=1e-5)


def test_the_last_step_of_ddpm_adds_no_noise():
    x = add_noise(X0, EPS, 0.9)
    assert torch.allclose(ddpm_step(x, X0, 0.9, 1.0, log_variance(0.9, 1.0, None), NOISE), X0, atol=1e-6)


def test_drawn_times_are_one_of_each_part_and_a_power_below_one_draws_them_late():
    rng = torch.Generator().manual_seed(0)
    t = drawn_times(8, 1000, rng)
    assert t.dtype == torch.int64 and (t // 125).tolist() == list(range(8))
    assert 0 <= drawn_times(4, 2, rng).min() and drawn_times(4, 2, rng).max() == 1
    many = torch.cat([drawn_times(100, 1000, rng, power=0.75) for _ in range(50)]).float() / 1000
    assert abs(float(many.mean()) - 1 / 1.75) < 0.01
