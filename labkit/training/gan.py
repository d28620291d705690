"""Train the pocket GAN: noise and a phrase's CLIP embedding to a picture, against a projection discriminator.

    L_D = E ζ(−D(x, e)) + ½ E ζ(D(G(z, e), e)) + ½ E ζ(D(x, e′)) + γ/2 E ‖∇_x D(x, e)‖²,       ζ(t) = ln(1 + eᵗ)
    L_G = E ζ(−D(G(z, e), e)) + λ E (1 − cos(CLIP(G(z, e)), e)) − μ E ln min(‖G(z, e) − G(z′, e)‖₁, d)

The non-saturating loss (Goodfellow et al. 2014, section 3). e′ is the caption of another picture: a real picture with a wrong
caption is wrong too (Reed et al. 2016, section 4.2), otherwise nothing makes D, and through it G, read. R1 (Mescheder et al.
2018, eq. 9), and not spectral norm: it acts at the true pictures alone, where D's gradient must vanish at the end of the game,
and leaves D free to be steep elsewhere, which few steps need. It is taken every eighth step, eightfold (Karras et al. 2020).

Three helps are no part of the report's plan. D also sees the frozen perceptual net's features (Sauer et al. 2021). For λ > 0 G
is pulled towards what the pocket CLIP takes for its phrase: in an hour of CPU the game alone teaches little about words. And
against mode collapse (noise soon decided nothing, each phrase had one picture) two noises for a phrase shall give two
pictures, up to a mean difference of d (after Mao et al. 2019, "Mode seeking GANs"). The judge has no part in it.

Shipped is the moving average of G (Yazıcı et al. 2019). Held-out combinations never occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.gan import CRITIC_SIDES, Discriminator, GANConfig, PocketGAN
from labkit.models.load import config_of
from labkit.precision import autocast
from labkit.spec import PreviewEvery, Scenes, Seed, Training
from labkit.training.bank import FLAT, SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import caption, world_hash

LAZY = 8  # steps from one R1 to the next
APART = 0.2  # d: mean absolute difference, on [-1, 1], beyond which two pictures of a phrase need not differ more


class TrainGAN(Training):
    """Pocket GAN: the generator that the lyrics report first proposed."""

    example: ClassVar[dict[str, Any]] = {"batch": 4}

    steps: int = Field(5000, ge=1, le=500_000, description="Optimiser steps of each of the two nets")
    batch: int = Field(16, ge=2, le=1024, description="Pictures a step, real ones and as many painted ones")
    lr: float = Field(2e-3, gt=0, le=0.1, description="Peak learning rate of the generator's Adam; D's is a quarter of it")
    generator: Literal["conv", "ffnn"] = Field("conv", description="Convolutional, or the report's feed-forward net")
    r1: float = Field(1.0, ge=0, le=100, description="γ: weight of R1, the squared gradient of D at real pictures; 0: none")
    clip: float = Field(4.0, ge=0, le=100, description="λ: weight of CLIP's cosine in the generator's loss; 0: none")
    seek: float = Field(0.5, ge=0, le=100, description="μ: weight of the pull apart of a phrase's pictures; 0: none")
    perceptual: bool = Field(True, description="The discriminator also sees the perceptual net's features")
    flat: bool = Field(True, description="Only flat scenes with one subject: what an hour of CPU can learn")
    scenes: Scenes = 10_000
    warm: bool = Field(False, description="Start the generator from the shipped weights (a warm start)")
    seed: Seed = 71
    preview_every: PreviewEvery = 100

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes, **(FLAT if self.flat else {}))
        texts = caption_embeddings(lab.clip, bank, self.seed)
        eye = lab.fresh_copy("perceptual").to(device).eval().requires_grad_(False) if self.perceptual else None

        def look(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """What the trained eye sees of pictures, at the discriminator's levels."""
            return tuple(f for f in eye.features(x) if f.shape[-1] in CRITIC_SIDES) if eye is not None else ()

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            new = PocketGAN(GANConfig(self.generator, embed=texts.shape[1]))
            taps = {f.shape[-1]: f.shape[1] for f in look(torch.zeros(1, 3, 64, 64, device=device))}
            critic = Discriminator(texts.shape[1], taps=taps)
        model = lab.fresh_copy("gan") if self.warm else new
        model.measure(texts)
        model, critic = model.to(device).train().requires_grad_(True), critic.to(device)
        averaged = average(model)
        paint = torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.5, 0.99))
        criticise = torch.optim.Adam(critic.parameters(), lr=self.lr / 4, betas=(0.5, 0.99))

        def step(i: int) -> Made:
            lr = cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1))
            set_lr(paint, lr)
            set_lr(criticise, lr / 4)  # with a trained eye it is ahead anyway
            index = rng.np.integers(len(bank), size=self.batch)
            x, e = bank.images(index).to(device).contiguous(), texts[index].to(device)
            flip = (torch.rand(self.batch, 1, 1, 1, generator=rng.torch) < 0.5).to(device)
            x = torch.where(flip, x.flip(-1), x)  # the world's captions of one subject know no left and right
            z = torch.randn(self.batch, model.config.noise, generator=rng.torch).to(device)
            said = e[:(self.batch + 1) // 2].repeat(2, 1)[:self.batch]  # what is painted: two noises for each phrase
            c, c_said = model.standard(e), model.standard(said)
            with cast:
                fake = model(z, said)
                with torch.no_grad():
                    seen_real = look(x)
                seen_fake = look(fake)  # once for both nets: the eye is frozen
                both = [torch.cat([a, b.detach()]) for a, b in zip((x, *seen_real), (fake, *seen_fake), strict=True)]
                real, painted = critic.features(both[0], tuple(both[1:])).float().split(self.batch)
            scores = critic_scores(critic, real, painted, c, c_said)
            critic_loss = total = discriminator_loss(*scores)
            out = {}
            if self.r1 and i % LAZY == 0:
                some = slice(0, max(1, self.batch // 2))  # in fp32, as a gradient's gradient wants it
                penalty = gradient_penalty(lambda y: critic(y, c[some], look(y)), x[some])
                total = total + LAZY * self.r1 / 2 * penalty
                out["r1"] = float(penalty.detach())
            criticise.zero_grad()
            total.backward()
            criticise.step()
            critic.requires_grad_(False)
            with cast:
                answer = critic(fake, c_said, seen_fake).float()
            game = F.softplus(-answer).mean()
            total = game
            if self.clip:
                cosines = (lab.clip.encode_image((fake + 1) / 2) * said).sum(1)
                total = total + self.clip * (1 - cosines).mean()
                out["clip"] = float(cosines.detach().mean())
            if self.seek:
                apart = difference(fake)
                total = total - self.seek * apart.clamp(1e-3, APART).log().mean()
                out["apart"] = float(apart.detach().mean())
            paint.zero_grad()
            total.backward()
            paint.step()
            critic.requires_grad_(True)
            update_average(averaged, model)
            told = {"loss": float(total.detach()), "critic": float(critic_loss.detach()), "game": float(game.detach()),
                    "real": float(scores[0].detach().mean()), "painted": float(scores[1].detach().mean()),
                    "wrong": float(scores[2].detach().mean()), **out}
            return Made(told, lambda: sheet(averaged.module, bank, texts), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "gan", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "critic": critic, "averaged": averaged, "paint": paint, "criticise": criticise, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


def caption_embeddings(encoder, bank: SceneBank, seed: int) -> torch.Tensor:
    """One caption per scene of the bank, every other one naming all attributes, as CLIP's unit vectors (N, D). Its random
    words come from the seed alone, so that a resumed run reads the same captions."""
    rng = np.random.default_rng([seed, 71])
    return encoder.encode_text([caption(bank.scene(k), rng, full=k % 2 == 0) for k in range(len(bank))])


def critic_scores(critic: Discriminator, real: torch.Tensor, painted: torch.Tensor, e: torch.Tensor,
                  said: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of real pictures with their captions e, of painted ones with theirs, `said`, and of real ones with their
    neighbours' captions; φ is taken once for the first and the last."""
    return critic.score(real, e), critic.score(painted, said), critic.score(real, e.roll(1, 0))


def difference(x: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the pictures of the first half of x (B, …) and those of the second, (⌊B/2⌋,)."""
    half = (len(x) + 1) // 2
    return (x[:len(x) - half] - x[half:]).abs().flatten(1).mean(1)


def discriminator_loss(real: torch.Tensor, painted: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """ζ(−real) + ½ ζ(painted) + ½ ζ(wrong), averaged: 2 ln 2 for a discriminator that cannot tell."""
    return F.softplus(-real).mean() + (F.softplus(painted).mean() + F.softplus(wrong).mean()) / 2


def gradient_penalty(score: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """E ‖∇_x D(x)‖² over pictures x (B, …), differentiable: R1 without its γ/2 (Mescheder et al. 2018, eq. 9)."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


@torch.no_grad()
def sheet(model: PocketGAN, bank: SceneBank, texts: torch.Tensor, columns: int = 8, rows: int = 4) -> Image.Image:
    """Scenes of the bank's end, and below each what the generator makes of its caption from other noises."""
    was = model.training
    index = range(len(bank) - columns, len(bank))
    real = bank.images(index)
    y = model.eval().sample(texts[list(index)].repeat(rows, 1), seed=0).cpu()
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in torch.cat([real, y])], columns=columns, pad=0)
