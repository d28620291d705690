"""A board of codes to choose from: what each code of a level decodes to, the nearest to a code first or all by colour.

A tile is a code among nothing but itself, the other level as it is on average over some scenes of the picture world
(`labkit.latents.atlas.LevelBook`): the code's look on a plain surface. Near means near in the codebook.
"""

from __future__ import annotations

import base64
import io
import threading

import gradio as gr
import numpy as np
from PIL import Image

from labkit.image import grid
from labkit.latents.atlas import LevelBook, by_colour, code_tiles, nearest
from labkit.models.vqvae import LEVELS
from labkit.spec import SpecError
from labkit.world.render import render
from labkit.world.scene import sample_scene

SCENES = 12  # over which the other level is averaged
CELLS = (3, 4)  # of a tile's grid along a side, top and bottom: 8 px of it are shown
COLUMNS, FIRST = 16, 64  # of a board, and codes on one of the nearest
NEAR, ALL = "Like the one that is there", "All, by colour"
PRESSED = """element.addEventListener('click', (event) => {
  const tile = event.target.closest('[data-code]');
  if (tile) trigger('select', {code: Number(tile.dataset.code)});
});"""


class Board:
    """The tiles of a lab's VQ-VAE, each made when it is first seen, and the component that shows some of them."""

    def __init__(self, at: str, lab):
        self._lab, self._lock, self._books, self._tiles = lab, threading.Lock(), {}, ({}, {})
        with gr.Column(visible=False, elem_id=f"{at}board") as self.box:
            self.order = gr.Radio([NEAR, ALL], value=NEAR, show_label=False, container=False, elem_id=f"{at}order")
            self.tiles = gr.HTML(js_on_load=PRESSED, elem_id=f"{at}tiles")

    def shown(self, level: str, code: int, order: str) -> str:
        """The board of a level where `code` is there (-1: none is yet), as HTML."""
        k = LEVELS.index(level)
        book = self._book(k)
        if order == ALL or code < 0:
            codes = list(range(book.n_embed))
            tiles = self._made(k, codes)
            ways = by_colour(tiles, COLUMNS)
            return board_html([codes[i] for i in ways], [tiles[i] for i in ways], code)
        vectors = book.codebook.detach().cpu().numpy()
        codes = nearest(vectors, vectors[[code]], min(FIRST, len(vectors)), "euclidean")[0][0].tolist()
        return board_html(codes, self._made(k, codes), code)

    def chosen(self, event: gr.EventData) -> int:
        """The code that was clicked. Raises `SpecError` on what is none."""
        code = (event._data or {}).get("code")
        if type(code) is not int:
            raise SpecError("code: there is no such tile; load the page again")
        return code

    def _book(self, level: int) -> LevelBook:
        with self._lock:
            if level not in self._books:
                scenes = [Image.fromarray(render(sample_scene(seed))) for seed in range(SCENES)]
                self._books[level] = LevelBook(self._lab.vqvae, level, scenes)
            return self._books[level]

    def _made(self, level: int, codes: list[int]) -> list[Image.Image]:
        book, have = self._book(level), self._tiles[level]
        with self._lock:
            if lacking := [code for code in codes if code not in have]:
                have |= dict(zip(lacking, code_tiles(book, lacking, CELLS[level]), strict=True))
        return [have[code] for code in codes]


def board_html(codes: list[int], tiles: list[Image.Image], there: int) -> str:
    """Tiles in rows of `COLUMNS`, each a button with its code; the one that is there is framed."""
    file, rows = io.BytesIO(), -(-len(tiles) // COLUMNS)
    grid(tiles, COLUMNS, 0).save(file, "PNG")
    places = np.stack(np.divmod(np.arange(len(codes)), COLUMNS), axis=1) * 100 / np.maximum([rows - 1, COLUMNS - 1], 1)
    buttons = "".join(
        f'<button type="button" data-code="{code}" title="code {code}" aria-label="code {code}" '
        f'{"class=there " * (code == there)}style="background-position:{x:.4g}% {y:.4g}%"></button>'
        for code, (y, x) in zip(codes, places, strict=True))
    sheet = base64.b64encode(file.getvalue()).decode()
    return (f'<div class="lk-board" style="--sheet:url(data:image/png;base64,{sheet});--columns:{COLUMNS};--rows:{rows}">'
            f"{buttons}</div>")
