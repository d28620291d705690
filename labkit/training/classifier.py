"""Train the judge and the perceptual net: VGG-shaped classifiers of subject, colour, setting and style.

Cross-entropy against the scene's ground truth; two subjects share the mass. The judge sees its own stream of scenes, the
held-out combinations among them, and is only ever a measure; the perceptual net sees the training stream alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field

from labkit.loop import Made, Rng, Step, loop
from labkit.models.judge import HEADS, VGGClassifier, VGGConfig
from labkit.models.load import config_of
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, Steps, Training
from labkit.training.augment import perturb, reconstruction, spoil
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import classes, world_hash


class TrainClassifier(Training, listed=False):
    """What judge and perceptual net share."""

    name: ClassVar[str] = ""
    split: ClassVar[str] = "train"
    stages: ClassVar[list[list[int]]] = []

    steps: Steps = 3000
    batch: Batch = 128
    lr: Rate = 2e-3
    scenes: Scenes = 60_000
    reconstruct: bool = Field(False, description="Pass a fifth of the pictures through the pocket VQGAN")
    radius: float = Field(0.0, ge=0, le=20, description="L2 radius of an adversarial step on [-1, 1] pixels; 0: none")
    seed: Seed = 11
    preview_every: PreviewEvery = 250

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank(self.split, self.scenes)
        if self.warm:
            model = lab.fresh_copy(self.name)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                model = VGGClassifier(VGGConfig(self.stages, {a: len(classes(a)) for a in HEADS}))
        model = model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        averaged = average(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, weight_decay=0.02)
        reconstruct = reconstruction(lab.vqgan) if self.reconstruct else None

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1)))
            index = rng.np.integers(len(bank), size=self.batch)
            targets = {a: t.to(device) for a, t in bank.targets(index).items()}
            x = spoil(bank.images(index), rng.torch, share=0.4, reconstruct=reconstruct).to(device)
            x = x.contiguous(memory_format=torch.channels_last)

            def look(pictures):
                with cast:
                    return model(pictures)

            def cross_entropy(logits, a):
                return -(targets[a] * F.log_softmax(logits[a].float(), dim=1)).sum(1).mean()

            if self.radius:
                x = perturb(x, lambda p: cross_entropy(look(p), "subject"), self.radius, rng.torch)
            logits = look(x)
            total, hits = sum(cross_entropy(logits, a) for a in HEADS), {}
            for a in HEADS:
                some = targets[a].sum(1) > 0
                right = targets[a].gather(1, logits[a].argmax(1, keepdim=True))[some] > 0
                hits[a] = float(right.float().mean()) if some.any() else 1.0
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            update_average(averaged, model)
            scores = {"loss": float(total.detach()), **hits}
            return Made(scores, lambda: sheet(averaged.module, bank), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {
                "kind": self.name, "config": config_of(averaged.module), "world": world_hash(),
                "classes": {a: classes(a) for a in HEADS}, "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


class TrainJudge(TrainClassifier):
    """The judge: the measure of every "it works" figure, never used for guidance."""

    name: ClassVar[str] = "judge"
    split: ClassVar[str] = "judge"
    stages: ClassVar[list[list[int]]] = [[32, 32], [64, 64], [112, 112], [160, 160]]


class TrainPerceptual(TrainClassifier):
    """The perceptual net, whose features serve as a loss."""

    name: ClassVar[str] = "perceptual"
    stages: ClassVar[list[list[int]]] = [[24, 24], [48, 48], [96, 96], [128, 128]]
    seed: Seed = 23


@torch.no_grad()
def sheet(model: VGGClassifier, bank: SceneBank) -> Image.Image:
    """The first 320 scenes sorted by what the net takes them for: rows of equal subjects look alike when it works."""
    was = model.training
    n = min(320, len(bank))
    device = next(model.parameters()).device
    guess = model.eval()(bank.images(range(n)).to(device))["subject"].argmax(1).cpu().numpy()
    model.train(was)
    order = np.argsort(guess, kind="stable")[: n // 20 * 20] if n >= 20 else np.arange(n)
    width = min(20, len(order))
    rows = [np.concatenate([bank.pixels[k] for k in order[r:r + width]], axis=1) for r in range(0, len(order), width)]
    return Image.fromarray(np.concatenate(rows, axis=0))
