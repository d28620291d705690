"""Paint: a prompt becomes a picture, step by step, by VQGAN+CLIP.

    python apps/paint.py [--share --auth USER:PASSWORD] [--help]

Every control, bound and default is the spec's; this file says only where they stand and what they are called here.
"""

from __future__ import annotations

import inspect
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr

from labkit.image import open_upload, read_recipe
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.prompt import parse_story
from labkit.spec import SpecError
from labkit.views import app
from labkit.views.app import COMPUTE, LOCAL, PRIVATE, Limits
from labkit.views.controls import build as build_spec
from labkit.views.controls import fields
from labkit.views.replay import spec_of
from labkit.views.result import Result

EVERY_S = 0.25  # seconds between two previews: a faster page makes the browser the slow part
CONTROLS = {control.name: control for control in fields(VQGANCLIP)}
MAIN = (("steps",), ("cutouts__cutn", "optimiser__lr"), ("canvas__width", "canvas__height"))
START = ("canvas__init", "canvas__start", "canvas__init_weight")
LABELS = {"prompt": "Prompt", "steps": "Steps", "seed": "Seed", "cutouts__cutn": "Cutouts",
          "optimiser__lr": "Learning rate", "canvas__width": "Width", "canvas__height": "Height",
          "canvas__init": "Initial picture", "canvas__start": "Start from", "canvas__init_weight": "Stay near the start"}
BARE = ("seed", *sum(MAIN, ()))  # the label says it all
EXAMPLES = ["a red apple in the snow", "a yellow ship on the sea at sunset", "a blue house in a meadow, watercolour",
            "a green tree in a meadow ^ a green tree at night", "a cat in a room | a dog:-0.3",
            "a person singing hallelujah in a dark corner"]


def values_of(spec: VQGANCLIP) -> dict[str, Any]:
    """A spec as flat values, one per control."""
    out = {}
    for name in CONTROLS:
        value: Any = spec
        for part in name.split("__"):
            value = getattr(value, part)
        out[name] = value
    return out


def spec_from(values: dict[str, Any], kept: dict[str, Any], limits: Limits) -> VQGANCLIP:
    """The spec of what the controls say; `kept` are fields without a control, from a restored PNG."""
    limits.check(values)
    if values.get("canvas__init"):
        values = values | {"canvas__init": open_upload(values["canvas__init"])}
    return build_spec(VQGANCLIP, values).but(**kept)


def restored(path: str) -> tuple[VQGANCLIP, dict[str, Any], dict]:
    """Spec of a PNG, its fields that have no control, and the recipe. Raises `SpecError` or `ImageError`."""
    recipe = read_recipe(path)
    if not isinstance(recipe.get("method"), str):
        raise SpecError("this PNG's recipe names no method; it was changed after it was saved")
    if recipe["method"] != VQGANCLIP.__name__:
        raise SpecError(f"this PNG was made by {recipe['method'][:60]}, and this page paints with {VQGANCLIP.__name__}")
    spec = spec_of(recipe, "this PNG")
    covered = {name.partition("__")[0] for name in CONTROLS}
    given = json.loads(spec.model_dump_json(exclude_defaults=True))
    return spec, {k: v for k, v in given.items() if k not in covered}, recipe


def notebook_cell(spec: VQGANCLIP, result: Result) -> str:
    """The code that makes the picture again in a notebook."""
    given = json.loads(spec.model_dump_json(exclude_defaults=True))
    head, make = ["from labkit import Lab, VQGANCLIP, show"], ""
    if spec.canvas.init or spec.image_prompts:
        head.append("from labkit.views.replay import spec_from_png")
        make = 'spec_from_png("picture.png")  # the downloaded file: it holds the pictures that this run began with'
    else:
        make = "VQGANCLIP(\n" + "".join(f"    {name}={value!r},\n" for name, value in given.items()) + ")"
    lines = [*head, "", f"spec = {make}", "result = show(spec, Lab())", 'result.save("again.png")']
    if result.n and not result.finished:
        lines.append(f"# here the run ended after {result.steps_done} of {result.n} steps")
    return "\n".join(lines)


def judged(lab, spec: VQGANCLIP, result: Result) -> str:
    """The judge's reading of the last picture against what the prompt asks for at its end."""
    wanted = " ".join(p.text for p in parse_story(spec.prompt)[-1] if p.weight > 0)
    return app.verdict_html(*lab.judge.check(result.image, wanted))


def painted(lab, spec: VQGANCLIP, limits: Limits, stopped=lambda: False) -> Iterator[tuple[Result, str, tuple]]:
    """(result, ending, notices) at most every `EVERY_S` seconds, and at the end."""
    sent, notices = -EVERY_S, []
    for result, ending, step in app.stream(spec, lab, limits.seconds, stopped):
        notices += [line for line in step.extras.get("notices", ()) if line not in notices]
        if ending or result.finished or time.monotonic() - sent >= EVERY_S:
            sent = time.monotonic()
            yield result, ending, tuple(notices)


