"""Make a picture again from the recipe in its PNG, and say how near it came and what differs where it did not."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from labkit.image import differences, open_upload, psnr, read_recipe
from labkit.lab import Lab
from labkit.runs.result import Result, collect
from labkit.runs.versions import changes_since, made_by, upgrade
from labkit.spec import METHODS, Method, SpecError
from labkit.text import plain


@dataclass(frozen=True)
class Replay:
    """A picture made again. `psnr` in dB (infinity when identical, NaN when the sizes differ); `differences` has a
    line for each part of the surroundings (versions, threads, device, models) that is not as it was, and for what an other
    version of labkit does otherwise."""

    result: Result
    identical: bool
    psnr: float
    differences: list[str]


def load_methods() -> dict[str, type[Method]]:
    """Every method by name, those of `labkit.methods` and those that the caller has defined."""
    import labkit.methods

    for module in pkgutil.iter_modules(labkit.methods.__path__):
        importlib.import_module(f"labkit.methods.{module.name}")
    return METHODS


def spec_of(recipe: dict, where: str = "this recipe") -> Method:
    """The spec that a recipe tells of, also one of an older labkit. Raises `SpecError` for a recipe without one, or of an
    unknown method."""
    where, recipe = plain(where, 200), upgrade(recipe)
    if "method" not in recipe or "spec" not in recipe:
        raise SpecError(f"{where}: tells of no method and its spec, so it cannot be made again")
    name, values = recipe["method"], recipe["spec"]
    methods = load_methods()
    if not isinstance(name, str) or name not in methods:
        raise SpecError(f"{where}: was made by '{plain(name, 40)}', which this labkit does not have; it has "
                        f"{', '.join(methods)}. Import the module that defines it, or use the labkit that made it "
                        f"({made_by(recipe)})")
    if not isinstance(values, dict):
        raise SpecError(f"{where}: its spec is not a table of names and values; got {type(values).__name__}")
    try:
        return methods[name](**values)
    except SpecError as error:
        raise SpecError(f"{where}: {made_by(recipe)} wrote a recipe that cannot be followed here:\n{error}") from None


def spec_from_png(path: str | Path) -> Method:
    """The spec in a PNG that labkit saved."""
    return spec_of(read_recipe(path), str(path))


def replay(path: str | Path, lab: Lab | None = None) -> Replay:
    """Run the recipe of a PNG as far as its picture had gone, and compare the pictures.

    All of the file is looked at before the work begins. Without a lab the pocket models serve: what a recipe names as a model
    may be a path or an address, and a picture from elsewhere shall not make this machine load from there. Give
    `Lab(clip=..., vqgan=...)` for other models. Raises `ImageError` and `SpecError`.
    """
    recipe = read_recipe(path)
    spec, recipe = spec_of(recipe, str(path)), upgrade(recipe)
    steps_done = recipe.get("steps_done")
    if type(steps_done) is not int or steps_done < 1:
        raise SpecError(f"{plain(path, 200)}: steps_done must be a whole number of at least 1; got {plain(steps_done, 40)}")
    before = open_upload(path)
    lab = Lab() if lab is None else lab
    lab.require(spec)
    run = spec.run(lab)
    try:
        result = collect(spec, lab, islice(run, steps_done))
    finally:
        run.close()
    found = changes_since(recipe)
    found += differences(_table(recipe, "models"), result.recipe["models"])
    found += differences(_table(recipe, "environment"), result.recipe["environment"])
    if result.image is None:
        return Replay(result, False, float("nan"), [*found, "interrupted before the first picture"])
    if result.steps_done != steps_done:
        found.append(f"steps: {steps_done} in the recipe, {result.steps_done} here")
    if before.size != result.image.size:
        return Replay(result, False, float("nan"), [*found, f"size: was {before.size}, is {result.image.size}"])
    return Replay(result, bool(np.array_equal(before, result.image.convert("RGB"))), psnr(before, result.image), found)


def _table(recipe: dict, name: str) -> dict:
    """A part of a recipe, which anybody may have written."""
    part = recipe.get(name)
    return part if isinstance(part, dict) else {}
