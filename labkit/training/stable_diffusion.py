"""Train the pocket Stable Diffusion's U-Net on latents of the picture world, with captions (Rombach et al. 2022, section 3.3).

    L = E ‖v̂(z_t, t, caption) − v‖²,   v = √ᾱ ε − √(1 − ᾱ) z_0           v-prediction: Salimans & Ho 2022, section 4

For classifier-free guidance a share `drop` of the captions is empty (Ho & Salimans 2022). The text is the pocket CLIP's,
frozen: it costs no training. `easy` is the share of the steps that see scenes with one subject in a plain style only: what a
picture is of is learnt before how pictures differ. `posed` scenes leave nothing to chance that has no name, so that a caption
says all of the picture: mixed in, they give text → picture something to be sure of, while the others teach every place, size
and turn that a sketch may have. Shipped is the moving average of the weights. Held-out combinations never occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.latent_path import Generators, way
from labkit.models.schedule import add_noise, drawn_times
from labkit.models.stable_diffusion import StableDiffusion
from labkit.models.stable_text import text_model, text_tokenizer
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, Steps, Training
from labkit.training.bank import FLAT, POSED, scene_bank
from labkit.training.codes import captions
from labkit.training.latents import LatentBank, fingerprint_of
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import PLAIN, world_hash

SCHEDULER = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
HEAD = 32  # channels of an attention's head
SKETCHED = (0.5, 0.98)  # at which shares of all times a run from a sketch starts


class TrainStableDiffusion(Training):
    """Pocket Stable Diffusion: its U-Net."""

    example: ClassVar[dict[str, Any]] = {"batch": 2, "easy": 0.5, "width": 16}

    steps: Steps = 20_000
    batch: Batch = 32
    lr: Rate = 1e-3
    drop: float = Field(0.12, ge=0, le=0.9, description="Share of captions that are left out")
    width: int = Field(64, ge=16, le=640, multiple_of=16, description="Channels at the finest level; 1.5 and 2.5 times below")
    easy: float = Field(0.4, ge=0, le=1, description="Share of the steps on scenes with one subject in a plain style")
    flat: bool = Field(False, description="Only flat scenes with one subject: what a first training learns")
    posed: float = Field(0.0, ge=0, le=1, description="Share of every batch that is of posed scenes")
    sketched: float = Field(0.0, ge=0, le=1, description="Share of every batch that starts from the sketch of its scene")
    scenes: Scenes = 40_000
    seed: Seed = 101
    preview_every: PreviewEvery = 500

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes, **(FLAT if self.flat else {}))
        vae, tokenizer = lab.autoencoder, text_tokenizer(lab.clip.tokenizer.json, lab.clip.tokenizer.context_length)
        tower, seen = text_model(lab.clip.model, tokenizer).to(device), LatentBank(vae, bank)
        n_posed = round(self.posed * self.batch)
        posed_bank = scene_bank("train", max(1, self.scenes // 2), **POSED) if n_posed else bank  # they vary less
        posed_seen = LatentBank(vae, posed_bank) if n_posed else seen
        n_sketched = min(round(self.sketched * self.batch), self.batch - n_posed)
        sketches = LatentBank(vae, scene_bank("train", self.scenes, sketched=True, **bank.fixed)) if n_sketched else seen
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            new = UNet2DConditionModel(**unet_config(vae, tower, self.width))
        model = lab.fresh_copy("stable_diffusion").unet if self.warm else new
        model = model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        averaged, scheduler = average(model), DDIMScheduler(**SCHEDULER)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)
        roof = StableDiffusion(vae, averaged.module, [tower], [tokenizer], scheduler)
        easy = bank.only(PLAIN).index if self.easy else bank.index
        alpha_bar = scheduler.alphas_cumprod.double()

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1)))
            some = easy if i < self.easy * self.steps else bank.index
            index = some[rng.np.integers(len(some), size=self.batch - n_posed)]
            posed_index = rng.np.integers(len(posed_bank), size=n_posed)
            z0 = torch.cat([seen.latents(index), posed_seen.latents(posed_index)]).to(device)
            said = captions(bank, index, rng.np) + captions(posed_bank, posed_index, rng.np)
            texts = [text if rng.np.random() >= self.drop else "" for text in said]
            t = drawn_times(self.batch, len(alpha_bar), rng.torch)
            eps = torch.randn(z0.shape, generator=rng.torch).to(device)
            if n_sketched:
                start, t[:n_sketched] = sketched_times(n_sketched, len(alpha_bar), rng.torch)
                drawn = sketches.latents(index[:n_sketched]).to(device)
                eps[:n_sketched] = noise_of_sketch(eps[:n_sketched], z0[:n_sketched], drawn, alpha_bar[start])
            a = alpha_bar[t]
            with cast:
                guess = model(add_noise(z0, eps, a), t.to(device), roof.read(texts).states, return_dict=False)[0]
            loss = F.mse_loss(guess.float(), add_noise(eps, -z0, a))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            return Made({"loss": float(loss.detach())}, lambda: sheet(roof, bank), {"weights": weights})

        def weights():
            config = {k: v for k, v in averaged.module.config.items() if not k.startswith("_")}
            return averaged.module.state_dict(), {
                "kind": "stable_diffusion", "config": config, "scheduler": SCHEDULER, "world": world_hash(),
                "trained": self.model_dump(), "of": {"autoencoder": fingerprint_of(vae), "clip": lab.clip.sha256}}

        yield from loop(self.steps, {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}, step,
                        self.preview_every, resume)


def noise_of_sketch(eps: torch.Tensor, z0: torch.Tensor, sketch: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """ε', (B, C, H, W): the noise by which z_0 is what a run sees that starts from the sketch, noised by ε, at ᾱ_s (B,)."""
    lean = (alpha_bar / (1 - alpha_bar)).sqrt().to(z0).view(-1, 1, 1, 1)
    return eps + lean * (sketch - z0)