def file_name(spec: VQGANCLIP, result: Result) -> str:
    """A name that holds no word of the visitor's."""
    return f"labkit-{spec.digest()[:8]}-{result.steps_done}.png"


def panel(lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    made: dict[str, gr.components.Component] = {}
    running: dict[str, threading.Event] = {}

    def put(name: str, **options) -> None:
        options = {"label": LABELS.get(name, CONTROLS[name].label)} | ({"info": None} if name in BARE else {}) | options
        if name.startswith("canvas__") and CONTROLS[name].kind == "int":
            options["step"] = 16  # every VQGAN's f divides it
        made[name] = app.component(CONTROLS[name], limits, **options)

    with gr.Row(equal_height=False, elem_classes="lk-grid"):
        with gr.Column(elem_classes="lk-ask"):
            put("prompt", lines=2, max_lines=4, value=EXAMPLES[0], info="Join with |, weigh with :0.5, repel with :-1, "
                "and let ^ change the prompt on the way")
            with gr.Row():
                run = gr.Button("Paint", variant="primary", elem_id="run", scale=2, min_width=120)
                stop = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False, scale=1, min_width=80)
            gr.Examples([[text] for text in EXAMPLES], [made["prompt"]], label="Try", cache_examples=False,
                        api_visibility="private")
        with gr.Column(elem_classes="lk-out"):
            small = getattr(lab, "pocket", False)
            picture = gr.Image(show_label=False, format="png", height=400, interactive=False, elem_id="picture",
                               buttons=["fullscreen"], elem_classes=["lk-picture", *["lk-pixels"] * small])
            line = gr.HTML(app.progress_html(Result(None), "Ready."), elem_id="status")
            notices, verdict, curve = gr.HTML(elem_id="notices"), gr.HTML(elem_id="verdict"), gr.HTML(elem_id="curve")
            download = gr.DownloadButton("Download PNG with its recipe", interactive=False, elem_id="download")
            with gr.Accordion("Make it again in a notebook", open=False):
                code = gr.Code(language="python", show_label=False, interactive=False, elem_id="code", lines=6)
        with gr.Column(elem_classes="lk-knobs"):
            with gr.Row(equal_height=True):
                put("seed", scale=1, min_width=150)
                fresh = gr.Checkbox(True, label="New seed each time", info="Off: the same picture again",
                                    elem_id="fresh", scale=1, min_width=150)
            for row in MAIN:
                with gr.Row():
                    for name in row:
                        put(name, min_width=150)
            with gr.Accordion("Start from a picture", open=False):
                with gr.Row():
                    put(START[0], height=190, min_width=170)
                    with gr.Column(min_width=170):
                        for name in START[1:]:
                            put(name)
            with gr.Accordion("More controls", open=False):
                rest = [name for name in CONTROLS if name not in made]
                for pair in (rest[i:i + 2] for i in range(0, len(rest), 2)):
                    with gr.Row():
                        for name in pair:
                            put(name, min_width=200)
            with gr.Accordion("Restore from a PNG", open=False, elem_id="restore-box"):
                upload = gr.File(label="A PNG downloaded here: its recipe sets all controls", file_types=[".png"],
                                 type="filepath", height=130, elem_id="restore")
                told = gr.HTML(elem_id="told")
                reset = gr.Button("Set everything back to defaults", size="sm")
    names = list(CONTROLS)
    inputs, kept = [made[name] for name in names], gr.State({})
    outputs = [picture, line, notices, verdict, curve, download, code, made["seed"]]

    def begin(request: gr.Request):
        running[request.session_hash] = threading.Event()
        return gr.update(interactive=False), gr.update(interactive=True), app.progress_html(Result(None), "Waiting …")

    def halt(request: gr.Request) -> None:
        if event := running.get(request.session_hash):
            event.set()

    def finish(request: gr.Request):
        running.pop(request.session_hash, None)
        return gr.update(interactive=True), gr.update(interactive=False)

    def show(request: gr.Request, fresh_seed: bool, kept_fields: dict, *values):
        """Paint for the page: picture, status, notices, verdict, curve, file, code, used seed."""
        flat, event = dict(zip(names, values, strict=True)), running.get(request.session_hash) or threading.Event()
        if fresh_seed:
            flat["seed"] = secrets.randbelow(int(CONTROLS["seed"].maximum) + 1)
        shown, skip = None, gr.skip()
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(flat, kept_fields, limits)
            yield (skip, app.progress_html(Result(None), "Loading models …"), "", "", "",
                   gr.update(value=None, interactive=False), skip, spec.seed)
            for result, ending, lines in painted(lab, spec, limits, event.is_set):
                note, drawing = f"seed {spec.seed}", app.curve_html(result.history, spec.score)
                if ending or result.finished:
                    path = str(result.save(Path(folder) / file_name(spec, result)))
                    yield (path, app.progress_html(result, ending, note), app.notices_html(lines), skip, drawing,
                           gr.update(value=path, interactive=True), notebook_cell(spec, result), spec.seed)
                    yield *[skip] * 3, judged(lab, spec, result), *[skip] * 4  # last: the picture is safe by then
                else:
                    image = result.image if result.image is not shown else skip
                    yield (image, app.progress_html(result, "", note), app.notices_html(lines), skip, drawing, skip, skip, skip)
                shown = result.image

    def paint(*values) -> Iterator[tuple[str, dict]]:
        flat = dict(zip(names, values, strict=True))
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(flat, {}, limits)
            for result, ending, lines in painted(lab, spec, limits):
                path = str(result.save(Path(folder) / file_name(spec, result)))
                yield path, {"step": result.steps_done, "n": result.n, "finished": result.finished, "ending": ending,
                             "seed": spec.seed, "scores": result.scores, "notices": list(lines)}

    paint.__signature__ = inspect.Signature([
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          default=inspect.Parameter.empty if control.required else control.default)
        for name, control in CONTROLS.items()])  # fmt: skip
    paint.__doc__ = """Paint a prompt with VQGAN+CLIP; yields the PNG (it holds its recipe) and how far the run is.

Args:
""" + "\n".join(f"    {name}: {control.description}" for name, control in CONTROLS.items())

    def recipe(png: str) -> dict:
        """Read the recipe in a PNG that labkit saved: method, spec, models, environment, steps done.

        Args:
            png: The PNG.
        """
        with app.plain_errors():
            return read_recipe(png)

    def restore(path: str | None):
        if path is None:
            return [gr.skip()] * (len(names) + 3)
        with app.plain_errors():
            spec, others, found = restored(path)
        values, words = values_of(spec), []
        for name, cap in limits.caps.items():
            if isinstance(values.get(name), int | float) and values[name] > cap:
                words.append(f"{CONTROLS[name].label}: {values[name]} in the PNG, this app allows {cap:g}. "
                             "The picture will differ.")
                values[name] = cap
        models = found.get("models") if isinstance(found.get("models"), dict) else {}
        for kind in spec.needs:
            then = models[kind].get("name") if isinstance(models.get(kind), dict) else None
            if then != getattr(lab, "names", {}).get(kind, then):
                words.append(f"{kind}: made with {str(then)[:80]}, here with {lab.names[kind]}. The picture will differ.")
        words += [f"{name}: {len(v)} from the PNG, in force until you set back to defaults" for name, v in others.items()]
        if values["canvas__init"] is not None:
            values["canvas__init"] = values["canvas__init"].pil()
        done = '<div class="lk-note">Controls restored. Press Paint for the same picture.</div>'
        return [*(values[name] for name in names), False, others, done + app.notices_html(words)]

    def defaults():
        flat = {name: control.default for name, control in CONTROLS.items()} | {"prompt": EXAMPLES[0]}
        return [*(flat[name] for name in names), True, {}, ""]

    started = gr.on([run.click, made["prompt"].submit], begin, None, [run, stop, line], queue=False, trigger_mode="once",
                    show_progress="hidden", **PRIVATE)
    ran = started.then(show, [fresh, kept, *inputs], outputs, show_progress="minimal", show_progress_on=[line],
                       **COMPUTE, **PRIVATE)
    ran.then(finish, None, [run, stop], queue=False, show_progress="hidden", **PRIVATE)
    stop.click(halt, None, None, queue=False, **PRIVATE)
    into = [*inputs, fresh, kept, told]
    upload.upload(restore, upload, into, show_progress="hidden", **PRIVATE)
    reset.click(defaults, None, into, show_progress="hidden", **PRIVATE)
    initial = made["canvas__init"]
    initial.upload(lambda: "image", None, made["canvas__start"], show_progress="hidden", **PRIVATE)
    initial.clear(lambda: CONTROLS["canvas__start"].default, None, made["canvas__start"], show_progress="hidden", **PRIVATE)
    api, png, facts = gr.Button(visible=False), gr.Image(visible=False, type="filepath", format="png"), gr.JSON(visible=False)
    api.click(paint, inputs, [png, facts], api_name="paint", **COMPUTE)
    some = gr.File(visible=False, type="filepath", label="png")
    api.click(recipe, some, facts, api_name="recipe", concurrency_limit=None)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with app.blocks("labkit: paint") as demo:
        app.header(lab, "Paint", "Type what you want to see and watch VQGAN+CLIP look for it.")
        panel(lab, limits)
    return demo


if __name__ == "__main__":
    app.main(build)
