"""The arithmetic of diffusion: noise schedules, respacing, and one step of DDPM or DDIM.

    q(x_t | x_0) = N(√ᾱ_t x_0, (1 − ᾱ_t) I)          Ho et al. 2020, "Denoising Diffusion Probabilistic Models", eq. 4
    x_t = √ᾱ_t x̂_0 + √(1 − ᾱ_t) ε̂                    the same, as what a model believes of its input

`alpha_bar` is a float64 vector ᾱ of T entries that falls from nearly 1 (t = 0: hardly any noise) to nearly 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine_alpha_bar(n: int = 1000, s: float = 0.008, largest_beta: float = 0.999) -> Tensor:
    """Nichol & Dhariwal 2021, eq. 17: ᾱ_t = f(t)/f(0), f(t) = cos²(((t/n + s)/(1 + s)) · π/2), β clipped."""
    f = [math.cos((t / n + s) / (1 + s) * math.pi / 2) ** 2 for t in range(n + 1)]
    betas = [min(1 - b / a, largest_beta) for a, b in zip(f, f[1:], strict=False)]
    return torch.tensor(betas, dtype=torch.float64).neg().add(1).cumprod(0)


def linear_alpha_bar(n: int = 1000) -> Tensor:
    """Ho et al. 2020: β from 1e-4 to 0.02, both scaled by 1000/n."""
    scale = 1000 / n
    return (1 - torch.linspace(scale * 1e-4, scale * 0.02, n, dtype=torch.float64)).cumprod(0)


def respaced(n: int, steps: int) -> Tensor:
    """`steps` of the timesteps 0 … n − 1, evenly spread with both ends, rising (Nichol & Dhariwal 2021, section 4).
    Raises ValueError unless 1 ≤ steps ≤ n."""
    if not 1 <= steps <= n:
        raise ValueError(f"steps={steps}: must be from 1 to the model's {n}")
    if steps == 1:
        return torch.tensor([n - 1])
    return torch.tensor([round(k * (n - 1) / (steps - 1)) for k in range(steps)])


def drawn_times(batch: int, n: int, rng: torch.Generator, power: float = 1.0) -> Tensor:
    """A time of each of `batch` equally likely parts of the schedule's n, (batch,) int64: the same expectation as of free draws
    with less variance. t = ⌊uᵖ n⌋, u even in [0, 1): a power below 1 favours late, noisy times."""
    u = (torch.arange(batch) + torch.rand(batch, generator=rng)) / batch
    return (u**power * n).long().clamp(max=n - 1)


def add_noise(x0: Tensor, eps: Tensor, alpha_bar: Tensor | float) -> Tensor:
    """x_t = √ᾱ x_0 + √(1 − ᾱ) ε; ᾱ a number, or one a picture (B,)."""
    a = torch.as_tensor(alpha_bar, dtype=torch.float64).to(x0.device)
    a = a.view(-1, *[1] * (x0.ndim - 1)) if a.ndim else a
    return a.sqrt().to(x0.dtype) * x0 + (1 - a).sqrt().to(x0.dtype) * eps


def log_variance(alpha_bar: float, before: float, share: Tensor | None) -> Tensor:
    """Logarithm of a reverse step's variance. Between β̃ = β(1 − ᾱ')/(1 − ᾱ) (share −1) and β (share 1), as the model says
    (Nichol & Dhariwal 2021, eq. 15, whose v is (share + 1)/2); without a share, β̃. `before` is ᾱ' of the step after."""
    beta = 1 - alpha_bar / before
    low = torch.tensor(math.log(max(beta * (1 - before) / (1 - alpha_bar), 1e-20)))
    if share is None:
        return low
    v = (share + 1) / 2
    return v * math.log(beta) + (1 - v) * low.to(share)


def ddpm_step(x: Tensor, x0: Tensor, alpha_bar: float, before: float, log_var: Tensor, noise: Tensor) -> Tensor:
    """x' ~ N(μ̃(x, x̂_0), σ²) (Ho et al. 2020, eq. 7); the last step (`before` = 1) adds no noise."""
    beta = 1 - alpha_bar / before
    mean = (math.sqrt(before) * beta * x0 + math.sqrt(1 - beta) * (1 - before) * x) / (1 - alpha_bar)
    return mean if before >= 1 else mean + (log_var / 2).exp().to(x) * noise


def ddim_step(x0: Tensor, eps: Tensor, alpha_bar: float, before: float, eta: float, noise: Tensor) -> Tensor:
    """x' = √ᾱ' x̂_0 + √(1 − ᾱ' − σ²) ε̂ + σ z, σ² = η² β(1 − ᾱ')/(1 − ᾱ) (Song et al. 2021, eq. 12, 16)."""
    variance = eta**2 * (1 - alpha_bar / before) * (1 - before) / (1 - alpha_bar)
    return math.sqrt(before) * x0 + math.sqrt(max(0.0, 1 - before - variance)) * eps + math.sqrt(variance) * noise


def noise_ratio(alpha_bar: float) -> float:
    """σ = √((1 − ᾱ)/ᾱ): the noise for each unit of signal."""
    return math.sqrt((1 - alpha_bar) / alpha_bar)
