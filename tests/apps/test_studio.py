"""The studio without a browser: what it offers, what it refuses, and runs through its own API."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pandas as pd
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from apps import diffuse, lyrics, paint, similarity, studio
from labkit.image import ImageError, ImageInput, read_recipe, save_png
from labkit.kinds import KINDS
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.prompt import PromptError
from labkit.runs.result import Result
from labkit.spec import NonFiniteError, SpecError, Step
from labkit.views.controls import fields
from labkit.views.gradio import app, markup
from labkit.views.gradio.again import notebook_cell, restored
from labkit.views.gradio.app import LOCAL, PUBLIC, component, launch, read_args, stream
from labkit.views.gradio.page import flat_of, spec_from
from labkit.weights import WeightsError
from tests.apps.support import Slow, tiny_lab

ENDPOINTS = ["/captions", "/clipstyler", "/codes", "/diffuse", "/inpainting", "/occlusion_map", "/paint", "/phrases",
             "/projection", "/recipe", "/similarity", "/sketch", "/strength_shown", "/text_to_image"]
QUICK = {"steps": 4, "cutouts__cutn": 2, "canvas__width": 32, "canvas__height": 32, "preview_every": 1}


@pytest.fixture(scope="module")
def lab():
    return Slow(tiny_lab(), 0.02)


@pytest.fixture(scope="module")
def demo(lab):
    demo = studio.build(lab, PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    yield demo
    demo.close()


@pytest.fixture(scope="module")
def client(demo):
    return Client(demo.local_url, verbose=False)


def recipe(**spec):
    return {"method": "VQGANCLIP", "spec": {"prompt": "an apple"} | spec, "steps_done": 1}


def opened(path):
    with Image.open(path) as image:
        return image.copy()


def png(path, found):
    return str(save_png(Image.new("RGB", (8, 8), "red"), path, found))


@pytest.mark.parametrize("name", ["paint", "diffuse", "lyrics", "similarity", "studio"])
def test_every_app_builds_alone(lab, name):
    page = {"paint": paint, "diffuse": diffuse, "lyrics": lyrics, "similarity": similarity, "studio": studio}[name].build(lab)
    assert page.get_api_info()["named_endpoints"]


def test_endpoints_are_these_and_described(demo):
    found = demo.get_api_info()["named_endpoints"]
    assert sorted(found) == ENDPOINTS
    assert all(endpoint["description"] for endpoint in found.values())
    names = [p["parameter_name"] for p in found["/paint"]["parameters"]]
    assert names == [control.name for control in fields(VQGANCLIP)]


def test_what_computes_shares_one_queue_with_equal_limits(demo):
    heavy = [fn for fn in demo.fns.values() if fn.concurrency_id == app.COMPUTE["concurrency_id"]]
    assert len(heavy) >= 5
    assert {fn.concurrency_limit for fn in heavy} == {app.COMPUTE["concurrency_limit"]}


def test_bounds_are_the_specs():
    for control in fields(VQGANCLIP):
        if control.kind in ("int", "float"):
            made = component(control, LOCAL)
            cap = LOCAL.cap(control.name) or control.maximum
            assert (made.minimum, made.maximum) == (control.minimum, min(cap, control.maximum)), control.name
            assert made.value == control.default


def test_a_run_over_the_api_gives_a_png_with_its_recipe(client):
    job = client.submit(prompt="a red apple", seed=7, **QUICK, api_name="/paint")
    path, facts = job.result(timeout=120)
    found = read_recipe(path)
    assert found["spec"]["prompt"] == "a red apple" and found["spec"]["seed"] == facts["seed"] == 7
    assert facts["finished"] and facts["step"] == facts["n"] == 4
    again, _ = client.predict(prompt="a red apple", seed=7, **QUICK, api_name="/paint")
    assert opened(path).tobytes() == opened(again).tobytes()
    assert client.predict(png=handle_file(path), api_name="/recipe") == found


def test_cancel_ends_the_run(client, lab):
    job = client.submit(prompt="a dog", **QUICK | {"steps": 300}, api_name="/paint")
    patience = time.monotonic() + 60
    while not job.outputs() and time.monotonic() < patience:
        time.sleep(0.05)
    assert job.outputs() and not job.done()
    job.cancel()
    looks = [lab.guide.looks]
    while time.monotonic() < patience:
        time.sleep(1)
        looks.append(lab.guide.looks)
        if looks[-1] == looks[-2]:
            break
    assert looks[-1] == looks[-2] < 300, "the run goes on"


@pytest.mark.parametrize(("bad", "said"), [
    ({"steps": 301}, "300"), ({"canvas__width": 512}, "128"), ({"cutouts__cutn": 65}, "64"), ({"seed": -1}, "0"),
    ({"prompt": "a:1 | b:-1"}, "sum to 0"), ({"canvas__start": "image"}, "gradient"), ({"canvas__width": 33}, "multiple"),
])  # fmt: skip
def test_what_is_out_of_bounds_is_refused_in_words(client, bad, said):
    with pytest.raises(AppError) as caught:
        client.predict(**{"prompt": "a dog"} | QUICK | bad, api_name="/paint")
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_limits_hold_without_the_components():
    with pytest.raises(SpecError, match="steps: this app allows at most 300; got 301"):
        spec_from(paint.PAGE, {"prompt": "a dog", "steps": 301}, {}, PUBLIC)


def test_restore_gives_the_spec_back(tmp_path):
    image = ImageInput.of(Image.new("RGB", (64, 64), "teal"), 64, 64)
    spec = VQGANCLIP(prompt="a cat | a dog:-0.5", seed=11, canvas={"init": image},
                     noise_prompts=[{"seed": 3, "weight": -1}], optimiser={"lr": 0.3})  # fmt: skip
    path = png(tmp_path / "a.png", {"method": "VQGANCLIP", "spec": json.loads(spec.to_json())})
    back, kept, _ = restored(paint.PAGE, path)
    assert back == spec and list(kept) == ["noise_prompts"]
    values = flat_of(back)
    values["canvas__init"].pil().save(tmp_path / "init.png")
    values["canvas__init"] = str(tmp_path / "init.png")  # as the page holds it
    assert spec_from(paint.PAGE, values, kept, LOCAL) == spec


@pytest.mark.parametrize("init", [
    "/etc/passwd", "https://example.org/a.png", {"path": "/etc/passwd"},
    {"sha256": "0" * 64, "width": 64, "height": 64, "png": "/etc/passwd"},
    {"sha256": "0" * 64, "width": 64, "height": 64, "png": "https://example.org/a.png"},
])  # fmt: skip
def test_paths_and_addresses_in_a_recipe_are_refused(tmp_path, init):
    path = png(tmp_path / "a.png", recipe(canvas={"init": init, "start": "image"}))
    with pytest.raises(SpecError, match="init"):
        restored(paint.PAGE, path)
    path = png(tmp_path / "b.png", recipe(image_prompts=[{"image": init}]))
    with pytest.raises(SpecError, match="image"):
        restored(paint.PAGE, path)


@pytest.mark.parametrize(("found", "said"), [
    ({}, "names no method"), ({"method": ["x"]}, "names no method"), ({"method": "Other", "spec": {}}, "Other"),
    (recipe(steps=0), "steps"), (recipe(wings=2), "wings"),
])  # fmt: skip
def test_foreign_recipes_are_refused_in_words(tmp_path, found, said):
    with pytest.raises(SpecError, match=said):
        restored(paint.PAGE, png(tmp_path / "a.png", found))


def test_a_foreign_png_is_refused_over_the_api(client, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    with pytest.raises(AppError, match="no labkit recipe"):
        client.predict(png=handle_file(str(tmp_path / "foreign.png")), api_name="/recipe")
    with pytest.raises(ImageError, match="no labkit recipe"):
        restored(paint.PAGE, str(tmp_path / "foreign.png"))


def test_similarity_over_the_api(client, tmp_path):
    for name in ("red", "blue"):
        Image.new("RGB", (40, 30), name).save(tmp_path / f"{name}.png")
    gallery = [{"image": handle_file(str(tmp_path / f"{name}.png")), "caption": None} for name in ("red", "blue")]
    heat, table, said = client.predict(texts="red\nblue <b>\n", pictures=gallery, mode="softmax", templates=False,
                                       api_name="/similarity")  # fmt: skip
    assert opened(heat).width > 300
    values = [row[1:] for row in table["data"]]
    assert [sum(column) for column in zip(*values, strict=True)] == pytest.approx([1, 1], abs=0.01)
    assert "blue &lt;b&gt;" in said and "R@1" in said
    seen = client.predict(text="red", picture=handle_file(str(tmp_path / "red.png")), api_name="/occlusion_map")
    assert opened(seen).width > 300
    with pytest.raises(AppError, match="1 to 24"):
        client.predict(texts="red", pictures=gallery * 13, mode="cosine", templates=False, api_name="/similarity")


class Steps(SimpleNamespace):
    """Stands in for a spec: five steps, each with a picture; remembers whether it was closed."""

    needs, closed, fail, error = (), False, None, None

    def to_json(self):
        return "{}"

    def run(self, lab):
        last = None
        try:
            for i in range(5):
                if i == self.fail:
                    raise self.error or NonFiniteError("step 2: no longer a number", last)
                last = Step(i, 5, Image.new("RGB", (4, 4), (i, 0, 0)), {"clip": i / 10})
                yield last
        finally:
            self.closed = True


@pytest.fixture
def idle():
    return SimpleNamespace(require=lambda spec: None, fingerprints=lambda kinds: {})


def test_the_time_limit_ends_a_run_and_keeps_the_picture(idle):
    steps, clock = Steps(), itertools.count(0, 10).__next__
    *_, (result, ending, _) = stream(steps, idle, 25, clock=clock)
    assert (result.steps_done, result.image.getpixel((0, 0))) == (3, (2, 0, 0))
    assert "time limit of 25 s" in ending and steps.closed and not result.finished


def test_stop_keeps_the_picture(idle):
    steps, pressed = Steps(), iter([False, True])
    *_, (result, ending, _) = stream(steps, idle, 1e9, stopped=lambda: next(pressed))
    assert (result.steps_done, ending, result.interrupted, steps.closed) == (2, "stopped", True, True)
    assert result.image is not None


def test_what_ends_a_run_early_shows_its_own_step(idle):
    """Not the last preview: each step can be drawn until the run goes on."""
    draws = [lambda i=i: Image.new("RGB", (4, 4), (i, 9, 0)) for i in range(5)]

    class Sparse(Steps):
        def run(self, lab):
            for i in range(5):
                yield Step(i, 5, draws[i]() if i in (0, 4) else None, {"clip": 0.0}, draw=draws[i])

    pressed = iter([False, False, True])
    *_, (result, ending, _) = stream(Sparse(), idle, 1e9, stopped=lambda: next(pressed))
    assert (result.steps_done, ending, result.image.getpixel((0, 0))) == (3, "stopped", (2, 9, 0))
    clock = itertools.count(0, 10).__next__
    *_, (result, ending, _) = stream(Sparse(), idle, 25, clock=clock)
    assert "time limit" in ending and result.image.getpixel((0, 0)) == (2, 9, 0)


def test_numbers_are_shown_without_noise():
    noisy = np.float32(0.376)
    table = pd.DataFrame({"a": [noisy, np.float32(12.3456789)], "n": [3, 4], "t": ["x", "y"]}, index=[noisy, "b"])
    assert markup.shown(table).to_dict("list") == {"a": [0.376, 12.346], "n": [3, 4], "t": ["x", "y"]}
    assert markup.shown({"a": [torch.tensor(0.376), 1e-5 + 1e-9, float("inf")]}) == {"a": [0.376, 1e-05, float("inf")]}


@pytest.mark.parametrize("error", [
    SpecError("of a spec"), ImageError("of a picture"), PromptError("of a prompt"), WeightsError("of weights"),
    ValueError("of a measure"), FileNotFoundError("of a file"), NonFiniteError("of numbers"),
])  # fmt: skip
def test_errors_of_every_sort_are_told_without_a_traceback(error):
    with pytest.raises(gr.Error) as caught, app.plain_errors():
        raise error
    assert "of " in caught.value.message and not caught.value.print_exception
    with pytest.raises(ZeroDivisionError), app.plain_errors():
        raise ZeroDivisionError


def test_a_decoder_out_of_memory_keeps_the_last_picture(idle):
    steps = Steps(fail=2, error=torch.OutOfMemoryError())
    *_, (result, ending, _) = stream(steps, idle, 1e9)
    assert result.image.getpixel((0, 0)) == (1, 0, 0) and "out of memory" in ending
    with pytest.raises(SpecError, match="smaller canvas"):
        list(stream(Steps(fail=0, error=torch.OutOfMemoryError()), idle, 1e9))


def test_overflow_keeps_the_last_good_picture(idle):
    *_, (result, ending, _) = stream(Steps(fail=2), idle, 1e9)
    assert result.image.getpixel((0, 0)) == (1, 0, 0) and "no longer a number" in ending
    with pytest.raises(SpecError, match="no longer a number"):
        list(stream(Steps(fail=0), idle, 1e9))


def test_a_run_to_the_end(idle):
    seen = list(stream(Steps(), idle, 1e9))
    assert len(seen) == 5 and seen[-1][0].finished and seen[-1][1] == ""


def test_notebook_cell_makes_the_same_spec():
    spec = VQGANCLIP(prompt="it's a b | c:-0.5", seed=5, canvas={"width": 96}, noise_prompts=[{"seed": 2}])
    code = notebook_cell(spec, Result(spec))
    namespace = {"VQGANCLIP": VQGANCLIP}
    exec(code[code.index("spec = "):code.index("\nresult")], namespace)
    assert namespace["spec"] == spec


def test_words_of_visitors_are_escaped():
    assert "<script" not in markup.notices_html(["<script>"])
    result = Result(None, n=2, steps_done=1, history=[{"<script>": 1.0}, {"<script>": 2.0}])
    assert "<script" not in markup.progress_html(result, "<script>", "<script>")
    assert "<script" not in markup.curve_html(result.history, "<script>")


def test_what_is_not_safe_is_refused(capsys):
    for bad in (["--share"], ["--auth", "user"], ["--auth", ":"], ["--share", "--auth", "user:"]):
        with pytest.raises(SystemExit):
            read_args(bad)
        assert "--auth" in capsys.readouterr().err
    with pytest.raises(SpecError, match="auth"):
        launch(gr.Blocks(), share=True)


def test_flags_are_those_of_the_kinds(capsys, monkeypatch):
    named = {name for name, kind in KINDS.items() if kind.help}
    args = read_args(["--vqgan", "pixels", "--precision", "fp32"])
    assert named <= set(vars(args)) and (args.vqgan, args.clip, args.precision) == ("pixels", None, "fp32")
    made = []
    monkeypatch.setattr(app, "launch", lambda *a, **k: pytest.fail("served"))
    with pytest.raises(ZeroDivisionError):
        app.main(lambda lab, limits: made.append(lab) or 1 / 0, ["--vqgan", "pixels", "--precision", "fp32"])
    assert (made[0].names["vqgan"], made[0].names["guide"], made[0].precision) == ("pixels", "pocket", "fp32")
    for bad, said in ((["--device", "toaster"], "toaster"), (["--precision", "int3"], "int3")):
        with pytest.raises(SystemExit):
            app.main(lambda lab, limits: 1 / 0, bad)
        assert said in capsys.readouterr().err


def test_profiles_follow_who_can_reach_the_app(monkeypatch):
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    assert (read_args([]).host, read_args([]).profile) == ("127.0.0.1", "local")
    shared = read_args(["--share", "--auth", "a:b:c"])
    assert (shared.auth, shared.profile) == (("a", "b:c"), "public")
    assert read_args(["--host", "0.0.0.0"]).profile == "public"
    assert read_args(["--host", "0.0.0.0", "--profile", "local"]).profile == "local"


@pytest.mark.parametrize("name", ["paint", "diffuse", "sketch", "codes", "lyrics", "similarity", "latents", "studio"])
def test_runs_as_a_script_from_another_folder(name, tmp_path):
    script = Path(paint.__file__).with_name(f"{name}.py")
    done = subprocess.run([sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--share" in done.stdout, done.stderr
