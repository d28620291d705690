"""Train the conditional VAE with an information bottleneck (see `labkit.models.bottleneck`).

    L = mean over pixels of (x̂ − x)² + β / D · KL,   D the number of pixels' values: β = 1 is the VAE's bound for variance 1/2
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.bottleneck import BottleneckConfig, BottleneckVAE, divergence
from labkit.models.load import config_of
from labkit.precision import autocast
from labkit.spec import PreviewEvery, Scenes, Seed, Steps, Training
from labkit.training.bank import FLAT, scene_bank
from labkit.training.gan import caption_embeddings
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash


class TrainBottleneck(Training):
    """Conditional VAE with an information bottleneck (a baseline)."""

    example: ClassVar[dict[str, Any]] = {"batch": 4}

    beta: float = Field(1.0, ge=0, le=1000, description="β: price of a nat that passes through the latent")
    steps: Steps = 3000
    flat: bool = Field(True, description="Only flat scenes with one subject")
    scenes: Scenes = 10_000
    seed: Seed = 81
    preview_every: PreviewEvery = 250

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes, **(FLAT if self.flat else {}))
        texts = caption_embeddings(lab.clip, bank, self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            new = BottleneckVAE(BottleneckConfig(condition=texts.shape[1]))
        model = (lab.fresh_copy("bottleneck") if self.warm else new).to(device).train().requires_grad_(True)
        averaged = average(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            index = rng.np.integers(len(bank), size=self.batch)
            x, y = bank.images(index).to(device).contiguous(), texts[index].to(device)
            noise = torch.randn(self.batch, model.config.latent, generator=rng.torch).to(device)
            with cast:
                mean, log_variance = (part.float() for part in model.encode(x, y))
                made = model.decode(mean + noise * (log_variance / 2).exp(), y)
            error, nats = F.mse_loss(made.float(), x), divergence(mean, log_variance).mean()
            total = error + self.beta * nats / x[0].numel()
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            update_average(averaged, model)
            scores = {"loss": float(total.detach()), "mse": float(error.detach()), "nats": float(nats.detach())}
            return Made(scores, lambda: sheet(averaged.module, texts[:16].to(device)), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "bottleneck", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


def sheet(model: BottleneckVAE, y: torch.Tensor) -> Image.Image:
    """A picture of each sentence, eight a row."""
    was = model.training
    pictures = model.eval().sample(y).cpu()
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in pictures], columns=8, pad=0)
