"""Latents: pictures on a map of a model's latent space; select some and see them, keep the map as a file.

    python apps/latents.py [--share --auth USER:PASSWORD] [--help]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from labkit.latents.projection import Projection
from labkit.views.gradio import app, handing, measure
from labkit.views.gradio.app import LOCAL, Limits, blocks
from labkit.views.gradio.latents import ExplorerPanel
from labkit.views.gradio.markup import header

MOST = 200  # pictures, uploaded by hand; `python -m labkit project FOLDER` has no such bound
TITLE, PLACE, SHOWS = "Latents", 9, (Projection,)
panel = partial(measure.panel, Projection, most=MOST, extra=ExplorerPanel, title=TITLE)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with blocks("labkit: latents") as demo:
        header(lab, TITLE, "Your pictures on a map: which are near each other in a model's latent space.")
        panel(lab, limits)
        handing.connect()
    return demo


if __name__ == "__main__":
    app.main(build)
