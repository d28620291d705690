"""Parts of the fine-tuning of CLIP: layer-wise rates, the pull to the start, half-precision weights, the sheet.

    layer-wise   η_k = η · d^(depth of the tower − k)          L2-SP, decoupled   θ ← θ − η λ (θ − θ₀)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from PIL import Image
from torch import nn

from labkit.clip.zero_shot import class_vectors, picture_vectors
from labkit.image import contact_sheet, to_pil
from labkit.pairs.labelled import LabelledSet

TOP = ("visual.proj", "visual.ln_post", "visual.head", "visual.fc", "ln_final", "text_projection", "text.text_projection",
       "text.ln_final", "head")
SMALL = 2.0**-24  # the least number that fp16 has; half of it becomes 0

Named = Sequence[tuple[str, nn.Parameter]]


def depths(names: Sequence[str]) -> dict[str, int]:
    """How far below its tower's end each parameter is, in layers; 0 at the end. A layer is what a name counts first:
    `visual.transformer.resblocks.3`, `visual.trunk.5`; what comes before all of them, as embeddings do, is the deepest."""
    layer = {}
    for name in names:
        found = re.search(r"\.(\D*)(\d+)\.", name)
        layer[name] = name[:found.end()] if found and not name.startswith(TOP) else ""
    out = {}
    for tower in ("visual.", ""):
        mine = [n for n in names if n.startswith("visual.") == bool(tower)]
        order = list(dict.fromkeys(layer[n] for n in mine if layer[n]))
        for name in mine:
            at = len(order) + 1 if name.startswith(TOP) else order.index(layer[name]) + 1 if layer[name] else 0
            out[name] = len(order) + 1 - at
    return out | {name: 0 for name in names if name in ("logit_scale", "logit_bias")}


def groups_of(named: Named, lr: float, layer_decay: float, weight_decay: float) -> list[dict]:
    """Parameter groups of an optimiser, each with its `share` of the learning rate. Vectors and scalars do not decay."""
    at, found = depths([name for name, _ in named]), {}
    for name, p in named:
        key = layer_decay ** at[name], weight_decay if p.ndim > 1 else 0.0
        found.setdefault(key, []).append(p)
    return [{"params": some, "lr": lr * share, "share": share, "weight_decay": decay} for (share, decay), some in found.items()]


class Pulled:
    """L2-SP: after each step every parameter goes the share η λ of the way to where it began."""

    def __init__(self, named: Named, strength: float):
        self.strength = strength
        self.start = {id(p): p.detach().clone() for _, p in named} if strength else {}

    @torch.no_grad()
    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Pull the optimiser's parameters, each by its own rate."""
        if not self.strength:
            return
        for group in optimiser.param_groups:
            for p in group["params"]:
                if id(p) in self.start:
                    p.lerp_(self.start[id(p)], min(1.0, group["lr"] * self.strength))


class HalfWeights:
    """What a CLIP loaded in fp16 does to Adam: weights, gradients and moments are kept in half precision. The squares of small
    gradients become 0, ε = 1e-8 becomes 0, and 0 / 0 is no number (the first step of many a fine-tuning)."""

    def __init__(self, optimiser: torch.optim.Optimizer):
        self.whole = [p for group in optimiser.param_groups for p in group["params"]]
        self.half = [nn.Parameter(p.detach().half()) for p in self.whole]
        self.outer = optimiser
        self.optimiser = torch.optim.AdamW(self.half, lr=1.0, betas=(0.9, 0.98), foreach=False)

    @torch.no_grad()
    def step(self) -> float:
        """A step in half precision; the share of the gradient's squares that are 0 there and not in fp32."""
        gone = held = 0
        for p, h in zip(self.whole, self.half, strict=True):
            g = p.grad if p.grad is not None else torch.zeros_like(p)
            h.grad = g.half()
            gone += int(((g != 0) & (h.grad.square() == 0)).sum())
            held += int((g != 0).sum())
        self.optimiser.param_groups[0]["lr"] = self.outer.param_groups[0]["lr"]
        self.optimiser.step()
        for p, h in zip(self.whole, self.half, strict=True):
            p.copy_(h.float())
        return gone / max(1, held)

    def state_dict(self) -> dict:
        return {"half": [h.detach().clone() for h in self.half], "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        for h, value in zip(self.half, state["half"], strict=True):
            h.data.copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])


@torch.no_grad()
def sheet(encoder, data: LabelledSet, templates: Sequence[str], n: int = 24) -> Image.Image:
    """Pictures of the test, spread over its classes, and what the encoder takes each for."""
    rows = torch.linspace(0, len(data.test) - 1, min(n, len(data.test))).round().long().tolist()
    part = data.test.only(rows)
    found = (picture_vectors(encoder, part.pictures) @ class_vectors(encoder, data.classes, templates).T).softmax(1).argmax(1)
    labels = [f"{'ok' if int(k) == right else 'NO'} {data.classes[right]}: {data.classes[int(k)]}"[:60]
              for k, right in zip(found, part.labels, strict=True)]
    return contact_sheet([to_pil(p.float() / 255) for p in part.pictures], labels, columns=8, tile=96)
