"""A map of a folder, opened in the studio: its pictures go to methods, and nothing beside the folder does."""

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import expect

from apps import studio
from labkit.image import ImageError, save_png
from labkit.spec import SpecError
from labkit.views.explorer.page import write_page
from labkit.views.explorer.points import Points
from labkit.views.gradio.app import LOCAL, launch, read_args
from labkit.views.gradio.opened import OpenedMap
from tests.apps.browser import visitor
from tests.apps.test_handing_browser import tab
from tests.conformance import TinyLab

COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


@pytest.fixture
def folder(tmp_path):
    for name, colour in COLOURS.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "in" / f"{name}.jpg")
    return tmp_path


def made(folder, names=None, captions=("a sign: 12:30 | open", "", "")) -> str:
    names = names or [f"in/{name}.jpg" for name in COLOURS]
    thumbs = [Image.new("RGB", (8, 8), colour) for colour in COLOURS.values()]
    points = Points(names, {"map": [[0, 0], [1, 0], [0, 1]]}, captions, {}, thumbs)
    return str(write_page(points, folder / "map.html"))


def test_a_picture_is_the_file_and_its_caption_a_prompt(folder):
    found = OpenedMap.read(made(folder), str(folder))
    picture, words = found.picture(0)
    assert picture.size == (40, 30) and words == '"a sign: 12:30 | open"'
    assert found.picture(1)[1] == ""
    save_png(picture, folder / "in" / "made.png", {"spec": {"prompt": "a cat:2 | snow"}})
    again = OpenedMap.read(made(folder, ["in/made.png", "in/red.jpg", "in/blue.jpg"], ()), str(folder))
    assert again.picture(0)[1] == "a cat:2 | snow" and again.picture(2)[1] == ""
    (folder / "in" / "red.jpg").unlink()
    with pytest.raises(ImageError, match="red.jpg"):
        again.picture(1)


def test_what_is_no_map_or_not_of_the_folder_is_refused(folder):
    path = made(folder)
    with pytest.raises(SpecError, match="--map: .*gone.html: No such file"):
        OpenedMap.read(str(folder / "gone.html"), str(folder))
    with pytest.raises(SpecError, match="--folder: .*holds no in/red.jpg, which the map shows"):
        OpenedMap.read(path, str(folder / "in"))
    (folder / "other.html").write_text("<p>other</p>")
    with pytest.raises(SpecError, match="other.html: is no map"):
        OpenedMap.read(str(folder / "other.html"), str(folder))
    with pytest.raises(SpecError, match="lies outside of the folder"):
        OpenedMap.read(made(folder, ["in/red.jpg", "../secret.png", "in/blue.jpg"]), str(folder))
    with pytest.raises(SystemExit):
        read_args(["--map", path])


@pytest.mark.browser
def test_a_picture_of_the_folder_goes_to_a_method(chromium, folder, monkeypatch):
    monkeypatch.setattr(OpenedMap, "shown", OpenedMap.read(made(folder), str(folder)))
    demo = studio.build(TinyLab(), LOCAL)
    assert isinstance(demo, gr.Blocks)
    launch(demo, prevent_thread_lock=True, quiet=True)
    try:
        with visitor(chromium, height=1300) as page:
            page.goto(demo.local_url)
            tab(page, "Latents")
            frame = page.frame_locator("#projection-explorer iframe")
            page.locator("#projection-explorer iframe").scroll_into_view_if_needed()
            frame.locator("#find").fill("red")
            frame.locator("#gallery figure").click()
            expect(page.locator("#projection-chosen")).to_contain_text("in/red.jpg")
            page.locator("#projection-shelf").get_by_role("button", name="Paint", exact=True).click()
            expect(page.locator("#control-canvas__init img")).to_be_visible()
            expect(page.locator("#control-prompt textarea")).to_have_value('"a sign: 12:30 | open"')
    finally:
        demo.close()
