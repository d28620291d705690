"""Sample a picture's codes from the priors: a sentence becomes top codes, these and the sentence bottom codes, and a picture.

Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446, algorithm 2, with a sentence:

    top ~ p(top | e),   bottom ~ p(bottom | top, e),   picture = decode(top, bottom)

Codes are drawn one after another in the order of reading (`labkit.models.drawing`), some at each step. A picture on the way
shows the likeliest codes where none is drawn yet. Codes may be given: single ones, or those of a picture of which a part is
painted anew; each is drawn given those before it only, so that what is given below has no say in what is drawn above.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from labkit.image import ImageInput, to_pil
from labkit.loop import Made, Step, Values, loop
from labkit.models.drawing import Draw, Growing, draft, quantiles
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, condition_of
from labkit.models.pixelsnail_sampler import CachedPrior
from labkit.prompt import Prompt, parse
from labkit.spec import PreviewEvery, Prompted, Spec, SpecError, Steps

LEVELS = ("top", "bottom")


class GivenCode(Spec):
    """One code that is not drawn but given."""

    level: Literal["top", "bottom"] = Field(..., description="Which grid")
    row: int = Field(..., ge=0, le=1023, description="Row of its cell, from the top, from 0")
    column: int = Field(..., ge=0, le=1023, description="Column of its cell, from the left, from 0")
    code: int = Field(..., ge=0, le=65535, description="The code")


class Inpaint(Spec):
    """A picture whose codes are kept outside a rectangle, which is widened to whole top cells."""

    picture: ImageInput | None = Field(None, description="The picture; none: all is drawn")
    left: float = Field(0.25, ge=0, le=1, description="Where the part that is painted anew begins, as a share of the width")
    upper: float = Field(0.25, ge=0, le=1, description="Likewise of the height, from above")
    right: float = Field(0.75, ge=0, le=1, description="Where it ends")
    lower: float = Field(0.75, ge=0, le=1, description="Likewise")

    @model_validator(mode="after")
    def _is_a_rectangle(self):
        if not (self.left < self.right and self.upper < self.lower):
            raise ValueError(f"left {self.left} to right {self.right}, upper {self.upper} to lower {self.lower} is no rectangle; "
                             "the first of each pair must be the smaller one")
        return self

    def anew(self, rows: int, columns: int) -> Tensor:
        """Which top cells (rows, columns) are painted anew."""
        y, x = torch.arange(rows)[:, None], torch.arange(columns)
        return ((y + 1 > self.upper * rows) & (y < self.lower * rows)
                & (x + 1 > self.left * columns) & (x < self.right * columns))


class PriorSampling(Prompted):
    """Make a picture by sampling its codes (VQ-VAE and PixelSNAIL)."""

    needs: ClassVar[tuple[str, ...]] = ("prior_top", "prior_bottom", "vqvae", CONDITION)
    example: ClassVar[dict[str, Any]] = {"prompt": "a red apple:1 | snow:-0.3", "steps": 6, "preview_every": 2,
                                         "top": {"top_p": 0.98}}

    steps: Steps = 40
    top: Draw = Field(Draw(guidance=2.0), description="How the coarse codes are drawn: what is in the picture")
    bottom: Draw = Field(Draw(guidance=1.0), description="How the fine codes are drawn: what it looks like")
    given: tuple[GivenCode, ...] = Field((), max_length=2048, description="Codes that are not drawn")
    inpaint: Inpaint = Field(Inpaint(), description="A picture to paint anew in part")
    preview_every: PreviewEvery = 4

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        vqvae, priors, prompts = lab.vqvae, (lab.prior_top, lab.prior_bottom), parse(self.prompt)
        self._fits(vqvae, priors)
        sentences = [sentence_of(lab, prompts, prior.config.condition) for prior in priors]
        rng, forced = torch.Generator().manual_seed(self.seed), self._forced(vqvae, priors)
        luck = [quantiles(1, p.position[0].numel(), rng) for p in priors]
        counts = [u.shape[1] for u in luck]
        now = Values(done=0, top=torch.zeros_like(forced[0]), bottom=torch.zeros_like(forced[1]))
        notices = notices_of(lab, prompts, priors[0].config.condition)
        levels: list[Growing] = []

        def reach(done: int) -> None:
            """Draw until so many codes of both levels are there; what an earlier run drew is given."""
            for k, (prior, how) in enumerate(zip(priors, (self.top, self.bottom), strict=True)):
                before = sum(counts[:k])
                if done <= before and k:
                    return
                if len(levels) == k:
                    held = torch.arange(counts[k]).view(forced[k].shape) < now.done - before
                    given = torch.where(held, (now.top, now.bottom)[k], forced[k])
                    above = levels[0].codes if k else None
                    levels.append(Growing(CachedPrior(prior), how, luck[k], sentences[k], above, given))
                levels[k].grow(min(done - before, counts[k]) - levels[k].cell)

        def step(i: int) -> Made:
            reach((i + 1) * sum(counts) // self.steps)
            now.done = sum(level.cell for level in levels)
            now.top, now.bottom = (level.codes.cpu() for level in (*levels, *levels)[:2]) if len(levels) > 1 else (
                levels[0].codes.cpu(), now.bottom)
            bits, entropy = (torch.cat([getattr(level, name).flatten() for level in levels]) for name in ("bits", "entropy"))
            scores = {"bits per code": float(bits.nanmean()), "entropy": float(entropy.nanmean())}
            return Made(scores, lambda: picture(vqvae, priors, sentences, levels),
                        {"notices": tuple(notices), **{f"{name} {level}": seen for name in ("codes", "bits", "entropy")
                                                       for level, seen in zip(LEVELS, maps(levels, name), strict=False)}})

        yield from loop(self.steps, {"now": now}, step, self.preview_every, resume)

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
            x = self.inpaint.picture.tensor() * 2 - 1
            there = vqvae.grids(*x.shape[2:])[0]
            if tuple(there) != grids[0]:
                raise SpecError(f"inpaint.picture: {x.shape[3]} × {x.shape[2]} pixels have {there[1]} × {there[0]} top codes, these "
                                f"priors draw {grids[0][1]} × {grids[0][0]}; make it with ImageInput.of(image, width, height)")
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


def maps(levels: list[Growing], name: str) -> list[Tensor]:
    """Per level what is known of each cell (h, w): its code, -1 where there is none yet; its bits or entropy, NaN there."""
    out = []
    for level in levels:
        seen = getattr(level, name)[0].cpu().clone()
        if name == "codes":
            seen.view(-1)[level.cell:] = -1
        out.append(seen)
    return out


@torch.no_grad()
def picture(vqvae, priors: tuple[PixelSNAIL, PixelSNAIL], sentences: list[Tensor], levels: list[Growing]) -> Image.Image:
    """The picture of what is drawn, and of the likeliest codes where nothing is yet."""
    top = draft(priors[0], levels[0].codes, levels[0].cell, sentences[0]) if len(levels) == 1 else levels[0].codes
    started = levels[1].codes if len(levels) > 1 else top.new_zeros(1, *priors[1].config.grid)
    cell = levels[1].cell if len(levels) > 1 else 0
    bottom = started if cell == started.numel() else draft(priors[1], started, cell, sentences[1], top)
    return to_pil((vqvae.decode_codes(top, bottom).clamp(-1, 1) + 1) / 2)
