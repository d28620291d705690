"""The command line: `python -m labkit COMMAND …`.

Flags are generated from the specs (tyro); a command's module is imported when the command is called, so that help is
quick. Exit codes: 0 done; 1 the run failed; 2 the user's own mistake, told without a traceback; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from textwrap import shorten

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
COLUMNS = 100

COMMANDS = {  # name: (module, function, what it does)
    "paint": ("run", "paint", 'Paint a prompt: paint "a red apple in the snow" --out apple.png'),
    "diffuse": ("run", "diffuse", 'A prompt by CLIP-guided diffusion: diffuse "a red apple in the snow"'),
    "matrix": ("run", "matrix", "How near texts are to pictures, as a heat map and a table"),
    "phrases": ("phrases", "phrases", "The key phrases of a song, with reasons: phrases song.txt --out bars.png"),
    "replay": ("run", "replay", "Make a picture again from the recipe in its PNG, and compare"),
    "sweep": ("run", "sweep", "A prompt over a grid of values; finished cells are kept"),
    "demo": ("tools", "demo", "Pictures from a few prompts, what the judge saw, and one page that shows them"),
    "world": ("tools", "world", "A contact sheet of the picture world"),
    "lab": ("tools", "lab", "JupyterLab with the notebooks"),
    "apps": ("tools", "apps", "The Gradio studio"),
    "survey": ("survey", "survey", "People rate pictures: survey new NAME FOLDER, then open, results, list"),
    "train": ("models", "train", "Train a pocket model; goes on where it was stopped"),
    "evaluate": ("evaluate", "evaluate", "What the pocket models can do, measured on unseen scenes; model cards"),
    "study": ("study", "study", "The long studies that notebooks show: make them anew, or list what is stale"),
    "zoo": ("models", "zoo", "zoo list: the models; zoo get NAME: fetch one"),
    "convert": ("models", "convert", "A published checkpoint (a pickle) into safetensors, safely"),
    "notebooks": ("notebooks", "notebooks", "Run the notebooks afresh; save them with their outputs"),
    "check": ("models", "check", "Does everything that labkit needs work here?"),
}

# By name, as importing their modules would import torch. Any other exception is a fault of ours: with traceback.
MISTAKES = {
    "labkit SpecError", "labkit PromptError", "labkit ImageError", "labkit WeightsError", "builtins FileNotFoundError",
    "builtins FileExistsError", "builtins PermissionError", "builtins IsADirectoryError", "builtins NotADirectoryError",
    "labkit NotWritable", "labkit TextError",
}  # fmt: skip
FAILURES = {"labkit NonFiniteError", "labkit DownloadError", "labkit FileError"}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without '→' shows '?' instead of failing
    args = list(sys.argv[1:] if argv is None else argv)
    try:
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
        kinds = {f"{c.__module__.partition('.')[0]} {c.__name__}" for c in type(error).__mro__}
        if kinds & (MISTAKES | FAILURES):
            say(f"labkit: {error}")
            return MISTAKE if kinds & MISTAKES else FAILED
        traceback.print_exc()
        return FAILED


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
    if name in COMMANDS:
        module, function, _ = COMMANDS[name]
        return _function(module, function)(rest)
    from labkit import methods

    known = [method.replace("_", "-") for method in methods.names()]
    if name in known:
        return _function("run", "run_method")(rest, name.replace("-", "_"), name)
    near = get_close_matches(name, [*COMMANDS, *known], n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else "python -m labkit --help lists what there is"
    say(f"labkit: {name!r} is no command; {hint}")
    return MISTAKE


def _function(module: str, function: str) -> Callable[..., int]:
    return getattr(import_module(f"labkit.views.cli.{module}"), function)


def overview() -> str:
    """What `--help` shows: every command and every method, in lines of at most 100 characters."""
    from labkit import methods

    rows = [(name, what) for name, (_, _, what) in COMMANDS.items()]
    found = [(name.replace("_", "-"), methods.summary(name)) for name in methods.names()]
    width = max(len(name) for name, _ in [*rows, *found])

    def line(name: str, what: str) -> str:
        return f"  {name:<{width}}  {shorten(what, COLUMNS - width - 4, placeholder=' …')}"

    return "\n".join([
        "usage: python -m labkit COMMAND …        python -m labkit COMMAND --help lists its flags",
        "", "commands", *(line(*row) for row in rows),
        "", "methods, each with its own flags (paint is vqgan-clip, diffuse is guided-diffusion)",
        *(line(*row) for row in found),
        "", "exit codes: 0 done, 1 the run failed, 2 a mistake in what was asked, 130 stopped",
    ])  # fmt: skip


def say(line: str) -> None:
    """A line for people; results go to stdout, everything else here."""
    print(line, file=sys.stderr, flush=True)
