"""The command line: `python -m labkit COMMAND …`.

A command is a file in `commands/`; every method and measure is one too, by itself. Flags are generated from the specs (tyro);
what a command needs is imported when it is called, so that help is quick. Exit codes: 0 done; 1 the run failed; 2 the user's
own mistake, told without a traceback; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from textwrap import shorten

from labkit.text import plain, read_words
from labkit.views.cli.terminal import COLUMNS, DONE, FAILED, INTERRUPTED, LINES, LONG, MISTAKE, say

PATHS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without '→' shows '?' instead of failing
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        for k, arg in enumerate(args):
            read_words(arg, f"argument {k + 1}")  # refuses bytes that are no text
        return dispatch(args)
    except SystemExit as end:  # tyro's way of ending after --help or a flag that it cannot read
        return end.code if isinstance(end.code, int) else MISTAKE if end.code else DONE
    except KeyboardInterrupt:
        say("stopped")
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if (code := code_of(error)) is None:
            traceback.print_exc()
            return FAILED
        lines = words_of(error).splitlines()
        if len(lines) > LINES:
            lines = [*lines[:LINES], f"… and {len(lines) - LINES} lines more"]
        say("labkit: " + "\n".join(plain(line, LONG) for line in lines))  # a file's own words may stand in it
        return code


def words_of(error: Exception) -> str:
    """What an error says; of the system's own, without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error) or type(error).__name__


def code_of(error: Exception) -> int | None:
    """The exit code of an error that says what is wrong and what to do; None for a fault of ours, which comes with a traceback.

    Our own kinds are known by where they were defined, as importing their modules would import torch.
    """
    kinds = type(error).__mro__
    ours = any(kind.__module__.partition(".")[0] == "labkit" for kind in kinds)
    if isinstance(error, PATHS) or any(kind.__name__ == "NotWritable" for kind in kinds):
        return MISTAKE
    if isinstance(error, OSError) and (ours or error.errno):
        return FAILED
    return None if not ours else FAILED if isinstance(error, ArithmeticError) else MISTAKE


def dispatch(args: list[str]) -> int:
    """Call the command that the first argument names."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(overview())
        return DONE if args else MISTAKE
    if args[0] in ("-V", "--version"):
        import labkit

        print(f"labkit {labkit.__version__}")
        return DONE
    name, rest = args[0], args[1:]
    known = every_command()
    if name in known:
        return known[name]()(rest)
    near = get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "python -m labkit --help lists what there is"
    say(f"labkit: {name!r} is no command; {hint}")
    return MISTAKE


def every_command() -> dict[str, Callable[[], Callable[[list[str]], int]]]:
    """Everything that can be called: name → a function that imports it and gives what runs it. Own files come before methods
    and measures of their name."""
    from labkit import methods
    from labkit.views.cli.commands import load, summaries

    def method(name: str):
        from labkit.views.cli.running import run_method

        return lambda args: run_method(args, name, name.replace("_", "-"))

    def measure(name: str, found: methods.Found):
        from labkit.views.cli.measuring import run_measure

        return lambda args: run_measure(args, found.load(), name)

    every = {name: (lambda name=name, found=found: measure(name, found)) for name, found in methods.measures().items()}
    every |= {name.replace("_", "-"): (lambda name=name: method(name)) for name in methods.names()}
    return every | {name: (lambda name=name: load(name)) for name in summaries()}


def overview() -> str:
    """What `--help` shows: every command, method and measure, in lines of at most 100 characters."""
    from labkit import methods
    from labkit.views.cli.commands import summaries

    rows = summaries()
    making = {name.replace("_", "-"): methods.summary(name) for name in methods.names()}
    looking = {name: found.summary for name, found in methods.measures().items()}
    width = max(map(len, [*rows, *making, *looking]))

    def lines(table: dict[str, str]) -> list[str]:
        return [f"  {name:<{width}}  {shorten(what, COLUMNS - width - 4, placeholder=' …')}" for name, what in table.items()]

    return "\n".join([
        "usage: python -m labkit COMMAND …        python -m labkit COMMAND --help lists its flags",
        "", "commands", *lines(rows),
        "", "methods, each with its own flags", *lines(making),
        "", "measures, each with its own flags", *lines(looking),
        "", "exit codes: 0 done, 1 the run failed, 2 a mistake in what was asked, 130 stopped",
    ])  # fmt: skip
