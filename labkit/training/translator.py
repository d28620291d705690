"""Train the two nets that make sketches into pictures in one pass: from pairs, and without any.

    pix2pix    L_G = ½ E (D(s, G(s, e)) − 1)² + λ E |G(s, e) − x|             Isola et al. 2017, eq. 4, with squares
    CycleGAN   L_G = ½ E (D_x(G(s)) − 1)² + ½ E (D_s(F(x)) − 1)²
                     + λ E |F(G(s)) − s| + λ E |G(F(x)) − x|                  Zhu et al. 2017, eq. 3, with squares
    L_D = ½ E (D(real) − 1)² + ½ E D(made)²                                   least squares: Mao et al. 2017, eq. 9

s is the line art of a flat scene's subject on an empty sheet, x the scene, e its caption's vector. For CycleGAN sketches and
scenes are drawn apart: it never sees a pair, and no sentence. Its cycle can be cheated by hiding what a line drawing cannot
say in faint noise (Chu et al. 2017): F's sketches get a little noise of their own before G reads them again. Shipped is the
moving average of the nets that draw; critics are not. Held-out combinations never occur.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.load import config_of
from labkit.models.translator import CycleGAN, PatchCritic, Translator, TranslatorConfig
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, Steps, Training
from labkit.training.bank import FLAT, SceneBank, scene_bank
from labkit.training.gan import caption_embeddings
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash


class Turn(NamedTuple):
    """The net's `loss` without its critics, its `scores`, and what each critic is `asked`: (its name, real, made)."""

    loss: Tensor
    scores: dict[str, float]
    asked: list[tuple[str, Tensor, Tensor]]


class TrainTranslator(Training):
    """What the trainings of both have in common: a net, critics, and two turns a step."""

    kind: ClassVar[str] = ""
    paired: ClassVar[bool] = True  # whether it sees which picture a sketch is of
    veil: ClassVar[float] = 0.0  # standard deviation of the noise over what critics see, at the first step; none at the last
    example: ClassVar[dict[str, Any]] = {"batch": 2}

    steps: Steps = 4000
    batch: Batch = 16
    lr: Rate = 1e-3
    scenes: Scenes = 10_000
    seed: Seed = 111
    preview_every: PreviewEvery = 250

    @abstractmethod
    def begin(self, texts: Tensor | None) -> tuple[nn.Module, nn.ModuleDict]:
        """The net and its critics, for sentences' vectors (N, D) where it reads some."""

    @abstractmethod
    def turn(self, model: nn.Module, s: Tensor, x: Tensor, e: Tensor | None, noise: Tensor) -> Turn:
        """What the net makes of sketches s and scenes x (B, 3, 64, 64) in [-1, 1], of vectors e (B, D) where it reads some,
        with standard normal noise of a picture's shape."""

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast, rng = lab.device, autocast(lab.device, self.precision), Rng(self.seed)
        scenes, sketches = (scene_bank("train", self.scenes, sketched=sketched, **FLAT) for sketched in (False, True))
        texts = caption_embeddings(lab.clip, scenes, self.seed) if self.paired else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model, critics = self.begin(texts)
        if self.warm:
            model = lab.fresh_copy(self.kind)
        model, critics = model.to(device).train().requires_grad_(True), critics.to(device)
        averaged = average(model)
        paint, criticise = (torch.optim.Adam(net.parameters(), lr=self.lr, betas=(0.5, 0.99)) for net in (model, critics))

        def step(i: int) -> Made:
            lr = cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1))
            set_lr(paint, lr)
            set_lr(criticise, lr / 2)
            there = rng.np.integers(len(scenes), size=self.batch)
            here = there if self.paired else rng.np.integers(len(scenes), size=self.batch)
            s, x = sketches.images(here).to(device).contiguous(), scenes.images(there).to(device).contiguous()
            e = texts[there].to(device) if self.paired else None
            noise = torch.randn(s.shape, generator=rng.torch).to(device)
            with cast:
                loss, scores, asked = self.turn(model, s, x, e, noise)
            if self.veil:
                left = self.veil * (1 - i / self.steps)
                asked = [(name, *(seen + left * torch.randn(seen.shape, generator=rng.torch).to(device)
                                  for seen in (real, made))) for name, real, made in asked]
            critics.requires_grad_(False)
            with cast:
                game = sum((critics[name](made).float() - 1).square().mean() for name, _, made in asked) / 2
            total = loss.float() + game
            paint.zero_grad()
            total.backward()
            paint.step()
            critics.requires_grad_(True)
            with cast:
                against = sum(critic_loss(critics[name](real).float(), critics[name](made.detach()).float())
                              for name, real, made in asked)
            criticise.zero_grad()
            against.backward()
            criticise.step()
            update_average(averaged, model)
            told = {"loss": float(total.detach()), "game": float(game.detach()), "critic": float(against.detach()), **scores}
            return Made(told, lambda: sheet(averaged.module, sketches, scenes, texts), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": self.kind, "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "critics": critics, "averaged": averaged, "paint": paint, "criticise": criticise, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


class TrainPix2Pix(TrainTranslator):
    """Sketch and sentence → picture, from pairs (after pix2pix)."""

    kind: ClassVar[str] = "pix2pix"

    pixels: float = Field(20.0, ge=0, le=1000, description="λ: weight of the mean absolute error")

    def begin(self, texts):
        model = Translator(TranslatorConfig(condition=texts.shape[1]))
        model.measure(texts)
        return model, nn.ModuleDict({"pair": PatchCritic(6)})

    def turn(self, model, s, x, e, noise):
        made = model(s, e)
        error = F.l1_loss(made, x)
        asked = [("pair", torch.cat([s, x], dim=1), torch.cat([s, made], dim=1))]
        return Turn(self.pixels * error, {"error": float(error.detach())}, asked)


class TrainCycleGAN(TrainTranslator):
    """Sketch → picture and back, without pairs (CycleGAN)."""

    kind: ClassVar[str] = "cyclegan"
    paired: ClassVar[bool] = False
    veil: ClassVar[float] = 0.6

    batch: Batch = 8
    cycle: float = Field(10.0, ge=0, le=1000, description="λ: weight of what does not come back")
    noise: float = Field(0.05, ge=0, le=1, description="Noise on traced sketches, so that nothing is hidden in them")

    def begin(self, texts):
        return CycleGAN(TranslatorConfig()), nn.ModuleDict({"pictures": PatchCritic(3), "sketches": PatchCritic(3)})

    def turn(self, model, s, x, e, noise):
        drawn, traced = model.draw(s), model.trace(x)
        back = F.l1_loss(model.trace(drawn), s) + F.l1_loss(model.draw(traced + self.noise * noise), x)
        return Turn(self.cycle * back, {"cycle": float(back.detach())}, [("pictures", x, drawn), ("sketches", s, traced)])


def critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """½ E (D(real) − 1)² + ½ E D(made)²: ¼ for a critic that cannot tell and says ½."""
    return ((real - 1).square().mean() + made.square().mean()) / 2


@torch.no_grad()
def sheet(model: nn.Module, sketches: SceneBank, scenes: SceneBank, texts: Tensor | None, n: int = 8) -> Image.Image:
    """The bank's last sketches, what is made of them, and the scenes that they are of."""
    was, device = model.training, next(model.parameters()).device
    last = range(len(scenes) - n, len(scenes))
    s = sketches.images(last).to(device)
    made = model.eval()(s, *([texts[list(last)].to(device)] if texts is not None else []))
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in torch.cat([s.cpu(), made.cpu(), scenes.images(last)])], columns=n, pad=0)
