"""What is left when a run has ended: the picture, its scores and the recipe that makes it again.

Every view that keeps something goes through `collect`: however a run ends, the last good picture is not lost. One that
iterates by itself calls `Result.add` after each step, and `Result.catch_up` with the last one before it closes a run early.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.files import FileError, kept
from labkit.image import ImageError, contact_sheet, environment, save_png
from labkit.image.recipe import recipe_png
from labkit.spec import Method, NonFiniteError, Step

MAX_PREVIEWS = 12


@dataclass(repr=False)
class Result:
    """The outcome of a run, finished or not.

    spec        what was asked for; None if only steps were given.  image  the last picture, or None before the first.
    image_step  the step (from 1) that it shows: the last one, unless that could not be drawn any more.
    history     the scores of every step.  steps_done of n.  seconds  wall-clock time, model loading not counted.
    extras      what else the last step had to show.
    recipe      what a PNG of this result carries; its `steps_done` is the picture's, and so is what was `found`, where a method
    finds something that makes the picture by itself (an enhancer's adjustments).  finished  whether the last step was
    reached.  interrupted  whether the user stopped it.  previews  at most 12 pictures spread over the run, the last one not
    among them, and preview_steps, the numbers (from 1) of the steps that they show.  notices  what the method has to
    say to the user: words that the model has never seen, smaller batches after memory ran out.
    """

    spec: Method | None
    image: Any = None
    image_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    steps_done: int = 0
    n: int = 0
    seconds: float = 0.0
    extras: dict[str, Any] = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    finished: bool = False
    interrupted: bool = False
    previews: list[Any] = field(default_factory=list)
    preview_steps: list[int] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _every: int = 1
    _pictures: int = 0

    def add(self, step: Step) -> None:
        """Take in one step."""
        self.history.append(dict(step.scores))
        self.steps_done, self.n, self.finished, self.extras = step.i + 1, step.n, step.last, step.extras
        self.notices += [line for line in step.extras.get("notices", ()) if line not in self.notices]
        self._take(step.image, step)

    def catch_up(self, step: Step) -> None:
        """Draw the picture of the last step that was taken in, where it was no preview; before the run goes on or is closed.
        Where it cannot be drawn any more, or is none, the older picture stays."""
        if self.image_step <= step.i:
            try:
                picture = step.picture()
            except ImageError:  # it holds NaN
                picture = None
            self._take(picture, step)

    def _take(self, picture: Any, step: Step) -> None:
        if picture is not None:
            self._keep_last_as_preview()
            self.image, self.image_step = picture, step.i + 1
            self.recipe["steps_done"] = self.image_step
            if "found" in step.extras:
                self.recipe["found"] = step.extras["found"]

    def _keep_last_as_preview(self) -> None:
        """Keep every k-th picture; when they are too many, drop every other one and double k."""
        if self.image is None:
            return
        if self._pictures % self._every == 0:
            self.previews.append(self.image)
            self.preview_steps.append(self.image_step)
        self._pictures += 1
        if len(self.previews) > MAX_PREVIEWS - 1:
            self._every *= 2
            del self.previews[1::2], self.preview_steps[1::2]

    @property
    def scores(self) -> dict[str, float]:
        """The latest value of every score."""
        return {name: value for step in self.history for name, value in step.items()}

    def save(self, path: str | Path) -> Path:
        """Write the picture as a PNG that carries its recipe. Raises `ValueError` if there is no picture yet.

        Where it cannot be written, as on a disk that has filled meanwhile, it is kept in a temporary folder if that can be,
        and stays in `image`: the `FileError` says so.
        """
        if self.image is None:
            raise ValueError(f"nothing to save to {path}: the run stopped before its first picture")
        try:
            return kept(path, recipe_png(self.image, path, self.recipe))
        except FileError as error:
            if error.instead is None:
                error.args = (f"{error}; it is still in the result's `image`: save it again when there is room",)
            raise

    def save_strip(self, path: str | Path) -> Path:
        """Write `strip()` as a PNG. Raises `ValueError` if there is no picture yet, `FileError` where it cannot be written."""
        return save_png(self.strip(), path)

    def strip(self):
        """The run in one row of pictures, from first to last, each with its step. Raises `ValueError` without one."""
        if self.image is None:
            raise ValueError("no strip: the run stopped before its first picture")
        images = [*self.previews, self.image]
        labels = [f"step {k}" for k in [*self.preview_steps, self.image_step]]
        return contact_sheet(images, labels, columns=len(images))

    def __repr__(self) -> str:
        scores = "".join(f", {name} {value:.3g}" for name, value in self.scores.items())
        ending = "finished" if self.finished else "stopped"
        return f"<Result: {ending}, {self.steps_done} of {self.n} steps in {self.seconds:.1f} s{scores}>"


def recipe_of(spec: Method | None, lab) -> dict:
    """How a picture is made, before the first step; `steps_done` is 0."""
    here = environment(getattr(lab, "device", "cpu")) | {"precision": getattr(lab, "precision", "fp32")}
    recipe = {"labkit": here["labkit"]}
    if spec is not None:
        recipe |= {
            "method": type(spec).__name__,
            "spec": json.loads(spec.to_json()),
            "models": lab.fingerprints(spec.needs),
        }
    return {**recipe, "environment": here, "steps_done": 0}


def collect(
    spec: Method | None,
    lab,
    steps: Iterable[Step] | None = None,
    on_step: Callable[[Step, Result], None] | None = None,
) -> Result:
    """Run a spec, or take the `steps` of a run, to the end.

    `on_step(step, result)` is called after each step. Ctrl-C or an interrupted kernel ends the run after the step that it is
    at (a second one at once) and returns what there is, `interrupted`, with that step's picture. Any other error is raised,
    and its `.result` holds the last good picture.
    """
    if spec is not None:
        lab.require(spec)
    result = Result(spec, recipe=recipe_of(spec, lab))
    started = time.perf_counter()
    stream, step = iter(spec.run(lab) if steps is None else steps), None
    try:
        with _interrupts_between_steps() as interrupted:
            for step in stream:
                result.add(step)
                result.seconds = time.perf_counter() - started
                if on_step:
                    on_step(step, result)
                if interrupted() and not step.last:
                    raise KeyboardInterrupt
        if step is not None:
            result.catch_up(step)
    except KeyboardInterrupt:
        result.interrupted = True
        if step is not None:
            result.catch_up(step)
    except Exception as error:
        if isinstance(error, NonFiniteError) and error.last is not None and error.last.i >= result.steps_done:
            result.add(error.last)
        error.result = result
        raise
    finally:
        result.seconds = time.perf_counter() - started
        if hasattr(stream, "close"):
            stream.close()
    return result


@contextmanager
def _interrupts_between_steps() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed in the block, where it does not break off a step: half a step has no picture. The second time
    it does. Nothing is changed in other threads, and where somebody else listens to it."""
    asked = False

    def note(number, frame) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
