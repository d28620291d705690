"""The explorer in a notebook: what a lasso selects is in the frame, in the gallery and on every map."""

import numpy as np
import pytest
from PIL import Image

from labkit.spec import SpecError
from labkit.views.explorer.points import Points
from labkit.views.notebook.explore import explore


@pytest.fixture
def points() -> Points:
    xy = np.random.default_rng(0).normal(size=(30, 2))
    return Points([f"{k}.png" for k in range(30)], {"one": xy, "other": xy[::-1]}, [f"<b>caption {k}</b>" for k in range(30)],
                  {"kind": ["cat", "dog"] * 15, "size": list(range(30))},
                  [Image.new("RGB", (9, 5), (k, 0, 0)) for k in range(30)])


def test_a_lasso_gives_a_frame_and_pictures_on_all_maps(points):
    view = explore(points)
    assert len(view.frame) == 30 and "Draw a lasso" in view._gallery.value
    lassoed(view, 4, 7)
    assert view.selected == [4, 7] and list(view.frame["name"]) == ["4.png", "7.png"]
    assert list(view.frame["kind"]) == ["cat", "dog"]
    text = view._gallery.value
    assert "2 of 30 selected" in text and text.count("data:image/png") == 2
    assert "&lt;b&gt;caption 4" in text and "<b>caption" not in text
    assert list(view.scatters[1].selection()) == [4, 7], "the maps are linked"
    lassoed(view)
    assert len(view.frame) == 30 and "Draw a lasso" in view._gallery.value, "let go"
    view.select(range(20))
    assert len(view.frame) == 20


def lassoed(view, *rows: int) -> None:
    """Select rows on the first map as the browser does: bytes with their type, over the widget's channel."""
    sent = {"view": memoryview(np.array(rows, np.uint32).tobytes()), "dtype": "uint32", "shape": [len(rows)]}
    view.scatters[0].widget.set_state({"selection": sent})


def test_by_is_a_column_of_labels(points, tmp_path):
    explore(points, by="size")
    with pytest.raises(SpecError, match="by: 'colour' is no column of labels; there are kind, size"):
        explore(points, by="colour")
    assert explore(points).save(tmp_path / "map.html").read_text(encoding="utf-8").startswith("<!doctype html>")
