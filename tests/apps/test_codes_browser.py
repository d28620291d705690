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


def cell(page, level: str, row: int, column: int, n: int) -> None:
    """Click the middle of a cell."""
    image = page.locator(f"#codes-{level} img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    image.click(position={"x": (column + 0.5) * box["width"] / n, "y": (row + 0.5) * box["height"] / n})


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

            cell(page, "bottom", 9, 14, 16)
            expect(page.locator("#codes-cell")).to_contain_text("Bottom grid, row 9, column 14: code")
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
