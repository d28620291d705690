"""The studio: every app of the lab, each in a tab.

    python apps/studio.py [--share --auth USER:PASSWORD] [--help]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from apps import diffuse, lyrics, paint, similarity, survey
from labkit.views.gradio.app import LOCAL, Limits, blocks, header, main

TABS = {"Paint": paint.panel, "Diffuse": diffuse.panel, "Lyrics": lyrics.panel, "Survey": survey.panel,
        "Similarity": similarity.panel}


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """All tabs on one page: they share the lab and the queue."""
    with blocks("labkit studio") as demo:
        header(lab, "labkit studio", "Methods of the CLIP era, to play with.")
        with gr.Tabs():
            for name, panel in TABS.items():
                with gr.Tab(name):
                    panel(lab, limits)
    return demo


if __name__ == "__main__":
    main(build)
