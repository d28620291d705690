"""The board of codes and a click on the picture: which cell, which tiles, in which order."""

import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from labkit.latents.atlas import LevelBook, nearest
from labkit.spec import SpecError
from labkit.views.gradio.board import ALL, FIRST, NEAR, Board
from labkit.views.gradio.codes import NOTHING, pointed
from tests.conformance import tiny_vqvae


@pytest.fixture(scope="module")
def board():
    with gr.Blocks():
        return Board("x-", SimpleNamespace(vqvae=tiny_vqvae()))


def codes_of(html: str) -> list[int]:
    return [int(code) for code in re.findall(r'data-code="(\d+)"', html)]


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_the_nearest_come_first_and_all_are_there_by_colour(board, level):
    k, n = ("top", "bottom").index(level), board._lab.vqvae.n_embed
    vectors = board._lab.vqvae.codebook(k).numpy()
    near = codes_of(board.shown(level, 5, NEAR))
    assert near == nearest(vectors, vectors[[5]], min(FIRST, n), "euclidean")[0][0].tolist() and near[0] == 5
    every = board.shown(level, 5, ALL)
    assert sorted(codes_of(every)) == list(range(n)) and every.count("class=there") == 1
    light = np.array([np.asarray(board._tiles[k][code]).mean((0, 1)) @ (0.299, 0.587, 0.114) for code in codes_of(every)])
    assert light[:16].max() <= light[-16:].min(), "the first row is darker than the last"
    assert codes_of(board.shown(level, -1, NEAR)) == codes_of(every), "where no code is there yet none is near it"
    assert isinstance(board._book(k), LevelBook) and board._tiles[k][0].size == (8, 8)


def test_a_click_that_no_tile_makes_is_refused(board):
    assert board.chosen(SimpleNamespace(_data={"code": 7})) == 7
    for data in ({"code": "7"}, {"code": None}, {}, None):
        with pytest.raises(SpecError, match="code: there is no such tile"):
            board.chosen(SimpleNamespace(_data=data))


def test_a_click_is_a_cell_of_the_grid_or_of_the_level_that_was_last_chosen():
    last = NOTHING | {"grids": {"codes top": np.zeros((8, 8)), "codes bottom": np.zeros((16, 16))}}
    assert pointed(last, {"on": "bottom", "x": 0.999, "y": 0.0}) == ["bottom", 0, 15]
    assert pointed(last, {"on": "picture", "x": 0.5, "y": 0.1249}) == ["top", 0, 4]
    assert pointed(last | {"cell": ["bottom", 1, 1]}, {"on": "picture", "x": 0.5, "y": 0.5}) == ["bottom", 8, 8]


@pytest.mark.parametrize("click", [{}, {"on": "middle", "x": 0, "y": 0}, {"on": ["top"], "x": 0, "y": 0},
                                   {"on": "top", "x": 1.0, "y": 0}, {"on": "top", "x": "0", "y": 0},
                                   {"on": "bottom", "x": 0.5, "y": 0.5}])
def test_a_click_on_nothing_is_refused(click):
    with pytest.raises(SpecError, match="cell: "):
        pointed(NOTHING | {"grids": {"codes top": np.zeros((8, 8))}}, click)
