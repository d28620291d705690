"""What all commands share: exit codes, how wide a line is, and where a line for people goes."""

from __future__ import annotations

import sys

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
COLUMNS = 100
LINES, LONG = 20, 400  # of a message: the most lines, and characters of a line


def say(line: str) -> None:
    """A line for people; results go to stdout, everything else here."""
    print(line, file=sys.stderr, flush=True)
