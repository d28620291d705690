"""A new method and a new measure appear in the studio by themselves, with a page made from their fields alone.

The method has no prompt and a picture field; the measure looks at pictures and texts. Both live in modules that this test
writes, as a newcomer would.
"""

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import expect

from apps import studio
from labkit.image import read_recipe
from labkit.spec import MEASURES, METHODS
from labkit.views.gradio import measure, workbench
from labkit.views.gradio.app import PUBLIC, launch
from labkit.views.gradio.page import page_of
from tests.apps.browser import tab, visitor
from tests.apps.support import tiny_lab
from tests.conformance.toys import installed


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """(method, measure), in modules of labkit's own for as long as this module's tests run."""
    with installed(tmp_path_factory.mktemp("toys")) as made:
        yield made


@pytest.fixture(scope="module")
def demo(toys):
    demo = studio.build(tiny_lab(), PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo
    demo.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("white", "grey"):
        Image.new("RGB", (40, 30), name).save(folder / f"{name}.png")
    return [folder / "white.png", folder / "grey.png"]


def shown(demo: gr.Blocks, prefix: str) -> dict[str, gr.components.Component]:
    found = {getattr(b, "elem_id", None): b for b in demo.blocks.values()}
    return {i.removeprefix(prefix): b for i, b in found.items() if i and i.startswith(prefix)}


def test_tabs_appear_and_the_apps_made_by_hand_stay_first(toys):
    titles = list(studio.tabs(tiny_lab()))
    assert titles[:9] == ["Paint", "Diffuse", "Sketch", "Style", "Codes", "Lyrics", "Survey", "Similarity", "Latents"]
    assert {"Toy posterise", "Toy lightness"} <= set(titles)
    assert not {"Vqganclip", "Guided diffusion", "Prior sampling", "Key phrases", "Similarity matrix",
                "Projection"} & set(titles), "they have an app"


def test_controls_follow_from_the_fields(demo):
    method, look = shown(demo, "toy_posterise-"), shown(demo, "toy_lightness-")
    assert isinstance(method["control-sketch"], gr.Image) and isinstance(method["control-steps"], gr.Slider)
    assert method["control-steps"].maximum == PUBLIC.caps["steps"]
    assert method["control-shades__words"].value == "light\ndark"
    assert not {"control-prompt", "control-seed", "fresh"} & set(method), "it has neither prompt nor seed"
    assert isinstance(look["pictures"], gr.Gallery) and isinstance(look["control-names"], gr.Textbox)
    assert look["control-gain"].maximum == 3 and "control-floor" not in look


def test_every_method_and_measure_makes_a_page(toys):
    lab = tiny_lab()
    lab.names |= dict.fromkeys(lab.names, "tiny")  # a page of a model that there is not only says so
    for method in [m for m in METHODS.values() if m.__module__.startswith("labkit.")] + [toys[0]]:
        page = page_of(method)
        found = [i for i in shown(workbench.build(page, lab), page.prefix) if i.startswith("control-")]
        assert sorted(found) == sorted(f"control-{name}" for name in page.controls)
    for one in [m for m in MEASURES.values() if m.__module__.startswith("labkit.")] + [toys[1]]:
        assert measure.build(one, lab).get_api_info()["named_endpoints"]


def test_the_method_over_the_api(demo, pictures):
    client = Client(demo.local_url, verbose=False)
    path, facts = client.predict(sketch=handle_file(str(pictures[1])), steps=4, api_name="/toy_posterise")
    assert (facts["step"], facts["n"], facts["finished"]) == (4, 4, True) and "seed" not in facts
    assert facts["scores"] == {"bits": 1.0} and facts["notices"] == ["called light", "called dark"]
    spec = read_recipe(path)["spec"]
    assert spec["sketch"]["width"] == 40 and spec["shades"]["words"] == ["light", "dark"]
    for bad, said in (({"steps": 301}, "300"), ({"steps": "many"}, "give a number"), ({"speckle": 2}, "speckle")):
        with pytest.raises(AppError, match=said):
            client.predict(**{"sketch": handle_file(str(pictures[1]))} | bad, api_name="/toy_posterise")


def test_the_measure_over_the_api(demo, pictures):
    client = Client(demo.local_url, verbose=False)
    gallery = [{"image": handle_file(str(path)), "caption": None} for path in pictures]
    figure, table, notices = client.predict("snow\nfog", gallery, api_name="/toy_lightness")
    with Image.open(figure) as image:
        assert image.width > 100
    assert table["data"] == [["snow", 1.376], ["fog", 0.878]] and notices == ["grey is in between"], "no float noise"
    with pytest.raises(AppError, match="there are 2 for 1 names"):
        client.predict("snow", gallery, api_name="/toy_lightness")


@pytest.mark.browser
def test_in_the_browser(demo, pictures, chromium):
    with visitor(chromium) as page:
        page.goto(demo.local_url)
        tab(page, "Toy posterise")
        page.locator("#toy_posterise-run").click()
        alert = page.locator("#toy_posterise-status [role=alert]")
        expect(alert).to_contain_text("sketch: is missing; give a picture")
        expect(page.locator("#toy_posterise-run")).to_be_enabled()
        page.locator("#toy_posterise-control-sketch input[type=file]").set_input_files(pictures[1])
        expect(page.locator("#toy_posterise-control-sketch img")).to_be_visible()
        page.locator("#toy_posterise-run").click()
        expect(page.locator("#toy_posterise-status")).to_contain_text("5 steps in")
        expect(page.locator("#toy_posterise-picture img")).to_be_visible()
        expect(page.locator("#toy_posterise-notices")).to_contain_text("called dark")
        expect(page.locator("#toy_posterise-verdict")).to_be_hidden()  # no prompt: nothing for the judge to find
        page.get_by_role("button", name="Make it again in a notebook").locator("visible=true").click()
        expect(page.locator("#toy_posterise-code")).to_contain_text("from labkit.methods.toy_posterise import ToyPosterise")

        tab(page, "Toy lightness")
        page.locator("#toy_lightness-run").click()
        expect(page.locator("#toy_lightness-status [role=alert]")).to_contain_text("pictures: give 1 to 24 pictures; got 0")
        page.locator("#toy_lightness-pictures input[type=file]").set_input_files(pictures)
        expect(page.locator("#toy_lightness-pictures img").nth(1)).to_be_visible()
        page.locator("#toy_lightness-control-names textarea").fill("snow")
        page.locator("#toy_lightness-run").click()
        expect(page.locator("#toy_lightness-status [role=alert]")).to_contain_text("there are 2 for 1 names")
        page.locator("#toy_lightness-control-names textarea").fill("snow\nfog")
        page.locator("#toy_lightness-run").click()
        expect(page.locator("#toy_lightness-figure img")).to_be_visible()
        expect(page.locator("#toy_lightness-notices")).to_contain_text("grey is in between")
        page.get_by_role("button", name="Table").locator("visible=true").click()
        expect(page.locator("#toy_lightness-table")).to_contain_text("0.878")
        expect(page.locator("#toy_lightness-run")).to_be_enabled()


@pytest.mark.browser
def test_more_tabs_are_no_wider_than_a_phone(demo, chromium):
    with visitor(chromium, width=390, height=844) as page:
        page.goto(demo.local_url)
        expect(page.locator("#run")).to_be_visible()
        page.wait_for_function("document.querySelectorAll('[role=tab]').length < 7")  # the rest are in the menu
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
