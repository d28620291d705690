"""The page of any method: its controls, the picture while it is made, the recipe that makes it again.

    def panel(lab, limits): workbench.panel(PAGE, lab, limits)

A method's own page is a description of some forty lines, as in `apps/paint.py`.
"""

from __future__ import annotations

import inspect
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
from gradio.context import Context

from labkit.image import read_recipe
from labkit.runs.result import Result
from labkit.views.gradio import app
from labkit.views.gradio.app import COMPUTE, LOCAL, PRIVATE, Limits
from labkit.views.gradio.page import (
    Page,
    differs,
    file_name,
    inside_html,
    judged,
    notebook_cell,
    painted,
    restored,
    spec_from,
    values_of,
)

GRAIN = 16  # pixels by which a canvas grows: what every pocket model and every VQGAN divides by divides it


class Runs:
    """Which visitors' runs are on their way, and how each is stopped."""

    def __init__(self):
        self._events: dict[str, threading.Event] = {}

    def begin(self, request: gr.Request):
        """Run off, Stop on, a word in the status line."""
        self._events[request.session_hash] = threading.Event()
        return gr.update(interactive=False), gr.update(interactive=True), app.progress_html(Result(None), "Waiting …")

    def halt(self, request: gr.Request) -> None:
        """Stop the visitor's run after its current step."""
        if event := self._events.get(request.session_hash):
            event.set()

    def finish(self, request: gr.Request):
        """Run on, Stop off."""
        self._events.pop(request.session_hash, None)
        return gr.update(interactive=True), gr.update(interactive=False)

    def stopped(self, request: gr.Request) -> Callable[[], bool]:
        """Whether the visitor has pressed Stop, to be asked between steps."""
        return (self._events.get(request.session_hash) or threading.Event()).is_set


def recipe(png: str) -> dict:
    """Read the recipe in a PNG that labkit saved: method, spec, models, environment, steps done.

    Args:
        png: The PNG.
    """
    with app.plain_errors():
        return read_recipe(png)


def endpoints(page: Page, lab, limits: Limits, inputs: list) -> None:
    """The page over the API: the run, and, once however many pages stand beside each other, the recipe of a PNG."""

    def run(*values) -> Iterator[tuple[str, dict]]:
        flat = dict(zip(page.controls, values, strict=True))
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(page, flat, {}, limits)
            for result, ending, _ in painted(lab, spec, limits):
                path = str(result.save(Path(folder) / file_name(spec, result)))
                yield path, {"step": result.steps_done, "n": result.n, "finished": result.finished, "ending": ending,
                             "seed": spec.seed, "scores": result.scores, "notices": result.notices}

    run.__signature__ = inspect.Signature([
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          default=inspect.Parameter.empty if control.required else control.default)
        for name, control in page.controls.items()])  # fmt: skip
    said = inspect.cleandoc(page.method.__doc__).splitlines()[0].rstrip(".")
    run.__doc__ = f"{said}; yields the PNG (it holds its recipe) and how far the run is.\n\nArgs:\n" + "\n".join(
        f"    {name}: {control.description}" for name, control in page.controls.items())
    api, png, facts = gr.Button(visible=False), gr.Image(visible=False, type="filepath", format="png"), gr.JSON(visible=False)
    api.click(run, inputs, [png, facts], api_name=page.api, **COMPUTE)
    if not any(fn.api_name == "recipe" for fn in Context.root_block.fns.values()):
        some = gr.File(visible=False, type="filepath", label="png")
        api.click(recipe, some, facts, api_name="recipe", concurrency_limit=None)


