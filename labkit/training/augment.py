"""Training-time augments on batches in [-1, 1], (B, 3, H, W): drawn from an explicit CPU generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def random_crops(x: torch.Tensor, rng: torch.Generator, least: float = 0.6, most: float = 1.15) -> torch.Tensor:
    """Square windows of side U(least, most) at a random place, resampled to the picture's size; beyond the border the
    picture is mirrored."""
    b = len(x)
    side = torch.rand(b, generator=rng) * (most - least) + least
    centre = (torch.rand(b, 2, generator=rng) * 2 - 1) * (1 - side).abs().unsqueeze(1)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = centre
    grid = F.affine_grid(theta.to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, 5 × 5."""
    t = torch.arange(-2, 3, dtype=x.dtype, device=x.device)
    k = torch.exp(-t.square() / (2 * sigma**2))
    k = (k / k.sum()).expand(x.shape[1], 1, 1, 5)
    x = F.conv2d(F.pad(x, (2, 2, 0, 0), mode="replicate"), k, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, 2, 2), mode="replicate"), k.transpose(2, 3), groups=x.shape[1])


def spoil(x: torch.Tensor, rng: torch.Generator, share: float = 0.6, reconstruct=None,
          reconstructed: float = 0.2) -> torch.Tensor:
    """What a painter's picture suffers: a `share` of the batch is cropped, a third of that each blurred and noised, and
    the share `reconstructed` passed through `reconstruct` (a VQGAN's encode–decode) if given."""
    b = len(x)
    x = x.clone()
    chance = torch.rand(4, b, generator=rng)
    some = (chance[0] < share).nonzero().squeeze(1)
    if reconstruct is not None:
        few = (chance[1] < reconstructed).nonzero().squeeze(1)
        if len(few):
            x[few] = reconstruct(x[few])
    if len(some):
        x[some] = random_crops(x[some], rng)
    soft = (chance[2] < share / 3).nonzero().squeeze(1)
    if len(soft):
        x[soft] = blur(x[soft], 0.4 + 0.8 * float(torch.rand((), generator=rng)))
    noisy = chance[3] < share / 3
    level = torch.rand(b, 1, 1, 1, generator=rng) * 0.25 * noisy.view(-1, 1, 1, 1)
    return (x + level.to(x) * torch.randn(x.shape, generator=rng).to(x)).clamp(-1, 1)


def reconstruction(vqgan):
    """The `reconstruct` of `spoil`: pictures as a VQGAN gives them back."""
    @torch.no_grad()
    def back(x: torch.Tensor) -> torch.Tensor:
        return vqgan(x).clamp(-1, 1)

    return back


def perturb(x: torch.Tensor, loss, radius: float, rng: torch.Generator, steps: int = 1) -> torch.Tensor:
    """L2 adversarial perturbation: projected gradient ascent from a random start (Madry et al. 2018).

    Each picture has its own ball, of radius U(0, `radius`), so that near-clean pictures stay in the diet: a random start in
    the ball, then `steps` steps along the gradient of `loss(x)`, projected back into the ball. One step (Wong et al. 2020)
    is cheap, but a net learns to hide from it: more steps teach shapes that hold.
    """
    own = radius * torch.rand(len(x), 1, 1, 1, generator=rng).to(x)
    delta = torch.randn(x.shape, generator=rng).to(x)
    delta = delta * (own * torch.rand(len(x), 1, 1, 1, generator=rng).to(x) / _norm(delta))
    for _ in range(steps):
        moved = (x + delta).requires_grad_()
        (grad,) = torch.autograd.grad(loss(moved), moved)
        delta = delta + own * min(1.0, 2 / steps) * grad / _norm(grad)
        delta = (delta * (own / _norm(delta)).clamp(max=1)).detach()
    return (x + delta).clamp(-1, 1).detach()


def _norm(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
