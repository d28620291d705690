"""The studio as a visitor meets it: a real browser types, watches, stops, downloads and restores.

The browser reaches loopback only; any request beyond it is aborted and fails the test.
"""

import itertools
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from apps import studio
from labkit.image import read_recipe
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.views.gradio.app import LOCAL, launch
from tests.apps.browser import visitor
from tests.apps.support import Slow, tiny_lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def lab():
    return Slow(tiny_lab(), 0.15)


@pytest.fixture(scope="module")
def address(lab):
    demo = studio.build(lab, LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


@pytest.fixture
def page(chromium):
    with visitor(chromium) as page:
        yield page


def number(page: Page, name: str):
    return page.locator(f"#control-{name} input[type=number]")


def set_number(page: Page, name: str, value: int) -> None:
    number(page, name).fill(str(value))
    number(page, name).press("Tab")


def test_paint_stop_download_restore(page, address, tmp_path):
    page.goto(address)
    prompt = page.locator("#control-prompt textarea")
    prompt.fill("a purple castle at night | hallelujah:0.5")
    page.get_by_role("button", name="More controls").click()
    set_number(page, "preview_every", 1)
    set_number(page, "steps", 400)
    expect(page.get_by_text("Made by pocket models")).to_be_visible()

    page.locator("#run").click()
    picture = page.locator("#picture img")
    expect(picture).to_be_visible()
    first = picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", first)
    page.wait_for_function("document.querySelector('#picture img').naturalWidth === 64")
    expect(picture).to_have_css("image-rendering", "pixelated")
    assert picture.bounding_box()["width"] >= 380, "64 pixels are too small to look at"
    expect(page.locator("#notices")).to_contain_text("never seen 'hallelujah'")
    expect(page.locator("#run")).to_be_disabled()

    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("stopped after")
    expect(page.locator("#verdict")).to_contain_text("The judge sees")
    expect(page.locator("#run")).to_be_enabled()
    expect(picture).to_be_visible()

    with page.expect_download() as waiting:
        page.locator("#download").click()
    path = tmp_path / "painted.png"
    waiting.value.save_as(path)
    recipe = read_recipe(path)
    with Image.open(path) as image:
        assert image.size == (64, 64)
    assert recipe["spec"]["prompt"] == "a purple castle at night | hallelujah:0.5"
    assert 1 <= recipe["steps_done"] < 400 == recipe["spec"]["steps"]
    seed = recipe["spec"]["seed"]
    assert number(page, "seed").input_value() == str(seed), "the seed that was used is shown"

    page.reload()
    expect(page.locator("#fresh input")).to_be_checked()
    prompt.fill("something else")
    page.get_by_role("button", name="Restore from a PNG").click()
    page.locator("#restore input[type=file]").set_input_files(path)
    expect(prompt).to_have_value(recipe["spec"]["prompt"])
    expect(number(page, "seed")).to_have_value(str(seed))
    expect(number(page, "steps")).to_have_value("400")
    expect(page.locator("#fresh input")).not_to_be_checked()
    expect(page.locator("#told")).to_contain_text("Controls restored")

    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    page.get_by_role("button", name="Clear").last.click()
    page.locator("#restore input[type=file]").set_input_files(tmp_path / "foreign.png")
    expect(page.get_by_text("this PNG holds no labkit recipe")).to_be_visible()


def test_the_second_visitor_sees_their_place_and_may_leave_it(chromium, address, lab):
    with visitor(chromium) as first:
        other = first.context.browser.new_page(viewport={"width": 1280, "height": 900})
        for page in (first, other):
            page.goto(address)
            set_number(page, "steps", 60)
        first.locator("#run").click()
        expect(first.locator("#status")).to_contain_text("left")
        other.locator("#run").click()
        expect(other.locator("#status")).to_contain_text("Waiting in line: 1 run is before yours")
        expect(other.locator("#run")).to_be_disabled()
        other.locator("#stop").click()
        expect(other.locator("#status")).to_contain_text("Stopped before it began", timeout=5_000)
        expect(other.locator("#run")).to_be_enabled()
        expect(first.locator("#status")).to_contain_text("left")
        first.locator("#stop").click()
        expect(first.locator("#status")).to_contain_text("stopped after")
        looks = lab.guide.looks
        first.wait_for_timeout(1500)
        assert lab.guide.looks == looks, "the run that was stopped in the line never starts"
        set_number(other, "steps", 2)
        other.locator("#run").click()
        expect(other.locator("#status")).to_contain_text("2 steps in")
        other.close()


def test_stop_shows_the_step_at_which_it_stopped(page, address, tmp_path):
    page.goto(address)
    page.get_by_role("button", name="More controls").click()
    set_number(page, "preview_every", 1000)
    set_number(page, "steps", 300)
    page.locator("#run").click()
    picture = page.locator("#picture img")
    expect(picture).to_be_visible()
    first = picture.get_attribute("src")
    expect(page.locator("#status")).to_contain_text(re.compile("step ([4-9]|[1-9][0-9]+) of 300"))
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("stopped after")
    expect(picture).not_to_have_attribute("src", first)
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(tmp_path / "stopped.png")
    recipe = read_recipe(tmp_path / "stopped.png")
    spec = VQGANCLIP(**recipe["spec"])
    *_, last = itertools.islice(spec.run(tiny_lab()), recipe["steps_done"])
    with Image.open(tmp_path / "stopped.png") as image:
        assert image.convert("RGB").tobytes() == last.picture().tobytes(), "it is of its own step, not the last preview"


def test_compare_texts_with_pictures(page, address):
    page.goto(address)
    page.get_by_role("tab", name="Similarity").click()
    page.locator("#texts textarea").fill("a red apple\na hallelujah\na dog\na ship\na house\na cat")
    page.locator("#compare").click()
    expect(page.locator("#heat img")).to_be_visible()
    expect(page.locator("#said")).to_contain_text("R@1")
    expect(page.locator("#said")).to_contain_text("never seen 'hallelujah'")
    page.locator("#look").click()
    expect(page.locator("#patches img")).to_be_visible()
