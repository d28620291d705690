"""The Sketch page as a visitor meets it: a house is drawn with the mouse, or a finger, its pictures are seen and sent on."""

import base64

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from apps import studio
from labkit.image import open_upload, read_recipe
from labkit.views.gradio.app import LOCAL, launch
from labkit.views.gradio.pad import HEAD, SIDE
from tests.apps.browser import visitor
from tests.apps.test_handing_browser import tab
from tests.apps.test_sketch import lab_with_weights

pytestmark = pytest.mark.browser
WALLS = ((0.25, 0.8), (0.25, 0.45), (0.75, 0.45), (0.75, 0.8), (0.25, 0.8))
ROOF = ((0.2, 0.47), (0.5, 0.15), (0.8, 0.47))


@pytest.fixture(scope="module")
def address():
    demo = studio.build(lab_with_weights(), LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


def paper(page):
    """The pad, and where a share of its sides lies on the screen."""
    canvas = page.locator("#sketch-control-picture canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return canvas, lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])


def draw(page, *points) -> None:
    """A line with the mouse."""
    _, at = paper(page)
    page.mouse.move(*at(*points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(*point), steps=6)
    page.mouse.up()


def touch(page, *points) -> None:
    """A line with a finger."""
    _, at = paper(page)
    session = page.context.new_cdp_session(page)

    def send(kind: str, *places) -> None:
        fingers = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    send("touchStart", at(*points[0]))
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        for k in range(1, 7):
            send("touchMove", at(x0 + (x1 - x0) * k / 6, y0 + (y1 - y0) * k / 6))
    send("touchEnd")


def drawn(page) -> np.ndarray:
    """What is on the pad: (H, W), True where there is ink."""
    data = paper(page)[0].evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(open_upload(base64.b64decode(data.removeprefix(HEAD))).convert("L")) < 128


def inked(ink: np.ndarray, x: float, y: float) -> bool:
    """Whether there is ink at a share of the sides."""
    row, column = round(y * ink.shape[0]), round(x * ink.shape[1])
    return bool(ink[max(0, row - 3):row + 4, max(0, column - 3):column + 4].any())


def press(page, name: str) -> None:
    page.locator("#sketch-control-picture").get_by_role("button", name=name).click()


def test_a_house_is_drawn_with_the_mouse_and_its_picture_goes_on(chromium, tmp_path, address):
    with visitor(chromium, height=1300) as page:
        page.goto(address)
        tab(page, "Sketch")
        draw(page, *WALLS)
        draw(page, *ROOF)
        ink = drawn(page)
        assert ink.shape == (SIDE, SIDE) and inked(ink, 0.5, 0.15) and inked(ink, 0.25, 0.6) and not inked(ink, 0.5, 0.6)
        draw(page, (0.1, 0.1), (0.9, 0.9))
        press(page, "Undo")
        assert (drawn(page) == ink).all()
        press(page, "Eraser")
        draw(page, (0.4, 0.8), (0.6, 0.8))
        ink = drawn(page)
        assert not inked(ink, 0.5, 0.8) and inked(ink, 0.3, 0.8)

        live = page.locator("#sketch-live")
        expect(live).to_contain_text("the last 12 of 25 steps are run")
        page.locator("#sketch-control-strength input[type=range]").fill("0.4")
        expect(live).to_contain_text("Strength 0.4: the last 10 of 25 steps are run")
        page.locator("#sketch-look").click()
        expect(page.locator("#sketch-strip img")).to_have_count(5)
        expect(page.locator("#sketch-stages img")).to_have_count(4)
        page.locator("#sketch-control-prompt textarea").fill("a red house in the snow")
        page.locator("#sketch-run").click()
        expect(page.locator("#sketch-status")).to_contain_text("10 steps in")
        pictures = page.locator("#sketch-picture img")
        expect(pictures).to_have_count(4)
        expect(page.locator("#sketch-strip img")).to_have_count(4)
        expect(page.locator("#sketch-verdict")).to_contain_text("of 4: subject")
        page.screenshot(path=str(tmp_path / "drawn.png"), full_page=True)
        with page.expect_download() as waiting:
            page.locator("#sketch-download").click()
        waiting.value.save_as(tmp_path / "four.png")
        spec = read_recipe(tmp_path / "four.png")["spec"]
        seed = spec["seed"]
        assert (spec["count"], spec["strength"], spec["prompt"]) == (4, 0.4, "a red house in the snow")
        ran = np.asarray(open_upload(base64.b64decode(spec["picture"]["png"])).convert("L")) < 128
        assert (ran == ink).all(), "what was drawn is what was run"

        page.locator("#sketch-shelf").get_by_text("Go on from this picture").click()
        shelf = page.locator("#sketch-shelf")
        shelf.get_by_role("button", name="Diffuse").click()
        expect(page.get_by_text("picture: there are 4; open the one")).to_be_visible()
        expect(page.locator("#sketch-run")).to_be_enabled()
        pictures.nth(2).click()
        expect(page.locator("#sketch-picture")).to_contain_text(f"seed {seed + 2}")
        page.screenshot(path=str(tmp_path / "chosen.png"), full_page=True)
        shelf.get_by_role("button", name="Diffuse").click()
        expect(page.locator("#diffuse-control-canvas__init img")).to_be_visible()
        expect(page.locator("#diffuse-control-prompt textarea")).to_have_value("a red house in the snow")
        tab(page, "Sketch")
        assert (drawn(page) == ink).all()
        shelf.get_by_role("button", name="Sketch").click()
        expect(page.locator("#sketch-status")).to_contain_text("Received a picture and its sentence from Sketch")
        page.wait_for_function("""() => { const c = document.querySelector('#sketch-control-picture canvas');
            return [...c.getContext('2d').getImageData(5, 5, 1, 1).data].slice(0, 3).some((v) => v < 250); }""")
        press(page, "Undo")
        assert (drawn(page) == ink).all(), "what was there is one step back"


def test_a_finger_draws_on_a_phone(chromium, tmp_path, address):
    with visitor(chromium) as other:
        context = other.context.browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.goto(address)
        tab(page, "Sketch")
        canvas, _ = paper(page)
        assert canvas.bounding_box()["width"] > 300
        for tool in page.locator("#sketch-control-picture button").all():
            assert tool.bounding_box()["height"] >= 40, "a finger needs room"
        scrolled = page.evaluate("window.scrollY")
        touch(page, *WALLS)
        touch(page, *ROOF)
        assert page.evaluate("window.scrollY") == scrolled, "the paper stays under the finger"
        ink = drawn(page)
        assert inked(ink, 0.5, 0.15) and inked(ink, 0.25, 0.6) and not inked(ink, 0.5, 0.6)
        page.wait_for_timeout(500)  # sooner the browser takes it for the second tap of a double one
        page.locator("#sketch-run").tap()
        expect(page.locator("#sketch-status")).to_contain_text("12 steps in")
        expect(page.locator("#sketch-picture img")).to_have_count(4)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=str(tmp_path / "phone.png"), full_page=True)
        context.close()


def test_an_empty_pad_is_told_and_a_drawing_is_never_lost(chromium, tmp_path, address):
    with visitor(chromium) as page:
        page.goto(address)
        tab(page, "Sketch")
        alert, run = page.locator("#sketch-status [role=alert]"), page.locator("#sketch-run")
        run.click()
        expect(alert).to_contain_text("picture: the pad is empty; draw something, or upload a sketch")
        expect(run).to_be_enabled()
        page.screenshot(path=str(tmp_path / "empty.png"), full_page=True)
        upload = page.locator("#sketch-control-picture input[type=file]")
        Image.new("RGB", (60, 30), "teal").save(tmp_path / "teal.png")
        upload.set_input_files(tmp_path / "teal.png")
        expect(page.locator("#sketch-control-picture canvas")).to_have_attribute("height", str(SIDE // 2))  # its proportions
        run.click()
        expect(alert).to_contain_text("picture: the pad is of one colour all over")
        press(page, "Clear")
        draw(page, *WALLS)
        ink = drawn(page)
        prompt = page.locator("#sketch-control-prompt textarea")
        prompt.fill(" | ")
        run.click()
        expect(alert).to_contain_text("prompt")
        assert (drawn(page) == ink).all()
        (tmp_path / "no.png").write_bytes(b"no picture")
        upload.set_input_files(tmp_path / "no.png")
        expect(page.locator("#sketch-control-picture .lk-pad-said")).to_contain_text("no.png is no picture")
        assert (drawn(page) == ink).all()
        prompt.fill("a house")
        run.click()
        expect(page.locator("#sketch-status")).to_contain_text("12 steps in")
        expect(alert).to_have_count(0)
        large = Image.new("RGB", (900, 600), "white")
        ImageDraw.Draw(large).ellipse((300, 150, 600, 450), outline="black", width=12)
        large.save(tmp_path / "ring.png")
        upload.set_input_files(tmp_path / "ring.png")
        expect(page.locator("#sketch-control-picture canvas")).to_have_attribute("height", str(round(SIDE / 1.5)))
        ring = drawn(page)
        assert inked(ring, 0.5, 0.26) and not inked(ring, 0.5, 0.5)
        press(page, "Undo")
        assert (drawn(page) == ink).all()
