"""What a page for a method is, and what lies between its controls and a run: nothing here is a component.

A `Page` says what it is called and where its controls stand; every control, bound and default is the spec's, and whether
there is a prompt, a seed or a picture to start from is asked of the spec. `page_of` makes the page of any method, `workbench`
the components of it; a page made by hand (`apps/paint.py`) only arranges and names.
"""

from __future__ import annotations

import html
import inspect
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from labkit.image import ImageError, open_upload, to_pil
from labkit.prompt import parse
from labkit.runs.result import Result
from labkit.sketches import drawing
from labkit.spec import Method, Spec, Step
from labkit.text import plain
from labkit.views.controls import Control, fields
from labkit.views.controls import build as build_spec
from labkit.views.gradio import app
from labkit.views.gradio.app import Limits
from labkit.views.gradio.markup import verdict_html
from labkit.views.notebook.show import data_uri

EVERY_S = 0.25  # seconds between two previews: a faster page makes the browser the slow part
THUMB = 128  # pixels of what the explainer shows beside the picture
EXAMPLE = "a red apple in the snow"  # of a prompt that has no default
SIZES = ("width", "height")
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """What a page is. Controls are named flat, `canvas__width`; those that stand nowhere come under More controls.

    method  what runs.  title, words  the page's head.  verb  on its button.  api  its endpoint.
    ask  below the prompt.  examples  of prompts, the first one filled in.  first  rows above the button.
    labels, infos  of controls, instead of the spec's.  main  rows that are always in sight.
    start  the initial picture's control, then those that say what becomes of it.  uploaded  what a new picture sets.
    groups  (title, rows) of further controls, folded.  inside  (name in extras, words): pictures in [-1, 1] of a step.
    wanted  a prompt's weighted parts that the last picture should show.  prefix  of all element ids.
    pads  controls of pictures that are drawn (`pad.pad`).  presets  what this page begins with instead of a spec's default.
    live  what is said of some controls as they move, below the first of the main rows: (names, (lab, flat values) → HTML).
    extra  makes what this page alone has below its picture: (`Site`) → `Part`.
    """

    method: type[Method]
    title: str
    words: str
    verb: str
    api: str
    ask: str | None = None
    examples: tuple[str, ...] = ()
    first: Rows = ()
    main: Rows = ()
    start: tuple[str, ...] = ()
    uploaded: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    infos: dict[str, str] = field(default_factory=dict)
    groups: tuple[tuple[str, Rows], ...] = ()
    inside: tuple[tuple[str, str], ...] = ()
    wanted: Callable[[str], list] = parse
    prefix: str = ""
    pads: tuple[str, ...] = ()
    presets: dict[str, Any] = field(default_factory=dict)
    live: tuple[tuple[str, ...], Callable[[Any, dict[str, Any]], str]] | None = None
    extra: Callable[[Site], Part] | None = None

    @cached_property
    def controls(self) -> dict[str, Control]:
        """The spec's controls by name."""
        return {control.name: control for control in fields(self.method)}

    @property
    def defaults(self) -> dict[str, Any]:
        """What the controls are set to at first: the spec's defaults, the page's own, and the first example as the prompt."""
        flat = {name: control.minimum if control.required and control.kind in ("int", "float") else control.default
                for name, control in self.controls.items()}  # fmt: skip
        return flat | self.presets | ({"prompt": self.examples[0]} if self.examples else {})

    def info(self, name: str) -> str | None:
        """What is written below a control: nothing where the label says it all."""
        if name == "prompt" and self.ask:
            return self.ask
        bare = name == "seed" or name in sum(self.main, ())
        return self.infos.get(name, None if bare else self.controls[name].description)


@dataclass(frozen=True)
class Site:
    """Where a page's own part is built: the `page`, its `lab` and `limits`, the fields without a control (`kept`), "New seed
    each time" (`fresh`), its controls by name (`made`) and its status `line`."""

    page: Page
    lab: Any
    limits: Limits
    kept: Any
    fresh: Any
    made: dict[str, Any]
    line: Any


class Part:
    """What a page alone has below its picture; made with a `Site`.

    outputs  what a run changes of it.  again  the events on which the page is to run.  inputs  what a run reads of it.
    """

    outputs: tuple = ()
    again: tuple = ()
    inputs: tuple = ()

    def fields(self, flat: dict[str, Any], *values: Any) -> dict[str, Any]:
        """Fields of the spec that `inputs` say, which no control holds; `flat` is what the controls say."""
        return {}

    def shown(self, spec: Method, step: Step | None) -> dict[Any, Any]:
        """What changes with a step."""
        return {}


def words_of(spec_cls: type[Spec]) -> tuple[str, str]:
    """A spec's name and what it does, as a page's head: ("Guided diffusion", "Make a picture by …")."""
    title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", spec_cls.__name__)
    title = re.sub(r" ([A-Z])(?=[a-z])", lambda m: f" {m[1].lower()}", title)
    return title, inspect.cleandoc(spec_cls.__doc__ or title).splitlines()[0]


