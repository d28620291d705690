"""One step of labkit's CLIP-guided diffusion against the same step written the way its peers write it, in the same run.

    python benchmarks/guided_step.py

The peers' step: the model runs twice, once without gradient for the sampler and once with it for the guidance; fp32 throughout;
cutouts made one by one. Both use the pocket models, 16 cutouts and one thread; they take turns, and the medians and their ratio
are printed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from turns import WARM_UP, take_turns

from labkit import Cutouts, GuidedDiffusion, Lab
from labkit.clip.cutouts import cut, draw
from labkit.models.schedule import ddim_step, respaced

PAIRS = 24
SPEC = GuidedDiffusion(prompt="a flat illustration of a red apple in the snow", steps=PAIRS + WARM_UP + 1, preview_every=1,
                       cutouts=Cutouts(cutn=16, noise=0.0))


def ours(lab):
    """A function that does the next step, picture included."""
    lab.require(SPEC)
    steps = SPEC.run(lab)
    return lambda: next(steps)


def peers(lab):
    """The same step in plain code."""
    model, guide, rng = lab.diffusion, lab.guide, torch.Generator().manual_seed(0)
    target, x = guide.encode_text([SPEC.prompt]), torch.randn(1, 3, 64, 64, generator=rng)
    times = respaced(len(model.alpha_bar), SPEC.steps).tolist()[::-1]
    levels = iter(zip(times, times[1:], strict=False))

    def step():
        nonlocal x
        t, following = next(levels)
        now, after = (float(model.alpha_bar[k]) for k in (t, following))
        at = torch.tensor([t])
        with torch.no_grad():
            x0, eps, *_ = model(x, at)
        leaf = x.clone().requires_grad_(True)
        believed, f = model(leaf, at).x0, math.sqrt(1 - now)
        x_in = f * believed + (1 - f) * leaf
        looks = draw(SPEC.cutouts, 64, 64, guide.size, rng)
        cuts = torch.cat([cut((x_in + 1) / 2, looks, slice(k, k + 1)) for k in range(len(looks))])
        seen = F.normalize(guide.model.encode_image((cuts - 0.5) / 0.5), dim=-1)
        clip = (seen - target).norm(dim=-1).div(2).arcsin().square().mul(2).mean() * 1000
        range_loss = (believed - believed.clamp(-1, 1)).square().mean() * 50
        g = -torch.autograd.grad(clip + range_loss, leaf)[0]
        eps = eps - math.sqrt(1 - now) * g / g.norm()
        x = ddim_step((x - math.sqrt(1 - now) * eps) / math.sqrt(now), eps, now, after, SPEC.sampler.eta,
                      torch.randn(x.shape, generator=rng))
        return ((believed.detach().clamp(-1, 1) + 1) * 127.5).byte().cpu()

    return step


def main() -> None:
    torch.set_num_threads(1)
    lab = Lab()
    take_turns(ours(lab), peers(lab), PAIRS, f"labkit's CLIP in {'bf16' if lab.bf16 else 'fp32'}")


if __name__ == "__main__":
    main()
