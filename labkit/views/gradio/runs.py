"""How a button runs something: one run at a time for all visitors, a place in the line, a Stop, and an end that always gives
the button back.

    wire(run, work, inputs, outputs, line, stop)         # work(stopped, *values) yields {component: what it shows now}

A refusal ends a run like any other: its words stand in the status line, and the next run begins as if nothing had been.
"""

from __future__ import annotations

import contextlib
import html
import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.context import Context

from labkit.spec import SpecError
from labkit.views.gradio.app import MAX_QUEUE, PRIVATE, fault
from labkit.views.gradio.markup import line_html

LOOK_S = 0.5  # seconds between two looks at the line and at Stop
OURS = "This is a fault of labkit, and the server's log says where. Another try may go well"
UNSTARTED = "This did not start: the message above says why. Change it and try again"


class Line:
    """One at a time, first come first served. Who waits knows how many are before them, and may leave."""

    def __init__(self, most: int):
        self._most, self._places, self._moved = most, [], threading.Condition()

    def __len__(self) -> int:
        """How many there are, the one whose turn it is included."""
        return len(self._places)

    @contextlib.contextmanager
    def joined(self) -> Iterator[Callable[[float], int]]:
        """A place in the line; `ahead(seconds)` says how many are before it, after waiting at most so long for them to be
        fewer; 0: it is our turn, until the block is left. Raises `SpecError` where too many wait."""
        me = object()
        with self._moved:
            if len(self._places) > self._most:
                raise SpecError(f"{self._most} runs wait already, which is all that this app lets wait; try again in a while")
            self._places.append(me)

        def ahead(seconds: float) -> int:
            with self._moved:
                before = self._places.index(me)
                if before:
                    self._moved.wait_for(lambda: self._places.index(me) < before, seconds)
                return self._places.index(me)

        try:
            yield ahead
        finally:
            with self._moved:
                self._places.remove(me)
                self._moved.notify_all()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Our turn, waited for."""
        with self.joined() as ahead:
            while ahead(60):
                pass
            yield


LINES: WeakKeyDictionary[gr.Blocks, Line] = WeakKeyDictionary()


def line_here() -> Line:
    """The line of the page that is being built: all of its buttons and endpoints wait in the same one."""
    return LINES.setdefault(Context.root_block, Line(MAX_QUEUE))


@dataclass
class Visit:
    """A visitor's run on its way: whether they pressed Stop, and whether the page has been told anything of it."""

    halted: threading.Event = field(default_factory=threading.Event)
    told: bool = False


class Runs:
    """Which visitors' runs of one button are on their way."""

    def __init__(self):
        self._visits: dict[str, Visit] = {}

    def begin(self, request: gr.Request) -> bool:
        """Note a run; False where the visitor's last one has not ended."""
        if request.session_hash in self._visits:
            return False
        self._visits[request.session_hash] = Visit()
        return True

    def visit(self, request: gr.Request) -> Visit:
        """The visitor's run."""
        return self._visits.get(request.session_hash) or Visit()

    def halt(self, request: gr.Request) -> None:
        """Stop the visitor's run: after its current step, or in the line."""
        if visit := self._visits.get(request.session_hash):
            visit.halted.set()

    def finish(self, request: gr.Request) -> None:
        """Forget the visitor's run."""
        self._visits.pop(request.session_hash, None)


def place(ahead: int) -> str:
    """A place in the line, in words."""
    return f"Waiting in line: {ahead} {'run is' if ahead == 1 else 'runs are'} before yours …"


def wire(button: gr.Button, work: Callable[..., Any], inputs: list, outputs: list, line: gr.HTML,
         stop: gr.Button | None = None, also: tuple = (), **options: Any) -> Runs:
    """Let a button (and the events `also`) run `work`, with its status in `line`.

    `work(stopped, *values)` returns or yields {component: what it shows now}; `stopped()` says whether the visitor pressed
    `stop`. `options` go to the event. Begin, work, finish: finish follows on success, on refusal and on every other error.
    """
    runs, queue, buttons = Runs(), line_here(), [button, *([stop] if stop else [])]

    def switched(on: bool) -> dict:
        return {button: gr.update(interactive=on)} | ({stop: gr.update(interactive=not on)} if stop else {})

    def begin(request: gr.Request):
        return switched(False) | {line: line_html("Starting …")} if runs.begin(request) else {line: gr.skip()}

    def run(request: gr.Request, *values):
        visit = runs.visit(request)
        stopped = visit.halted.is_set
        try:
            with queue.joined() as ahead:
                while (before := ahead(LOOK_S)) and not stopped():
                    yield {line: line_html(place(before))}  # even where it is the same: so a page that is gone is noticed
                if stopped():
                    yield {line: line_html("Stopped before it began.", "ended")}
                    return
                for update in _updates(work(stopped, *values)):
                    yield update if visit.told else {line: ""} | update
                    visit.told = True
        except GeneratorExit:  # the page is gone, and will not finish
            runs.finish(request)
            raise
        except Exception as error:
            words, visit.told = fault(error), True
            yield {line: line_html(words or f"{type(error).__name__}. {OURS}", "refused")}
            if words is None:
                raise
            gr.Warning(html.escape(words), title="That does not work")

    def finish(request: gr.Request):
        runs.finish(request)
        return switched(True)

    def failed(request: gr.Request):
        told = runs.visit(request).told
        return finish(request) | {line: gr.skip() if told else line_html(UNSTARTED, "refused")}

    quick = {"queue": False, "show_progress": "hidden", **PRIVATE}
    started = gr.on([button.click, *also], begin, None, [*buttons, line], trigger_mode="once", **quick)
    ran = started.then(run, inputs, list(dict.fromkeys([*outputs, line])), concurrency_limit=None,
                       **{"show_progress": "hidden"} | options, **PRIVATE)  # fmt: skip
    ran.then(finish, None, buttons, **quick)
    ran.failure(failed, None, [*buttons, line], **quick)
    if stop:
        stop.click(runs.halt, None, None, **quick)
    return runs


def _updates(made: Any) -> Iterator[dict]:
    """What a work function returned or yields, as a stream. Closing it closes the work."""
    if not inspect.isgenerator(made):
        yield made
        return
    with contextlib.closing(made):
        yield from made
