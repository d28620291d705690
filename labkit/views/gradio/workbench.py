"""The page of any method: its controls, the picture while it is made, the recipe that makes it again.

    def panel(lab, limits): workbench.panel(PAGE, lab, limits)          # PAGE = page_of(VQGANCLIP), or made by hand

A page made by hand is a description of some forty lines, as in `apps/paint.py`.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from gradio.context import Context

from labkit.image import read_recipe
from labkit.runs.result import Result
from labkit.spec import MAX_SEED
from labkit.views.gradio import app, handing
from labkit.views.gradio.again import differs, notebook_cell, restored
from labkit.views.gradio.app import COMPUTE, LOCAL, PRIVATE, Limits
from labkit.views.gradio.markup import curve_html, header, lacking_html, notices_html, progress_html, shown
from labkit.views.gradio.pad import pad
from labkit.views.gradio.page import (
    SIZES,
    Page,
    Part,
    Site,
    documented,
    file_name,
    flat_of,
    inside_html,
    judged,
    painted,
    pairs,
    received,
    spec_from,
    words_of,
)
from labkit.views.gradio.pictures import Pictures
from labkit.views.gradio.runs import line_here, wire

GRAIN = 16  # pixels by which a canvas grows: what every pocket model and every VQGAN divides by divides it
UNTICK = "() => false"  # in the browser, at once: a run that is started right after typing has it


def recipe(png: str) -> dict:
    """Read the recipe in a PNG that labkit saved: method, spec, models, environment, steps done.

    Args:
        png: The PNG.
    """
    with app.plain_errors():
        return received(png, read_recipe)


def endpoints(page: Page, lab, limits: Limits, made: dict[str, gr.components.Component]) -> None:
    """The page over the API: the run, and, once however many pages stand beside each other, the recipe of a PNG."""
    asked, queue = sorted(page.controls.values(), key=lambda control: not control.required), line_here()

    def run(*values) -> Iterator[tuple[str, dict]]:
        flat = {control.name: value for control, value in zip(asked, values, strict=True)}
        with app.plain_errors(), tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(page, flat, {}, limits)
            seed = {"seed": spec.seed} if page.method.has("seed") else {}
            with queue.turn():
                for result, ending, _ in painted(lab, spec, limits):
                    path = str(result.save(Path(folder) / file_name(spec, result)))
                    yield path, {"step": result.steps_done, "n": result.n, "finished": result.finished, "ending": ending,
                                 **seed, "scores": shown(result.scores), "notices": result.notices}

    said = words_of(page.method)[1].rstrip(".")
    documented(run, f"{said}; yields the PNG (it holds its recipe) and how far the run is.", asked)
    api, png, facts = gr.Button(visible=False), gr.Image(visible=False, type="filepath", format="png"), gr.JSON(visible=False)
    api.click(run, [made[control.name] for control in asked], [png, facts], api_name=page.api, **COMPUTE)
    if not any(fn.api_name == "recipe" for fn in Context.root_block.fns.values()):
        some = gr.File(visible=False, type="filepath", label="png")
        api.click(recipe, some, facts, api_name="recipe", concurrency_limit=None)


def panel(page: Page, lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    made: dict[str, gr.components.Component] = {}
    controls, at, defaults = page.controls, page.prefix, page.defaults
    prompted, seeded = page.method.has("prompt"), page.method.has("seed")

    if html := lacking_html(lab, page.method.needs):
        gr.HTML(html)
        return

    def put(name: str, **options) -> None:
        options = {"label": label(page, name), "info": page.info(name), "value": defaults[name],
                   "elem_id": f"{at}control-{name}"} | options  # fmt: skip
        if name.rpartition("__")[2] in SIZES and controls[name].kind == "int":
            options["step"] = GRAIN
        made[name] = (pad(options["label"], elem_id=options["elem_id"]) if name in page.pads
                      else app.component(controls[name], limits, **options))

    def put_rows(rows, **options) -> None:
        for row in rows:
            with gr.Row():
                for name in row:
                    put(name, **options)

    with gr.Row(equal_height=False, elem_classes="lk-grid"):
        with gr.Column(elem_classes="lk-ask"):
            if prompted:
                put("prompt", lines=2, max_lines=4)
            put_rows(page.first, min_width=200)
            with gr.Row():
                run = gr.Button(page.verb, variant="primary", elem_id=f"{at}run", scale=2, min_width=120)
                stop = gr.Button("Stop", variant="stop", elem_id=f"{at}stop", interactive=False, scale=1, min_width=80)
            if len(page.examples) > 1:
                gr.Examples([[text] for text in page.examples], [made["prompt"]], label="Try", cache_examples=False,
                            api_visibility="private")
        with gr.Column(elem_classes="lk-out"):
            small = lab.draws_with_pocket(page.method.needs)
            pictures = Pictures(page, small)
            line = gr.HTML(progress_html(Result(None), "Ready."), elem_id=f"{at}status")
            inside, notices, verdict, curve = (gr.HTML(elem_id=at + name, elem_classes="lk-hollow")
                                               for name in ("inside", "notices", "verdict", "curve"))
            below = gr.Column(visible=bool(page.extra))
            download = gr.DownloadButton("Download PNG with its recipe", interactive=False, elem_id=f"{at}download")
            shelf = gr.Accordion("Go on from this picture", open=False, elem_id=f"{at}shelf")
            with gr.Accordion("Make it again in a notebook", open=False):
                code = gr.Code(language="python", show_label=False, interactive=False, elem_id=f"{at}code", lines=6)
        with gr.Column(elem_classes="lk-knobs"):
            if seeded:
                with gr.Row(equal_height=True):
                    put("seed", scale=1, min_width=150)
                    fresh = gr.Checkbox(True, label="New seed each time", info="Off: the same picture again",
                                        elem_id=f"{at}fresh", scale=1, min_width=150)
                made["seed"].input(None, None, fresh, js=UNTICK, **PRIVATE)
            else:
                fresh = gr.State(False)
            put_rows(page.main[:1], min_width=150)
            said = gr.HTML(elem_id=f"{at}live", elem_classes="lk-hollow")
            put_rows(page.main[1:], min_width=150)
            if page.start:
                with gr.Accordion("Start from a picture", open=False), gr.Row():
                    put(page.start[0], height=190, min_width=170)
                    with gr.Column(min_width=170):
                        for name in page.start[1:]:
                            put(name)
            for title, rows in page.groups:
                with gr.Accordion(title, open=False):
                    put_rows(rows, min_width=200)
            if rest := [name for name in controls if name not in made]:
                with gr.Accordion("More controls", open=False):
                    put_rows(pairs(rest), min_width=200)
            with gr.Accordion("Restore from a PNG", open=False, elem_id=f"{at}restore-box"):
                upload = gr.File(label="A PNG downloaded here: its recipe sets all controls", file_types=[".png"],
                                 type="filepath", height=130, elem_id=f"{at}restore")
                told = gr.HTML(elem_id=f"{at}told", elem_classes="lk-hollow")
                reset = gr.Button("Set everything back to defaults", size="sm")
    names, kept = list(controls), gr.State({})
    inputs = [made[name] for name in names]
    with below:
        extra = page.extra(Site(page, lab, limits, kept, fresh, made, line)) if page.extra else Part()
    outputs = [*pictures.outputs, line, inside, notices, verdict, curve, download, code, *([made["seed"]] if seeded else []),
               *extra.outputs]

    def show(stopped, fresh_seed: bool, kept_fields: dict, *values):
        """Run for the page; yields what changes on it."""
        flat, on_page = dict(zip(names, values[:len(names)], strict=True)), None
        if fresh_seed:
            flat["seed"] = secrets.randbelow(int(controls["seed"].maximum or MAX_SEED) + 1)
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            spec = spec_from(page, flat, kept_fields | extra.fields(flat, *values[len(names):]), limits)
            note = f"seed {spec.seed}" if seeded else ""
            yield {line: progress_html(Result(None), "Loading models …"),
                   **dict.fromkeys((inside, notices, verdict, curve), ""),
                   download: gr.update(value=None, interactive=False), **({made["seed"]: spec.seed} if seeded else {})}
            for result, ending, step in painted(lab, spec, limits, stopped):
                score = spec.score or next(iter(result.scores), None)
                now = {line: progress_html(result, ending, note), inside: inside_html(page, step),
                       notices: notices_html(result.notices), curve: curve_html(result.history, score),
                       **extra.shown(spec, step)}
                if ending or result.finished:
                    path = result.save(Path(folder) / file_name(spec, result))
                    yield now | pictures.final(result, path) | {download: gr.update(value=str(path), interactive=True),
                                                                code: notebook_cell(spec, result)}
                    yield {verdict: judged(page, lab, spec, result)}  # last: the picture is safe by then
                else:
                    yield now | (pictures.preview(result) if result.image is not on_page else {})
                on_page = result.image

    def restore(path: str | None):
        if path is None:
            return {told: gr.skip()}
        with app.plain_errors():
            spec, others, found = restored(page, path)
        values = flat_of(spec)
        words = differs(page, lab, limits, values, spec, others, found)
        for name, control in controls.items():
            if control.kind == "image":
                values[name] = values[name] and values[name].pil()
            elif control.kind == "images":
                values[name] = [(one.pil(), None) for one in values[name]]
            elif control.kind == "texts":
                values[name] = "\n".join(values[name])
        done = f'<div class="lk-note">Controls restored. Press {page.verb} for the same picture.</div>'
        return {made[name]: values[name] for name in names} | {fresh: False, kept: others,
                                                               told: done + notices_html(words)}

    def set_back():
        return {made[name]: defaults[name] for name in names} | {fresh: seeded, kept: {}, told: ""}

    also = [*([made["prompt"].submit] if prompted else []), *extra.again]
    wire(run, show, [fresh, kept, *inputs, *extra.inputs], outputs, line, stop, also=tuple(also))
    into, quiet = [*inputs, fresh, kept, told], {"show_progress": "hidden", **PRIVATE}
    upload.upload(restore, upload, into, **quiet)
    reset.click(set_back, None, into, **quiet)
    if page.live:
        moving, speak = page.live
        knobs = [made[name] for name in moving]
        said.value = speak(lab, {name: defaults[name] for name in moving})
        gr.on([knob.change for knob in knobs], lambda *now: speak(lab, dict(zip(moving, now, strict=True))), knobs, said,
              trigger_mode="always_last", queue=False, **quiet)
    if page.start and page.uploaded:
        initial, follow = made[page.start[0]], [made[name] for name in page.uploaded]
        initial.upload(lambda: answer(page.uploaded.values()), None, follow, **quiet)
        initial.clear(lambda: answer(controls[name].default for name in page.uploaded), None, follow, **quiet)
    handing.offer(shelf, page.title, pictures.inputs, pictures.taken)
    taking = {label(page, name): name for name, control in controls.items() if control.kind in ("image", "images")}
    follows = {made[name]: value for name, value in page.uploaded.items()}
    starts = (*page.start[:1], *page.pads)
    handing.receive(page.title, page.verb, line,
                    {called: (made[name], controls[name].kind == "images") for called, name in taking.items()},
                    made.get("prompt"), {called: follows for called, name in taking.items() if name in starts})
    # Over the API a drawing is a file, as any picture is.
    sent = {name: app.component(controls[name], limits, visible=False, elem_id=f"{at}sent-{name}") for name in page.pads}
    endpoints(page, lab, limits, made | sent)


def label(page: Page, name: str) -> str:
    """What a control is called on the page."""
    return page.labels.get(name, page.controls[name].label)


def answer(values):
    """What an event returns for so many outputs: Gradio takes a list for several, and the value itself for one."""
    values = list(values)
    return values if len(values) > 1 else values[0]


def build(page: Page, lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with app.blocks(f"labkit: {page.title.lower()}") as demo:
        header(lab, page.title, page.words)
        panel(page, lab, limits)
        handing.connect()
    return demo
