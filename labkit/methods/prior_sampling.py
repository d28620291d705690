"""Sample a picture's codes from the priors: a sentence becomes top codes, these and the sentence bottom codes, and a picture.

Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446, algorithm 2, with a sentence:

    top ~ p(top | e),   bottom ~ p(bottom | top, e),   picture = decode(top, bottom)

Of several drawings, whose seeds lie a million apart, the one is kept that CLIP likes best (Ramesh et al. 2021, "Zero-Shot
Text-to-Image Generation", arXiv:2102.12092, section 2.6). The first is seen growing; the others are drawn at the end, at once.

Codes are drawn one after another in the order of reading (`labkit.models.drawing`), some at each step. A picture on the way
shows the likeliest codes where none is drawn yet. Codes may be given: single ones, or those of a picture of which a part is
painted anew; each is drawn given those before it only, so that what is given below has no say in what is drawn above.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from labkit.clip.pull import clip_scores, targets_of
from labkit.image import ImageInput, to_pil
from labkit.loop import Made, Step, loop
from labkit.models.drawing import Draw, Growing, draft, quantiles
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, condition_of, knows_posed_alone
from labkit.models.pixelsnail_sampler import CachedPrior
from labkit.prompt import Prompt, parse
from labkit.spec import PreviewEvery, Prompted, Spec, SpecError, Steps
from labkit.world import read

LEVELS = ("top", "bottom")
APART = 1_000_000  # seeds of the drawings of one run: those of neighbouring seeds' runs are others


class GivenCode(Spec):
    """One code that is not drawn but given."""

    level: Literal["top", "bottom"] = Field(..., description="Which grid")
    row: int = Field(..., ge=0, le=1023, description="Row of its cell, from the top, from 0")
    column: int = Field(..., ge=0, le=1023, description="Column of its cell, from the left, from 0")
    code: int = Field(..., ge=0, le=65535, description="The code")


class Inpaint(Spec):
    """A picture whose codes are kept outside a rectangle, which is widened to whole top cells."""

    picture: ImageInput | None = Field(None, description="The picture, cropped to the size that is drawn; none: all is drawn")
    left: float = Field(0.25, ge=0, le=1, description="Where the part that is painted anew begins, as a share of the width")
    upper: float = Field(0.25, ge=0, le=1, description="Likewise of the height, from above")
    right: float = Field(0.75, ge=0, le=1, description="Where it ends")
    lower: float = Field(0.75, ge=0, le=1, description="Likewise")

    @model_validator(mode="after")
    def _is_a_rectangle(self):
        if self.picture is not None and not (self.left < self.right and self.upper < self.lower):
            raise ValueError(f"left {self.left} to right {self.right}, upper {self.upper} to lower {self.lower} is no "
                             "rectangle: the first of each pair must be smaller")
        return self

    def anew(self, rows: int, columns: int) -> Tensor:
        """Which top cells (rows, columns) are painted anew."""
        y, x = torch.arange(rows)[:, None], torch.arange(columns)
        return ((y + 1 > self.upper * rows) & (y < self.lower * rows)
                & (x + 1 > self.left * columns) & (x < self.right * columns))


class PriorSampling(Prompted):
    """Make a picture by sampling its codes (VQ-VAE and PixelSNAIL)."""

    needs: ClassVar[tuple[str, ...]] = ("prior_top", "prior_bottom", "vqvae", CONDITION, "clip")
    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2,
                                         "top": {"top_p": 0.98}, "candidates": 2}

    steps: Steps = 40
    top: Draw = Field(Draw(guidance=2.5, temperature=0.8), description="How the coarse codes are drawn: what is where")
    bottom: Draw = Field(Draw(guidance=3.0, temperature=0.7), description="How the fine codes are drawn: outlines and strokes")
    candidates: int = Field(1, ge=1, le=64, description="Drawings, of which CLIP's favourite is kept")
    given: tuple[GivenCode, ...] = Field((), max_length=2048, description="Codes that are not drawn")
    inpaint: Inpaint = Field(Inpaint(), description="A picture to paint anew in part")
    preview_every: PreviewEvery = 8

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        vqvae, priors, prompts = lab.vqvae, (lab.prior_top, lab.prior_bottom), parse(self.prompt)
        self._fits(vqvae, priors)
        sentences = [sentence_of(lab, prompts, prior.config.condition) for prior in priors]
        notices = tuple(notices_of(lab, prompts, priors[0].config.condition) + beyond(priors, prompts))
        seeds = [(self.seed + k * APART) % 2**31 for k in range(self.candidates)]
        drawing, *others = (Drawing(priors, (self.top, self.bottom), sentences, self._forced(vqvae, priors), some)
                            for some in (seeds[:1], seeds[1:]) if some)

        def step(i: int) -> Made:
            drawing.reach((i + 1) * drawing.cells // self.steps)
            kept, k, told = drawing, 0, ()
            if i + 1 == self.steps and others:
                kept, k = favourite([drawing, *others], vqvae, lab.clip, targets_of(lab.clip, list(prompts)))
                told = (f"of {self.candidates} drawings CLIP likes that of seed {kept.seeds[k]} best",)
            seen = {f"{name} {level}": grid for name in ("codes", "bits", "entropy")
                    for level, grid in zip(LEVELS, kept.grids(name, k), strict=False)}
            scores = {"bits per code": kept.mean("bits", k), "entropy": kept.mean("entropy", k)}
            return Made(scores, lambda: kept.picture(vqvae, k), {"notices": notices + told, "seed": kept.seeds[k], **seen})

        yield from loop(self.steps, {"drawing": drawing}, step, self.preview_every, resume)

    def _fits(self, vqvae, priors: tuple[PixelSNAIL, PixelSNAIL]) -> None:
        """Raises `SpecError` where models do not belong together, or there are more steps than codes."""
        top, bottom = (p.config for p in priors)
        for name, config in zip(LEVELS, (top, bottom), strict=True):
            if config.n_embed != vqvae.n_embed:
                raise SpecError(f"prior_{name}: is of {config.n_embed} codes, the VQ-VAE has {vqvae.n_embed}; take a prior "
                                "that was trained on this VQ-VAE's codes")
        if bottom.grid != tuple(2 * n for n in top.grid) or bottom.coarser != top.n_embed or top.coarser:
            raise SpecError(f"prior_bottom: its grid {bottom.grid} under {bottom.coarser} codes does not lie under prior_top's "
                            f"{top.grid} of {top.n_embed}; take two that were trained on one VQ-VAE")
        cells = 5 * top.grid[0] * top.grid[1]
        if self.steps > cells:
            raise SpecError(f"steps: {self.steps} are more than the {cells} codes of a picture; use at most {cells}")

    def _forced(self, vqvae, priors: tuple[PixelSNAIL, PixelSNAIL]) -> list[Tensor]:
        """Codes that are given, per level (1, h, w), -1 where they are drawn. Raises `SpecError` for what has no place."""
        grids = [tuple(p.config.grid) for p in priors]
        forced = [torch.full((1, *grid), -1) for grid in grids]
        if self.inpaint.picture is not None:
            height, width = (n * vqvae.multiple for n in grids[0])
            x = ImageInput.of(self.inpaint.picture.pil(), width, height).tensor() * 2 - 1
            with torch.no_grad():
                codes = vqvae.encode_codes(x.to(next(vqvae.parameters()).device))
            anew = self.inpaint.anew(*grids[0])
            masks = (anew, anew.repeat_interleave(2, 0).repeat_interleave(2, 1))
            forced = [torch.where(m, -1, c.cpu()) for m, c in zip(masks, codes, strict=True)]
        for one in self.given:
            k = LEVELS.index(one.level)
            if one.row >= grids[k][0] or one.column >= grids[k][1] or one.code >= vqvae.n_embed:
                raise SpecError(f"given: code {one.code} at row {one.row}, column {one.column} is not of the {one.level} grid, "
                                f"{grids[k][0]} × {grids[k][1]} cells and {vqvae.n_embed} codes, counted from 0")
            forced[k][0, one.row, one.column] = one.code
        return forced


def sentence_of(lab, prompts: tuple[Prompt, ...], kind: str) -> Tensor:
    """One unit vector (1, D) for weighted prompts: the weighted sum of their embeddings, made as long again. What weighs
    nothing is not read."""
    weighed = [p for p in prompts if p.weight]
    e = condition_of(lab, [p.text for p in weighed], kind)
    return F.normalize((torch.tensor([[p.weight] for p in weighed]).to(e) * e).sum(0, keepdim=True), dim=1)


def notices_of(lab, prompts: tuple[Prompt, ...], kind: str) -> list[str]:
    """What a user should know of how the prompts are read."""
    tell = getattr(lab.model(kind), "notices", lambda text: [])
    stops = ["a prompt's stop has no meaning here: codes are drawn, nothing is descended"]
    return [line for p in prompts for line in tell(p.text)] + stops * any(p.stop > -torch.inf for p in prompts)


def beyond(priors: tuple[PixelSNAIL, ...], prompts: tuple[Prompt, ...]) -> list[str]:
    """What the prompts ask for that priors which learned flat scenes of one subject alone have never met."""
    if not any(knows_posed_alone(prior) for prior in priors):
        return []
    said = [read(p.text) for p in prompts]
    asked = [s.style for s in said if s.style not in (None, "flat")] + ["two subjects"] * any(len(s.subjects) > 1 for s in said)
    return [f"{what}: these priors have only met flat scenes of one subject" for what in asked]


@torch.no_grad()
def pictures_of(vqvae, codes: Sequence[Tensor]) -> Tensor:
    """Codes of both levels → pictures (B, 3, H, W) in [0, 1]."""
    return (vqvae.decode_codes(*codes).clamp(-1, 1) + 1) / 2


@torch.no_grad()
def favourite(drawings: Sequence[Drawing], vqvae, clip, targets) -> tuple[Drawing, int]:
    """Of all drawings, finished if they are not, the one that CLIP likes best: where it is, and which one there."""
    found = []
    for drawing in drawings:
        drawing.reach(drawing.cells)
        scores = clip_scores(pictures_of(vqvae, [level.codes for level in drawing.levels]), clip, targets)
        found += [(float(score), drawing, k) for k, score in enumerate(scores)]
    return max(found, key=lambda one: one[0])[1:]


class Drawing:
    """A picture's codes while they are drawn: the top level's, then the bottom level's given them. A run's part: loaded, it
    takes the codes that were drawn as given and goes on behind them. With several seeds as many are drawn at once."""

    def __init__(self, priors: tuple[PixelSNAIL, PixelSNAIL], hows: tuple[Draw, Draw], sentences: list[Tensor],
                 forced: list[Tensor], seeds: Sequence[int]):
        rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.priors, self.hows, self.seeds = priors, hows, seeds
        self.sentences = [e.expand(len(seeds), -1) for e in sentences]
        self.luck = [torch.cat([quantiles(1, p.config.grid[0] * p.config.grid[1], rng) for rng in rngs]) for p in priors]
        self.cells = sum(u.shape[1] for u in self.luck)
        self._begin([grid.expand(len(seeds), -1, -1) for grid in forced])

    def _begin(self, forced: list[Tensor]) -> None:
        self.forced, self.levels = forced, []
        self._next_level()

    def _next_level(self) -> None:
        k = len(self.levels)
        above = self.levels[-1].codes if k else None
        self.levels.append(Growing(CachedPrior(self.priors[k]), self.hows[k], self.luck[k], self.sentences[k], above,
                                   self.forced[k]))

    @property
    def done(self) -> int:
        """How many codes there are."""
        return sum(level.cell for level in self.levels)

    def reach(self, done: int) -> None:
        """Draw until there are so many codes."""
        top = self.luck[0].shape[1]
        self.levels[0].grow(min(done, top) - self.levels[0].cell)
        if done > top:
            if len(self.levels) == 1:
                self._next_level()
            self.levels[1].grow(done - top - self.levels[1].cell)

    def grids(self, name: str, k: int = 0) -> list[Tensor]:
        """Per level that has begun what is known of each cell (h, w) of the k-th drawing: its code, -1 where there is none yet;
        its bits or entropy, NaN there."""
        out = [getattr(level, name)[k].cpu().clone() for level in self.levels]
        for level, seen in zip(self.levels, out, strict=True):
            if name == "codes":
                seen.view(-1)[level.cell:] = -1
        return out

    def mean(self, name: str, k: int = 0) -> float:
        """The mean of bits or entropy over the codes that there are."""
        return float(torch.cat([getattr(level, name)[k].flatten()[:level.cell] for level in self.levels]).mean())

    @torch.no_grad()
    def picture(self, vqvae, k: int = 0) -> Image.Image:
        """The k-th drawing: the picture of the codes that there are, and of the likeliest ones where there are none yet."""
        codes = [level.codes[k, None] for level in self.levels]
        codes += [codes[0].new_zeros(1, *prior.config.grid) for prior in self.priors[len(codes):]]
        cells = [level.cell for level in self.levels] + [0]
        for j, prior in enumerate(self.priors):
            if cells[j] < codes[j].numel():
                codes[j] = draft(prior, codes[j], cells[j], self.sentences[j][k, None], codes[0] if j else None)
        return to_pil(pictures_of(vqvae, codes))

    def state_dict(self) -> dict:
        return {"cells": [level.cell for level in self.levels], "codes": [level.codes.cpu().clone() for level in self.levels]}

    def load_state_dict(self, state: dict) -> None:
        forced = list(self.forced)
        for k, (cell, codes) in enumerate(zip(state["cells"], state["codes"], strict=True)):
            drawn = torch.arange(codes.numel()).view(codes.shape) < cell
            forced[k] = torch.where(drawn, codes, forced[k])
        self._begin(forced)
        self.reach(sum(state["cells"]))