def name_of(spec_cls: type[Spec]) -> str:
    """A spec's name as an endpoint's and in ids: guided_diffusion."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", spec_cls.__name__).lower()


def labels_of(spec_cls: type[Spec]) -> dict[str, str]:
    """The controls' names as labels: canvas__init_scale is "Init scale"."""
    return {c.name: c.name.rpartition("__")[2].replace("_", " ").capitalize() for c in fields(spec_cls)}


def pairs(names: list[str]) -> Rows:
    """Rows of two controls."""
    return tuple(tuple(names[k:k + 2]) for k in range(0, len(names), 2))


def groups_of(controls: dict[str, Control], placed: set[str]) -> tuple[tuple[str, Rows], ...]:
    """Nested specs as folded groups, without the controls that are `placed` already."""
    inner: dict[str, list[str]] = {}
    for name in controls:
        if "__" in name and name not in placed:
            inner.setdefault(name.rpartition("__")[0], []).append(name)
    return tuple((at.replace("__", ": ").replace("_", " ").capitalize(), pairs(names)) for at, names in inner.items())


def documented(run, said: str, controls: list[Control]) -> None:
    """What the API shows of a function that takes a value per control; those without a default come first."""
    run.__signature__ = inspect.Signature([
        inspect.Parameter(c.name, inspect.Parameter.POSITIONAL_OR_KEYWORD,
                          default=inspect.Parameter.empty if c.required else c.default) for c in controls])  # fmt: skip
    run.__doc__ = f"{said}\n\nArgs:\n" + "\n".join(f"    {c.name}: {c.description}" for c in controls)


def page_of(method: type[Method]) -> Page:
    """The page of any method, from its spec alone: what has no default and what there is to start from stand above the
    button, steps and sizes below it, nested specs in folded groups."""
    controls = {control.name: control for control in fields(method)}
    prompt, (title, words) = method.has("prompt"), words_of(method)
    pictures = [name for name, control in controls.items() if control.kind in ("image", "images")]
    first = [n for n, c in controls.items() if n not in ("prompt", "seed") and (c.required or n in pictures and not prompt)]
    left = [name for name in pictures if name not in first]
    start = left[:1]
    if start and "__" in start[0]:  # what stands beside the picture says what becomes of it
        home = start[0].rpartition("__")[0]
        start += [n for n in controls if n.rpartition("__")[0] == home and n not in start
                  and n.rpartition("__")[2] not in SIZES]  # fmt: skip
    main = [n for n in controls if n not in first and n.rpartition("__")[2] in ("steps", *SIZES)]
    main = tuple((n,) for n in main if n == "steps") + pairs([n for n in main if n != "steps"])
    placed = {*first, *start, *sum(main, ()), "prompt", "seed"}
    example = () if not prompt else (controls["prompt"].default or EXAMPLE,)
    return Page(method, title, words, "Run", name_of(method), examples=example, first=pairs(first), main=main,
                start=tuple(start), labels=labels_of(method), groups=groups_of(controls, placed),
                prefix=f"{name_of(method)}-")  # fmt: skip


def flat_of(spec: Spec) -> dict[str, Any]:
    """A spec as flat values, one per control."""
    out = {}
    for control in fields(type(spec)):
        value: Any = spec
        for part in control.name.split("__"):
            value = getattr(value, part, None)  # a nested spec that is None has none of its own
        out[control.name] = value
    return out


def spec_from(page: Page, values: dict[str, Any], kept: dict[str, Any], limits: Limits) -> Method:
    """The spec of what the controls say; `kept` are fields without a control, of the page's own part or a restored PNG."""
    spec = build_spec(page.method, opened(page.controls, values), kept)
    limits.check(flat_of(spec))
    return spec


def opened(controls: dict[str, Control], values: dict[str, Any]) -> dict[str, Any]:
    """The values with uploads and drawings as pictures. Raises `ImageError` on what is none, with its control's name."""
    out = dict(values)
    for name, raw in values.items():
        try:
            if isinstance(raw, bytes):
                out[name] = drawing(raw) if raw or controls[name].required else None
            elif controls[name].kind == "image":
                out[name] = received(raw) if raw else None
            elif controls[name].kind == "images":
                out[name] = pictures_of(raw)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from None
    return out


def pictures_of(gallery: list | None) -> list[Image.Image]:
    """The pictures of a gallery, which gives (path, caption) pairs. Raises `ImageError` on a bad one."""
    return [received(item[0] if isinstance(item, tuple | list) else item) for item in gallery or ()]


def received(path: str, read: Callable[[bytes], Any] = open_upload) -> Any:
    """What `read` makes of an upload, a picture unless it says otherwise. Its `ImageError` names the file as the visitor knows
    it, and no folder of the server's."""
    name = plain(Path(path).name)
    try:
        return read(Path(path).read_bytes())
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:  # uploads are forgotten after a day
        raise ImageError(f"{name}: is no longer on the server; upload it again") from None


def judged(page: Page, lab, spec: Method, result: Result) -> str:
    """The judge's reading of the last picture, or pictures, against what the prompt asks for at its end; "" where there is no
    prompt."""
    if not page.method.has("prompt"):
        return ""
    wanted = " ".join(p.text for p in page.wanted(spec.prompt) if p.weight > 0)
    return verdict_html([lab.judge.check(picture, wanted) for picture, _ in spec.apart(result.image)])


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
