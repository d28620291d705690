"""Train the pocket VQGAN (f = 4): reconstruction + perceptual + codebook + adversarial terms (Esser et al. 2021, eq. 7).

L1 and squared error keep the pixels, the perceptual net keeps the shapes, a patch discriminator with a hinge loss keeps the
texture (its weight is adaptive: eq. 7's ratio of gradient norms at the decoder's last layer). Codes that nothing has chosen
for `revive_after` steps are moved onto encoder vectors of the current batch, so that the codebook does not collapse. At first
the decoder sees the encoder's own vectors, and these are told to be the principal components of their 4 × 4 pixels: left alone,
the latent stayed within four of its eight dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.codebook import CodeUse, seed_codebook
from labkit.models.judge import perceptual_distance
from labkit.models.load import config_of
from labkit.models.precondition import block_components
from labkit.models.vqgan import VQGAN, VQGANConfig
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Scenes, Seed, Steps, Training
from labkit.training.bank import scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

POCKET = VQGANConfig(ch=32, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=(), resolution=64,
                     z_channels=64, embed_dim=8, n_embed=16384, norm_groups=4)
PRINCIPAL_STEPS = 300  # over which the principal components let go of a fresh model's latent


class TrainVQGAN(Training):
    """Pocket VQGAN."""

    example: ClassVar[dict[str, Any]] = {"batch": 2, "sharpen_from": 0.5}

    steps: Steps = 6000
    batch: Batch = 8
    continuous: float = Field(0.25, ge=0, le=1, description="Share of the steps before codes are used: an autoencoder first")
    commitment: float = Field(0.05, ge=0, le=10, description="Weight of the pull of the encoder towards its codes")
    perceptual: float = Field(0.02, ge=0, le=10, description="Weight of the perceptual term")
    adversarial: float = Field(0.02, ge=0, le=10, description="Weight of the adversarial term, on top of its adaptive one")
    sharpen_from: float = Field(0.85, ge=0, le=1, description="Share of the steps after which these two join")
    revive_after: int = Field(100, ge=10, le=10_000, description="Steps after which an unused code is moved")
    scenes: Scenes = 100_000
    seed: Seed = 31
    preview_every: PreviewEvery = 250

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = lab.fresh_copy("vqgan") if self.warm else VQGAN(POCKET)
            critic = patch_discriminator()
        # Contiguous, not channels_last: PyTorch's group norm on the CPU is slow in the latter (half the speed here).
        model, critic = model.to(device).train().requires_grad_(True), critic.to(device)
        averaged, codes = average(model), CodeUse(model.n_embed, self.revive_after)
        first_coded = round(self.continuous * self.steps)
        components = principal_components(bank, model.f, model.embed_dim).to(device) if not self.warm else None
        paint = torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))
        criticise = torch.optim.Adam(critic.parameters(), lr=self.lr / 2, betas=(0.5, 0.95))
        eye = lab.fresh_copy("perceptual").to(device).eval() if self.perceptual else None

        def step(i: int) -> Made:
            set_lr(paint, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            sharpen = i >= self.sharpen_from * self.steps
            index = rng.np.integers(len(bank), size=self.batch)
            x = bank.images(index).to(device).contiguous()
            with cast:
                h = model.encode_continuous(x)
            h = h.float()
            if coded := i >= first_coded:
                if i == first_coded and self.continuous:
                    seed_codebook(model.codebook, encoder_vectors(model, bank, rng), rng.torch)
                z, indices = model.quantize(h)
                extra = self.commitment * F.mse_loss(z.detach(), h) + F.mse_loss(model.lookup(indices), h.detach())
            else:
                z, hold = h, 0.0 if self.warm else max(0.0, 1 - i / PRINCIPAL_STEPS)
                extra = hold * F.mse_loss(h, components(x)) if hold else h.new_zeros(())
            with cast:
                y = model.decode(z)
            y = y.float()
            total = F.mse_loss(y, x) * 2 + F.l1_loss(y, x) * 0.25 + extra
            error = F.mse_loss(y.detach().clamp(-1, 1), x)
            scores = {"psnr": float(-10 * torch.log10(error / 4)), "codebook" if coded else "principal": float(extra.detach())}
            if eye is not None and sharpen:
                with cast:
                    seen = perceptual_distance(eye, y, x).float().mean()
                total = total + self.perceptual * seen
                scores["perceptual"] = float(seen.detach())
            if self.adversarial and sharpen:
                with cast:
                    fooled = -critic(y).float().mean()
                last = model.decoder.conv_out.weight
                ratio = torch.autograd.grad(total, last, retain_graph=True)[0].norm() / (
                    torch.autograd.grad(fooled, last, retain_graph=True)[0].norm() + 1e-4)
                total = total + self.adversarial * ratio.clamp(max=1e3).detach() * fooled
            paint.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            paint.step()
            if self.adversarial and sharpen:
                with cast:
                    real, fake = critic(x).float(), critic(y.detach()).float()
                hinge = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
                criticise.zero_grad()
                hinge.backward()
                criticise.step()
                scores["critic"] = float(hinge.detach())
            if coded:
                codes.update(model.codebook, h.detach(), indices, rng.torch, revive=i < 0.85 * self.steps)
                scores["codes used"] = codes.used()
            update_average(averaged, model)
            return Made({"loss": float(total.detach()), **scores}, lambda: sheet(model, bank), {"weights": weights})

        def weights():
            # The codebook's moving average would lag behind a revived code: ship the codebook as it is.
            averaged.module.codebook.copy_(model.codebook)
            return averaged.module.state_dict(), {"kind": "vqgan", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "critic": critic, "averaged": averaged, "codes": codes, "paint": paint,
                 "criticise": criticise, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


@torch.no_grad()
def encoder_vectors(model: VQGAN, bank, rng, pictures: int = 256) -> torch.Tensor:
    """What the encoder makes (B, C, h, w) of as many pictures as fill the codebook, at least `pictures` of them."""
    index = rng.np.integers(len(bank), size=max(pictures, model.n_embed // 64))
    device = model.codebook.device
    return torch.cat([model.encode_continuous(bank.images(part).to(device)) for part in np.array_split(index, 16)])


def principal_components(bank, f: int, n: int, pictures: int = 500) -> nn.Module:
    """The map from pictures (B, 3, H, W) to the first `n` principal components (B, n, H/f, W/f) of their f × f patches, each
    divided by the root of its standard deviation: half-way to white, so that the small ones are seen too."""
    mean, variance, axes = block_components(bank.images(range(min(pictures, len(bank)))), f)
    axes = axes[:n] / variance[:n, None].clamp_min(1e-12).pow(0.25)
    out = nn.utils.skip_init(nn.Conv2d, 3, n, f, stride=f)  # a random start would draw from the global generator
    out.weight.data.copy_(axes.reshape(n, 3, f, f))
    out.bias.data.copy_(-axes @ mean)
    return out.requires_grad_(False)


def patch_discriminator(width: int = 32) -> nn.Sequential:
    """PatchGAN (Isola et al. 2017) with a receptive field of 22 pixels: logits (B, 1, H/4 - 1, W/4 - 1)."""
    return nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2),
                         nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
                         nn.Conv2d(2 * width, 1, 4, 1, 1))


@torch.no_grad()
def sheet(model: VQGAN, bank, n: int = 32) -> Image.Image:
    """Scenes of the bank's end above their reconstructions, eight a row."""
    was = model.training
    index = range(len(bank) - min(n, len(bank)), len(bank))
    x = bank.images(index).to(model.codebook.device)
    y = model.eval().decode(model.encode(x)[0]).clamp(-1, 1)
    model.train(was)
    return grid([to_pil((pair + 1) / 2) for pair in torch.cat([x, y], dim=2)], columns=8, pad=0)
