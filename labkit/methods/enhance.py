"""Enhance a picture by a search that an aesthetic predictor steers and cannot cheat: an anytime beam search over a tree.

A node is a recipe (`labkit.image.adjust`), an edge moves one of its sliders (`labkit.image.moves`); the root does nothing. Of
the picture y that a recipe makes of x,

    objective = score(y) − drift · D(x, y) − clipping · C(y)

with D the perceptual distance (Zhang et al. 2018, of the lab's own net), C the share of values that are cut off. Without the
last two terms the search finds what the predictor likes and nobody else (Goodhart's law); `drift=0, clipping=0` shows it.

Each step expands the `beam` best nodes that are not expanded yet, all their children in one batch. When the best are expanded
the strides halve, to a quarter, and then the search is settled: what steps are left do nothing. The best node is the result
only if it gains `least` on the root: σ(gain) is the probability of being the better picture (`labkit.training.aesthetic`).
All is searched on a small copy, the recipe is applied to the whole picture. A step's `extras["tree"]` is plain data: undone is
up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, field_validator
from torch import Tensor

from labkit.image import ImageInput, to_pil, to_tensor
from labkit.image.adjust import Adjustments, adjusted, levels, window
from labkit.image.moves import moves
from labkit.loop import Made, Step, Values, loop
from labkit.models.aesthetic import WidthError
from labkit.models.judge import perceptual_distance
from labkit.spec import Method, PreviewEvery, SpecError, Steps

STRIDES = (1.0, 0.5, 0.25)
SMALLEST = 16  # px of a side: what is smaller shows nothing that could be judged
BATCH = 64  # recipes at once
Node = dict[str, Any]
ROOT: Node = {"id": 0, "recipe": {}}


class Enhance(Method):
    """Enhance a picture: brightness, contrast, colours, sharpness, found by a search."""

    needs: ClassVar[tuple[str, ...]] = ("clip", "aesthetic", "perceptual")
    score: ClassVar[str | None] = "objective"
    example: ClassVar[dict[str, Any]] = {
        "picture": ImageInput.of(Image.radial_gradient("L").convert("RGB").point(lambda v: 60 + v // 4), 48, 32), "steps": 5,
        "preview_every": 2}

    picture: ImageInput = Field(..., description="Picture to enhance")
    steps: Steps = 12
    beam: int = Field(3, ge=1, le=16, description="Nodes of the tree that a step expands")
    drift: float = Field(4.0, ge=0, le=1000, description="Price of perceptual distance from the picture; 0: no guard")
    clipping: float = Field(8.0, ge=0, le=1000, description="Price of values that are cut off, by their share; 0: no guard")
    least: float = Field(0.5, ge=0, le=20, description="Gain below which the picture is left as it is")
    black_white: bool = Field(False, description="Also try black and white")
    crop: bool = Field(False, description="Also try crops")
    proxy: int = Field(128, ge=32, le=512, description="Longer side of the copy that is searched on, in pixels")
    preview_every: PreviewEvery = 1

    @field_validator("picture")
    @classmethod
    def _large_enough(cls, picture: ImageInput) -> ImageInput:
        if min(picture.width, picture.height) < SMALLEST:
            raise SpecError(f"{picture.width} × {picture.height} pixels show nothing to judge; give at least {SMALLEST} × "
                            f"{SMALLEST}")
        return picture

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        full = self.picture.tensor().to(lab.device)
        looks = Looks(lab, proxy_of(full, self.proxy), self.drift, self.clipping)
        now = Values(tree=[], expanded=[], stride=0)

        def step(i: int) -> Made:
            if not now.tree:
                add([(None, "", Adjustments()), *self._children(now, ROOT, looks.levels)])
            elif found := self._next(now):
                add([child for node in found for child in self._children(now, node, looks.levels)])
            node = chosen(now.tree, self.least)
            recipe = Adjustments(**node["recipe"])
            extras = {"tree": [dict(one) for one in now.tree], "node": node["id"], "settled": now.stride == len(STRIDES),
                      "found": {"adjustments": node["recipe"], "words": recipe.words()},
                      "notices": [] if i or self.guarded else ["without its guards the search finds what the predictor likes, "
                                                               "which need not be a better picture"]}
            scores = {name: float(node[name]) for name in ("objective", "aesthetic", "drift", "clipped")}
            return Made(scores, lambda: to_pil(adjusted(full, [recipe])[0]), extras)

        def add(wanted: Sequence[tuple[int | None, str, Adjustments]]) -> None:
            fresh = {tuple(recipe.moved.items()): (parent, words, recipe) for parent, words, recipe in reversed(wanted)}
            fresh = list(fresh.values())[::-1]  # of two ways to one recipe the first
            seen = looks([recipe for *_, recipe in fresh]) if fresh else []
            for (parent, words, recipe), values in zip(fresh, seen, strict=True):
                now.tree.append({"id": len(now.tree), "parent": parent, "move": words, "recipe": recipe.moved, **values})

        yield from loop(self.steps, {"now": now}, step, self.preview_every, resume)

    def _next(self, now: Values) -> list[Node]:
        """The nodes that are expanded now: those of the best that were not at this stride. Where all were, the stride becomes
        the next one; none are left when the search is settled."""
        best, done = sorted(now.tree, key=lambda node: -node["objective"])[:self.beam], set(map(tuple, now.expanded))
        while now.stride < len(STRIDES):
            if found := [node for node in best if (node["id"], now.stride) not in done]:
                return found
            now.stride += 1
        return []

    def _children(self, now: Values, node: Node, found: tuple[float, float]) -> list[tuple[int, str, Adjustments]]:
        """What one move more makes of a node: those that are not in the tree yet, with the node's number and the move."""
        known = {tuple(one["recipe"].items()) for one in now.tree}
        now.expanded.append((node["id"], now.stride))
        children = moves(Adjustments(**node["recipe"]), STRIDES[now.stride], found, self.black_white, self.crop)
        return [(node["id"], words, child) for words, child in children if tuple(child.moved.items()) not in known]

    @property
    def guarded(self) -> bool:
        """Whether a price keeps the search from cheating."""
        return self.drift > 0 or self.clipping > 0


