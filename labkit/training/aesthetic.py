"""Train the pocket aesthetic predictor: of two pictures of one scene, the less degraded one is to score higher.

Bradley & Terry 1952, on pairs (x, x') of which x is known to be better, s a small head on a frozen CLIP:

    P(x better than x') = σ(s(x) − s(x')),   L = −log σ(s(x) − s(x')) + anchor · |s(x) + SCALE · error(x)|₁

so a difference of one means odds of e to 1 (73 %). Which is better is known because every scene is degraded on purpose by four
growing amounts (`labkit.image.degrade`): six pairs. Order alone says nothing of two scenes: each would have a zero of its own,
and a search would find better than perfect everywhere. So all untouched scenes are anchored at 0, and a degraded one at its
distance from the original (root mean squared error of pixels in [0, 1]). What CLIP reads of a picture never changes: it is
kept, and every step updates the head many times on all that was read. With `votes`, half of the order is people's: two pictures
that one rater gave different numbers in a survey (the CSV of `labkit.survey.report.export`), found as ITEM.png in `pictures`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from labkit.image import ImageError, contact_sheet, open_upload, to_pil, to_tensor
from labkit.image.degrade import KINDS, Degradation, degraded, drawn, ladder, scaled
from labkit.loop import Made, NonFiniteError, Rng, Step, Values, loop
from labkit.models.aesthetic import AestheticConfig, AestheticHead, pooled
from labkit.models.load import config_of
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, SpecError, Steps, Training
from labkit.text import plain
from labkit.training.bank import scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

STAGE = 5  # of the pocket CLIP's trunk: the last module at a quarter of the side
HIDDEN = (96,)
GROUPS = 64  # scenes of an update
LOOKS = 128  # scenes from which the features' mean and spread are taken
RUNGS = 4  # amounts of what is done to a scene
SCALE = 25.0  # of the score: a hundredth of the pixels' range is a quarter of a point
SHOWN = 5  # of the sheet's ladders


class TrainAesthetic(Training):
    """Aesthetic predictor (degradations whose order is known, or people's votes)."""

    example: ClassVar[dict[str, Any]] = {"batch": 4}

    steps: Steps = 500
    batch: Batch = 16
    lr: Rate = 2e-3
    scenes: Scenes = 3000
    anchor: float = Field(0.5, ge=0, le=100, description="Weight of the distance to the original; 0: order alone")
    updates: int = Field(20, ge=1, le=1000, description="Updates of the head a step, on all that was read so far")
    early: bool = Field(True, description="Also read an early stage of the pocket CLIP's tower; without: its vector alone")
    votes: str = Field("", max_length=1000, description="CSV of a survey's votes: half of the pairs are people's")
    pictures: str = Field("", max_length=1000, description="With votes: the folder with the survey's pictures, ITEM.png")
    seed: Seed = 91
    preview_every: PreviewEvery = 200

    @model_validator(mode="after")
    def _pictures_of_votes(self):
        if bool(self.votes) != bool(self.pictures):
            raise SpecError("votes, pictures: belong together; give both, or neither")
        return self

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        model = self._model(lab, bank).to(lab.device).train().requires_grad_(True)
        people = Votes(self.votes, self.pictures).read(model, lab) if self.votes else None
        width = model.config.width + model.config.features
        known = Values(read=torch.zeros(0, RUNGS, width, dtype=torch.float16, device=lab.device),
                       error=torch.zeros(0, RUNGS, device=lab.device))
        averaged = average(model)
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, weight_decay=0.05)

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(50, self.steps // 10 + 1)))
            clean = (bank.images(rng.np.integers(len(bank), size=self.batch)) + 1) / 2
            if not clean.isfinite().all():
                raise NonFiniteError("no longer a number: a scene's pixels; lower the learning rate")
            x = rungs(clean, rng)
            error = (x - clean.repeat_interleave(RUNGS, 0)).square().mean((1, 2, 3)).sqrt().view(-1, RUNGS)
            with torch.no_grad():
                read = model.inputs(lab.clip, x.to(lab.device)).view(self.batch, RUNGS, -1)
            known.read = torch.cat([known.read, read.half()])
            known.error = torch.cat([known.error, error.to(lab.device)])
            for _ in range(self.updates):
                mine = torch.from_numpy(rng.np.integers(len(known.read), size=GROUPS))
                loss, difference = losses(mine)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                update_average(averaged, model)
            scores = {"loss": float(loss.detach()), "right": float((difference > 0).float().mean())}
            return Made(scores, lambda: sheet(averaged.module, lab, bank), {"weights": weights})

        def losses(mine: Tensor) -> tuple[Tensor, Tensor]:
            score = model(known.read[mine].float().flatten(0, 1)).view(-1, RUNGS)
            difference = torch.cat([score[:, j] - score[:, k] for j, k in combinations(range(RUNGS), 2)])
            order = -F.logsigmoid(difference).mean()
            if people is not None:
                better, worse = people.pairs(rng.np, GROUPS)
                order = (order - F.logsigmoid(model(better) - model(worse)).mean()) / 2
            return order + self.anchor * F.smooth_l1_loss(score, -SCALE * known.error[mine]), difference

        def weights():
            return averaged.module.state_dict(), {
                "kind": "aesthetic", "config": config_of(averaged.module), "world": world_hash(), "clip": lab.clip.sha256,
                "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng, "known": known}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def _model(self, lab, bank) -> AestheticHead:
        """A new head, or the shipped one, for the lab's CLIP; its features' mean and spread are those of scenes."""
        if self.warm:
            return lab.fresh_copy("aesthetic")
        with torch.no_grad():
            x = ((bank.images(range(min(LOOKS, len(bank)) - 1)) + 1) / 2).to(lab.device)
            width, trunk = lab.clip.encode_image(x[:1]).shape[1], getattr(lab.clip.model.visual, "trunk", None)
            config = AestheticConfig(width, HIDDEN, "relu", standard=True)
            if self.early and trunk is not None:
                features = pooled(trunk[:STAGE + 1](lab.clip.prepared(x[:1]))).shape[1]
                config = AestheticConfig(width, HIDDEN, "relu", STAGE, features, standard=True)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                model = AestheticHead(config).to(lab.device)
            read = model.inputs(lab.clip, x)
            model.centre.copy_(read.mean(0))
            model.spread.copy_(read.std(0) + 1e-4)
        return model


def rungs(x: Tensor, rng: Rng) -> Tensor:
    """Of each picture (B, 3, H, W) in [0, 1] four, best first, (4B, 3, H, W): one to four degradations of different kinds, by
    four growing shares, of which the first is nothing every other time."""
    those = []
    for _ in range(len(x)):
        mine = drawn(rng.np, int(rng.np.choice((1, 2, 3, 4), p=(0.4, 0.3, 0.2, 0.1))), least=0.3)
        shares = np.sort(rng.np.random(RUNGS))
        shares[0] *= rng.np.random() < 0.5
        those += [scaled(mine, float(share)) for share in shares]
    noise = torch.randn(x.shape, generator=rng.torch)
    return degraded(x.repeat_interleave(RUNGS, 0), those, noise.repeat_interleave(RUNGS, 0))


class Votes:
    """People's pairs: of every rater, two pictures to which they gave different numbers."""

    def __init__(self, votes: str, pictures: str):
        """Raises `SpecError` where the table or a picture is missing, or nobody told two pictures apart."""
        try:
            with open(votes, encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SpecError(f"votes: {plain(votes, 200)} cannot be read ({plain(error)}); give a survey's CSV") from None
        if not rows or not {"rater", "item", "rating"} <= rows[0].keys():
            raise SpecError(f"votes: {plain(votes, 200)} must have the columns rater, item and rating, and votes below them")
        given: dict[str, dict[str, float]] = defaultdict(dict)
        for n, row in enumerate(rows, 2):
            try:
                given[row["rater"]][row["item"]] = float(row["rating"])
            except (TypeError, ValueError):
                raise SpecError(f"votes: line {n}: rating {plain(row['rating'], 40)!r} is no number") from None
        self.pairs_of = [(a, b) if seen[a] > seen[b] else (b, a) for seen in given.values()
                         for a, b in combinations(sorted(seen), 2) if seen[a] != seen[b]]
        if not self.pairs_of:
            raise SpecError(f"votes: {plain(votes, 200)}: no rater gave two pictures different numbers; nothing can be learned")
        self.pictures = {}
        for item in sorted({item for pair in self.pairs_of for item in pair}):
            try:
                self.pictures[item] = to_tensor(open_upload(Path(pictures, f"{Path(item).name}.png")))
            except ImageError as error:
                raise SpecError(f"pictures: {error}") from None

    @torch.no_grad()
    def read(self, model: AestheticHead, lab) -> Votes:
        """Itself, once the head has read every picture."""
        self.reads = {item: model.inputs(lab.clip, x.to(lab.device)) for item, x in self.pictures.items()}
        return self

    def pairs(self, rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
        """`n` pairs: what the head reads of the better ones and of the worse ones."""
        chosen = [self.pairs_of[k] for k in rng.integers(len(self.pairs_of), size=n)]
        return tuple(torch.cat([self.reads[item] for item in some]) for some in zip(*chosen, strict=True))


@torch.no_grad()
def sheet(model: AestheticHead, lab, bank) -> Image.Image:
    """A ladder of every kind on scenes of the bank, with the scores: they fall from left to right when it works."""
    pictures, labels, noise = [], [], torch.Generator().manual_seed(0)
    for k, kind in enumerate(KINDS):
        x = ((bank.images([k])) + 1) / 2
        rungs = ladder([Degradation(kind, 1.0)], SHOWN)
        made = torch.cat([degraded(x, [rung], torch.randn(x.shape, generator=noise)) for rung in rungs])
        scores = model.score(lab.clip, made.to(lab.device)).tolist()
        pictures += [to_pil(one) for one in made]
        labels += [f"{kind} {n / (SHOWN - 1):.0%}: {score:.2f}" for n, score in enumerate(scores)]
    return contact_sheet(pictures, labels, SHOWN, 96)
