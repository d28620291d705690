"""The methods: one readable module each; and where the measures are, which live beside what they look at.

Both are found by their files, and told of by their own words, without importing them (and torch with them). They register
themselves in `labkit.spec.METHODS` and `MEASURES` when they are imported.
"""

from __future__ import annotations

import ast
import pkgutil
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

MEASURE = re.compile(r"^class (\w+)\((?:[\w., ]*[ .,])?Measure\b[^)]*\):", re.MULTILINE)
WITHOUT = ("views",)  # a package that shows things and holds none


def names() -> list[str]:
    """The methods' modules, without importing them: 'vqgan_clip', …"""
    return sorted(modules(__name__))


def summary(name: str) -> str:
    """The first line of a method's module."""
    return first_line(modules(__name__)[name]) or name


def load(name: str):
    """The `Method` of a module: 'vqgan_clip' → `VQGANCLIP`. Raises `SpecError` for one that there is not."""
    from labkit.spec import METHODS, SpecError

    if name not in names():
        raise SpecError(f"method: {name!r} is none of {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    return next(method for method in METHODS.values() if method.__module__ == module.__name__)


def load_all() -> dict:
    """Import every method; returns `METHODS`, filled."""
    from labkit.spec import METHODS

    for name in names():
        import_module(f"{__name__}.{name}")
    return METHODS


@dataclass(frozen=True)
class Found:
    """A measure that has not been imported: its class, the module it is in, and what it says of itself."""

    cls: str
    module: str
    summary: str

    def load(self):
        """The `Measure`."""
        return getattr(import_module(self.module), self.cls)


def measures() -> dict[str, Found]:
    """Every measure by its name: 'similarity-matrix' → where `SimilarityMatrix` is."""
    found = {}
    for package in pkgutil.iter_modules(_folders("labkit")):
        if not package.ispkg or package.name in WITHOUT:
            continue
        for module, path in modules(f"labkit.{package.name}").items():
            text = path.read_text(encoding="utf-8")
            for cls in MEASURE.findall(text):
                found[kebab(cls)] = Found(cls, f"labkit.{package.name}.{module}", first_line(path, cls) or cls)
    return dict(sorted(found.items()))


def kebab(name: str) -> str:
    """'SimilarityMatrix' → 'similarity-matrix'."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def modules(package: str) -> dict[str, Path]:
    """The modules of a package, name → file; neither they nor the package is imported."""
    found = pkgutil.iter_modules(_folders(package))
    return {m.name: Path(m.module_finder.path, f"{m.name}.py") for m in found if not m.ispkg}


def first_line(path: Path, cls: str | None = None) -> str:
    """The first line of a module's docstring, or of one of its classes'; "" without one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if cls is not None:
        tree = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls)
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def _folders(package: str) -> list[str]:
    if package in sys.modules:
        return list(sys.modules[package].__path__)
    return list(find_spec(package).submodule_search_locations)
