"""Paint: a prompt becomes a picture, step by step, by VQGAN+CLIP.

    python apps/paint.py [--share --auth USER:PASSWORD] [--help]

Every control, bound and default is the spec's; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.prompt import parse_story
from labkit.views.gradio import app, workbench
from labkit.views.gradio.page import Page

PAGE = Page(
    method=VQGANCLIP, title="Paint", words="Type what you want to see and watch VQGAN+CLIP look for it.",
    verb="Paint", api="paint",
    ask="Join with |, weigh with :0.5, repel with :-1, and let ^ change the prompt on the way",
    examples=("a red apple in the snow", "a yellow ship on the sea at sunset", "a blue house in a meadow, watercolour",
              "a green tree in a meadow ^ a green tree at night", "a cat in a room | a dog:-0.3",
              "a person singing hallelujah in a dark corner"),
    main=(("steps",), ("cutouts__cutn", "optimiser__lr"), ("canvas__width", "canvas__height")),
    start=("canvas__init", "canvas__start", "canvas__init_weight"),
    labels={"prompt": "Prompt", "steps": "Steps", "seed": "Seed", "cutouts__cutn": "Cutouts",
            "optimiser__lr": "Learning rate", "canvas__width": "Width", "canvas__height": "Height",
            "canvas__init": "Initial picture", "canvas__start": "Start from", "canvas__init_weight": "Stay near the start"},
    wanted=lambda prompt: parse_story(prompt)[-1],
)  # fmt: skip
TITLE, PLACE, SHOWS = PAGE.title, 1, (PAGE.method,)
panel = partial(workbench.panel, PAGE)
build = partial(workbench.build, PAGE)

if __name__ == "__main__":
    app.main(build)
