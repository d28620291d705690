"""Train the pocket diffusion model: v-prediction on the picture world (Salimans & Ho 2022; Ho et al. 2020).

    L = E ‖v̂(x_t, t) − v‖² + perceptual · d(x̂_0, x_0),   v = √ᾱ ε − √(1 − ᾱ) x_0,   t / T = u^¾, u uniform

With `perceptual` > 0 the guess at the picture shall also look like one to the perceptual net: the mean of all pictures that x_t
may become, which is what squared error asks for, shows nothing that could be named, and a small model's samples remain such
means (Lin & Yang 2024, "Diffusion Model with Perceptual Loss", who take the model's own features for it).

More of the noisy times than uniform ones would have, as what the picture is of is decided there (the larger the pictures, the
more so: Hoogeboom et al. 2023, "Simple Diffusion"). Unconditional: no caption is read, held-out combinations never occur. What
is shipped is the moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.diffusion import PocketDiffusion, PocketDiffusionConfig
from labkit.models.judge import perceptual_distance
from labkit.models.load import config_of
from labkit.models.sampler import sample
from labkit.models.schedule import add_noise, drawn_times
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Scenes, Seed, Steps, Training
from labkit.training.bank import scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash


class TrainDiffusion(Training):
    """Pocket diffusion model (unconditional; CLIP guides it)."""

    example: ClassVar[dict[str, Any]] = {"batch": 2, "perceptual": 0.1}

    steps: Steps = 4000
    batch: Batch = 32
    perceptual: float = Field(0.0, ge=0, le=10, description="Weight of the perceptual distance between x̂_0 and the picture")
    scenes: Scenes = 100_000
    seed: Seed = 51
    preview_every: PreviewEvery = 500

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = lab.fresh_copy("diffusion") if self.warm else PocketDiffusion(PocketDiffusionConfig())
        if not self.warm:
            model.wiener.fit(bank.images(range(min(500, len(bank)))))
        model = model.to(device).train().requires_grad_(True)
        averaged = average(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)
        eye = lab.fresh_copy("perceptual").to(device).eval() if self.perceptual else None

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1)))
            x0 = bank.images(rng.np.integers(len(bank), size=self.batch)).to(device).contiguous()
            t = drawn_times(self.batch, len(model.alpha_bar), rng.torch, power=0.75)
            a = model.alpha_bar[t]
            eps = torch.randn(x0.shape, generator=rng.torch).to(device)
            x = add_noise(x0, eps, a)
            v = add_noise(eps, -x0, a)
            with cast:
                guess = model.v(x, t.to(device))
            loss = F.mse_loss(guess.float(), v)
            scores = {"loss": float(loss.detach())}
            if eye is not None:
                with cast:
                    seen = perceptual_distance(eye, add_noise(x, -guess.float(), a), x0).float().mean()
                loss = loss + self.perceptual * seen
                scores["perceptual"] = float(seen.detach())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            return Made(scores, lambda: sheet(averaged.module), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "diffusion", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


def sheet(model, n: int = 16, steps: int = 25) -> Image.Image:
    """Unguided samples, eight a row: few, and of few steps, as the training waits for them."""
    was = model.training
    y = sample(model.eval(), n, steps).cpu()
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in y], columns=8, pad=0)