def panel(page: Page, lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    made: dict[str, gr.components.Component] = {}
    controls, runs, at = page.controls, Runs(), page.prefix

    def put(name: str, **options) -> None:
        options = {"label": page.labels.get(name, controls[name].label), "info": page.info(name),
                   "elem_id": f"{at}control-{name}"} | options  # fmt: skip
        if name.startswith("canvas__") and controls[name].kind == "int":
            options["step"] = GRAIN
        made[name] = app.component(controls[name], limits, **options)

    def put_rows(rows, **options) -> None:
        for row in rows:
            with gr.Row():
                for name in row:
                    put(name, **options)

    with gr.Row(equal_height=False, elem_classes="lk-grid"):
        with gr.Column(elem_classes="lk-ask"):
            put("prompt", lines=2, max_lines=4, value=page.examples[0])
            with gr.Row():
                run = gr.Button(page.verb, variant="primary", elem_id=f"{at}run", scale=2, min_width=120)
                stop = gr.Button("Stop", variant="stop", elem_id=f"{at}stop", interactive=False, scale=1, min_width=80)
            gr.Examples([[text] for text in page.examples], [made["prompt"]], label="Try", cache_examples=False,
                        api_visibility="private")
        with gr.Column(elem_classes="lk-out"):
            small = lab.draws_with_pocket(page.method.needs)
            picture = gr.Image(show_label=False, format="png", height=400, interactive=False, elem_id=f"{at}picture",
                               buttons=["fullscreen"], elem_classes=["lk-picture", *["lk-pixels"] * small])
            line = gr.HTML(app.progress_html(Result(None), "Ready."), elem_id=f"{at}status")
            inside, notices, verdict, curve = (gr.HTML(elem_id=at + name, elem_classes="lk-hollow")
                                               for name in ("inside", "notices", "verdict", "curve"))
            download = gr.DownloadButton("Download PNG with its recipe", interactive=False, elem_id=f"{at}download")
            with gr.Accordion("Make it again in a notebook", open=False):
                code = gr.Code(language="python", show_label=False, interactive=False, elem_id=f"{at}code", lines=6)
        with gr.Column(elem_classes="lk-knobs"):
            with gr.Row(equal_height=True):
                put("seed", scale=1, min_width=150)
                fresh = gr.Checkbox(True, label="New seed each time", info="Off: the same picture again",
                                    elem_id=f"{at}fresh", scale=1, min_width=150)
            put_rows(page.main, min_width=150)
            with gr.Accordion("Start from a picture", open=False), gr.Row():
                put(page.start[0], height=190, min_width=170)
                with gr.Column(min_width=170):
                    for name in page.start[1:]:
                        put(name)
            for title, rows in page.groups:
                with gr.Accordion(title, open=False):
                    put_rows(rows, min_width=200)
            with gr.Accordion("More controls", open=False):
                rest = [name for name in controls if name not in made]
                put_rows([rest[i:i + 2] for i in range(0, len(rest), 2)], min_width=200)
            with gr.Accordion("Restore from a PNG", open=False, elem_id=f"{at}restore-box"):
                upload = gr.File(label="A PNG downloaded here: its recipe sets all controls", file_types=[".png"],
                                 type="filepath", height=130, elem_id=f"{at}restore")
                told = gr.HTML(elem_id=f"{at}told", elem_classes="lk-hollow")
                reset = gr.Button("Set everything back to defaults", size="sm")
    names = list(controls)
    inputs, kept = [made[name] for name in names], gr.State({})
    outputs = [picture, line, inside, notices, verdict, curve, download, code, made["seed"]]

    def show(request: gr.Request, fresh_seed: bool, kept_fields: dict, *values):
        """Run for the page; yields what changes on it."""
        flat, stopped = dict(zip(names, values, strict=True)), runs.stopped(request)
        if fresh_seed:
            flat["seed"] = secrets.randbelow(int(controls["seed"].maximum) + 1)
        shown = None
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(page, flat, kept_fields, limits)
            yield {line: app.progress_html(Result(None), "Loading models …"),
                   **dict.fromkeys((inside, notices, verdict, curve), ""),
                   download: gr.update(value=None, interactive=False), made["seed"]: spec.seed}
            for result, ending, step in painted(lab, spec, limits, stopped):
                now = {line: app.progress_html(result, ending, f"seed {spec.seed}"), inside: inside_html(page, step),
                       notices: app.notices_html(result.notices), curve: app.curve_html(result.history, spec.score)}
                if ending or result.finished:
                    path = str(result.save(Path(folder) / file_name(spec, result)))
                    yield now | {picture: path, download: gr.update(value=path, interactive=True),
                                 code: notebook_cell(spec, result)}
                    yield {verdict: judged(page, lab, spec, result)}  # last: the picture is safe by then
                else:
                    yield now | ({picture: result.image} if result.image is not shown else {})
                shown = result.image

    def restore(path: str | None):
        if path is None:
            return {told: gr.skip()}
        with app.plain_errors():
            spec, others, found = restored(page, path)
        values = values_of(page, spec)
        words = differs(page, lab, limits, values, spec, others, found)
        for name in page.pictures:
            values[name] = values[name] and values[name].pil()
        done = f'<div class="lk-note">Controls restored. Press {page.verb} for the same picture.</div>'
        return {made[name]: values[name] for name in names} | {fresh: False, kept: others,
                                                               told: done + app.notices_html(words)}

    def defaults():
        flat = {name: control.default for name, control in controls.items()} | {"prompt": page.examples[0]}
        return {made[name]: flat[name] for name in names} | {fresh: True, kept: {}, told: ""}

    started = gr.on([run.click, made["prompt"].submit], runs.begin, None, [run, stop, line], queue=False,
                    trigger_mode="once", show_progress="hidden", **PRIVATE)
    ran = started.then(show, [fresh, kept, *inputs], outputs, show_progress="minimal", show_progress_on=[line],
                       **COMPUTE, **PRIVATE)
    ran.then(runs.finish, None, [run, stop], queue=False, show_progress="hidden", **PRIVATE)
    stop.click(runs.halt, None, None, queue=False, **PRIVATE)
    into, quiet = [*inputs, fresh, kept, told], {"show_progress": "hidden", **PRIVATE}
    upload.upload(restore, upload, into, **quiet)
    reset.click(defaults, None, into, **quiet)
    initial, follow = made[page.start[0]], [made[name] for name in page.uploaded]
    initial.upload(lambda: answer(page.uploaded.values()), None, follow, **quiet)
    initial.clear(lambda: answer(controls[name].default for name in page.uploaded), None, follow, **quiet)
    endpoints(page, lab, limits, inputs)


def answer(values):
    """What an event returns for so many outputs: Gradio takes a list for several, and the value itself for one."""
    values = list(values)
    return values if len(values) > 1 else values[0]


def build(page: Page, lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with app.blocks(f"labkit: {page.title.lower()}") as demo:
        app.header(lab, page.title, page.words)
        panel(page, lab, limits)
    return demo
