"""The Latents page as a visitor meets it: pictures, a map, a lasso round all of them, a gallery, a file."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from apps import latents
from labkit.views.gradio.app import LOCAL, launch
from tests.apps.browser import visitor
from tests.conformance import TinyLab

pytestmark = pytest.mark.browser
COLOURS = ["red", "green", "blue", "black", "yellow", "white"]


def lasso(page, canvas) -> None:
    """Drag round nearly all of a map."""
    page.locator("iframe").scroll_into_view_if_needed()  # what is out of sight draws no frames
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def test_pictures_on_a_map_are_selected_and_the_map_is_kept(chromium, tmp_path):
    for k, colour in enumerate(COLOURS):
        Image.new("RGB", (16 + k, 16), colour).save(tmp_path / f"{colour}.png")
    demo = latents.build(TinyLab(), LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    try:
        with visitor(chromium, height=1300) as page:
            page.goto(demo.local_url)
            page.locator("#projection-pictures input[type=file]").set_input_files(
                [tmp_path / f"{colour}.png" for colour in COLOURS])
            expect(page.locator("#projection-pictures img")).to_have_count(len(COLOURS))
            page.locator("#projection-run").click()
            frame = page.frame_locator("#projection-explorer iframe")
            expect(frame.locator("#maps canvas").first).to_be_visible()
            lasso(page, frame.locator("#maps canvas").first)
            expect(frame.locator("#count")).to_contain_text(str(len(COLOURS)))
            expect(frame.locator("#gallery figure")).to_have_count(len(COLOURS))
            page.screenshot(path=str(tmp_path / "latents.png"), full_page=True)
            with page.expect_download() as waiting:
                page.locator("#projection-download").click()
            waiting.value.save_as(tmp_path / "map.html")
        with visitor(chromium, local_files=True) as page:
            page.goto((tmp_path / "map.html").as_uri())
            expect(page.locator("#maps canvas").first).to_be_visible()
    finally:
        demo.close()
