"""The Codes page as a visitor meets it: a sentence becomes a picture, a code is clicked, another one is forced."""

import re

import pytest
from playwright.sync_api import expect

from apps import codes
from labkit.image import read_recipe
from labkit.views.gradio.app import LOCAL, launch
from tests.apps.browser import visitor
from tests.conformance import TinyLab

pytestmark = pytest.mark.browser


def cell(page, on: str, row: int, column: int, n: int, at: tuple[float, float] = (0.5, 0.5)) -> None:
    """Click a cell of what is shown as n × n cells, at a share of its sides: a picture is fitted into its box."""
    image = page.locator(f"#codes-{on} img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    side = min(box["width"], box["height"])
    image.click(position={"x": (box["width"] - side) / 2 + (column + at[0]) * side / n,
                          "y": (box["height"] - side) / 2 + (row + at[1]) * side / n})


def test_a_sentence_becomes_a_picture_and_a_forced_code_another(chromium, tmp_path):
    demo = codes.build(TinyLab(), LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    try:
        with visitor(chromium) as page:
            page.goto(demo.local_url)
            page.locator("#codes-control-prompt textarea").fill("a red apple in the snow")
            page.locator("#codes-run").click()
            status, picture = page.locator("#codes-status"), page.locator("#codes-picture img")
            expect(status).to_contain_text("40 steps in")
            expect(page.locator("#codes-bottom img")).to_be_visible()
            first, seed = picture.get_attribute("src"), page.locator("#codes-control-seed input[type=number]").input_value()

            assert picture.evaluate("image => image.naturalWidth") == 64  # and is shown some six times as wide
            cell(page, "picture", 7, 0, 8, (0.95, 0.05))
            expect(page.locator("#codes-cell")).to_contain_text("Top grid, row 7, column 0: code")
            cell(page, "bottom", 9, 14, 16, (0.05, 0.95))
            expect(page.locator("#codes-cell")).to_contain_text("Bottom grid, row 9, column 14: code")
            cell(page, "picture", 15, 3, 16, (0.95, 0.05))
            expect(page.locator("#codes-cell")).to_contain_text("Bottom grid, row 15, column 3: code")
            cell(page, "top", 2, 5, 8)
            said = page.locator("#codes-cell")
            expect(said).to_contain_text("Top grid, row 2, column 5: code")
            there = int(re.search(r"code (\d+), drawn", said.inner_text())[1])
            box = page.locator("#codes-code-there input")
            expect(box).to_have_value(str(there))
            box.fill("64")
            page.locator("#codes-force").click()
            expect(page.get_by_text("give a whole number from 0 to 63")).to_be_visible()
            assert picture.get_attribute("src") == first
            page.screenshot(path=str(tmp_path / "chosen.png"), full_page=True)

            other = (there + 17) % 64
            box.fill(str(other))
            page.locator("#codes-force").click()
            expect(said).to_contain_text("1 code is forced")
            expect(status).to_contain_text("40 steps in")
            expect(picture).not_to_have_attribute("src", first)
            cell(page, "top", 2, 5, 8)
            expect(said).to_contain_text(f"code {other}, forced")
            with page.expect_download() as waiting:
                page.locator("#codes-download").click()
            waiting.value.save_as(tmp_path / "forced.png")
            spec = read_recipe(tmp_path / "forced.png")["spec"]
            assert spec["given"] == [{"level": "top", "row": 2, "column": 5, "code": other}]
            assert str(spec["seed"]) == seed
            page.screenshot(path=str(tmp_path / "forced-page.png"), full_page=True)

            page.locator("#codes-free").click()
            expect(page.locator("#codes-free")).to_be_disabled()
            expect(status).to_contain_text("40 steps in")
            with page.expect_download() as waiting:
                page.locator("#codes-download").click()
            waiting.value.save_as(tmp_path / "freed.png")
            assert not read_recipe(tmp_path / "freed.png")["spec"]["given"]
    finally:
        demo.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (740, 1000), (1280, 900)])
def test_a_click_finds_its_cell_on_any_screen_and_a_tile_is_forced(chromium, tmp_path, width, height):
    demo = codes.build(TinyLab(), LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    try:
        with visitor(chromium, width, height) as page:
            page.goto(demo.local_url)
            page.locator("#codes-run").click()
            status, said, tiles = (page.locator(f"#codes-{name}") for name in ("status", "cell", "tiles button"))
            expect(status).to_contain_text("40 steps in")
            expect(page.locator("#codes-board")).to_be_hidden()
            for on, n, level in (("top", 8, "Top"), ("bottom", 16, "Bottom"), ("picture", 16, "Bottom")):
                for row, column, at in ((0, n - 1, (0.9, 0.1)), (n - 1, 0, (0.1, 0.9)), (n // 2, 1, (0.1, 0.1))):
                    cell(page, on, row, column, n, at)
                    expect(said).to_contain_text(f"{level} grid, row {row}, column {column}: code")
            cell(page, "top", 3, 4, 8)
            expect(said).to_contain_text("Top grid, row 3, column 4")
            there = re.search(r"code (\d+), drawn", said.inner_text())[1]
            expect(tiles).to_have_count(64)
            expect(tiles.first).to_have_attribute("data-code", there)  # the nearest is the one itself
            page.locator("#codes-order").get_by_text("All, by colour").click()
            expect(tiles.first).not_to_have_attribute("data-code", there)
            page.screenshot(path=str(tmp_path / f"board-{width}.png"), full_page=True)
            other = tiles.nth(20)
            code = other.get_attribute("data-code")
            other.click()
            expect(said).to_contain_text("1 code is forced")
            expect(status).to_contain_text("40 steps in")
            cell(page, "top", 3, 4, 8)
            expect(said).to_contain_text(f"code {code}, forced")
    finally:
        demo.close()
