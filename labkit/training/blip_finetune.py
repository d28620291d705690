"""Fine-tune a BLIP, pocket or full-size, on labelled pairs of pictures and texts: ITC + ITM (`labkit.training.matching`).

transformers' `BlipForImageTextRetrieval` gives no loss and swallows `labels` without a word; this is the loss that it lacks. A
pair labelled YES is a positive; the other YES texts of a picture are its positives too; a pair labelled NO is a negative of the
matching head and nothing else; an unlabelled pair is left out. The vision tower can stay frozen, its states are then taken
once. Li et al. 2022 take a learning rate of 1e-5 for the full size, and so should you.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.clip.blip import BLIP
from labkit.image import contact_sheet, open_upload, to_pil, to_tensor
from labkit.loop import Made, Rng, Step, loop
from labkit.models.blip import BLIPNet, PocketBLIP
from labkit.models.load import config_of
from labkit.pairs.musti import read_musti
from labkit.pairs.pair import Pair
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, SpecError, Steps, Training
from labkit.training.bank import scene_bank
from labkit.training.matching import clamp_temperature, matching_losses
from labkit.training.optim import cosine, set_lr
from labkit.world import world_hash
from labkit.world.contrast import contrast

TEXTS_OF = 4  # of a picture in a batch


@dataclass(frozen=True)
class PairSet:
    """`pictures` (M, 3, S, S) uint8, and N texts: each with its picture in `owner` (N,), and whether they match."""

    pictures: torch.Tensor
    owner: np.ndarray
    texts: list[str]
    match: np.ndarray

    def __post_init__(self):
        if not self.match.any():
            raise SpecError("pairs: none of them is labelled YES; there is nothing to learn from")


def pair_set(pairs: Sequence[Pair], text: str, size: int) -> PairSet:
    """The labelled pairs whose picture is at hand and that have such a text ("caption" or "passage"); pictures squashed to
    `size`. Pairs of one address share a picture."""
    places: dict[str, int] = {}
    pictures, owner, texts, match = [], [], [], []
    for pair in pairs:
        said = getattr(pair, text).strip()
        if pair.match is None or pair.path is None or not said:
            continue
        if pair.image not in places:
            places[pair.image] = len(pictures)
            small = open_upload(pair.path).resize((size, size), Image.Resampling.BICUBIC)
            pictures.append((to_tensor(small) * 255).round().byte())
        owner.append(places[pair.image])
        texts.append(said)
        match.append(pair.match)
    if not pictures:
        raise SpecError(f"pairs: none of the {len(pairs)} is labelled, has a {text} and its picture at hand; fetch the "
                        "pictures first (`python -m labkit musti fetch`)")
    return PairSet(torch.cat(pictures), np.array(owner), texts, np.array(match))


def world_pairs(scenes: int, seed: int, size: int) -> PairSet:
    """Scenes of the picture world with one true and one false caption each."""
    bank, rng = scene_bank("train", scenes), np.random.default_rng([seed, 82])
    found = [contrast(bank.scene(k), rng) for k in range(len(bank))]
    x = torch.from_numpy(np.array(bank.pixels)).permute(0, 3, 1, 2)
    if x.shape[-1] != size:
        x = nn.functional.interpolate(x.float(), size, mode="bicubic", antialias=True).clamp(0, 255).round().byte()
    return PairSet(x, np.repeat(np.arange(len(bank)), 2), [t for c in found for t in (c.right, c.wrong)],
                   np.tile([True, False], len(bank)))


class FineTuneBLIP(Training):
    """Fine-tune the lab's BLIP on labelled pairs."""

    needs: ClassVar[tuple[str, ...]] = ("blip",)
    example: ClassVar[dict[str, Any]] = {"scenes": 32, "batch": 4, "steps": 4}

    pairs: str = Field("", max_length=1000, description="List in MUSTI's format with its pictures at hand; empty: the world's")
    text: Literal["caption", "passage"] = Field("caption", description="Which text of a pair: MUSTI's title or its text")
    frozen: bool = Field(True, description="The vision tower stays as it is")
    steps: Steps = 300
    batch: Batch = 32
    lr: Rate = 1e-4
    scenes: Scenes = 1000
    warm: bool = Field(True, description="Fine-tuning starts from the lab's weights: always")
    seed: Seed = 83
    preview_every: PreviewEvery = 100

    def run(self, lab, resume: dict | None = None, pairs: PairSet | None = None) -> Iterator[Step]:
        """`pairs` stand in for the spec's, for a part of a split."""
        device, cast, rng, blip = lab.device, autocast(lab.device, self.precision), Rng(self.seed), lab.blip
        if blip.net.retrieval is None:
            raise SpecError(f"blip: {blip.name} has no part that matches, so there is nothing to fine-tune")
        if pairs is None:
            pairs = (pair_set(read_musti(self.pairs), self.text, blip.size) if self.pairs
                     else world_pairs(self.scenes, self.seed, blip.size))
        net = lab.fresh_copy("blip")
        tuned = BLIP(net, blip.tokenizer, blip.size, blip._mean.flatten().tolist(), blip._std.flatten().tolist())
        net.retrieval.vision_model.requires_grad_(not self.frozen)
        states = tower_states(tuned, pairs, cast) if self.frozen else None
        learning = [p for p in [*net.retrieval.parameters(), net.temperature] if p.requires_grad]
        optimiser = torch.optim.AdamW(learning, lr=self.lr, weight_decay=0.05)
        texts_of = defaultdict(list)
        for j, i in enumerate(pairs.owner):
            texts_of[int(i)].append(j)

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(50, self.steps // 10 + 1)))
            index = rng.np.choice(len(pairs.pictures), min(self.batch, len(pairs.pictures)), replace=False)
            chosen = [rng.np.permutation(texts_of[int(k)])[:TEXTS_OF] for k in index]
            rows = np.concatenate(chosen)
            owner = np.repeat(np.arange(len(index)), [len(some) for some in chosen])
            match, texts = pairs.match[rows], [pairs.texts[j] for j in rows]
            fits = torch.from_numpy(what_fits(len(index), owner, texts, match)).to(device)
            ids, mask = (t.to(device) for t in blip.tokenizer(texts))
            with cast:
                seen = (states[torch.from_numpy(index)].to(device).float() if states is not None
                        else net.states(tuned.prepare(pairs.pictures[torch.from_numpy(index)].float() / 255)))
                told = matching_losses(net, seen, ids, mask, torch.from_numpy(owner).to(device),
                                       torch.from_numpy(match).to(device), fits, rng.torch)
            total = told["itc"] + told["itm"]
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(learning, 1.0)
            optimiser.step()
            clamp_temperature(net)
            scores = {"loss": float(total.detach()), **{k: float(v.detach()) for k, v in told.items()},
                      "temperature": float(net.temperature.detach())}
            return Made(scores, lambda: sheet(tuned, pairs), {"weights": lambda: weights_of(net, blip, self), "blip": tuned})

        yield from loop(self.steps, {"model": net, "optimiser": optimiser, "rng": rng}, step, self.preview_every, resume)


def what_fits(pictures: int, owner: np.ndarray, texts: Sequence[str], match: np.ndarray) -> np.ndarray:
    """Which texts fit which pictures: (pictures, texts) bool. A text fits every picture that has it in a matching pair."""
    has = defaultdict(set)
    for i, t, fits in zip(owner, texts, match, strict=True):
        if fits:
            has[int(i)].add(t)
    return np.array([[t in has[i] for t in texts] for i in range(pictures)], dtype=bool)


@torch.no_grad()
def tower_states(blip: BLIP, pairs: PairSet, cast) -> torch.Tensor:
    """The frozen tower's states of every picture (M, P, C), fp16 on the CPU."""
    states = []
    for part in pairs.pictures.split(32):
        with cast:
            states.append(blip.net.states(blip.prepare(part.float() / 255)))
    return torch.cat([one.half().cpu() for one in states])  # outside: autocast takes no halves on a CPU


def weights_of(net: BLIPNet, blip: BLIP, spec: Training) -> tuple[dict, dict]:
    """What saves: a pocket model as its training saves it; of a published one the matching part in its published layout, to
    lie as model.safetensors beside the other files of its folder."""
    about = {"kind": "blip", "trained": spec.model_dump(), "world": world_hash()}
    if isinstance(net, PocketBLIP):
        return net.state_dict(), about | {"config": config_of(net), "tokenizer": blip.tokenizer.json}
    return net.retrieval.state_dict(), about | {"of": blip.name}


def sheet(blip: BLIP, pairs: PairSet, n: int = 12) -> Image.Image:
    """The first pairs: what was labelled, and the probability that they match."""
    n = min(n, len(pairs.texts))
    x = pairs.pictures[torch.from_numpy(pairs.owner[:n])].float() / 255
    was = blip.net.training
    blip.net.eval()
    found = blip.match(x, pairs.texts[:n]).tolist()
    blip.net.train(was)
    labels = [f"{'YES' if fits else 'NO'}, {p:.0%}: {text[:80]}"
              for fits, p, text in zip(pairs.match[:n], found, pairs.texts, strict=False)]
    return contact_sheet([to_pil(p) for p in x], labels, columns=4, tile=160)
