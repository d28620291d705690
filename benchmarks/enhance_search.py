"""An enhancer's recipes scored in batches against one by one, in the same run: evaluations a second, and their ratio.

    python benchmarks/enhance_search.py

Both apply the same 64 recipes to one scene of 64 pixels and look at each through CLIP, the predictor and the perceptual net,
with the pocket models on one thread. They take turns; the medians and their ratio are printed.
"""

from __future__ import annotations

import torch
from PIL import Image
from turns import take_turns

from labkit import Lab
from labkit.image import to_tensor
from labkit.image.adjust import Adjustments
from labkit.image.moves import moves
from labkit.methods.enhance import BATCH, Enhance, Looks
from labkit.world import render, sample_scene

PAIRS = 8


def recipes(looks: Looks) -> list[Adjustments]:
    """A batch of recipes of two moves."""
    found = {twice: None for _, once in moves(Adjustments(), 1.0, looks.levels, False, False)
             for _, twice in moves(once, 0.5, looks.levels, False, False)}
    return list(found)[:BATCH]


def looks_of(lab) -> Looks:
    lab.require(Enhance(**Enhance.example))
    return Looks(lab, to_tensor(Image.fromarray(render(sample_scene(3, "test")))), 4.0, 8.0)


def ours(lab):
    """A function that scores the recipes as the search does."""
    looks = looks_of(lab)
    asked = recipes(looks)
    return lambda: looks(asked)


def peers(lab):
    """The same, one recipe after the other."""
    looks = looks_of(lab)
    asked = recipes(looks)
    return lambda: [looks([recipe])[0] for recipe in asked]


def main() -> None:
    torch.set_num_threads(1)
    lab = Lab()
    print(f"{BATCH} evaluations a step: in one batch (labkit), one by one (peers' way)")
    take_turns(ours(lab), peers(lab), PAIRS, f"{BATCH} recipes, one thread")


if __name__ == "__main__":
    main()
