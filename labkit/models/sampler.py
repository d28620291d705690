"""Samplers: the way from noise to a picture, for any denoiser, guided or not.

    stages = path(denoiser, steps)                    the noise levels on the way
    x = start(noise, stages[0], init)
    for stage in stages: x = take(x, denoise(x, stage), stage, noise, sampler)

A denoiser is a function (x, stage) → `Belief`. What leans on a picture wraps one (`labkit.methods.guided_diffusion`, as
k-diffusion's `make_cond_model_fn` does) and says in the belief's `pull` where it leans; a sampler turns that into a step:

    DDPM: μ' = μ + σ² g        DDIM: ε' = ε̂ − √(1 − ᾱ) g            g = pull; Dhariwal & Nichol 2021, algorithms 1 and 2

With a `strength` s the pull keeps its direction and gets a length of its own: the step from noise ratio σ to σ',
σ² = (1 − ᾱ)/ᾱ, is moved by s · √(1 − ᾱ') · (1 − σ'/σ) root mean square: the share s of the noise that the step takes away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.models.schedule import add_noise, ddim_step, ddpm_step, log_variance, noise_ratio, respaced


class Belief(NamedTuple):
    """What a model makes of a noisy picture: x̂_0 and ε̂ with x = √ᾱ x̂_0 + √(1 − ᾱ) ε̂, the share of its learned variance in
    [-1, 1] (see `schedule.log_variance`) or None, and where guidance leans, or None."""

    x0: Tensor
    eps: Tensor
    share: Tensor | None = None
    pull: Tensor | None = None


class Stage(NamedTuple):
    """One step of a path: timestep, ᾱ there, and ᾱ after the step (1 at the end)."""

    t: int
    now: float
    after: float


def path(denoiser, steps: int, skip: float = 0.0) -> list[Stage]:
    """`steps` stages from noise to picture, without the first share `skip` of them (at least one stays). `denoiser` has
    `alpha_bar` (T,). Raises ValueError unless 1 ≤ steps ≤ T."""
    times = respaced(len(denoiser.alpha_bar), steps).tolist()[::-1]
    levels = [*denoiser.alpha_bar[times].tolist(), 1.0]
    stages = [Stage(*some) for some in zip(times, levels, levels[1:], strict=False)]
    return stages[min(round(skip * steps), steps - 1):]


def start(noise: Tensor, first: Stage, init: Tensor | None = None) -> Tensor:
    """x at the first stage: noise, or a picture (1, 3, H, W) in [-1, 1] noised as much as the stage is."""
    return noise if init is None else add_noise(init, noise, first.now)


def take(x: Tensor, belief: Belief, stage: Stage, noise: Tensor, name: str = "ddim", eta: float = 1.0,
         strength: float | None = None) -> Tensor:
    """x at the next, lower noise level, by "ddim" (with `eta` of DDPM's noise) or "ddpm". `strength` None: the pull has the
    length that it has."""
    _, now, after = stage
    x0, eps, share, g = belief
    moved: Tensor | float = 0.0
    if g is not None and strength is not None:
        rms = g.square().mean().sqrt()
        if rms > 0:
            moved = strength * math.sqrt(1 - after) * (1 - noise_ratio(after) / noise_ratio(now)) * g / rms
        g = None
    if name == "ddpm":
        log_var = log_variance(now, after, share)
        return ddpm_step(x, x0, now, after, log_var, noise) + (moved if g is None else log_var.exp().to(x) * g)
    if g is not None:
        eps = eps - math.sqrt(1 - now) * g
        x0 = (x - math.sqrt(1 - now) * eps) / math.sqrt(now)
    return ddim_step(x0, eps, now, after, eta, noise) + moved


def bounded(denoise: Callable[[Tensor, Stage], Belief]) -> Callable[[Tensor, Stage], Belief]:
    """A denoiser whose x̂_0 stays within [-1, 1], with the ε̂ that then explains x."""
    def believe(x: Tensor, stage: Stage) -> Belief:
        belief = denoise(x, stage)
        x0 = belief.x0.clamp(-1, 1)
        return belief._replace(x0=x0, eps=(x - math.sqrt(stage.now) * x0) / math.sqrt(1 - stage.now))

    return believe


@torch.no_grad()
def sample(denoiser, n: int, steps: int = 50, seed: int = 0, size: int | None = None, eta: float = 1.0) -> Tensor:
    """Unguided samples (n, 3, size, size) in [-1, 1]: DDIM (Song et al. 2021, eq. 12) with `eta` of DDPM's noise. A small model
    needs that noise: what it gets wrong at one step is covered up and looked at afresh at the next."""
    rng, side = torch.Generator().manual_seed(seed), size or denoiser.image_size
    device, stages = next(denoiser.parameters()).device, path(denoiser, steps)

    def noise() -> Tensor:
        return torch.randn(n, 3, side, side, generator=rng).to(device)

    believe, x = bounded(as_function(denoiser)), noise()
    for stage in stages:
        x = take(x, believe(x, stage), stage, noise(), eta=eta)
    return x.clamp(-1, 1)


def as_function(denoiser) -> Callable[[Tensor, Stage], Belief]:
    """A model as a denoiser of stages."""
    return lambda x, stage: denoiser(x, torch.full((len(x),), stage.t, device=x.device))
