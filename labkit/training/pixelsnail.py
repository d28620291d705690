"""Train the priors over the VQ-VAE's codes: of the top level given a sentence, of the bottom level given both.

    L = E −log2 p(k | k̃, e, ũ) / cells         bits per code; the uniform distribution costs log2 K, no prior of use more

e is the embedding of a caption drawn anew each time a scene is met (of a code store, the one in the row); for a share `drop` of
the pictures it is withheld, so that guidance has something to lead away from (Ho & Salimans 2022). k̃ and ũ are the codes with a
share `noise` of them replaced by random ones (pkeep of Esser et al. 2021's code): a prior that has only met true codes does not
know what to do after its own first mistake, nor the bottom one after the top one's. There is no dropout beside it: it would
draw from the global generator.

`posed` scenes are flat and of one subject in the middle (see `sample_scene`). Flat scenes with all that chance decides were
learnt too slowly here: after 14,000 steps of 32, without a plan, a top code cost 7.4 bits, and one drawing in four showed its
subject.

Shipped is the moving average of the weights. Held-out combinations never occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.drawing import Draw, sample_codes
from labkit.models.load import config_of
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, PixelSNAILConfig, bits
from labkit.precision import autocast
from labkit.spec import Batch, Rate, Scenes, Seed, SpecError, Steps, Training
from labkit.training.bank import POSED, scene_bank
from labkit.training.codes import BankCodes, StoredCodes
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

SHOWN = 8  # scenes on a sheet
PLAN = 32  # channels of the map that a new prior plans from the sentence


class TrainPrior(Training):
    """What the trainings of both levels share: `level` 0 is the top."""

    level: ClassVar[int] = 0
    example: ClassVar[dict[str, Any]] = {"channels": 16}

    steps: Steps = 30_000
    batch: Batch = 32
    lr: Rate = 2e-3
    scenes: Scenes = 80_000
    channels: int = Field(112, ge=16, le=512, multiple_of=8, description="Channels of every layer")
    blocks: int = Field(2, ge=1, le=12, description="Blocks of three gated blocks, each followed by attention")
    drop: float = Field(0.12, ge=0, lt=1, description="Share of the pictures whose sentence is withheld")
    noise: float = Field(0.05, ge=0, lt=1, description="Share of the codes that are read wrongly")
    posed: bool = Field(True, description="Only posed flat scenes of one subject, where there is no store")
    store: str = Field("", max_length=1000, description="Code store to learn from; empty: codes of the scenes")
    seed: Seed = 91

    @property
    def kind(self) -> str:
        """The kind of model it makes."""
        return ("prior_top", "prior_bottom")[self.level]

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, data, n_embed = Rng(self.seed), self.data(lab), lab.vqvae.n_embed
        codes = data.codes
        model = self.begin(lab, data).to(device).train()
        averaged = average(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, betas=(0.9, 0.99), weight_decay=0.01)

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(500, self.steps // 10 + 1)))
            index = rng.np.integers(len(data), size=self.batch)
            e = data.told(index, rng.np).to(device)
            keep = (torch.rand(self.batch, generator=rng.torch) >= self.drop).to(device)
            true, *above = (codes[level][index] for level in range(self.level, -1, -1))
            seen, *above = (misread(c, self.noise, n_embed, rng.torch).to(device) for c in (true, *above))
            with cast:
                logits = model(seen, e, *above, keep=keep)
            loss = bits(logits, true.to(device)).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            return Made({"loss": float(loss.detach())}, lambda: sheet(averaged.module, lab.vqvae, data), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": self.kind, "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def data(self, lab) -> BankCodes | StoredCodes:
        """What it learns from. Raises `SpecError`, `StoreError`."""
        kind = lab.model(self.kind).config.condition if self.warm else CONDITION
        if not self.store:
            return BankCodes(lab, scene_bank("train", self.scenes, **(POSED if self.posed else {})), kind)
        found = StoredCodes(lab.vqvae, self.store)
        if self.warm and found.kind != kind:
            raise SpecError(f"store: its sentences are {found.kind}'s, the shipped {self.kind} reads {kind}'s; extract it "
                            f"again with --embed {kind}, or start from scratch")
        return found

    def begin(self, lab, data: BankCodes | StoredCodes) -> PixelSNAIL:
        """The model that the training starts from. Raises `SpecError` where a warm start is of another architecture."""
        if self.warm:
            model = lab.fresh_copy(self.kind)
            if (model.config.channels, model.config.blocks) != (self.channels, self.blocks):
                raise SpecError(f"channels, blocks: {self.channels}, {self.blocks} are not those of the shipped {self.kind}; "
                                f"a warm start keeps {model.config.channels}, {model.config.blocks}")
            return model
        n, rng = lab.vqvae.n_embed, np.random.default_rng([self.seed, 1])
        some, grid = data.told(rng.integers(len(data), size=1024), rng), tuple(data.codes[self.level].shape[1:])
        config = PixelSNAILConfig(n, grid, n if self.level else 0, data.kind, some.shape[1], self.channels, self.blocks,
                                  plan=PLAN)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = PixelSNAIL(config)
            begin_alike(model.embedding.weight, lab.vqvae.codebook(self.level))
            begin_alike(model.head.weight, lab.vqvae.codebook(self.level), self.channels**-0.5)
            if self.level:
                begin_alike(model.coarser.weight, lab.vqvae.codebook(self.level - 1))
        model.measure(some)
        return model


class TrainPriorTop(TrainPrior):
    """Prior over the VQ-VAE's top codes, given a sentence."""


