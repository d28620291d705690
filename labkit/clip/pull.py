"""What pulls a picture, and the gradient of the pull: shared by every method that CLIP guides.

    L(picture) = Σ_p prompt_loss(CLIP(cutouts(picture)), p)

The gradient is summed over batches of cutouts, so a batch that does not fit into memory is split without changing it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from labkit.clip.cutouts import Looks, cut
from labkit.clip.guidance import prompt_loss
from labkit.image import ImageInput
from labkit.prompt import Prompt
from labkit.spec import MAX_SEED, Spec

Target = tuple[Tensor, float, float]  # unit vector (D,), weight, stop


class ImagePrompt(Spec):
    """A picture to resemble (or, with a negative weight, not to)."""

    image: ImageInput
    weight: float = Field(1.0, ge=-100, le=100, description="Pull; negative repels")
    stop: float = Field(-100.0, ge=-100, le=100, description="No gradient below this distance")


class NoisePrompt(Spec):
    """A random direction of CLIP's space, by seed."""

    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of the direction")
    weight: float = Field(1.0, ge=-100, le=100, description="Pull; negative repels")


def targets_of(guide, prompts: list[Prompt], images: tuple[ImagePrompt, ...] = (),
               noises: tuple[NoisePrompt, ...] = ()) -> list[Target]:
    """(embedding (D,), weight, stop) of every prompt that pulls at all."""
    # A text of weight 0 is not even encoded: another batch would round the others otherwise.
    pulling = [p for p in prompts if p.weight]
    texts = guide.encode_text([p.text for p in pulling])
    out = [(e, p.weight, p.stop) for e, p in zip(texts, pulling, strict=True)]
    for p in images:
        out.append((guide.encode_image(p.image.tensor().to(guide.device))[0], p.weight, p.stop))
    for p in noises:
        direction = torch.randn(texts.shape[1], generator=torch.Generator().manual_seed(p.seed))
        out.append((F.normalize(direction, dim=0).to(texts), p.weight, -math.inf))
    return [t for t in out if t[1] != 0]


def picture_gradient(picture: Tensor, guide, looks: Looks, targets: list[Target],
                     chunk: int) -> tuple[Tensor, list[float], float, int]:
    """∂L/∂picture for a picture (1, 3, H, W), summed over batches of `chunk` cutouts.

    Returns the gradient, the loss of each prompt, the score (mean cosine, weighted by |w|, repelling prompts counted
    negative) and the chunk that fitted: when memory runs out the chunk is halved and the gradient begun anew.
    """
    while True:
        try:
            return (*_accumulate(picture, guide, looks, targets, chunk), chunk)
        except torch.OutOfMemoryError:
            if chunk == 1:
                raise
        # Out of the handler, whose traceback held the failed batch.
        chunk //= 2
        if picture.is_cuda:
            torch.cuda.empty_cache()


@torch.no_grad()
def clip_scores(pictures: Tensor, guide, targets: list[Target]) -> Tensor:
    """The score "clip" of every method, (B,): the cosine of each whole picture (B, 3, H, W) in [0, 1] and each prompt, averaged
    with weights |w|, repelling prompts counted negative. What CLIP makes of the cutouts is another number: "cutouts"."""
    seen = guide.encode_image(F.interpolate(pictures, (guide.size, guide.size), mode="area").clamp(0, 1))
    scale = sum(abs(w) for _, w, _ in targets) or 1.0
    return sum((w * (seen @ e) for e, w, _ in targets), seen.new_zeros(len(seen))) / scale


def clip_score(picture: Tensor, guide, targets: list[Target]) -> float:
    """Likewise of one picture (1, 3, H, W)."""
    return float(clip_scores(picture, guide, targets).mean())


def smaller_batch(chunk: int, used: int) -> list[str]:
    """What to tell when memory held only `used` of `chunk` cutouts a batch."""
    return [f"out of memory with {chunk} cutouts a batch; going on with {used}, same gradient"] if used < chunk else []


def _accumulate(picture, guide, looks, targets, chunk):
    grad, losses, score, n = torch.zeros_like(picture), [0.0] * len(targets), 0.0, len(looks)
    scale = sum(abs(w) for _, w, _ in targets) or 1.0
    for k in range(0, n, chunk):
        leaf = picture.clone().requires_grad_(True)
        with torch.enable_grad():
            seen = guide.encode_image(cut(leaf, looks, slice(k, k + chunk)))
            share = len(seen) / n
            terms = [prompt_loss(seen, e, w, stop) * share for e, w, stop in targets]
            if terms:
                grad += torch.autograd.grad(sum(terms), leaf)[0]
        losses = [a + float(b.detach()) for a, b in zip(losses, terms, strict=True)]
        score += sum(w * float((seen.detach() @ e).mean()) for e, w, _ in targets) * share / scale
    return grad, losses, score