class Looks:
    """What is seen of recipes on the small copy: their predictor's score, drift, clipping and objective. `count` says how many
    pictures were scored."""

    def __init__(self, lab, x: Tensor, drift: float, clipping: float):
        self.lab, self.x, self.prices, self.count = lab, x, (drift, clipping), 0
        self.levels = levels(x)

    @torch.no_grad()
    def __call__(self, recipes: Sequence[Adjustments], batch: int = BATCH) -> list[dict[str, float]]:
        """aesthetic, drift, clipped and objective of each. Raises `SpecError` where predictor and CLIP do not fit."""
        groups: dict[tuple, list[int]] = {}
        for k, recipe in enumerate(recipes):
            groups.setdefault(window(recipe, *self.x.shape[-2:]), []).append(k)
        out: dict[int, dict[str, float]] = {}
        for (left, top, right, bottom), members in groups.items():
            before = self.x[..., top:bottom, left:right]
            for start in range(0, len(members), batch):
                some = members[start:start + batch]
                y, cut = adjusted(self.x, [recipes[k] for k in some])
                try:
                    score = self.lab.aesthetic.score(self.lab.clip, y)
                except WidthError as error:
                    raise SpecError(str(error)) from None
                far = perceptual_distance(self.lab.perceptual, y * 2 - 1, before * 2 - 1)
                objective = score - self.prices[0] * far - self.prices[1] * cut
                for k, *values in zip(some, *(v.tolist() for v in (score, far, cut, objective)), strict=True):
                    out[k] = dict(zip(("aesthetic", "drift", "clipped", "objective"), values, strict=True))
        self.count += len(recipes)
        return [out[k] for k in range(len(recipes))]


def proxy_of(x: Tensor, longest: int) -> Tensor:
    """A copy (1, 3, h, w) whose longer side is at most `longest` pixels, both at least 16; small pictures stay as they are."""
    height, width = x.shape[-2:]
    if max(height, width) <= longest:
        return x
    scale = longest / max(height, width)
    size = [max(SMALLEST, round(side * scale)) for side in (height, width)]
    return F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def chosen(tree: Sequence[Node], least: float) -> Node:
    """The best node of a tree, or the root where no other gains `least` on it."""
    best = max(tree, key=lambda node: node["objective"])
    return best if best["objective"] >= tree[0]["objective"] + least else tree[0]


def path_to(tree: Sequence[Node], node: int) -> list[Node]:
    """From the root to a node: what was done one after the other, and what undoing gives when it is read backwards."""
    way = [tree[node]]
    while way[-1]["parent"] is not None:
        way.append(tree[way[-1]["parent"]])
    return way[::-1]


def apply(recipe: Adjustments, picture: Image.Image) -> Image.Image:
    """The recipe done to a whole picture of any size."""
    return to_pil(adjusted(to_tensor(picture), [recipe])[0])
