"""A pad to draw on in a notebook, with mouse or finger, and an upload beside it.

    box, drawn = sketch_pad(); box          # in the next cell: ImageToImage(picture=ImageInput.of(drawn(), 64, 64), …)

The pad is wigglystuff's `Paint`, which Jupyter and Colab both show; an upload is drawn on it. Where no pad can be shown the
upload still serves. What the browser sends is opened like any stranger's picture.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import ipywidgets
from PIL import Image, ImageOps
from wigglystuff import Paint

from labkit.image import ImageError, to_rgb
from labkit.sketches import drawing
from labkit.views.notebook.widgets import uploads

SIDE = 320  # pixels of the paper


def sketch_pad(begin: Image.Image | None = None, side: int = SIDE) -> tuple[Any, Callable[[], Image.Image]]:
    """A box to display, and `drawn()`, which gives what is on the pad as an RGB picture of side × side pixels (or raises
    `ImageError` where there is nothing). `begin`: what is on it at first."""
    paper = Paint(width=side, height=side, init_image=None if begin is None else _sheet(begin, side), color_picker=False)
    upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description="Upload")
    said = ipywidgets.Label("")

    def put(_change: dict) -> None:
        said.value = ""
        try:
            for picture in uploads(upload):
                paper.replace_with_pil(_sheet(picture, side))
        except ImageError as error:
            said.value = f"not opened: {error}"

    upload.observe(put, names="value")

    def drawn() -> Image.Image:
        try:
            return drawing(base64.b64decode(paper.base64.rpartition(",")[2], validate=True))
        except binascii.Error:
            raise ImageError("the pad sent what is no picture; draw again, or upload a sketch") from None

    return ipywidgets.VBox([paper, ipywidgets.HBox([upload, said])]), drawn


def _sheet(picture: Image.Image, side: int) -> Image.Image:
    """A picture with its proportions on white paper."""
    return ImageOps.pad(to_rgb(picture), (side, side), Image.Resampling.LANCZOS, color="white")
