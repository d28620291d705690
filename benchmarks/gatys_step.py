"""One step of Gatys' style transfer in labkit against the plain way, in the same run: time, and memory beside it.

    python benchmarks/gatys_step.py

The plain way runs the content, the style picture and the result through the whole net every step, keeps every layer, and takes
Gram matrices of all three. labkit has computed the targets once, and reads no deeper than the deepest layer that it needs. Both
use the pocket perceptual net at 64 pixels, Adam and one thread; they take turns, and the medians and their ratio are printed.
Memory is what autograd keeps for the backward pass of a step, counted by its own hooks. The seconds are this machine's; the
ratios are the figures.
"""

from __future__ import annotations

import torch
from turns import WARM_UP, take_turns

from labkit import ImageInput, Lab
from labkit.methods.neural_style import NeuralStyle
from labkit.methods.vqgan_clip import roughness
from labkit.world import render, sample_scene

PAIRS = 24
CONTENT, STYLE = (ImageInput.of(render(sample_scene(k, "test", style=name)), 64, 64) for k, name in ((0, "flat"), (1, "oil")))
SPEC = NeuralStyle(content=CONTENT, styles=[{"picture": STYLE}], preview_every=10_000)


def ours(lab):
    """A function that does the next step."""
    steps = SPEC.but(steps=PAIRS + WARM_UP + 2).run(lab)
    return lambda: next(steps)


def peers(lab):
    """The same step in plain code."""
    eye, w = lab.perceptual, SPEC.weights
    content, style = (p.tensor() * 2 - 1 for p in (CONTENT, STYLE))
    x = CONTENT.tensor().requires_grad_(True)
    optimiser = torch.optim.Adam([x], SPEC.optimiser.lr)

    def gram(f):
        flat = f.flatten(2)
        return flat @ flat.transpose(1, 2) / flat[0].numel()

    def step():
        of_content, of_style, seen = (eye.layers(p, eye.layer_names) for p in (content, style, x * 2 - 1))
        total = w.tv * roughness(x)
        for name in eye.content_layers:
            total = total + w.content * (seen[name] - of_content[name]).square().sum() / of_content[name].square().sum()
        for name in eye.style_layers:
            now, there = gram(seen[name]), gram(of_style[name])
            total = total + w.style / len(eye.style_layers) * (now - there).square().sum() / there.square().sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()

    return step


def kept(step) -> float:
    """MB of tensors that autograd keeps during a step."""
    sizes: dict[int, int] = {}

    def pack(t):
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        step()
    return sum(sizes.values()) / 1e6


def main() -> None:
    torch.set_num_threads(1)
    lab = Lab()
    here, there = ours(lab), peers(lab)
    here()
    print(f"kept for the backward pass: labkit {kept(here):.1f} MB, the plain way {kept(there):.1f} MB")
    take_turns(here, there, PAIRS - 1, "64 px, the pocket perceptual net")


if __name__ == "__main__":
    main()
