"""Train the pocket autoencoder of Stable Diffusion (Rombach et al. 2022, section 3.1), beginning as the pocket VQGAN.

    L = 2 mean (x̂ − x)² + ¼ mean |x̂ − x| + perceptual · d(x̂, x) + kl · mean over the latent of KL(q(z | x) ‖ N(0, 1))

x̂ is the picture of a z drawn from q. The weight of the divergence is small: it keeps the latent from running away, no more. At
the end `scaling_factor` is set so that latents have a variance of one. Where the decoder alone learns on, latents stay, and a
U-Net that learned them. Shipped is the moving average of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.autoencoder import from_vqgan
from labkit.models.judge import perceptual_distance
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Scenes, Seed, Steps, Training
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.latents import fingerprint_of
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

MEASURED = 512  # pictures, for the scale of the latent


class TrainAutoencoder(Training):
    """Pocket autoencoder of Stable Diffusion."""

    example: ClassVar[dict[str, Any]] = {"batch": 2, "perceptual": 0.1}

    steps: Steps = 6000
    batch: Batch = 8
    kl: float = Field(1e-4, ge=0, le=1, description="Weight of the divergence from N(0, 1), in nats a number of the latent")
    decoder_only: bool = Field(False, description="The encoder stays as it is, and with it latents and what learned from them")
    perceptual: float = Field(0.02, ge=0, le=10, description="Weight of the perceptual term")
    scenes: Scenes = 40_000
    seed: Seed = 91
    preview_every: PreviewEvery = 250

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        first = bank.images(range(min(MEASURED, len(bank))))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = lab.fresh_copy("autoencoder") if self.warm else from_vqgan(lab.vqgan, first)
        model = model.to(device).train().requires_grad_(True)
        if self.decoder_only:
            for part in (model.encoder, model.quant_conv):
                part.requires_grad_(False)
        averaged, optimiser = average(model), torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))
        eye = lab.fresh_copy("perceptual").to(device).eval() if self.perceptual else None

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            x = bank.images(rng.np.integers(len(bank), size=self.batch)).to(device).contiguous()
            with cast:
                with torch.set_grad_enabled(not self.decoder_only):
                    belief = model.encode(x).latent_dist
                mean, log_variance = belief.mean.float(), belief.logvar.float()
                noise = torch.randn(mean.shape, generator=rng.torch).to(device)
                y = model.decode(mean + noise * (log_variance / 2).exp()).sample
            y = y.float()
            nats = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
            error = F.mse_loss(y, x)
            total = 2 * error + F.l1_loss(y, x) / 4 + self.kl * nats
            clamped = F.mse_loss(y.detach().clamp(-1, 1), x)
            scores = {"psnr": float(-10 * torch.log10(clamped / 4)), "nats": float(nats.detach())}
            if eye is not None:
                with cast:
                    seen = perceptual_distance(eye, y, x).float().mean()
                total = total + self.perceptual * seen
                scores["perceptual"] = float(seen.detach())
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            return Made({"loss": float(total.detach()), **scores}, lambda: sheet(averaged.module, bank), {"weights": weights})

        def weights():
            trained = averaged.module
            config = {k: v for k, v in trained.config.items() if not k.startswith("_")}
            config["scaling_factor"] = scale_of(trained, first)
            return trained.state_dict(), {"kind": "autoencoder", "config": config, "world": world_hash(),
                                          "trained": self.model_dump(), "fingerprint": fingerprint_of(trained)}

        yield from loop(self.steps, {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}, step,
                        self.preview_every, resume)


@torch.no_grad()
def scale_of(model: AutoencoderKL, x: torch.Tensor) -> float:
    """What latents have to be multiplied by for a variance of one, of pictures x."""
    z = torch.cat([model.encode(part.to(model.device)).latent_dist.mean.float() for part in x.split(64)])
    return round(1 / float(z.std().clamp_min(1e-6)), 5)


@torch.no_grad()
def sheet(model: AutoencoderKL, bank: SceneBank, n: int = 8) -> Image.Image:
    """The last scenes of the bank above what comes back of them."""
    x = bank.images(range(len(bank) - n, len(bank)))
    y = model.decode(model.encode(x.to(model.device)).latent_dist.mean).sample.float().cpu().clamp(-1, 1)
    return grid([to_pil((p + 1) / 2) for p in (*x, *y)], columns=n, pad=0)
