"""The explorer's one file, in a real browser that reaches nothing else: lasso, gallery, linked maps, CSV, hostile texts."""

import html
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labkit.spec import SpecError
from labkit.views.explorer.page import page, sheets_of, write_page
from labkit.views.explorer.points import MANY, SMALL, Points, coloured, side_of
from tests.apps.browser import visitor

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror=window.hacked=1>\u2028="
CORNERS = np.array([[0, 0], [0, 10], [10, 0], [10, 10], [5, 5]], float)


def points(n: int = 5, **more) -> Points:
    """Four corners and the middle; on the other map the corners are turned."""
    rows = np.arange(n) % 5
    given = {"captions": ["=1+1", HOSTILE, "a red apple", "", "the middle"][:n] * (n // 5 or 1),
             "labels": {"kind": [f"kind {k % 2}" for k in range(n)], "size": [k / 3 for k in range(n)]},
             "thumbs": [Image.new("RGB", (8, 8), (250 if k == 0 else 0, 50 * (k % 5), 0)) for k in range(n)]} | more
    return Points([HOSTILE if k == 1 else f"p{k}.png" for k in range(n)], {"first": CORNERS[rows], "second": -CORNERS[rows]},
                  **given)


@pytest.mark.browser
def test_a_lasso_shows_what_is_in_it_on_every_map(chromium, tmp_path):
    path = write_page(points(), tmp_path / "map.html", HOSTILE)
    with visitor(chromium, local_files=True) as page:
        page.goto(path.as_uri())
        page.wait_for_function("window.explorer && explorer.maps.every((m) => m.drawn !== undefined)")
        box = page.locator(".map canvas").first.bounding_box()

        def at(x: float, y: float) -> tuple[float, float]:
            """Where a point of the first map is on the screen."""
            m = page.evaluate("(({k, x, y}) => ({k, x, y}))(explorer.maps[0])")
            return box["x"] + m["k"] * x + m["x"], box["y"] + m["y"] - m["k"] * y

        trail = [at(-0.5, -0.5), at(6, -0.5), at(6, 6), at(-0.5, 6)]  # round (0, 0) and (5, 5)
        page.mouse.move(*trail[0])
        page.mouse.down()
        for place in trail[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()
        assert page.evaluate("explorer.chosen()") == [0, 4]
        assert page.locator("#count").inner_text() == "2 of 5"
        assert page.locator("#gallery figcaption").all_inner_texts() == ["=1+1", "the middle"]
        assert page.locator("#bars small").all_inner_texts() == ["2 / 3"]
        with page.expect_download() as waiting:
            page.locator("#csv").click()
        waiting.value.save_as(tmp_path / "selection.csv")
        table = pd.read_csv(tmp_path / "selection.csv", encoding="utf-8-sig")
        assert list(table["name"]) == ["p0.png", "p4.png"] and list(table["caption"]) == ["'=1+1", "the middle"]
        assert table["second x"].tolist() == [0, -5] and table["size"].tolist() == pytest.approx([0, 4 / 3])

        page.mouse.move(*at(0, 10))
        assert page.locator("#tip-name").inner_text().startswith("</script>"), "a name is text, whatever it says"
        page.keyboard.press("Escape")
        assert page.evaluate("explorer.chosen()") == []
        page.locator("#find").fill("apple")
        assert page.evaluate("explorer.chosen()") == [2]
        page.locator("#clear").click()
        page.mouse.move(*at(5, 5))
        for _ in range(3):
            page.mouse.wheel(0, -400)
        page.wait_for_function("explorer.maps[0].k > 2 * explorer.maps[0].fitted")
        assert page.evaluate("explorer.maps[1].k === explorer.maps[1].fitted")
        page.locator("#fit").click()
        page.wait_for_function("explorer.maps[0].k === explorer.maps[0].fitted")
        assert page.evaluate("window.hacked") is None and page.locator("#title").inner_text().startswith("</script>")
        # pictures are drawn where few points are in sight: the first one is red in its middle
        pixel = """() => { const m = explorer.maps[0], r = devicePixelRatio; explorer.draw(m);
          return [...m.g.getImageData(r * m.x, r * m.y, 1, 1).data]; }"""
        page.wait_for_function(f"({pixel})()[0] > 200 && ({pixel})()[1] < 60")


@pytest.mark.browser
def test_many_points_stay_usable(chromium, tmp_path):
    """20,000 points: the page's own work for a frame. The bound is ten times what an idle core needs."""
    n = 20_000
    xy = np.random.default_rng(0).normal(size=(n, 2))
    path = write_page(Points([str(k) for k in range(n)], {"map": xy}, labels={"k": [str(k % 9) for k in range(n)]}),
                      tmp_path / "map.html")
    with visitor(chromium, local_files=True) as page:
        page.goto(path.as_uri())
        page.wait_for_function("window.explorer && explorer.maps[0].drawn !== undefined")
        page.evaluate("window.times = [...Array(5)].map(() => { explorer.draw(explorer.maps[0]); "
                      "return explorer.maps[0].drawn; })")
        assert page.evaluate("Math.min(...window.times)") < 100
        square = "[[0, 0], [9, 0], [9, -9], [0, -9]]"
        hits = page.evaluate(f"explorer.inside({{k: 1, x: 0, y: 0, xy: explorer.maps[0].xy}}, {square}).length")
        assert hits == int(((xy > 0) & (xy < 9)).all(1).sum())


def test_the_file_asks_for_nothing_and_no_text_ends_its_blocks():
    text = page(points(), HOSTILE)
    assert text.count("<script") == text.count("</script>") == 3, "data, one sheet, ours"
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "default-src 'none'" in html.unescape(text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["names"][1] == HOSTILE and data["captions"][1] == HOSTILE


def test_a_sheet_holds_each_thumbnail_in_its_place():
    import base64

    thumbs = [Image.new("RGB", (32, 32), (k % 256, 255 - k % 256, 128)) for k in range(1030)]
    first, second = (Image.open(io.BytesIO(base64.b64decode(s))) for s in sheets_of(thumbs, 32))
    assert first.size == (1024, 1024) and second.size == (1024, 32)
    for k, sheet in ((40, first), (1029, second)):
        j = k % 1024
        assert sheet.getpixel((j % 32 * 32 + 16, j // 32 * 32 + 16))[0] == pytest.approx(k % 256, abs=12)
    assert side_of(MANY + 1) == SMALL < side_of(MANY)


def test_columns_are_categories_or_a_scale():
    codes, names, colours = coloured(["b", "a", "b", None])
    assert names == ["b", "(none)", "a"] and codes.tolist() == [0, 2, 0, 1] and len(set(colours)) == 3
    codes, names, _ = coloured([*range(90), float("nan")])
    assert codes[0] == 0 and codes[89] == 8 and names[codes[90]] == "no number" and names[0].startswith("0 …")


def test_lists_of_other_lengths_are_told():
    with pytest.raises(SpecError, match="captions: 2 for 5"):
        points(captions=["a", "b"])
    with pytest.raises(SpecError, match="map m"):
        Points(["a"], {"m": np.array([[np.nan, 0]])})
    with pytest.raises(SpecError, match="there are none"):
        Points([], {})
