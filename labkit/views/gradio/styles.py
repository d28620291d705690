"""Several styles of one picture on a page: each in words or as a picture, with a weight and a place, which may be painted.

    Page(CLIPStyler, …, extra=StylesPart)                     of a method whose spec has `content` and `styles`

What stands here becomes the spec's `styles` when the page runs: `labkit.image.style.Style` says what each may be.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageOps

from labkit.image import ImageInput, save_png
from labkit.image.style import Style
from labkit.methods.clipstyler import CLIPStyler, restyled
from labkit.runs.result import recipe_of
from labkit.sketches import drawing
from labkit.spec import SpecError, Step
from labkit.views.controls import chosen
from labkit.views.gradio import app
from labkit.views.gradio.app import PRIVATE
from labkit.views.gradio.pad import pad
from labkit.views.gradio.page import Page, Part, Site, opened, received
from labkit.world import render, sample_scene

MOST = 3  # styles beside what the page's own controls say
LONGEST = 512  # pixels of a style's picture
SIDE = 256  # pixels of the longer side of a picture that is given a style: minutes on a laptop, where the next size is many
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
    """Rows of styles below a page's picture, and a scene to give one to. `words`: whether the method reads words as well."""

    words = True

    def __init__(self, site: Site):
        self.site, self.page, at = site, site.page, site.page.prefix
        weight = chosen(Style, ["weight"])["weight"]
        self.inputs = []
        scene = gr.Button("Take a scene of the picture world", size="sm", elem_id=f"{at}scene")
        scene.click(a_scene, None, site.made["content"], show_progress="hidden", **PRIVATE)
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
        content = fitted(self.page, flat)
        rows = [values[k:k + 5] for k in range(0, len(values), 5)]
        styles = []
        for text, path, weight, place, drawn in rows:
            words, picture = (text or "").strip(), None
            if not (words or path):
                continue
            if path:
                small = received(path)
                small.thumbnail((LONGEST, LONGEST))
                picture = ImageInput.of(small, *small.size)
            styles.append(Style(text=words, picture=picture, weight=weight,
                                mask=mask_of(place, drawn, (content.width, content.height))))
        return {"content": content} | ({"styles": tuple(styles)} if styles else {})


class PictureStylesPart(StylesPart):
    """The same for methods that read pictures of styles alone."""

    words = False


class LearntPart(StylesPart):
    """And for CLIPstyler: the strength of what was learnt, without another run."""

    def __init__(self, site: Site):
        at = site.page.prefix
        self.last = gr.State(None)
        strength = site.page.controls["output__strength"]
        with gr.Row(equal_height=True):
            self.dial = app.component(strength, site.limits, label="Strength, after the run", interactive=False, value=1.0,
                                      info="Without another run: what was learnt is laid over the picture by so much",
                                      elem_id=f"{at}dial")
            self.dialled = gr.Image(type="filepath", image_mode=None, format="png", interactive=False, height=200,
                                    visible=False, label="At that strength; the PNG has its recipe",
                                    elem_id=f"{at}dialled", elem_classes="lk-pixels")
        super().__init__(site)
        self.outputs = [self.last, self.dial, self.dialled]
        self.dial.release(self._dialled, [self.dial, self.last], self.dialled, show_progress="hidden", **PRIVATE)

    def shown(self, spec: CLIPStyler, step: Step | None) -> dict[Any, Any]:
        """When it has learnt, the dial may be moved."""
        if step is None or not (step.last or step.i == 0):
            return {}
        return {self.last: (spec, step.extras["learnt"]) if step.last else None, self.dialled: gr.update(visible=False),
                self.dial: gr.update(interactive=step.last, value=spec.output.strength)}

    def _dialled(self, strength: float, last: tuple | None):
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            if last is None:
                raise SpecError("strength: nothing is learnt yet; run first")
            spec, learnt = last
            spec = spec.but(output__strength=strength)
            recipe = recipe_of(spec, self.site.lab) | {"steps_done": spec.steps}
            path = Path(folder) / f"labkit-{spec.digest()[:8]}-{spec.steps}.png"
            save_png(restyled(spec, learnt, spec.output), path, recipe)
            yield gr.update(value=str(path), visible=True)


def fitted(page: Page, flat: dict[str, Any]) -> ImageInput:
    """The content, no side longer than `SIDE`. Raises `SpecError` where there is none."""
    picture = opened(page.controls, {"content": flat["content"]})["content"]
    if picture is None:
        raise SpecError("content: is missing; give a picture, or take a scene")
    ratio = min(1.0, SIDE / max(picture.size))
    return ImageInput.of(picture, *(max(1, round(side * ratio)) for side in picture.size), fit="squash")


def a_scene() -> Image.Image:
    """A flat scene of one subject, another one each time."""
    return Image.fromarray(render(sample_scene(secrets.randbelow(1_000_000), "test", style="flat", two=False)))
