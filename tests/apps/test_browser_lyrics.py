"""Lyrics as a visitor meets them: a song goes in, phrases and a picture come out. The browser reaches loopback only."""

import zipfile

import pytest
from playwright.sync_api import expect

from apps import lyrics
from labkit.image import read_recipe
from labkit.views.gradio.app import PUBLIC, launch
from tests.apps.browser import visitor
from tests.apps.support import Slow, tiny_lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address():
    demo = lyrics.build(Slow(tiny_lab(), 0.05), PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


def test_song_phrases_picture_zip(address, chromium, tmp_path):
    with visitor(chromium, width=390, height=844) as page:
        page.goto(address)
        page.locator("#lyrics-text textarea").fill("Красное яблоко\nгудочка\nКрасное яблоко <b>\n")
        page.locator("#lyrics-find").click()
        why = page.locator("#lyrics-why-0")
        expect(why).to_contain_text("concreteness")
        expect(why).to_contain_text("lines 1, 3")
        first, second = (page.locator(f"#lyrics-prompt-{k}").locator("input, textarea") for k in (0, 1))
        expect(first).to_have_value("red apple")
        expect(second).to_have_value("")
        expect(page.locator("#lyrics-use-0 input")).to_be_checked()
        expect(page.locator("#lyrics-use-1 input")).not_to_be_checked()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "wider than a phone"

        first.fill("a hallelujah apple")
        page.locator("#lyrics-use-1 input").check()
        page.locator("#lyrics-use-2 input").uncheck()
        page.locator("#lyrics-steps input[type=number]").fill("12")
        page.locator("#lyrics-steps input[type=number]").press("Tab")
        page.locator("#lyrics-run").click()
        expect(page.locator("#lyrics-picture img")).to_be_visible()
        expect(page.locator("#lyrics-status")).to_contain_text("1 of 1 pictures made")
        expect(page.locator("#lyrics-notices")).to_contain_text("гудочка: left out")
        card = page.locator("#lyrics-cards figure")
        expect(card).to_have_count(1)
        expect(card).to_be_visible()
        expect(card).to_contain_text("→ a hallelujah apple")
        expect(card).to_contain_text("strength 2.5, CLIP")
        expect(card).to_contain_text("never seen 'hallelujah'")
        expect(page.locator("#lyrics-keep")).to_have_count(0)
        expect(page.locator("#lyrics-run")).to_be_enabled()
        with page.expect_download() as waiting:
            page.locator("#lyrics-zip").click()
        waiting.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        (name,) = archive.namelist()
        spec = read_recipe(archive.read(name))["spec"]
    assert spec["prompt"] == "a hallelujah apple" and spec["steps"] == 12
