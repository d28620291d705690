"""Style: a photograph or a scene takes on a style, by words, by a picture, or several in places that are painted.

    python apps/style.py [--share --auth USER:PASSWORD] [--help]

A tab a way. Every control, bound and default is the specs'; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from labkit.methods.adaptive_style import AdaptiveStyle
from labkit.methods.attention_style import AttentionStyle
from labkit.methods.clipstyler import CLIPStyler
from labkit.methods.neural_style import NeuralStyle
from labkit.methods.transform_style import TransformStyle
from labkit.views.gradio import app, handing, workbench
from labkit.views.gradio.app import LOCAL, Limits, blocks
from labkit.views.gradio.markup import header
from labkit.views.gradio.page import Page, labels_of
from labkit.views.gradio.styles import LearntPart, PictureStylesPart

TAKEN = {"content": "Up to 256 pixels of it are used"}
WORDS = Page(
    method=CLIPStyler, title="Style by words", words="CLIPstyler: a small net learns until CLIP sees the words in the picture.",
    verb="Give it the style", api="style_by_words", first=(("content",), ("text",)), presets={"text": "a watercolour"},
    main=(("steps", "output__strength"),),
    labels=labels_of(CLIPStyler) | {"content": "Your picture", "text": "The style in words", "output__strength": "Strength",
                                    "words__source": "What it is now", "preview_every": "Steps between pictures"},
    infos=TAKEN | {"text": "Words that the model knows do best; the notices name those that it does not"},
    prefix="style-words-", extra=LearntPart)  # fmt: skip
GATYS = Page(
    method=NeuralStyle, title="Style by a picture", words="Gatys: the picture itself descends to the statistics of another.",
    verb="Give it the style", api="style_by_picture", first=(("content", "style"),), main=(("steps", "colour"),),
    labels=labels_of(NeuralStyle) | {"content": "Your picture", "style": "Its style shall be that of",
                                     "preview_every": "Steps between pictures"},
    infos=TAKEN, prefix="style-picture-", extra=PictureStylesPart)  # fmt: skip
ONCE = Page(
    method=AdaptiveStyle, title="Style in one pass", words="AdaIN and EFDM: any picture's statistics, in one pass.",
    verb="Give it the style", api="style_in_one_pass", first=(("content", "style"),), main=(("way", "strength"), ("colour",)),
    labels=labels_of(AdaptiveStyle) | {"content": "Your picture", "style": "Its style shall be that of"},
    infos=TAKEN, prefix="style-once-", extra=PictureStylesPart)  # fmt: skip
ATTENTION = Page(
    method=AttentionStyle, title="Style by attention", words="Strokes of several sizes, fine where the eye goes.",
    verb="Give it the style", api="style_by_attention", first=(("content", "style"),), main=(("strokes", "blend"),),
    labels=labels_of(AttentionStyle) | {"content": "Your picture", "style": "Its style shall be that of"},
    prefix="style-attention-")  # fmt: skip
NET = Page(
    method=TransformStyle, title="A net for one style", words="A transform network that knows one style, in one pass.",
    verb="Give it the style", api="style_by_net", first=(("content",),), main=(("strength", "colour"),),
    labels=labels_of(TransformStyle) | {"content": "Your picture"}, prefix="style-net-")  # fmt: skip
PAGES = (WORDS, GATYS, ONCE, ATTENTION, NET)
TITLE, PLACE, SHOWS = "Style", 4, tuple(page.method for page in PAGES)


def panel(lab, limits: Limits) -> None:
    """A tab for every way that the lab has models for."""
    with gr.Tabs():
        for page in PAGES:
            if lab.serves(page.method.needs):
                with gr.Tab(page.title.removeprefix("Style ").capitalize(), id=page.api):
                    workbench.panel(page, lab, limits)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with blocks("labkit: style") as demo:
        header(lab, "Style", "Words, or another picture, say how a picture shall look.")
        panel(lab, limits)
        handing.connect()
    return demo


if __name__ == "__main__":
    app.main(build)
