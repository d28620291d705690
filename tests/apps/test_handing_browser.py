"""A picture goes from one page of the studio to another, as a visitor sends it: from a selection of the map, and from a run."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from apps import studio
from labkit.image import save_png
from labkit.views.gradio.app import LOCAL, launch
from tests.apps.browser import tab, visitor
from tests.apps.test_latents_browser import lasso
from tests.conformance import TinyLab

pytestmark = pytest.mark.browser
COLOURS = ["red", "green", "blue", "black", "yellow", "white"]
HOSTILE = 'a ${alert(1)} {{value}} <script>alert(2)</script> `tick` \\ "quoted" & é'


@pytest.fixture(scope="module")
def address():
    demo = studio.build(TinyLab(), LOCAL)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 1300), (390, 844)], ids=["desktop", "phone"])
def test_a_picture_of_a_selection_goes_to_a_method_with_its_sentence(chromium, tmp_path, address, width, height):
    for colour in COLOURS:
        save_png(Image.new("RGB", (16, 16), colour), tmp_path / f"{colour}.png",
                 {"method": "VQGANCLIP", "spec": {"prompt": f"{HOSTILE} {colour}"}})
    with visitor(chromium, width, height) as page:
        page.goto(address)
        tab(page, "Latents")
        page.locator("#projection-pictures input[type=file]").set_input_files([tmp_path / f"{c}.png" for c in COLOURS])
        expect(page.locator("#projection-pictures img")).to_have_count(len(COLOURS))
        page.locator("#projection-run").click()
        frame = page.frame_locator("#projection-explorer iframe")
        canvas = frame.locator("#maps canvas").first
        expect(canvas).to_be_visible()
        send = page.locator("#projection-shelf").get_by_role("button", name="Diffuse")
        send.click()
        expect(page.get_by_text("picture: none is chosen")).to_be_visible()
        lasso(page, canvas)
        figure = frame.locator("#gallery figure", has_text="black")
        expect(figure).to_contain_text(f"{HOSTILE} black")  # letter by letter: no template has read it
        figure.click()
        expect(page.locator("#projection-chosen")).to_contain_text(f"black.png, “{HOSTILE} black”")
        page.screenshot(path=str(tmp_path / f"chosen-{width}.png"), full_page=True)
        send.click()
        start = page.locator("#diffuse-control-canvas__init img")
        expect(start).to_be_visible()
        expect(page.locator("#diffuse-control-prompt textarea")).to_have_value(f"{HOSTILE} black")
        expect(page.locator("#diffuse-control-canvas__skip input[type=number]")).to_have_value("0.5")
        expect(page.locator("#diffuse-status")).to_contain_text("Received a picture and its sentence from Latent space")
        shown = start.evaluate("""(image) => { const canvas = document.createElement('canvas'), g = canvas.getContext('2d');
            g.drawImage(image, 0, 0, 1, 1); return [...g.getImageData(0, 0, 1, 1).data]; }""")
        assert shown == [0, 0, 0, 255]
        page.screenshot(path=str(tmp_path / f"received-{width}.png"), full_page=True)


def test_what_a_run_made_goes_on_to_another_page_and_into_a_gallery(chromium, tmp_path, address):
    with visitor(chromium, height=1300) as page:
        page.goto(address)
        tab(page, "Codes")
        page.locator("#codes-shelf").get_by_text("Go on from this picture").click()
        shelf = page.locator("#codes-shelf")
        shelf.get_by_role("button", name="Paint", exact=True).click()
        expect(page.get_by_text("picture: there is none yet")).to_be_visible()
        page.locator("#codes-control-prompt textarea").fill("a red apple:2 | snow")
        page.locator("#codes-run").click()
        expect(page.locator("#codes-status")).to_contain_text("40 steps in")
        expect(page.locator("#codes-download")).to_be_enabled()
        page.screenshot(path=str(tmp_path / "codes.png"), full_page=True)
        for count in (1, 2):
            shelf.get_by_role("button", name="Latents").click()
            expect(page.locator("#projection-pictures img")).to_have_count(count)
            tab(page, "Codes")
        shelf.get_by_role("button", name="Paint", exact=True).click()
        expect(page.locator("#control-canvas__init img")).to_be_visible()
        expect(page.locator("#control-prompt textarea")).to_have_value("a red apple:2 | snow")
