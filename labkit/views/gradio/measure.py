"""The page of any measure, from its spec alone: controls, pictures where `compute` takes some, and its figure, table and
notices.

    def panel(lab, limits): measure.panel(KeyPhrases, lab, limits)

A page may take more pictures (`most`) and have more below (`extra`), as `apps/latents.py` does.
A page made by hand (`apps/similarity.py`) may do more: draw patches, show a row per phrase.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from labkit.spec import Measure, SpecError
from labkit.text import plain
from labkit.views.controls import Control, fields, other_arguments, pictures_argument
from labkit.views.controls import build as build_spec
from labkit.views.gradio import app, handing
from labkit.views.gradio.app import COMPUTE, LOCAL, Limits
from labkit.views.gradio.markup import drawn, header, notices_html, shown
from labkit.views.gradio.page import documented, flat_of, groups_of, labels_of, name_of, opened, pairs, words_of
from labkit.views.gradio.runs import line_here, wire

MOST = 24  # pictures: more cannot be read in a figure this wide


def offered(measure: type[Measure]) -> bool:
    """Whether a page can ask for all that the measure needs."""
    return not other_arguments(measure)


def computed(spec: Measure, lab, **pictures: list) -> Any:
    """The result of a measure. Raises `SpecError` where a package that it asks for is not installed."""
    lab.require(spec)
    try:
        return spec.compute(lab, **pictures)
    except ImportError as error:
        raise SpecError(f"{type(spec).__name__}: {error}") from None


def notices_of(result: Any) -> list[str]:
    """What a result has to say: its notices, as lines, or for each text its lines."""
    notices = getattr(result, "notices", ())
    if isinstance(notices, dict):
        return [f"{text}: {line}" for text, lines in notices.items() for line in lines]
    return list(notices)


def panel(measure: type[Measure], lab, limits: Limits, most: int = MOST, extra: Callable[[str], Any] | None = None,
          title: str = "") -> None:
    """The page's components and events, in the surrounding layout. It takes up to `most` pictures; `title` is the page's, the
    measure's name unless given; `extra` makes, of a prefix of element ids, what stands below: something with `outputs` and
    `shown(result, folder, files)` → {component: value}, which may write files into the folder, and is told the pictures'."""
    controls = {control.name: control for control in fields(measure)}
    made: dict[str, gr.components.Component] = {}
    at, labels, wanted = f"{name_of(measure)}-", labels_of(measure), pictures_argument(measure)

    def put(name: str, **options) -> None:
        options = {"label": labels[name], "elem_id": f"{at}control-{name}"} | options
        if controls[name].kind == "text" and (controls[name].maximum or 0) > 300:
            options |= {"lines": 6, "max_lines": 14}
        made[name] = app.component(controls[name], limits, **options)

    def put_rows(rows, **options) -> None:
        for row in rows:
            with gr.Row():
                for name in row:
                    put(name, **options)

    tall = [n for n, c in controls.items() if "__" not in n and (c.required or c.kind in ("texts", "images", "image"))]
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            put_rows([(name,) for name in tall])
            if wanted:
                asked = Control(wanted, wanted, "images", required=True, description="The pictures to look at")
                gallery = app.component(asked, limits, label=wanted.replace("_", " ").capitalize(), height=260,
                                        elem_id=f"{at}pictures")
            put_rows(pairs([n for n in controls if "__" not in n and n not in made]), min_width=260)
            for title, rows in groups_of(controls, set(made)):
                with gr.Accordion(title, open=False):
                    put_rows(rows, min_width=150)
            run = gr.Button("Look", variant="primary", elem_id=f"{at}run")
            line = gr.HTML(elem_id=f"{at}status", elem_classes="lk-hollow")
        with gr.Column(scale=6, min_width=320):
            figure = gr.Image(show_label=False, format="png", interactive=False, elem_id=f"{at}figure",
                              buttons=["download", "fullscreen"])
            said = gr.HTML(elem_id=f"{at}notices", elem_classes="lk-hollow")
            with gr.Accordion("Table", open=False):
                table = gr.Dataframe(interactive=False, show_label=False, wrap=True, elem_id=f"{at}table")
    below = extra(at) if extra else None
    if wanted:
        controls, made = {**controls, wanted: asked}, made | {wanted: gallery}
    order, queue = sorted(controls.values(), key=lambda control: not control.required), line_here()

    def look(*values):
        flat = opened(controls, {control.name: value for control, value in zip(order, values, strict=True)})
        pictures = {wanted: flat.pop(wanted)} if wanted else {}
        if wanted and not 1 <= len(pictures[wanted]) <= most:
            raise SpecError(f"{wanted}: give 1 to {most} pictures; got {len(pictures[wanted])}")
        spec = build_spec(measure, flat)
        limits.check(flat_of(spec))
        if wanted and "names" in inspect.signature(measure.compute).parameters:
            pictures["names"] = names_of(files_in(values))
        return computed(spec, lab, **pictures)

    def files_in(values) -> list[str]:
        return [file for file, _ in values[order.index(asked)] or ()] if wanted else []

    def show(stopped, *values):
        result = look(*values)
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            yield {figure: drawn(result.figure()), said: notices_html(notices_of(result)), table: tabled(result),
                   **(below.shown(result, Path(folder), files_in(values)) if below else {})}

    def run_api(*values):
        with app.plain_errors(), queue.turn():
            result = look(*values)
            return drawn(result.figure()), tabled(result), notices_of(result)

    inputs = [made[control.name] for control in order]
    outputs = [figure, said, table, *(below.outputs if below else [])]
    wire(run, show, inputs, outputs, line, show_progress="full", show_progress_on=[figure])
    if wanted:
        handing.receive(title or words_of(measure)[0], "Look", line, {wanted.capitalize(): (gallery, True)})
    documented(run_api, f"{words_of(measure)[1].rstrip('.')}: a figure, a table and notices.", order)
    api, picture, rows, facts = (gr.Button(visible=False), gr.Image(visible=False, format="png"), gr.Dataframe(visible=False),
                                 gr.JSON(visible=False))  # fmt: skip
    api.click(run_api, inputs, [picture, rows, facts], api_name=name_of(measure), **COMPUTE)


def names_of(files: list[str]) -> list[str]:
    """What files are called where their pictures are named: as the visitor has it, what comes twice numbered."""
    names, out = [plain(Path(file).name) for file in files], []
    for k, name in enumerate(names):
        before = names[:k].count(name)
        out.append(f"{name} ({before + 1})" if before else name)
    return out


def tabled(result: Any):
    """A result's table as it is shown: numbers rounded, what names the rows as a column."""
    table = shown(result.table)
    named = table.index.name or next(name for name in ("name", "row", "of") if name not in table.columns)
    return table.reset_index(names=named) if named not in table.columns else table


def build(measure: type[Measure], lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    title, words = words_of(measure)
    with app.blocks(f"labkit: {title.lower()}") as demo:
        header(lab, title, words)
        panel(measure, lab, limits)
    return demo