def sketched_times(n: int, count: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Where `n` runs from sketches start, of `count` times, and where on its way each is met."""
    low, high = SKETCHED
    start = ((low + (high - low) * torch.rand(n, generator=rng)) * count).long().clamp(max=count - 1)
    return start, (torch.rand(n, generator=rng) * (start + 1)).long()


def unet_config(vae, tower, width: int) -> dict:
    """The U-Net's configuration for an autoencoder and a text tower: it attends to the text from the second level on."""
    widths = [width, width * 3 // 2, width * 5 // 2]
    down, up = ([f"{kind}Block2D"] + [f"CrossAttn{kind}Block2D"] * 2 for kind in ("Down", "Up"))
    side = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
    return {"sample_size": side, "in_channels": vae.config.latent_channels, "out_channels": vae.config.latent_channels,
            "block_out_channels": widths, "layers_per_block": 1, "norm_num_groups": 8,
            "cross_attention_dim": tower.config.hidden_size, "attention_head_dim": [max(1, w // HEAD) for w in widths],
            "down_block_types": down, "up_block_types": up[::-1]}


@torch.no_grad()
def sheet(model: StableDiffusion, bank, n: int = 16, steps: int = 20, guidance: float = 3.0) -> Image.Image:
    """A picture of a caption of each of the bank's last scenes, eight a row."""
    was, unet = model.unet.training, model.unet.eval()
    said = model.read(captions(bank, range(len(bank) - n, len(bank)), np.random.default_rng(0))).after(model.read([""] * n))
    course = way(model.scheduler, "ddim", steps)
    z = Generators(list(range(n))).normal(model.channels, *[unet.config.sample_size] * 2).to(model.device)
    for t in course.times:
        silent, spoken = model.predict(torch.cat([z, z]), t, said, (model.size, model.size)).chunk(2)
        z = course.scheduler.step(silent + guidance * (spoken - silent), t, z).prev_sample
    unet.train(was)
    return grid([to_pil((p + 1) / 2) for p in model.decode(z).cpu()], columns=8, pad=0)
