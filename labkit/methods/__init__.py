"""The methods: one readable module each. They register themselves in `labkit.spec.METHODS` when they are imported."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

from labkit.spec import METHODS, Method, SpecError


def names() -> list[str]:
    """The methods' modules, without importing them: 'vqgan_clip', …"""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def summary(name: str) -> str:
    """The first line of a method's module, read without importing it (and torch with it)."""
    text = Path(__path__[0], f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or name).splitlines()[0]


def load(name: str) -> type[Method]:
    """The method of a module: 'vqgan_clip' → `VQGANCLIP`. Raises `SpecError` for one that there is not."""
    if name not in names():
        raise SpecError(f"method: {name!r} is none of {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    return next(method for method in METHODS.values() if method.__module__ == module.__name__)


def load_all() -> dict[str, type[Method]]:
    """Import every method; returns `METHODS`, filled."""
    for name in names():
        import_module(f"{__name__}.{name}")
    return METHODS
