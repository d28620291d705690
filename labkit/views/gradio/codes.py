"""What the Codes page has beside the workbench: the two grids of a picture's codes, one of which is chosen and forced.

    Page(PriorSampling, …, extra=CodesPanel)

Every cell is coloured by how uncertain the prior was there (entropy in bits). A click on a grid, or on the picture itself,
chooses the code under the pointer; another one is typed, or taken from a board of what the codes look like. What is forced is
the spec's field `given`, which has no control: it lies with the page's kept fields, as one that comes from a PNG does, and one
run serves both.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageDraw

from labkit.methods.prior_sampling import LEVELS, GivenCode
from labkit.spec import Method, SpecError, Step
from labkit.views.gradio import app
from labkit.views.gradio.app import PRIVATE
from labkit.views.gradio.board import Board
from labkit.views.gradio.markup import code_html
from labkit.views.gradio.page import Part, Site

SIDE = 640  # pixels of a grid's drawing
ROOM = 60  # pixels that a code's number needs
GREY, FORCED, CHOSEN = (205, 205, 205), (230, 98, 44), (200, 20, 110)
COLD, HOT = np.array([238.0, 246.0, 245.0]), np.array([15.0, 92.0, 92.0])
NOTHING = {"grids": {}, "given": [], "cell": None}
# Where a picture was clicked, as shares of its sides: a picture is fitted into its box, which may be larger, or wider.
CLICKED = """document.addEventListener('click', (event) => {
  const image = event.target.closest?.('#{at}picture img, #{at}top img, #{at}bottom img');
  if (!image || !image.naturalWidth) return;
  const box = image.getBoundingClientRect(), {naturalWidth: w, naturalHeight: h} = image;
  const scale = Math.min(box.width / w, box.height / h);
  const x = (event.clientX - box.left - (box.width - w * scale) / 2) / (w * scale);
  const y = (event.clientY - box.top - (box.height - h * scale) / 2) / (h * scale);
  if (x >= 0 && x < 1 && y >= 0 && y < 1) trigger('select', {on: image.closest('[id]').id.slice('{at}'.length), x, y});
});"""


class CodesPanel(Part):
    """Two grids of codes and a board to choose from."""

    def __init__(self, site: Site):
        at, lab, kept, fresh = site.page.prefix, site.lab, site.kept, site.fresh
        self.lab, self.last, self.round = lab, gr.State(NOTHING), gr.State(0)
        self.images = []
        with gr.Row():
            for level in LEVELS:
                with gr.Column(min_width=150):  # the caption above: a component's own label covers cells
                    gr.HTML(f'<div class="lk-note">{level.capitalize()} codes</div>')
                    self.images.append(gr.Image(show_label=False, format="png", interactive=False, buttons=[],
                                                elem_id=f"{at}{level}", elem_classes="lk-codes"))
        self.said = gr.HTML(code_html(None), elem_id=f"{at}cell", js_on_load=CLICKED.replace("{at}", at))
        with gr.Row(equal_height=True):
            code = gr.Number(label="Code", precision=0, minimum=0, min_width=110, elem_id=f"{at}code-there")
            force = gr.Button("Force it", interactive=False, min_width=120, elem_id=f"{at}force")
            free = gr.Button("Free all", interactive=False, min_width=120, elem_id=f"{at}free")
        self.board = board = Board(at, lab)
        self.force, self.free = force, free
        self.outputs = [*self.images, self.last, self.said, force, free, board.box]
        self.again, quiet = (self.round.change,), {"show_progress": "hidden", **PRIVATE}
        shown = {"inputs": [self.last, board.order], "outputs": [board.box, board.tiles], **PRIVATE,
                 "show_progress": "minimal", "show_progress_on": [board.tiles]}  # a whole book takes seconds
        self.said.select(self._choose, self.last, [*self.images, self.last, self.said, code, force], **quiet).then(
            self._laid, **shown)
        board.order.input(self._laid, **shown)
        into = [kept, fresh, self.round]
        force.click(self._forced, [self.last, code, kept, self.round], into, **quiet)
        board.tiles.select(self._picked, [self.last, kept, self.round], into, **quiet)
        free.click(lambda fields, n: ({k: v for k, v in fields.items() if k != "given"}, False, n + 1), [kept, self.round],
                   [kept, fresh, self.round], **quiet)

    def shown(self, spec: Method, step: Step | None) -> dict[Any, Any]:
        """What the panel shows of a step; nothing new where there is none. A chosen cell is let go."""
        if step is None:
            return {}
        grids = {f"{name} {level}": step.extras[f"{name} {level}"].numpy() for name in ("codes", "bits", "entropy")
                 for level in LEVELS if f"{name} {level}" in step.extras}
        last = {"grids": grids, "given": [one.model_dump() for one in spec.given], "cell": None}
        return dict(zip(self.images, drawings(last), strict=True)) | {
            self.last: last, self.said: code_html(None, len(last["given"])), self.force: gr.update(interactive=False),
            self.free: gr.update(interactive=bool(last["given"])), self.board.box: gr.update(visible=False)}

    def _choose(self, last: dict, event: gr.EventData):
        with app.plain_errors():
            last = last | {"cell": pointed(last, event._data or {})}
        level, row, column = last["cell"]
        there = int(last["grids"][f"codes {level}"][row, column])
        return (*drawings(last), last, code_html(cell_of(last), len(last["given"])), None if there < 0 else there,
                gr.update(interactive=True))

    def _laid(self, last: dict, order: str):
        """The board beside the chosen cell."""
        if not last["cell"]:
            return gr.update(visible=False), ""
        level, row, column = last["cell"]
        return gr.update(visible=True), self.board.shown(level, int(last["grids"][f"codes {level}"][row, column]), order)

    def _picked(self, last: dict, fields: dict, n: int, event: gr.EventData):
        with app.plain_errors():
            code = self.board.chosen(event)
        return self._forced(last, code, fields, n)

    def _forced(self, last: dict, code: float | None, fields: dict, n: int):
        with app.plain_errors():
            if not last["cell"]:
                raise SpecError("cell: none is chosen; click one first")
            level, row, column = last["cell"]
            most = self.lab.vqvae.n_embed - 1
            if code is None or int(code) != code or not 0 <= code <= most:
                raise SpecError(f"code: {code} is none; give a whole number from 0 to {most}")
            one = GivenCode(level=level, row=row, column=column, code=int(code)).model_dump()
        here = (level, row, column)
        others = [g for g in fields.get("given", ()) if (g["level"], g["row"], g["column"]) != here]
        return fields | {"given": [*others, one]}, False, n + 1


def pointed(last: dict, click: dict) -> list:
    """[level, row, column] of the cell under a click: `on` a grid ("top", "bottom") or the "picture", where it is of the level
    that was chosen last, the top one at first; `x` and `y` are shares of the sides. Raises `SpecError` on what is no click."""
    on, x, y = click.get("on"), click.get("x"), click.get("y")
    level = (last["cell"] or ["top"])[0] if on == "picture" else on
    codes = last["grids"].get(f"codes {level}" if isinstance(level, str) else None)
    if codes is None:
        raise SpecError("cell: there are no codes there yet; run first")
    if not all(isinstance(share, int | float) and 0 <= share < 1 for share in (x, y)):
        raise SpecError("cell: that is outside of the picture; click on it")
    return [level, int(y * codes.shape[0]), int(x * codes.shape[1])]


def cell_of(last: dict) -> dict[str, Any]:
    """What is known of the chosen cell: level, row, column, code (-1: none yet), bits, entropy (NaN likewise), forced."""
    level, row, column = last["cell"]
    known = {name: last["grids"][f"{name} {level}"][row, column].item() for name in ("codes", "bits", "entropy")}
    forced = any((g["level"], g["row"], g["column"]) == (level, row, column) for g in last["given"])
    return {"level": level, "row": row, "column": column, "forced": forced, **known}


def drawings(last: dict) -> list[Image.Image | None]:
    """Both grids, drawn; None for a level that has not begun."""
    return [drawing(last, level) if f"codes {level}" in last["grids"] else None for level in LEVELS]


def drawing(last: dict, level: str) -> Image.Image:
    """A grid of SIDE × SIDE px: the darker a cell, the more bits of entropy (the grid's highest is darkest), grey where no code
    is drawn yet; numbers where there is room; forced cells and the chosen one framed."""
    codes, entropy = (last["grids"][f"{name} {level}"] for name in ("codes", "entropy"))
    drawn = codes >= 0
    top = max(float(entropy[drawn].max(initial=0)), 1e-9)
    heat = np.where(drawn, np.nan_to_num(entropy) / top, 0)[..., None]
    colours = np.where(drawn[..., None], COLD + heat * (HOT - COLD), GREY).round().astype(np.uint8)
    image = Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    pen, w, h = ImageDraw.Draw(image), SIDE / codes.shape[1], SIDE / codes.shape[0]
    if w >= ROOM:
        for (row, column), code in np.ndenumerate(codes):
            if code >= 0:
                ink = "white" if heat[row, column, 0] > 0.5 else "black"
                pen.text(((column + 0.5) * w, (row + 0.5) * h), str(code), ink, anchor="mm", font_size=25)
    marks = [(g["row"], g["column"], FORCED) for g in last["given"] if g["level"] == level]
    if last["cell"] and last["cell"][0] == level:
        marks.append((*last["cell"][1:], CHOSEN))
    for row, column, colour in marks:
        pen.rectangle((column * w, row * h, (column + 1) * w - 1, (row + 1) * h - 1), outline=colour, width=6)
    return image
