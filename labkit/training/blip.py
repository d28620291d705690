"""Train the pocket BLIP on the picture world: captions (LM), contrast (ITC) and matching (ITM) at once.

Li et al. 2022, "BLIP", section 3.2; the losses are in `labkit.training.matching`. Every picture comes with a true caption and
one that is false in a single attribute (`labkit.world.contrast`): a labelled negative as hard as one can be. A caption that
happens to be true of another picture of the batch counts as true there. The decoder is taught captions that name everything.

The convolutional trunk starts as the pocket CLIP's and at first stays so, and the tower's picture vector starts by being told
CLIP's (1 − cosine): what CLIP took hours for need not be learned again. A fifth of the pictures is blurred, as decoders blur.
Held-out combinations never occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.clip.blip import BLIP
from labkit.image import contact_sheet, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.blip import BLIPTokenizer, PocketBLIP, PocketBLIPConfig, train_blip_tokenizer
from labkit.models.clip import PocketCLIP
from labkit.models.load import config_of
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, SpecError, Steps, Training
from labkit.training.augment import blur
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.clip import spoken
from labkit.training.matching import clamp_temperature, matching_losses
from labkit.training.optim import average, cosine, update_average
from labkit.world import Scene, caption, world_hash
from labkit.world.contrast import contrast, truths

TRUNK_RATE = 0.1  # of the learning rate: the trunk knows its trade


class TrainBLIP(Training):
    """Pocket BLIP (embeddings, captions, matching)."""

    example: ClassVar[dict[str, Any]] = {"distil": 0.5, "frozen": 0.5}

    steps: Steps = 4500
    batch: Batch = 64
    lr: Rate = 1e-3
    distil: float = Field(0.15, ge=0, le=1, description="Share of the steps over which CLIP's picture vectors let go")
    frozen: float = Field(0.5, ge=0, le=1, description="Share of the steps in which the trunk stays as CLIP has it")
    scenes: Scenes = 80_000
    seed: Seed = 81
    preview_every: PreviewEvery = 200

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        model, tokenizer = self._start(lab, bank)
        model = model.to(device).train().requires_grad_(True)
        averaged, teacher = average(model), lab.clip if self.distil and not self.warm else None
        optimiser = torch.optim.AdamW(_groups(model, self.lr), lr=self.lr, betas=(0.9, 0.98))

        def step(i: int) -> Made:
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1))
            model.patches.trunk.requires_grad_(i >= self.frozen * self.steps)
            index = rng.np.integers(len(bank), size=self.batch)
            scenes = [bank.scene(k) for k in index]
            right, wrong, others = zip(*(said(scene, rng.np) for scene in scenes), strict=True)
            ids, mask = (t.to(device) for t in tokenizer([*right, *wrong]))
            whole = [t.to(device) for t in tokenizer([caption(s, rng.np, full=True) for s in scenes])]
            fits = torch.from_numpy(truths(scenes, [*right, *wrong], [*scenes, *others])).to(device)
            owner = torch.arange(self.batch, device=device).repeat(2)
            match = torch.arange(2 * self.batch, device=device) < self.batch
            x = blurred(bank.images(index), rng.torch).to(device)
            with cast:
                states = model.states(x)
                told = matching_losses(model, states, ids, mask, owner, match, fits, rng.torch)
                told["lm"] = model.lm_loss(states, *whole)
            total = told["itc"] + told["itm"] + told["lm"]
            if teacher is not None and i < self.distil * self.steps:
                wanted = teacher.encode_image((x + 1) / 2).detach()
                told["distil"] = (1 - (model.image_vectors(states) * wanted).sum(1)).mean()
                total = total + (1 - i / (self.distil * self.steps)) * told["distil"]
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            clamp_temperature(model)
            update_average(averaged, model)
            scores = {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in told.items()},
                      "temperature": float(model.temperature.detach())}
            return Made(scores, lambda: sheet(averaged.module, tokenizer, bank), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "blip", "config": config_of(model), "tokenizer": tokenizer.json,
                                                  "world": world_hash(), "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def _start(self, lab, bank: SceneBank) -> tuple[PocketBLIP, BLIPTokenizer]:
        """The lab's own model, or a fresh one over the trunk of the lab's pocket CLIP."""
        if self.warm:
            return lab.fresh_copy("blip"), lab.blip.tokenizer
        clip = lab.clip.model
        if not isinstance(clip, PocketCLIP):
            raise SpecError(f"clip: {lab.names['clip']} has no trunk for the pocket BLIP, which starts from the pocket CLIP's")
        json = train_blip_tokenizer(_texts(bank, 10_000), PocketBLIPConfig.vocab_size)
        tokenizer = BLIPTokenizer(json, PocketBLIPConfig.context_length)
        config = replace(PocketBLIPConfig(), trunk_widths=clip.config.widths, trunk_blocks=clip.config.blocks,
                         embed_dim=clip.config.embed_dim, vocab_size=tokenizer.vocab_size, end=tokenizer.end)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = PocketBLIP(config)
        model.patches.trunk.load_state_dict(clip.visual.trunk.state_dict())
        return model, tokenizer


def said(scene, rng: np.random.Generator) -> tuple[str, str, Scene]:
    """A true caption and one that is false in one attribute, now and then with the same word that means nothing in both, and
    the scene that the false one is true of."""
    pair, seed = contrast(scene, rng), int(rng.integers(2**63))
    right, wrong = (spoken(text, np.random.default_rng(seed)) for text in (pair.right, pair.wrong))
    return right, wrong, pair.other


def blurred(x: torch.Tensor, rng: torch.Generator, share: float = 0.2) -> torch.Tensor:
    """Pictures (B, 3, H, W), a share of them blurred by a sigma of U(0.4, 1.2) pixels."""
    some = (torch.rand(len(x), generator=rng) < share).nonzero().squeeze(1)
    sigma = 0.4 + 0.8 * float(torch.rand((), generator=rng))
    if len(some):
        x[some] = blur(x[some], sigma)
    return x


def _groups(model: PocketBLIP, lr: float) -> list[dict]:
    """AdamW's groups: matrices decay; the trunk is slow; `share` of the learning rate is each one's."""
    trunk = {id(p) for p in model.patches.trunk.parameters()}
    groups = []
    for slow in (False, True):
        for decays in (False, True):
            some = [p for p in model.parameters() if (id(p) in trunk) == slow and (p.ndim > 1) == decays]
            groups.append({"params": some, "weight_decay": 0.05 * decays, "share": TRUNK_RATE if slow else 1.0})
    return groups


def _texts(bank: SceneBank, n: int) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for k in range(min(n, 4 * len(bank))):
        yield spoken(caption(bank.scene(k % len(bank)), rng), rng)


def sheet(model: PocketBLIP, tokenizer: BLIPTokenizer, bank: SceneBank, n: int = 12) -> Image.Image:
    """Scenes of the bank's end with the captions that the model writes."""
    was = model.training
    x = (bank.images(range(len(bank) - min(n, len(bank)), len(bank))) + 1) / 2
    texts = BLIP(model.eval(), tokenizer, model.config.image_size).caption(x)
    model.train(was)
    return contact_sheet([to_pil(p) for p in x], texts, columns=4, tile=160)
