"""Plots of the notebooks: every curve is seen, ticks and counts are read as numbers."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from labkit.views.notebook.plots import bars, curves, histogram, number_map


def drawn(figure) -> np.ndarray:
    """The figure's colours, (N, 3) in 0–255."""
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB")).reshape(-1, 3)


def seen(figure, line) -> int:
    """How many pixels have the very colour of a line; its entry in the legend is one of the places."""
    return int((drawn(figure) == np.rint(np.array(to_rgb(line.get_color())) * 255)).all(1).sum())


def ticks(figure) -> list[str]:
    figure.draw_without_rendering()
    ax = figure.axes[0]
    low, high = ax.get_xlim()
    pairs = zip([*ax.get_xticks(), *ax.get_xticks(minor=True)],
                [*ax.get_xticklabels(), *ax.get_xticklabels(minor=True)], strict=True)
    return [label.get_text() for at, label in pairs if low <= at <= high and label.get_text()]


def test_number_map_spans_its_colours():
    image = number_map([[0, 5], [5, 10]], "gray")
    assert [image.getpixel(p)[0] for p in ((0, 0), (1, 1))] == [0, 255] and image.size == (2, 2)
    assert number_map([[3, 3]]).size == (2, 1), "all equal is no division by zero"


def test_curves_is_a_picture_that_a_notebook_shows():
    figure = curves([1, 2, 3], {"a": [1, 2, 3], "b": [3, 2, 1]}, log=True)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert [line.get_label() for line in figure.axes[0].lines] == ["a", "b"]


@pytest.mark.parametrize("points", [False, True])
def test_every_curve_is_seen_also_where_all_are_one(points):
    y = np.linspace(0, 1, 40)
    one, many = curves(range(40), {"a": y, "other": 1 - y}), curves(range(40), {n: y for n in "abcd"}, points=points)
    alone = seen(one, one.axes[0].lines[0])
    for line in many.axes[0].lines:
        assert seen(many, line) > 0.5 * alone, line.get_label()


def test_curves_that_only_cross_are_drawn_alike():
    x = np.linspace(0, 1, 60)
    assert {line.get_linewidth() for line in curves(x, {"up": x, "down": 1 - x}).axes[0].lines} == {1.6}


@pytest.mark.parametrize(("x", "log", "labels"), [
    ((25, 50, 100, 250), True, ["25", "50", "100", "250"]),
    ((1, 5, 10, 25, 50, 100, 200), True, ["1", "5", "10", "25", "50", "100", "200"]),
    (np.linspace(30, 300, 50), True, ["50", "100", "200"]),
    (np.logspace(-1, 3, 60), True, ["0.1", "1", "10", "100", "1,000"]),
    ((4, 6, 11, 18, 36), False, ["4", "6", "11", "18", "36"]),
])
def test_ticks_are_plain_numbers(x, log, labels):
    assert ticks(curves(x, {"a": range(len(x))}, log=log)) == labels


def test_whole_numbers_have_whole_ticks():
    assert all("." not in label for label in ticks(curves(range(1, 21), {"a": range(20)})))


def test_marks_stand_at_their_place_with_their_name():
    figure = curves([1, 2, 3], {"a": [1, 2, 3]}, marks={"here": 2.5})
    ax = figure.axes[0]
    assert [list(line.get_xdata()) for line in ax.lines[1:]] == [[2.5, 2.5]]
    assert [text.get_text() for text in ax.texts] == ["here"]


@pytest.mark.parametrize(("values", "labels"), [
    ({"0": 1, "1": 21.0}, ["1", "21"]), ({"a": 0.5, "b": 1.0}, ["0.50", "1.00"]), ({"a": np.int64(3)}, ["3"]),
])
def test_counts_are_printed_as_counts(values, labels):
    assert [text.get_text() for text in bars(values).axes[0].texts] == labels


@pytest.mark.parametrize("values", [[0.25] * 5, np.float32([1, 1 - 6e-8, 1])])
def test_values_that_hardly_differ_are_counted_all_the_same(values):
    (bars,) = histogram(values).axes[0].containers
    assert sum(bar.get_height() for bar in bars) == len(values)
