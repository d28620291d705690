"""The same picture again: what a PNG's recipe sets on a page, what keeps it from coming out the same, a notebook's cell."""

from __future__ import annotations

import json
from typing import Any

import labkit
from labkit.image import read_recipe
from labkit.runs.replay import spec_of
from labkit.runs.result import Result
from labkit.spec import Method, SpecError
from labkit.views.gradio.app import Limits
from labkit.views.gradio.page import Page, received


def restored(page: Page, path: str) -> tuple[Method, dict[str, Any], dict]:
    """Spec of a PNG, its fields that have no control, and the recipe. Raises `SpecError` or `ImageError`."""
    recipe, name = received(path, read_recipe), page.method.__name__
    if not isinstance(recipe.get("method"), str):
        raise SpecError("this PNG's recipe names no method; it was changed after it was saved")
    if recipe["method"] != name:
        raise SpecError(f"this PNG was made by {recipe['method'][:60]}, and this page works with {name}")
    spec = spec_of(recipe, "this PNG")
    covered = {control.partition("__")[0] for control in page.controls}
    given = json.loads(spec.model_dump_json(exclude_defaults=True))
    return spec, {k: v for k, v in given.items() if k not in covered}, recipe


def differs(page: Page, lab, limits: Limits, values: dict[str, Any], spec: Method, others: dict, found: dict) -> list[str]:
    """What keeps a restored picture from coming out the same here, in words; lowers `values` to the caps."""
    words = []
    for name in page.controls:
        cap = limits.cap(name)
        if cap is not None and isinstance(values[name], int | float) and values[name] > cap:
            words.append(f"{page.controls[name].label}: {values[name]} in the PNG, this app allows {cap:g}. "
                         "The picture will differ.")
            values[name] = cap
    models = found.get("models") if isinstance(found.get("models"), dict) else {}
    for kind in spec.needs:
        then = models[kind].get("name") if isinstance(models.get(kind), dict) else None
        if then != getattr(lab, "names", {}).get(kind, then):
            words.append(f"{kind}: made with {str(then)[:80]}, here with {lab.names[kind]}. The picture will differ.")
    return words + [f"{name}: {len(v)} from the PNG, in force until you set back to defaults" for name, v in others.items()]


def notebook_cell(spec: Method, result: Result) -> str:
    """The code that makes the picture again in a notebook."""
    name, text = type(spec).__name__, spec.model_dump_json(exclude_defaults=True)
    public = hasattr(labkit, name)
    head = [f"from labkit import Lab, {name}, show" if public else "from labkit import Lab, show"]
    head += [] if public else [f"from {type(spec).__module__} import {name}"]
    if '"sha256":' in text:  # a picture inside the spec; in a prompt the quotes would be escaped
        head.append("from labkit.runs.replay import spec_from_png")
        make = 'spec_from_png("picture.png")  # the downloaded file: it holds the pictures that this run began with'
    else:
        make = f"{name}(\n" + "".join(f"    {field}={value!r},\n" for field, value in json.loads(text).items()) + ")"
    lines = [*head, "", f"spec = {make}", "result = show(spec, Lab())", 'result.save("again.png")']
    if result.n and not result.finished:
        lines.append(f"# here the run ended after {result.steps_done} of {result.n} steps")
    return "\n".join(lines)
