"""Handing on: a picture, and its sentence where there is one, go with one click to any page that takes them.

    receive(title, verb, line, into, …)      a page takes pictures or a sentence
    offer(shelf, title, inputs, take)        a picture lies here: its buttons will stand on the shelf
    connect()                                when all pages are there: every offer gets a button for each place

What a page takes is asked of its controls: no page and no method is listed anywhere.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.context import Context
from PIL import Image

from labkit.spec import SpecError
from labkit.views.gradio.app import PRIVATE, plain_errors
from labkit.views.gradio.markup import line_html

PRESSED = """element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-place]');
  if (button) trigger('click', {place: Number(button.dataset.place)});
});"""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a picture or a sentence can go.

    title, name  of the page and, where it takes several pictures apart, of the control.  verb  on its button.
    line     its status line.  into  the control that takes the picture; None: it takes a sentence only.
    several  the control takes any number.  prompt  the control that takes the sentence; None: none does.
    sets     what a new picture sets besides.
    """

    title: str
    name: str
    verb: str
    line: gr.HTML
    into: gr.components.Component | None
    several: bool = False
    prompt: gr.components.Component | None = None
    sets: dict[gr.components.Component, Any] = field(default_factory=dict)

    def around(self, kind: type) -> list:
        """The tabs or folded parts that the control stands in, from within."""
        found, block = [], self.into or self.prompt
        while block := block.parent:
            found += [block] * isinstance(block, kind)
        return found

    @property
    def outputs(self) -> list:
        """What a picture that comes here changes."""
        return [*filter(None, (self.into, self.prompt)), *self.sets, self.line, *self.around(gr.Accordion),
                *(tab.parent for tab in self.around(gr.Tab))]

    def filled(self, source: str, picture: str | Image.Image, words: str, there: list | None) -> dict:
        """The page with a picture (its file, or itself) and its sentence ("": none), in sight; `there` are those that it
        has."""
        into = {} if not self.into else {self.into: [*(there or ()), (picture, words or None)] if self.several else picture}
        said = {self.prompt: words} if self.prompt and words else {}
        what = " and ".join(["a picture"] * bool(into) + ["its sentence"] * bool(said))
        return {**self.sets, **into, **said, self.line: line_html(f"Received {what} from {source}. Press {self.verb}."),
                **{part: gr.update(open=True) for part in self.around(gr.Accordion)},
                **{tab.parent: gr.update(selected=tab.id) for tab in self.around(gr.Tab)}}


@dataclass(frozen=True, eq=False)
class Offer:
    """Where a picture lies: what stands on the `shelf` sends it. `take` makes (file or picture, sentence) of the `inputs`'
    values, or raises `SpecError` where there is no picture yet."""

    shelf: gr.blocks.BlockContext
    title: str
    inputs: list
    take: Callable[..., tuple[str | Image.Image, str]]


@dataclass
class Desk:
    """A page's places and offers, all of its tabs together."""

    places: list[Place] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)


DESKS: WeakKeyDictionary[gr.Blocks, Desk] = WeakKeyDictionary()


def desk_here() -> Desk:
    """The desk of the page that is being built."""
    return DESKS.setdefault(Context.root_block, Desk())


def receive(title: str, verb: str, line: gr.HTML, pictures: dict[str, tuple[gr.components.Component, bool]],
            prompt: gr.components.Component | None = None, sets: dict[str, dict] | None = None) -> None:
    """A page takes `pictures`: label → its control and whether that takes any number; and a sentence, in `prompt`. `sets` says
    of a label what a picture sets besides. A page that takes neither is no place."""
    for label, (into, several) in pictures.items():
        name = label if len(pictures) > 1 else ""
        desk_here().places.append(Place(title, name, verb, line, into, several, prompt, (sets or {}).get(label, {})))
    if prompt and not pictures:
        desk_here().places.append(Place(title, "sentence only", verb, line, None, prompt=prompt))


def offer(shelf: gr.blocks.BlockContext, title: str, inputs: list, take: Callable[..., tuple[str | Image.Image, str]]) -> None:
    """A picture lies here; see `Offer`."""
    desk_here().offers.append(Offer(shelf, title, inputs, take))


def connect() -> None:
    """Put a button for every place on every offer's shelf. To be called once, when the page is whole."""
    desk = desk_here()
    outputs = list(dict.fromkeys(out for place in desk.places for out in place.outputs))
    galleries = list(dict.fromkeys(place.into for place in desk.places if place.several))
    for one in desk.offers:
        one.shelf.visible = bool(desk.places)
        if not desk.places:
            continue
        with one.shelf:
            buttons = gr.HTML(places_html(desk.places), js_on_load=PRESSED, elem_classes="lk-shelf")
        sent = buttons.click(_sender(one, desk.places, galleries), [*one.inputs, *galleries], outputs,
                             show_progress="hidden", **PRIVATE)
        sent.success(None, None, None, js="() => window.scrollTo({top: 0})", **PRIVATE)


def places_html(places: list[Place]) -> str:
    """A button for each place."""
    names = [f"{place.title}: {place.name[:1].lower()}{place.name[1:]}" if place.name else place.title for place in places]
    buttons = "".join(f'<button type="button" data-place="{k}">{html.escape(name)}</button>' for k, name in enumerate(names))
    return f'<div class="lk-places"><span>Send it to</span>{buttons}</div>'


def _sender(one: Offer, places: list[Place], galleries: list):
    def send(event: gr.EventData, *values):
        with plain_errors():
            mine = len(one.inputs)
            there = dict(zip(galleries, values[mine:], strict=True))
            place = numbered(event, "place", places)
            picture, words = one.take(*values[:mine])
            if not (place.into or words):
                raise SpecError(f"{place.title}: takes a sentence, and this picture has none")
            return place.filled(one.title, picture, words, there.get(place.into))
    return send


def numbered(event: gr.EventData, name: str, some: Sequence) -> Any:
    """The one of `some` whose number a browser's event says. Raises `SpecError` on any other number: an event is typed by
    whoever sends it."""
    k = (event._data or {}).get(name)
    if type(k) is not int or not 0 <= k < len(some):
        raise SpecError(f"{name}: there is no such one; load the page again")
    return some[k]