class TrainPriorBottom(TrainPrior):
    """Prior over the VQ-VAE's bottom codes, given a sentence and the top codes."""

    level: ClassVar[int] = 1

    channels: int = Field(96, ge=16, le=512, multiple_of=8, description="Channels of every layer")
    seed: Seed = 92


@torch.no_grad()
def begin_alike(weight: Tensor, codebook: Tensor, spread: float = 1.0) -> None:
    """Let the rows (K, C) of codes (K, D) that look alike begin alike, with numbers of about this spread: which are, then need
    not be learned."""
    codebook = codebook.to(weight)
    alike = (codebook - codebook.mean(0)) / codebook.std(0).clamp_min(1e-6)
    weight.copy_(spread * alike @ torch.randn(codebook.shape[1], weight.shape[1]) / codebook.shape[1] ** 0.5)


def misread(codes: Tensor, share: float, n_embed: int, rng: torch.Generator) -> Tensor:
    """Codes (B, h, w), a share of them replaced by ones drawn uniformly."""
    others = torch.randint(n_embed, codes.shape, generator=rng)
    return torch.where(torch.rand(codes.shape, generator=rng) < share, others, codes)


@torch.no_grad()
def sheet(model: PixelSNAIL, vqvae: nn.Module, data: BankCodes | StoredCodes) -> Image.Image:
    """The last pictures of the data, and below each what is drawn for its sentence, twice: of the top level as the picture that
    top codes alone make; of the bottom level under the picture's own top codes."""
    n, device = min(SHOWN, len(data)), next(vqvae.parameters()).device
    x, e = data.shown(n)
    e = e.to(device).repeat(2, 1)
    top, luck = data.codes[0][-n:].repeat(2, 1, 1).to(device), torch.Generator().manual_seed(0)
    if model.config.coarser:
        bottom = sample_codes(model, Draw(guidance=1), luck, e, top).codes
    else:
        top, bottom = sample_codes(model, Draw(), luck, e).codes, None
    pictures = [x, *vqvae.decode_codes(top, bottom).cpu().split(n)]
    return grid([to_pil((p.clamp(-1, 1) + 1) / 2) for p in torch.cat(pictures)], columns=n, pad=0)
