"""Train the pocket CLIP on the picture world.

Symmetric InfoNCE over pictures and captions (Radford et al. 2021; equal captions are one another's positives), and the same
loss against the short captions of every class of each attribute ("an apple", …, "at night", …), so that each word meets all
its rivals in every batch. With `radius` > 0 the pictures are first moved by one adversarial step (see `augment.perturb`):
robust networks have gradients that paint. Held-out combinations never occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.loop import Made, Rng, Step, loop
from labkit.models.clip import CheckCLIP, PocketCLIP, SubwordTokenizer, train_tokenizer
from labkit.models.load import config_of
from labkit.precision import autocast
from labkit.spec import MAX_SEED, Batch, PreviewEvery, Rate, Scenes, Seed, Steps, Training
from labkit.training.augment import perturb, reconstruction, spoil
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import caption, words, world_hash

JUNK = "hallelujah yesterday electric velvet forever stranger whisper tomorrow broken dream".split()
ATTRIBUTES = ("subject", "colour", "setting", "style")
# Weights of the attributes' terms in the loss, and in what the adversary climbs.
LEARNT, ATTACKED = (1.0, 0.5, 0.5, 0.5), (1.0, 0.0, 0.0, 0.0)


class TrainCLIP(Training):
    """Pocket CLIP (zero-shot classes, retrieval, and the gradient that paints)."""

    kind: ClassVar[str] = "clip"
    net: ClassVar[type[PocketCLIP]] = PocketCLIP

    steps: Steps = 2000
    batch: Batch = 256
    lr: Rate = 2e-3
    radius: float = Field(0.0, ge=0, le=20, description="L2 radius of the adversarial steps on [-1, 1] pixels; 0: none")
    attack: int = Field(1, ge=1, le=20, description="Adversarial steps a batch")
    scenes: Scenes = 100_000
    reconstruct: float = Field(0.0, ge=0, le=1, description="Share of the pictures passed through the pocket VQGAN")
    seed: Seed = 1
    preview_every: PreviewEvery = 200

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        torch_seed = torch.Generator().manual_seed(self.seed)
        if self.warm:
            model, text_json = lab.fresh_copy(self.kind), lab.model(self.kind).tokenizer.json
        else:
            text_json = train_tokenizer(_texts(bank, 20_000), self.net.described.vocab_size)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(torch.randint(MAX_SEED, (), generator=torch_seed)))
                model = self.net(self.net.described())
        tokenizer = SubwordTokenizer(text_json, model.config.context_length)
        model = model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        averaged = average(model)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                       {"params": others, "weight_decay": 0.0}], lr=self.lr, betas=(0.9, 0.98))
        reconstruct = reconstruction(lab.vqgan) if self.reconstruct else None

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(200, self.steps // 10 + 1)))
            index = rng.np.integers(len(bank), size=self.batch)
            scenes = [bank.scene(k) for k in index]
            texts = [spoken(caption(s, rng.np), rng.np) for s in scenes]
            names = [class_captions(a, rng.np) for a in ATTRIBUTES]
            found = bank.targets(index)
            targets = [found[a].to(device) for a in ATTRIBUTES]
            same = torch.tensor([[a == b for b in texts] for a in texts], dtype=torch.float32, device=device)
            x = spoil(bank.images(index), rng.torch, reconstruct=reconstruct, reconstructed=self.reconstruct)
            x = x.to(device)
            x = x.contiguous(memory_format=torch.channels_last)
            with cast:
                # The short captions apart from the long ones: a batch is as wide as its longest text.
                parts = [model.encode_text(tokenizer(t).to(device)).float() for t in (texts, sum(names, []))]
                text = F.normalize(torch.cat(parts), dim=-1)
            scale = model.logit_scale.exp().clamp(max=100)

            def loss(pictures, text=text, scale=scale, weights=LEARNT):
                with cast:
                    image = model.visual(pictures)
                return clip_loss(F.normalize(image.float(), dim=-1), text, scale, same, targets, weights)

            if self.radius:
                # What is attacked grows robust: the subject, whose shape is the hardest to paint.
                frozen, fixed = text.detach(), scale.detach()
                x = perturb(x, lambda p: loss(p, frozen, fixed, ATTACKED)[0], self.radius, rng.torch, self.attack)
            total, hit = loss(x)
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            scores = {"loss": float(total.detach()), "retrieval": hit}
            return Made(scores, lambda: sheet(averaged.module, tokenizer, bank), {"weights": weights})

        def weights():
            meta = {"kind": self.kind, "config": config_of(averaged.module), "tokenizer": text_json,
                    "world": world_hash(), "trained": self.model_dump()}
            return averaged.module.state_dict(), meta

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)


class TrainCheck(TrainCLIP):
    """The CLIP that checks: another tower, another seed, and pictures that nobody has moved, as it paints nothing."""

    kind: ClassVar[str] = "clip_check"
    net: ClassVar[type[PocketCLIP]] = CheckCLIP

    lr: Rate = 1e-3
    seed: Seed = 71


def clip_loss(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, same: torch.Tensor,
              targets: list[torch.Tensor], weights: tuple[float, ...] = LEARNT) -> tuple[torch.Tensor, float]:
    """InfoNCE both ways plus a term per attribute, weighted by `weights`. `image` (B, D) and `text` (B + ΣK, D) are unit
    vectors, `same` (B, B) marks equal captions, `targets` [(B, K)] the class distributions (rows of zeros do not count).
    Returns loss and R@1 in batch."""
    b = len(image)
    logits = scale * image @ text.T
    pairs, *attributes = logits.split([b, *(t.shape[1] for t in targets)], dim=1)
    share = same / same.sum(1, keepdim=True)
    loss = -(share * F.log_softmax(pairs, dim=1)).sum(1).mean() / 2
    loss = loss - (share * F.log_softmax(pairs.T, dim=1)).sum(1).mean() / 2
    for target, rivals, weight in zip(targets, attributes, weights, strict=True):
        known = target.sum(1).clamp(max=1)
        loss = loss - weight * (target * F.log_softmax(rivals, dim=1)).sum() / known.sum().clamp_min(1)
    best = pairs.detach().argmax(1)
    return loss, float(same.gather(1, best[:, None]).mean())


def class_captions(attribute: str, rng: np.random.Generator | None = None) -> list[str]:
    """One short caption per class of an attribute, with a random synonym if `rng` is given."""
    pick = (lambda o: o[int(rng.integers(len(o)))]) if rng is not None else (lambda o: o[0])  # noqa: E731
    table = words()[attribute + "s"]
    if attribute == "subject":
        nouns = [pick([e["name"], e["name"], *e["synonyms"]]) for e in table.values()]
        return [n if n in words()["without_article"] else f"{'an' if n[0] in 'aeiou' else 'a'} {n}" for n in nouns]
    if attribute == "colour":
        return [f"{pick(['a {} thing', '{}', 'something {}']).format(name)}" for name in table]
    if attribute == "style":
        return [pick([s, f"{'an' if s[0] in 'aeiou' else 'a'} {s}"]) for s in (pick(v) for v in table.values())]
    return [pick(v) for v in table.values()]


def spoken(text: str, rng: np.random.Generator) -> str:
    """The caption, sometimes with a word that means nothing here, which the model thus learns to pass over."""
    if rng.random() > 0.08:
        return text
    parts = text.split()
    word = JUNK[int(rng.integers(len(JUNK)))] if rng.random() < 0.5 else "".join(
        chr(97 + int(c)) for c in rng.integers(26, size=int(rng.integers(3, 9))))
    parts.insert(int(rng.integers(len(parts) + 1)), word)
    return " ".join(parts)


def _texts(bank: SceneBank, n: int) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for k in range(min(n, 4 * len(bank))):
        yield spoken(caption(bank.scene(k % len(bank)), rng), rng)


@torch.no_grad()
def sheet(model: PocketCLIP, tokenizer: SubwordTokenizer, bank: SceneBank) -> Image.Image:
    """For sixteen class captions, the six nearest of 600 scenes: one row each pair of captions."""
    was = model.training
    model.eval()
    device = model.logit_scale.device
    images = F.normalize(model.encode_image(bank.images(range(min(600, len(bank)))).to(device)), dim=-1)
    names = class_captions("subject")[::8] + class_captions("setting")[:4] + class_captions("style")[:4]
    text = F.normalize(model.encode_text(tokenizer(names).to(device)), dim=-1)
    best = (text @ images.T).topk(6, dim=1).indices.cpu().numpy()
    model.train(was)
    rows = [np.concatenate([bank.pixels[k] for k in row], axis=1) for row in best]
    grid = np.concatenate([np.concatenate(rows[:8], axis=0), np.concatenate(rows[8:], axis=0)], axis=1)
    return Image.fromarray(grid)
