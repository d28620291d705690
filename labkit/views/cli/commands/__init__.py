"""The commands: one file each, named as it is called. `main(args)` runs it; its docstring's first line stands in `--help`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from labkit.methods import first_line, modules


def summaries() -> dict[str, str]:
    """Every command and what it does; no command is imported."""
    return {name: first_line(path).rstrip(".") for name, path in sorted(modules(__name__).items())}


def load(name: str) -> Callable[[list[str]], int]:
    """What runs a command."""
    return import_module(f"{__name__}.{name}").main
