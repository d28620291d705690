"""Every page after a refusal: its words in the status line, the button active again, and a good run works at once.

A refused input once locked the studio until it was reloaded. The browser reaches loopback only.
"""

import re

import gradio as gr
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from apps import studio
from labkit.views.gradio.app import PUBLIC, launch
from labkit.views.gradio.runs import wire
from tests.apps.browser import visitor
from tests.apps.support import Slow, tiny_lab

pytestmark = pytest.mark.browser

BAD_PROMPTS = ["", " | ", "a cat:0", "a cat:1 | a dog:-1"]


@pytest.fixture(scope="module")
def address():
    demo = studio.build(Slow(tiny_lab(), 0.1), PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo.local_url
    demo.close()


@pytest.fixture
def page(chromium, address):
    with visitor(chromium) as page:
        page.goto(address)
        yield page


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def number(page: Page, name: str):
    return page.locator(f"#{name} input[type=number]")


def refused(page: Page, button: str, line: str, words: str) -> None:
    """Press; the status says what was wrong, and the button can be pressed again."""
    page.locator(button).click()
    alert = page.locator(f"{line} [role=alert]")
    expect(alert).to_contain_text(re.compile(words))
    expect(page.locator(button)).to_be_enabled()
    assert "Traceback" not in page.locator("body").inner_text()


@pytest.mark.parametrize(("name", "at", "bounds"), [("Paint", "", "canvas__width"), ("Diffuse", "diffuse-", "canvas__height")])
def test_a_method(page, tmp_path, name, at, bounds):
    tab(page, name)
    prompt, run, line = page.locator(f"#{at}control-prompt textarea"), f"#{at}run", f"#{at}status"
    set_quick(page, at)
    for bad in BAD_PROMPTS:
        prompt.fill(bad)
        refused(page, run, line, "prompt|weight|sum")
        expect(page.locator(f"#{at}stop")).to_be_disabled()
    prompt.fill("a red apple")
    size = number(page, f"{at}control-{bounds}")
    size.fill("33")  # no multiple of what the models divide by
    refused(page, run, line, "33")
    size.fill("64")
    page.get_by_role("button", name="Start from a picture").locator("visible=true").click()
    (tmp_path / "no.png").write_bytes(b"<html>no picture</html>")
    page.locator(f"#{at}control-canvas__init input[type=file]").set_input_files(tmp_path / "no.png")
    page.locator(f"#{at}control-canvas__init img").wait_for(state="attached")
    refused(page, run, line, r"canvas__init: no\.png: this is no picture")
    Image.new("RGB", (40, 20), "teal").save(tmp_path / "yes.png")
    page.locator(f"#{at}control-canvas__init").get_by_role("button", name="Remove Image").click()
    page.locator(f"#{at}control-canvas__init input[type=file]").set_input_files(tmp_path / "yes.png")
    page.locator(run).click()
    expect(page.locator(line)).to_contain_text(re.compile("steps? in"))
    expect(page.locator(f"#{at}picture img")).to_be_visible()
    expect(page.locator(run)).to_be_enabled()
    expect(page.locator(f"{line} [role=alert]")).to_have_count(0)


def set_quick(page: Page, at: str) -> None:
    number(page, f"{at}control-steps").fill("3")
    number(page, f"{at}control-steps").press("Tab")


def test_lyrics(page):
    tab(page, "Lyrics")
    song = page.locator("#lyrics-text textarea")
    ukrainian = "Тиха ґрунтівка, їде він до міста, " * 5
    for bad, words in (("", "text"), ("... 12 !", "no words"), ("# title: X\n[Chorus]\n", "not sung"),
                       (ukrainian, "English and Russian")):  # fmt: skip
        song.fill(bad)
        refused(page, "#lyrics-find", "#lyrics-sought", words)
    song.fill("A red apple in the snow\na ship on the sea\n")
    page.locator("#lyrics-find").click()
    expect(page.locator("#lyrics-why-0")).to_contain_text("concreteness")
    expect(page.locator("#lyrics-sought")).to_be_hidden()
    number(page, "lyrics-steps").fill("4")
    number(page, "lyrics-steps").press("Tab")
    run, line = "#lyrics-run", "#lyrics-status"
    ticked = page.locator("[id^=lyrics-use-] input:checked")
    chosen = ticked.count()
    for _ in range(chosen):
        ticked.first.uncheck()
    refused(page, run, line, "choose at least one")
    page.locator("#lyrics-use-0 input").check()
    prompt = page.locator("#lyrics-prompt-0").locator("input, textarea")
    good = prompt.input_value()
    for bad in (" ", "a:1 | b:-1"):
        prompt.fill(bad)
        refused(page, run, line, "prompt|sum")
    prompt.fill(good)
    strong = page.locator("#lyrics-strengths input:checked")
    strong.first.uncheck()
    refused(page, run, line, "strength: choose at least one")
    page.locator("#lyrics-strengths input").first.check()
    page.locator(run).click()
    expect(page.locator(line)).to_contain_text("1 of 1 pictures made")
    expect(page.locator(run)).to_be_enabled()


def test_similarity_and_patches(page):
    tab(page, "Similarity")
    texts = page.locator("#texts textarea")
    good = texts.input_value()
    for bad in ("", "\n \n", "a\n" * 25, "a" * 301):
        texts.fill(bad)
        refused(page, "#compare", "#compare-status", "texts: ")
    texts.fill(good)
    page.locator("#compare").click()
    expect(page.locator("#heat img")).to_be_visible()
    expect(page.locator("#compare-status")).to_be_hidden()
    for bad in ("", "0", "7", "1.5"):
        number(page, "pair-number").fill(bad)
        refused(page, "#look", "#look-status", "picture: ")
    number(page, "pair-number").fill("2")
    page.locator("#pair-text textarea").fill("")
    refused(page, "#look", "#look-status", "texts: ")
    page.locator("#pair-text textarea").fill("a red apple")
    page.locator("#look").click()
    expect(page.locator("#patches img")).to_be_visible()
    expect(page.locator("#look")).to_be_enabled()


def test_a_fault_of_ours_gives_the_button_back_too(page, monkeypatch, capfd):
    from labkit.methods.vqgan_clip import VQGANCLIP

    with monkeypatch.context() as patch:
        patch.setattr(VQGANCLIP, "run", lambda self, lab, resume=None: 1 / 0)
        refused(page, "#run", "#status", "ZeroDivisionError.*fault of labkit")
    assert "ZeroDivisionError" in capfd.readouterr().err, "the log says where"
    set_quick(page, "")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(re.compile("steps? in"))


def test_a_typed_seed_is_used(page):
    for name, at, fresh, seed in (("Paint", "", "#fresh", "control-seed"), ("Diffuse", "diffuse-", "#diffuse-fresh",
                                                                           "diffuse-control-seed")):
        tab(page, name)
        set_quick(page, at)
        expect(page.locator(f"{fresh} input")).to_be_checked()
        number(page, seed).fill("4711")
        expect(page.locator(f"{fresh} input")).not_to_be_checked()
        page.locator(f"#{at}run").click()
        expect(page.locator(f"#{at}status")).to_contain_text("seed 4711")
        expect(page.locator(f"#{at}run")).to_be_enabled()
        page.locator(f"{fresh} input").check()
        page.locator(f"#{at}run").click()
        expect(page.locator(f"#{at}status")).not_to_contain_text("seed 4711")
        expect(page.locator(f"#{at}run")).to_be_enabled()
        expect(page.locator(f"{fresh} input")).to_be_checked()


def test_what_never_starts_gives_the_button_back_too(chromium):
    """A full queue, or a component that refuses what it gets: then the page is told by the failure alone."""

    def refuse(payload):
        raise gr.Error("the queue is full", print_exception=False)

    with gr.Blocks() as demo:
        text, run, stop, line = gr.Textbox(), gr.Button("Go", elem_id="go"), gr.Button("Stop"), gr.HTML(elem_id="line")
        wire(run, lambda stopped, value: {line: value}, [text], [line], line, stop)
    text.preprocess = refuse
    launch(demo, prevent_thread_lock=True, quiet=True)
    with visitor(chromium) as page:
        page.goto(demo.local_url)
        refused(page, "#go", "#line", "This did not start")
        del text.preprocess
        page.locator("textarea").fill("hello")
        page.locator("#go").click()
        expect(page.locator("#line")).to_have_text("hello")
        expect(page.locator("#go")).to_be_enabled()
    demo.close()
