"""Sketch: draw something, say what it is, and Stable Diffusion makes pictures of it.

    python apps/sketch.py [--stable-diffusion NAME] [--share --auth USER:PASSWORD] [--help]

Every control, bound and default is the spec's; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from labkit.methods.img2img import ImageToImage
from labkit.views.gradio import app, workbench
from labkit.views.gradio.page import Page, labels_of
from labkit.views.gradio.sketch import FOLLOWED, SketchPanel, strength_html

PAGE = Page(
    method=ImageToImage, title="Sketch", words="A few lines and a sentence become pictures.",
    verb="Make pictures", api="sketch", ask="Join with |, weigh with :0.5",
    examples=("a red house in the snow", "a green ship on the sea at sunset", "a yellow butterfly in a meadow, watercolour",
              "a blue cat in a dark room"),
    first=(("picture",),), pads=("picture",), uploaded={"frame__fit": "crop"},
    presets={"count": 4, "frame__fit": "sketch"},
    main=(("strength", "guidance"), ("steps", "count"), ("negative", "frame__fit")),
    labels=labels_of(ImageToImage) | {
        "picture": "Your sketch", "count": "Pictures at a time", "negative": "Not this", "frame__fit": "It is taken as",
        "exact": "Exactly so many steps", "sampler__name": "Sampler", "sampler__eta": "eta",
        "preview_every": "Steps between pictures", "frame__width": "Width", "frame__height": "Height"},
    infos={"strength": "Low: the sketch stays. High: the prompt decides.", "guidance": "How far to lean on the prompt",
           "count": "Each has a seed of its own", "frame__fit": "sketch: cleaned and centred; crop: as it is"},
    live=(FOLLOWED, strength_html), prefix="sketch-", extra=SketchPanel,
)  # fmt: skip
TITLE, PLACE, SHOWS = PAGE.title, 3, (PAGE.method,)
panel = partial(workbench.panel, PAGE)
build = partial(workbench.build, PAGE)

if __name__ == "__main__":
    app.main(build)
