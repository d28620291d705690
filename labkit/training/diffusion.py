"""Train the pocket diffusion model: v-prediction on the picture world (Salimans & Ho 2022; Ho et al. 2020).

    L = E ‖v̂(x_t, t) − v‖²,   v = √ᾱ ε − √(1 − ᾱ) x_0,   t / T = u^¾, u uniform

More of the noisy times than uniform ones would have, as what the picture is of is decided there (the larger the pictures, the
more so: Hoogeboom et al. 2023, "Simple Diffusion"). Unconditional: no caption is read, held-out combinations never occur. What
is shipped is the moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from labkit.image import grid, to_pil
from labkit.models.diffusion import PocketDiffusion, PocketDiffusionConfig
from labkit.models.sampler import sample
from labkit.models.schedule import add_noise
from labkit.spec import MAX_SEED, Step, Training
from labkit.training.bank import scene_bank
from labkit.training.loop import accelerator, average, cosine, set_lr, training_steps, update_average
from labkit.world import world_hash


class TrainDiffusion(Training):
    """Pocket diffusion model (unconditional; CLIP guides it)."""

    steps: int = Field(4000, ge=1, le=500_000, description="Optimiser steps")
    batch: int = Field(32, ge=2, le=1024, description="Pictures a step")
    lr: float = Field(1e-3, gt=0, le=0.1, description="Peak learning rate of AdamW")
    scenes: int = Field(100_000, ge=32, le=2_000_000, description="Scenes in the bank")
    warm: bool = Field(False, description="Start from the shipped weights (a warm start)")
    bf16: bool = Field(True, description="bfloat16 autocast")
    seed: int = Field(51, ge=0, le=MAX_SEED, description="Seed of weights, batches, times and noise")
    preview_every: int = Field(500, ge=1, description="Steps between sample sheets")

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        acc = accelerator(lab.device, self.bf16)
        bank = scene_bank("train", self.scenes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = lab.fresh_copy("diffusion") if self.warm else PocketDiffusion(PocketDiffusionConfig())
        if not self.warm:
            model.wiener.fit(bank.images(range(min(500, len(bank)))))
        model = model.to(acc.device).train().requires_grad_(True)
        averaged = average(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)
        net, optimiser = acc.prepare(model, optimiser)

        def step(i: int, rng) -> dict[str, float]:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1)))
            x0 = bank.images(rng.np.integers(len(bank), size=self.batch)).to(acc.device).contiguous()
            # One time of each of `batch` equally likely parts of the schedule: the same expectation with less variance.
            u = (torch.arange(self.batch) + torch.rand(self.batch, generator=rng.torch)) / self.batch
            t = (u**0.75 * len(model.alpha_bar)).long().clamp(max=len(model.alpha_bar) - 1)
            a = model.alpha_bar[t]
            eps = torch.randn(x0.shape, generator=rng.torch).to(acc.device)
            x = add_noise(x0, eps, a)
            v = add_noise(eps, -x0, a)
            with acc.autocast():
                guess = net.v(x, t.to(acc.device)) if hasattr(net, "v") else net.module.v(x, t.to(acc.device))
            loss = F.mse_loss(guess.float(), v)
            optimiser.zero_grad()
            acc.backward(loss)
            acc.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            return {"loss": float(loss.detach())}

        def weights():
            return averaged.module.state_dict(), {"kind": "diffusion", "config": model.config_dict(), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser}
        yield from training_steps(self.steps, self.seed, parts, step, lambda: sheet(averaged.module), weights,
                                  self.preview_every, resume)


def sheet(model, n: int = 32) -> Image.Image:
    """Unguided samples, eight a row."""
    was = model.training
    y = sample(model.eval(), n).cpu()
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in y], columns=8, pad=0)
