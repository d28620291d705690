"""One CLIPstyler step of labkit against the same step with a loop over patches, as the published code has it, in the same run.

    python benchmarks/clipstyler_step.py

Both train the same StyleNet on the same picture of 128 pixels, with the pocket models, 64 views a step and one thread. The
loop crops, warps (torchvision's `RandomPerspective`) and resizes patch after patch; what it makes goes through CLIP in one
batch, there as here. Measured are the views alone, forward and back, and a whole step; they take turns, and the medians and
their ratio are printed. Memory is what is held for the way back, in MB: each tensor that autograd keeps, counted once.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from PIL import Image
from torch.autograd.graph import saved_tensors_hooks
from torchvision.transforms import RandomCrop, RandomPerspective
from torchvision.transforms.functional import resize
from turns import WARM_UP, take_turns

from labkit import CLIPStyler, ImageInput, Lab
from labkit.clip.views import draw_views, look
from labkit.models.style_net import StyleNet, StyleNetConfig

SIDE, VIEWS, CROP, PAIRS = 128, 64, 32, 12
CONTENT = ImageInput.of(Image.effect_noise((SIDE, SIDE), 60).convert("RGB"), SIDE, SIDE)
SPEC = CLIPStyler(content=CONTENT, text="a watercolour", steps=PAIRS + WARM_UP + 1, preview_every=10_000,
                  patches={"number": VIEWS, "smallest": CROP / SIDE, "largest": CROP / SIDE, "black": True},
                  optimiser={"start": "noise"})


def ours(lab):
    """A function that does the next step."""
    steps = SPEC.run(lab)
    return lambda: next(steps)


def looped(x: torch.Tensor, size: int) -> torch.Tensor:
    """The views one after the other: crop, perspective, resize."""
    crop, warp = RandomCrop(CROP), RandomPerspective(distortion_scale=0.5, p=1.0, fill=0)
    return torch.cat([resize(warp(crop(x)), [size, size], antialias=True) for _ in range(VIEWS)])


def at_once(x: torch.Tensor, size: int) -> torch.Tensor:
    """The same by one resampling."""
    views = draw_views(VIEWS, 1, SIDE, SIDE, (CROP / SIDE, CROP / SIDE), 0.5, torch.Generator().manual_seed(0))
    return look(x, views, size)


def peers(lab):
    """The same step in plain code."""
    guide, eye, x = lab.guide, lab.perceptual, CONTENT.tensor()
    net = StyleNet.drawn(StyleNetConfig(8), 0)
    adam, losses = torch.optim.Adam(net.parameters(), lr=SPEC.optimiser.lr), SPEC.losses
    start, layers = guide.encode_image(x), eye.content_layers
    content = eye.layers(x * 2 - 1, layers)
    to = F.normalize(guide.encode_text(["a watercolour"]) - guide.encode_text(["a photo"]), dim=1)

    def step():
        y = net(x)
        whole = F.normalize(guide.encode_image(y) - start, dim=1)
        parts = F.normalize(guide.encode_image(looped(y, guide.size)) - start, dim=1)
        by_view = 1 - parts @ to.T
        by_view = torch.where(by_view < SPEC.patches.threshold, torch.zeros_like(by_view), by_view)
        read = eye.layers(y * 2 - 1, layers)
        loss = losses.directional * (1 - whole @ to.T).mean() + losses.patch * by_view.mean()
        loss = loss + losses.content * sum(F.mse_loss(read[name], content[name]) for name in layers)
        loss = loss + losses.tv * ((y[..., 1:] - y[..., :-1]).norm() + (y[..., 1:, :] - y[..., :-1, :]).norm())
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def held(views, size: int = 64) -> float:
    """MB that autograd keeps for the way back through the views."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        views(torch.rand(1, 3, SIDE, SIDE, requires_grad=True), size)
    return sum(kept.values()) / 2**20


def main() -> None:
    torch.set_num_threads(1)
    x = CONTENT.tensor().requires_grad_(True)
    print(f"the {VIEWS} views alone, forward and back:")
    take_turns(lambda: at_once(x, 64).sum().backward(), lambda: looped(x, 64).sum().backward(), PAIRS, "64 × 64 pixels each")
    print(f"held for the way back: labkit {held(at_once):.1f} MB, a loop {held(looped):.1f} MB")
    if "--views" not in sys.argv:
        lab = Lab()
        print("a whole step, whose larger part is CLIP, on both sides the same:")
        take_turns(ours(lab), peers(lab), PAIRS, f"labkit's CLIP in {'bf16' if lab.bf16 else 'fp32'}")


if __name__ == "__main__":
    main()
