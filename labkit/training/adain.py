"""Train AdaIN's decoder: pictures from the perceptual net's features, after a style's statistics were put on them.

    t = T(f(c), f(s)),  x̂ = D(t),     T is AdaIN for one half of a batch and EFDM for the other
    L = content · ‖f(x̂) − t‖² / ‖t‖²
        + style · mean over layers of (‖μ − μ_s‖² / E ‖f_s‖² + ‖σ − σ_s‖² / E ‖f_s‖² + ‖G − G_s‖² / ‖G_s‖²)
        + own · |D(f(c)) − c|                                                        for a share of the batch: α = 0
        + paired · (|x̂ − y| + d(x̂, y))                                               where y is known: in the world

Huang & Belongie 2017, eq. 11–13, with Gram matrices beside means and deviations. `paired` is no part of it: the picture world
knows what scene c looks like in the style of picture s, and that y teaches what the statistics leave open. With `paired` 0 it
is the published way. d is the perceptual distance. Content is flat scenes, style pictures are other scenes of all styles, and
held-out combinations never occur; the judge has no part. Shipped is the moving average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.adain import Decoder, DecoderConfig, adain, efdm, statistics
from labkit.models.judge import perceptual_distance
from labkit.models.load import config_of, fingerprint
from labkit.models.style_losses import content_loss, gram_loss, moments
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, Steps, Training
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import classes, world_hash


class TrainAdaIN(Training):
    """Pocket AdaIN: the decoder that makes pictures of features with a style's statistics."""

    example: ClassVar[dict[str, Any]] = {"batch": 4}

    steps: Steps = 4000
    batch: Batch = 8
    lr: Rate = 1e-3
    scenes: Scenes = 20_000
    seed: Seed = 131
    preview_every: PreviewEvery = 250
    content: float = Field(1.0, ge=0, le=100, description="Weight of the features' distance from what was to be decoded")
    style: float = Field(1.0, ge=0, le=1000, description="Weight of the distance from the style's statistics")
    own: float = Field(1.0, ge=0, le=100, description="Weight of pictures that are given back without a style")
    paired: float = Field(3.0, ge=0, le=100, description="Weight of the distance from the scene drawn in that style; 0: none")

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast, rng = lab.device, autocast(lab.device, self.precision), Rng(self.seed)
        scenes = scene_bank("train", self.scenes, two=False)
        flat = scene_bank("train", self.scenes, two=False, drawn_as="flat")
        eye = lab.fresh_copy("perceptual").to(device).eval().requires_grad_(False)
        layer = eye.style_layers[-1]
        with torch.no_grad():
            channels = eye.layers(torch.zeros(1, 3, 64, 64, device=device), [layer])[layer].shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = Decoder(DecoderConfig(layer, channels, eye=fingerprint(lab.perceptual)))
        if self.warm:
            model = lab.fresh_copy("adain")
        model = model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        averaged, optimiser = average(model), torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))
        own, alike = max(1, self.batch // 8), _alike(scenes)

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            index = rng.np.integers(len(scenes), size=self.batch)
            others = np.array([rng.np.choice(alike[scenes.scene(k).style]) for k in index])
            c, sy = (bank.images(some).to(device).contiguous(memory_format=torch.channels_last)
                     for bank, some in ((flat, index), (scenes, np.concatenate([others, index]))))
            s, y = sy.split(self.batch)
            with cast:
                with torch.no_grad():
                    f, of_style = eye.layers(c, [layer])[layer], eye.layers(s, eye.style_layers)
                    half = self.batch // 2
                    wanted = of_style[layer]
                    t = torch.cat([adain(f[:half], wanted[:half]), efdm(f[half:], wanted[half:])])
                made = model(torch.cat([t, f[:own]]))
                x, back = made[:self.batch], made[self.batch:]
                seen = eye.layers(x, eye.style_layers)
                losses = {"content": content_loss(seen[layer].float(), t.float()).mean(),
                          "style": style_loss(seen, of_style), "own": F.l1_loss(back.float(), c[:own])}
                if self.paired:
                    losses["paired"] = F.l1_loss(x.float(), y) + perceptual_distance(eye, x, y).float().mean()
            total = sum(getattr(self, name) * loss for name, loss in losses.items())
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            update_average(averaged, model)
            told = {"loss": float(total.detach()), **{name: float(loss.detach()) for name, loss in losses.items()}}
            return Made(told, lambda: sheet(averaged.module, eye, flat, scenes), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "adain", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


def _alike(bank: SceneBank) -> dict[str, np.ndarray]:
    """Style → the bank's pictures of it."""
    found: dict[str, list[int]] = {name: [] for name in classes("style")}
    for k in range(len(bank)):
        found[bank.scene(k).style].append(k)
    return {name: np.array(some) for name, some in found.items() if some}


def style_loss(seen: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """The mean over layers and pictures of the distance of means, deviations and Gram matrices, each relative to its size."""
    total = 0.0
    for name, target in wanted.items():
        now, target = seen[name].float(), target.float()
        there, power = moments(target), target.square().sum(1).mean(dim=(1, 2)) + 1e-6
        apart = sum((a - b).square().flatten(1).sum(1) for a, b in zip(statistics(now), statistics(target), strict=True))
        total = total + (apart / power + gram_loss(moments(now), there)).mean()
    return total / len(wanted)


@torch.no_grad()
def sheet(model: Decoder, eye, flat: SceneBank, scenes: SceneBank, n: int = 9) -> Image.Image:
    """The bank's last flat scenes, a style picture of each style, and what AdaIN and EFDM make of both."""
    was, device, layer = model.training, next(model.parameters()).device, model.config.layer
    alike = _alike(scenes)
    contents, styles = range(len(flat) - n, len(flat)), [int(some[0]) for some in alike.values()][:n]
    c, s = (bank.images([some[k % len(some)] for k in range(n)]).to(device)
            for bank, some in ((flat, contents), (scenes, styles)))
    f, of_style = (eye.layers(x, [layer])[layer] for x in (c, s))
    made = [model.eval()(way(f, of_style)) for way in (adain, efdm)]
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in torch.cat([c, s, *made]).cpu()], columns=n, pad=0)
