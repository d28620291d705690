"""What a page for a method is, and what lies between its controls and a run: nothing here is a component.

A `Page` says what it is called and where its controls stand; every control, bound and default is the spec's. `workbench`
makes the page of it.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from labkit.image import open_upload, read_recipe, to_pil
from labkit.prompt import parse
from labkit.runs.replay import spec_of
from labkit.runs.result import Result
from labkit.spec import Method, SpecError, Step
from labkit.views.controls import Control, fields
from labkit.views.controls import build as build_spec
from labkit.views.gradio import app
from labkit.views.gradio.app import Limits
from labkit.views.notebook.show import data_uri

EVERY_S = 0.25  # seconds between two previews: a faster page makes the browser the slow part
THUMB = 128  # pixels of what the explainer shows beside the picture
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """What a page is. Controls are named flat, `canvas__width`; those that stand nowhere come under More controls.

    method  what runs.  title, words  the page's head.  verb  on its button.  api  its endpoint.  ask  below the prompt.
    labels, infos  of controls, instead of the spec's.  main  rows that are always in sight.
    start  the initial picture's control, then those that say what becomes of it.  uploaded  what a new picture sets.
    groups  (title, rows) of further controls, folded.  inside  (name in extras, words): pictures in [-1, 1] of a step.
    wanted  a prompt's weighted parts that the last picture should show.  prefix  of all element ids.
    """

    method: type[Method]
    title: str
    words: str
    verb: str
    api: str
    ask: str
    examples: tuple[str, ...]
    main: Rows
    start: tuple[str, ...]
    uploaded: dict[str, Any]
    labels: dict[str, str]
    infos: dict[str, str] = field(default_factory=dict)
    groups: tuple[tuple[str, Rows], ...] = ()
    inside: tuple[tuple[str, str], ...] = ()
    wanted: Callable[[str], list] = parse
    prefix: str = ""

    @cached_property
    def controls(self) -> dict[str, Control]:
        """The spec's controls by name."""
        return {control.name: control for control in fields(self.method)}

    @property
    def pictures(self) -> list[str]:
        """The controls that hold a picture."""
        return [name for name, control in self.controls.items() if control.kind == "image"]

    def info(self, name: str) -> str | None:
        """What is written below a control: nothing where the label says it all."""
        if name == "prompt":
            return self.ask
        bare = name == "seed" or name in sum(self.main, ())
        return self.infos.get(name, None if bare else self.controls[name].description)


def values_of(page: Page, spec: Method) -> dict[str, Any]:
    """A spec as flat values, one per control."""
    out = {}
    for name in page.controls:
        value: Any = spec
        for part in name.split("__"):
            value = getattr(value, part)
        out[name] = value
    return out


def spec_from(page: Page, values: dict[str, Any], kept: dict[str, Any], limits: Limits) -> Method:
    """The spec of what the controls say; `kept` are fields without a control, from a restored PNG."""
    limits.check(values)
    opened = {name: open_upload(values[name]) for name in page.pictures if values.get(name)}
    return build_spec(page.method, values | opened).but(**kept)


def restored(page: Page, path: str) -> tuple[Method, dict[str, Any], dict]:
    """Spec of a PNG, its fields that have no control, and the recipe. Raises `SpecError` or `ImageError`."""
    recipe, name = read_recipe(path), page.method.__name__
    if not isinstance(recipe.get("method"), str):
        raise SpecError("this PNG's recipe names no method; it was changed after it was saved")
    if recipe["method"] != name:
        raise SpecError(f"this PNG was made by {recipe['method'][:60]}, and this page works with {name}")
    spec = spec_of(recipe, "this PNG")
    covered = {control.partition("__")[0] for control in page.controls}
    given = json.loads(spec.model_dump_json(exclude_defaults=True))
    return spec, {k: v for k, v in given.items() if k not in covered}, recipe


def notebook_cell(spec: Method, result: Result) -> str:
    """The code that makes the picture again in a notebook."""
    name, text = type(spec).__name__, spec.model_dump_json(exclude_defaults=True)
    head = [f"from labkit import Lab, {name}, show"]
    if '"sha256":' in text:  # a picture inside the spec; in a prompt the quotes would be escaped
        head.append("from labkit.runs.replay import spec_from_png")
        make = 'spec_from_png("picture.png")  # the downloaded file: it holds the pictures that this run began with'
    else:
        make = f"{name}(\n" + "".join(f"    {field}={value!r},\n" for field, value in json.loads(text).items()) + ")"
    lines = [*head, "", f"spec = {make}", "result = show(spec, Lab())", 'result.save("again.png")']
    if result.n and not result.finished:
        lines.append(f"# here the run ended after {result.steps_done} of {result.n} steps")
    return "\n".join(lines)


def judged(page: Page, lab, spec: Method, result: Result) -> str:
    """The judge's reading of the last picture against what the prompt asks for at its end."""
    return app.verdict_html(*lab.judge.check(result.image, " ".join(p.text for p in page.wanted(spec.prompt) if p.weight > 0)))


def inside_html(page: Page, step: Step) -> str:
    """What the step looked like inside, in a row; "" where the page shows nothing of it."""
    parts = []
    for name, words in page.inside:
        if name in step.extras:
            picture = to_pil(step.extras[name].add(1).div(2).clamp(0, 1))
            picture.thumbnail((THUMB, THUMB))
            said = f"<figcaption>{html.escape(words)}</figcaption>"
            parts.append(f'<figure><img src="{data_uri(picture)}" alt="">{said}</figure>')
    return f'<div class="lk-inside">{"".join(parts)}</div>' if parts else ""


def painted(lab, spec: Method, limits: Limits, stopped=lambda: False) -> Iterator[tuple[Result, str, Step]]:
    """(result, ending, step) at most every `EVERY_S` seconds, and at the end."""
    sent = -EVERY_S
    for result, ending, step in app.stream(spec, lab, limits.seconds, stopped):
        if ending or result.finished or time.monotonic() - sent >= EVERY_S:
            sent = time.monotonic()
            yield result, ending, step


def file_name(spec: Method, result: Result) -> str:
    """A name that holds no word of the visitor's."""
    return f"labkit-{spec.digest()[:8]}-{result.steps_done}.png"


def differs(page: Page, lab, limits: Limits, values: dict[str, Any], spec: Method, others: dict, found: dict) -> list[str]:
    """What keeps a restored picture from coming out the same here, in words; lowers `values` to the caps."""
    words = []
    for name, cap in limits.caps.items():
        if isinstance(values.get(name), int | float) and values[name] > cap:
            words.append(f"{page.controls[name].label}: {values[name]} in the PNG, this app allows {cap:g}. "
                         "The picture will differ.")
            values[name] = cap
    models = found.get("models") if isinstance(found.get("models"), dict) else {}
    for kind in spec.needs:
        then = models[kind].get("name") if isinstance(models.get(kind), dict) else None
        if then != getattr(lab, "names", {}).get(kind, then):
            words.append(f"{kind}: made with {str(then)[:80]}, here with {lab.names[kind]}. The picture will differ.")
    return words + [f"{name}: {len(v)} from the PNG, in force until you set back to defaults" for name, v in others.items()]
