"""How far a run is, on stderr: one line that is drawn over in a terminal, a line now and then in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from labkit.runs.result import Result
from labkit.runs.status import status
from labkit.spec import Step

TERMINAL_S, LOG_S = 0.1, 20.0
BAR = 20


class Progress:
    """`Progress()` is what `collect` takes as `on_step`; notices of the run (unknown words, …) are told once each."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.told: set[str] = set()
        self._drawn = time.monotonic()
        self._shown = False

    def __call__(self, step: Step, result: Result) -> None:
        for notice in step.extras.get("notices", ()):
            self.note(f"note: {notice}", once=True)
        if step.last or self._due():
            self.draw(status(result), result.steps_done / max(1, result.n))

    def now_and_then(self, words: str, share: float) -> None:
        """Show the bar, if it is time to."""
        if self._due():
            self.draw(words, share)

    def draw(self, words: str, share: float) -> None:
        """Show the bar, `share` of it filled."""
        self._drawn = time.monotonic()
        full = round(share * BAR)
        line = f"[{'#' * full}{'.' * (BAR - full)}] {words}"
        if not self.terminal:
            print(line, file=self.stream, flush=True)
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]:<{width}}", end="", file=self.stream, flush=True)
        self._shown = True

    def note(self, line: str, once: bool = False) -> None:
        """A line that stays."""
        if once and line in self.told:
            return
        self.told.add(line)
        self.close()
        print(line, file=self.stream, flush=True)

    def bytes(self, done: int, total: int | None) -> None:
        """Progress of a download."""
        of = f" of {total / 1e6:.0f}" if total else ""
        self.now_and_then(f"{done / 1e6:.0f}{of} MB", done / total if total else 0)

    def counting(self, what: str) -> Callable[[int, int], None]:
        """Progress of many things: `progress.counting("pictures")(done, total)`."""

        def tell(done: int, total: int) -> None:
            if self._due() or (self.terminal and done == total):
                self.draw(f"{done:,} of {total:,} {what}", done / max(1, total))

        return tell

    def _due(self) -> bool:
        return time.monotonic() - self._drawn > (TERMINAL_S if self.terminal else LOG_S)

    def close(self) -> None:
        """Leave the line that was drawn over."""
        if self._shown:
            print(file=self.stream, flush=True)
            self._shown = False
