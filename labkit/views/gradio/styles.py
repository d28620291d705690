"""Several styles of one picture on a page: each in words or as a picture, with a weight and a place, which may be painted.

    Page(CLIPStyler, …, extra=StylesPart)                     of a method whose spec has `content` and `styles`

What stands here becomes the spec's `styles` when the page runs: `labkit.image.style.Style` says what each may be.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from labkit.image import ImageInput
from labkit.image.style import Style
from labkit.sketches import drawing
from labkit.spec import SpecError
from labkit.views.controls import chosen
from labkit.views.gradio import app
from labkit.views.gradio.app import PRIVATE
from labkit.views.gradio.pad import pad
from labkit.views.gradio.page import Part, Site, opened, received

MOST = 3  # styles beside what the page's own controls say
LONGEST = 512  # pixels of a style's picture
PAINTED = "where I paint"
PLACES = ("everywhere", "left half", "right half", "upper half", "lower half", PAINTED)
BRUSH = 80  # pixels of the pad's 512


def mask_of(place: str, drawn: bytes, size: tuple[int, int]) -> ImageInput | None:
    """Where a style holds, white, at a picture's size (width, height); None: everywhere. `drawn` is what the pad sent: black on
    white. Raises `SpecError` where nothing was painted, or on a place that there is not."""
    width, height = size
    if place not in PLACES:
        raise SpecError(f"place: {place!r:.40} is none of {', '.join(PLACES)}")
    if place == PLACES[0]:
        return None
    if place == PAINTED:
        if not drawn:
            raise SpecError("place: nothing is painted yet; paint on the pad where the style shall hold, or choose another one")
        return ImageInput.of(ImageOps.invert(drawing(drawn).convert("L")), width, height, fit="squash")
    pixels = np.zeros((height, width), np.uint8)
    rows, columns = {"left half": (slice(None), slice(None, width // 2)), "right half": (slice(None), slice(width // 2, None)),
                     "upper half": (slice(None, height // 2), slice(None)),
                     "lower half": (slice(height // 2, None), slice(None))}[place]
    pixels[rows, columns] = 255
    return ImageInput.of(Image.fromarray(pixels), width, height)


class StylesPart(Part):
    """Rows of styles below a page's picture. `words`: whether the method reads words as well."""

    words = True

    def __init__(self, site: Site):
        self.page, at = site.page, site.page.prefix
        weight = chosen(Style, ["weight"])["weight"]
        self.inputs = []
        with gr.Accordion("More styles, and places for them", open=False, elem_id=f"{at}styles"):
            for k in range(MOST):
                with gr.Row(equal_height=False):
                    text = gr.Textbox(label=f"Style {k + 2} in words", max_length=300, elem_id=f"{at}style-{k}-text",
                                      visible=self.words, min_width=160)
                    picture = gr.Image(label="as a picture", type="filepath", image_mode=None, format="png", height=140,
                                       sources=["upload", "clipboard"], elem_id=f"{at}style-{k}-picture", min_width=140)
                    picture.__class__ = app.unread(gr.Image)
                    with gr.Column(min_width=160):
                        share = app.component(weight, site.limits, label="Weight", info=None, maximum=10, step=0.1,
                                              elem_id=f"{at}style-{k}-weight")
                        place = gr.Dropdown(list(PLACES), value=PLACES[0], label="Where", filterable=False,
                                            elem_id=f"{at}style-{k}-place")
                with gr.Group(visible=False) as box:
                    painted = pad("Paint where it shall hold", over=f"{at}control-content", width=BRUSH,
                                  elem_id=f"{at}style-{k}-mask")
                place.change(lambda where: gr.update(visible=where == PAINTED), place, box, show_progress="hidden",
                             queue=False, **PRIVATE)
                self.inputs += [text, picture, share, place, painted]

    def fields(self, flat: dict[str, Any], *values: Any) -> dict[str, Any]:
        rows = [values[k:k + 5] for k in range(0, len(values), 5)]
        rows = [row for row in rows if (row[0] or "").strip() or row[1]]
        if not rows:
            return {}
        content = opened(self.page.controls, {"content": flat["content"]})["content"]
        if content is None:
            raise SpecError("content: is missing; give a picture")
        out = []
        for text, path, weight, place, drawn in rows:
            words, picture = (text or "").strip(), None
            if path:
                small = received(path)
                small.thumbnail((LONGEST, LONGEST))
                picture = ImageInput.of(small, *small.size)
            out.append(Style(text=words, picture=picture, weight=weight, mask=mask_of(place, drawn, content.size)))
        return {"styles": tuple(out)}


class PictureStylesPart(StylesPart):
    """The same for methods that read pictures of styles alone."""

    words = False
