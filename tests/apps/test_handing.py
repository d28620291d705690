"""What can be sent where is asked of the specs; what a browser says is checked; a sentence is read from a recipe."""

from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from apps import codes, studio
from labkit import methods
from labkit.image import save_png
from labkit.spec import SpecError
from labkit.views.controls import fields
from labkit.views.gradio import handing
from labkit.views.gradio.app import LOCAL, component
from labkit.views.gradio.latents import ExplorerPanel
from labkit.views.gradio.opened import sentence_in
from tests.conformance import TinyLab


@pytest.fixture(scope="module")
def demo():
    return studio.build(TinyLab(), LOCAL)


def event(**data):
    return SimpleNamespace(_data=data)


def test_every_control_that_takes_pictures_is_a_place_and_every_offer_reaches_all(demo):
    desk = handing.DESKS[demo]
    into = {place.into.elem_id.rpartition("control-")[2] for place in desk.places if place.into}
    for name in methods.names():
        if not TinyLab().serves(methods.load(name).needs):
            continue  # the studio has no page of it
        found = fields(methods.load(name))
        pictures = {c.name for c in found if c.kind in ("image", "images")}
        assert pictures <= into, name
        assert pictures or not methods.load(name).has("prompt") or any(
            p.into is None and p.prompt for p in desk.places), f"{name} takes a sentence"
    tabs = {place.around(gr.Tab)[0].id for place in desk.places}
    assert {"Paint", "Diffuse", "Codes", "Latents"} <= tabs and {one.title for one in desk.offers} >= {"Codes", "Latent space"}
    html = handing.places_html(desk.places)
    assert html.count("data-place=") == len(desk.places)
    shelves = [block for block in demo.blocks.values() if isinstance(block, gr.HTML) and block.value == html]
    assert len(shelves) == len(desk.offers)


def test_a_page_alone_sends_to_itself():
    demo = codes.build(TinyLab(), LOCAL)
    (place,) = handing.DESKS[demo].places
    now = place.filled("Codes", "a.png", "a cat", None)
    assert now[place.into] == "a.png" and now[place.prompt] == "a cat" and place.around(gr.Tab) == []
    assert [now[part]["open"] for part in place.around(gr.Accordion)] == [True]
    assert place.prompt not in place.filled("Codes", "a.png", "", None), "no sentence leaves the prompt as it is"


def test_a_gallery_keeps_what_it_has(demo):
    place = next(p for p in handing.DESKS[demo].places if p.several)
    now = place.filled("Codes", "b.png", "", [("a.png", None)])
    assert now[place.into] == [("a.png", None), ("b.png", None)]
    tabs = place.around(gr.Tab)
    assert tabs and all(now[tab.parent]["selected"] == tab.id for tab in tabs)


@pytest.mark.parametrize("k", [-1, 2, 1.0, True, "0", None])
def test_a_number_that_no_button_has_is_refused(k):
    with pytest.raises(SpecError, match="place: there is no such one"):
        handing.numbered(event(place=k), "place", ["a", "b"])
    assert handing.numbered(event(place=1), "place", ["a", "b"]) == "b"


def test_the_explorer_names_a_file_by_its_number_only():
    with gr.Blocks():
        panel = ExplorerPanel("x-")
    files = [("/a.png", "a.png", "a <b> cat"), ("/b.png", "b.png", "")]
    assert panel._choose(files, event(chosen=0))[0] == ("/a.png", "a <b> cat")
    assert "a &lt;b&gt; cat" in panel._choose(files, event(chosen=0))[1]
    with pytest.raises(gr.Error, match="chosen: there is no such one"):
        panel._choose(files, event(chosen="../../etc/passwd"))
    with pytest.raises(SpecError, match="picture: none is chosen"):
        panel._taken(None)


def test_a_sentence_is_the_recipes_prompt_and_nothing_else(tmp_path):
    picture = Image.new("RGB", (8, 8))
    picture.save(tmp_path / "plain.png")
    save_png(picture, tmp_path / "made.png", {"spec": {"prompt": "a cat:2 | snow"}})
    save_png(picture, tmp_path / "odd.png", {"spec": {"prompt": ["a cat"]}})
    save_png(picture, tmp_path / "none.png", {"spec": "a cat"})
    assert [sentence_in(str(tmp_path / f"{n}.png")) for n in ("made", "plain", "odd", "none", "gone")] == [
        "a cat:2 | snow", "", "", "", ""]


def test_what_a_control_hands_on_survives_an_event_that_passes_it_by():
    """Gradio makes a component anew from its arguments then."""
    control = next(c for c in fields(methods.load("prior_sampling")) if c.name == "top__top_p")
    with gr.Blocks():
        made = component(control, LOCAL)
    again = type(made)(**made.constructor_args | {"render": False})
    assert again.preprocess(77) == 77 and again.get_block_name() == made.get_block_name() == "slider"
