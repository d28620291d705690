"""The page of any method: a description that fits its spec, what may be empty, what shows a run from inside."""

import json
import threading
import time
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
from gradio_client import Client
from PIL import Image

from apps import diffuse, paint, studio
from labkit.image import ImageInput, read_recipe, save_png
from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.runs.result import Result
from labkit.spec import SpecError, Step
from labkit.views.gradio import runs, workbench
from labkit.views.gradio.again import notebook_cell, restored
from labkit.views.gradio.app import LOCAL, PUBLIC, component, launch
from labkit.views.gradio.page import flat_of, inside_html, judged, spec_from
from tests.apps.support import tiny_lab

PAGES = [paint.PAGE, diffuse.PAGE]
QUICK = {"steps": 3, "cutouts__cutn": 2, "canvas__width": 16, "canvas__height": 16, "preview_every": 1}


@pytest.fixture(scope="module")
def lab():
    return tiny_lab()


@pytest.fixture(scope="module")
def client(lab):
    demo = diffuse.build(lab, PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield Client(demo.local_url, verbose=False)
    demo.close()


def ids(demo):
    return [block.elem_id for block in demo.blocks.values() if getattr(block, "elem_id", None)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_a_page_names_controls_of_its_spec_only_and_shows_each_once(page, lab):
    rows = [*page.main, *(row for _, rows in page.groups for row in rows), page.start]
    named = [*sum(rows, ()), *page.labels, *page.infos, *page.uploaded]
    assert set(named) <= set(page.controls)
    found = [i for i in ids(workbench.build(page, lab)) if "control-" in i]
    assert sorted(found) == sorted(f"{page.prefix}control-{name}" for name in page.controls)


def test_no_two_parts_of_the_studio_have_the_same_id(lab):
    found = ids(studio.build(lab))
    assert len(found) == len(set(found)), sorted(i for i in found if found.count(i) > 1)


def test_one_endpoint_reads_recipes_wherever_the_page_stands(lab):
    for page in (studio, diffuse, paint):
        names = [fn.api_name for fn in page.build(lab).fns.values()]
        assert [n for n in names if n and str(n).startswith("recipe")] == ["recipe"]


def test_what_may_be_empty_and_what_spans_orders_of_magnitude_is_typed():
    controls = diffuse.PAGE.controls
    strength, clip, skip = (controls[n] for n in ("guidance__strength", "guidance__clip_guidance_scale", "canvas__skip"))
    made = component(strength, LOCAL)
    assert isinstance(made, gr.Number) and (made.value, made.minimum, made.maximum) == (2.5, 0, 20)
    assert made.placeholder == "none" and made.preprocess(None) is None
    assert isinstance(component(clip, LOCAL), gr.Number) and isinstance(component(skip, LOCAL), gr.Slider)


def test_an_empty_strength_is_none(client):
    path, facts = client.predict(prompt="a red apple", seed=7, guidance__strength=None, **QUICK, api_name="/diffuse")
    spec = GuidedDiffusion(**read_recipe(path)["spec"])
    assert spec.guidance.strength is None and facts["finished"] and {"clip", "out of range"} <= facts["scores"].keys()
    assert spec_from(diffuse.PAGE, {"prompt": "a", "guidance__strength": ""}, {}, LOCAL).guidance.strength is None


def test_restore_gives_a_spec_with_an_initial_picture_back(tmp_path):
    image = ImageInput.of(Image.new("RGB", (64, 64), "teal"), 64, 64)
    spec = GuidedDiffusion(prompt="a cat", seed=11, canvas={"init": image, "skip": 0.4, "init_scale": 300},
                           guidance={"strength": None}, image_prompts=[{"image": image, "weight": 0.5}])
    recipe = {"method": "GuidedDiffusion", "spec": json.loads(spec.to_json())}
    path = save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", recipe)
    back, kept, _ = restored(diffuse.PAGE, path)
    assert back == spec and list(kept) == ["image_prompts"]
    values = flat_of(back)
    values["canvas__init"].pil().save(tmp_path / "init.png")
    assert spec_from(diffuse.PAGE, values | {"canvas__init": str(tmp_path / "init.png")}, kept, LOCAL) == spec
    with pytest.raises(SpecError, match="made by GuidedDiffusion, and this page works with VQGANCLIP"):
        restored(paint.PAGE, path)


def test_a_notebook_cell_takes_the_picture_where_there_is_one_and_the_values_where_not():
    plain = GuidedDiffusion(prompt='a "sha256": png', guidance={"strength": None})
    code = notebook_cell(plain, Result(plain))
    namespace = {"GuidedDiffusion": GuidedDiffusion}
    exec(code[code.index("spec = "):code.index("\nresult")], namespace)
    assert namespace["spec"] == plain
    image = ImageInput.of(Image.new("RGB", (64, 64)), 64, 64)
    held = GuidedDiffusion(prompt="a", canvas={"init": image})
    assert "spec_from_png" in notebook_cell(held, Result(held)) and image.png not in notebook_cell(held, Result(held))


def test_a_step_is_shown_from_inside():
    one = {name: torch.zeros(1, 3, 4, 4) for name in ("x", "x0", "x_in")}
    shown = inside_html(diffuse.PAGE, Step(0, 2, extras=one))
    assert shown.count("<img") == 3 and "the model&#x27;s guess" in shown
    assert inside_html(paint.PAGE, Step(0, 2, extras=one)) == "" == inside_html(diffuse.PAGE, Step(0, 2))


def test_the_judge_is_asked_for_what_the_prompt_wants_at_its_end():
    asked = []
    lab = SimpleNamespace(judge=SimpleNamespace(check=lambda image, words: asked.append(words) or (
        SimpleNamespace(subject="cat", colour="red", setting="sea", style="flat"), {})))
    for page, prompt in ((paint.PAGE, "a cat ^ a dog | a ship:-0.5"), (diffuse.PAGE, "a cat | a dog:-0.5")):
        judged(page, lab, page.method(prompt=prompt), Result(None))
    assert asked == ["a dog", "a cat"]


def test_a_visitor_stops_no_run_but_their_own():
    visits, (one, other) = runs.Runs(), (SimpleNamespace(session_hash=h) for h in "ab")
    assert visits.begin(one) and visits.begin(other)
    assert not visits.begin(one), "the last run has not ended"
    mine, theirs = visits.visit(one), visits.visit(other)
    visits.halt(one)
    assert [v.halted.is_set() for v in (mine, theirs)] == [True, False]
    visits.finish(one)
    visits.halt(one)  # nothing is on its way
    assert visits.begin(one) and not visits.visit(one).halted.is_set()


def test_the_line_is_first_come_first_served_and_may_be_left():
    line = runs.Line(2)
    with line.joined() as first:
        with line.joined() as second, line.joined() as third:
            assert [ahead(0) for ahead in (first, second, third)] == [0, 1, 2]
            with pytest.raises(SpecError, match="2 runs wait already"), line.joined():
                pass
        with line.joined() as late:
            assert late(0) == 1, "who left is before nobody"
    with line.turn():
        assert len(line) == 1
    assert len(line) == 0


def test_whose_turn_it_is_runs_alone_and_in_order():
    line, seen = runs.Line(20), []

    def take(k):
        with line.turn():
            seen.append(k)
            now = len(seen)
            time.sleep(0.02)
            assert len(seen) == now, "another one runs at the same time"

    threads = []
    with line.turn():
        for k in range(6):
            threads.append(threading.Thread(target=take, args=(k,)))
            threads[-1].start()
            while len(line) < k + 2:
                time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert seen == list(range(6))
