"""Diffuse: a prompt leans on every step of a diffusion model, from noise to a picture.

    python apps/diffuse.py [--share --auth USER:PASSWORD] [--help]

Every control, bound and default is the spec's; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.views.gradio import app, workbench
from labkit.views.gradio.page import Page

PAGE = Page(
    method=GuidedDiffusion, title="Diffuse", words="Noise becomes a picture, and CLIP tells every step where to lean.",
    verb="Diffuse", api="diffuse", ask="Join with |, weigh with :0.5, repel with :-1",
    examples=("a red apple in the snow", "a green ship on the sea", "a yellow house at night",
              "a purple butterfly in a meadow", "a cat in a room | a dog:-0.3", "a person singing hallelujah in a dark corner"),
    main=(("steps", "guidance__strength"), ("sampler__name", "cutouts__cutn"), ("canvas__width", "canvas__height")),
    start=("canvas__init", "canvas__skip", "canvas__init_scale"),
    uploaded={"canvas__skip": 0.5, "canvas__init_scale": 0.0},
    labels={"prompt": "Prompt", "steps": "Steps", "seed": "Seed", "guidance__strength": "Strength",
            "sampler__name": "Sampler", "cutouts__cutn": "Cutouts", "canvas__width": "Width", "canvas__height": "Height",
            "canvas__init": "Initial picture", "canvas__skip": "Skip", "canvas__init_scale": "Stay near it",
            "guidance__clip_guidance_scale": "CLIP", "guidance__range_scale": "Range", "guidance__tv_scale": "Smoothness",
            "guidance__sat_scale": "Saturation", "sampler__eta": "eta"},
    infos={"guidance__strength": "0: unguided; empty: the scales as they are"},
    groups=(("Scales", (("guidance__clip_guidance_scale", "guidance__range_scale"),
                        ("guidance__tv_scale", "guidance__sat_scale"))),),
    inside=(("x", "x: still noisy"), ("x0", "x̂₀: the model's guess"), ("x_in", "x_in: what CLIP sees")),
    prefix="diffuse-",
)  # fmt: skip
TITLE, PLACE, SHOWS = PAGE.title, 2, (PAGE.method,)
panel = partial(workbench.panel, PAGE)
build = partial(workbench.build, PAGE)

if __name__ == "__main__":
    app.main(build)
