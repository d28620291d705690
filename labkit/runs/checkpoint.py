"""Checkpoints of a run on disk: atomic, safe to load, and an exact way back after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from labkit import zoo
from labkit.data import version
from labkit.files import written
from labkit.image import save_png
from labkit.spec import Method, SpecError, Step, Training
from labkit.text import plain


def save_state(path: Path, spec: Method, state: dict) -> None:
    """Write spec and state; a kill in the middle leaves the old file. Raises `FileError` where it cannot be written."""
    with written(path) as part:
        torch.save({"kind": type(spec).__name__, "spec": spec.to_json(), "labkit": version(), "state": state}, part)


def load_state(path: Path, spec: Method) -> dict:
    """The state saved for the same spec. Raises `SpecError` if it belongs to another, or to another labkit, or is damaged."""
    where, anew = plain(path, 200), "remove it to start anew"
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
        kind, text, maker, state = (found[name] for name in ("kind", "spec", "labkit", "state"))
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a reader of zip files and pickles meets in bytes that are none
        raise SpecError(f"{where}: is no whole checkpoint of this labkit; {anew}") from error
    if maker != version():
        raise SpecError(f"{where}: is a checkpoint of labkit {plain(maker, 20)}, this is {version()}; {anew}, or use that one")
    if (kind, text) != (type(spec).__name__, spec.to_json()):
        raise SpecError(f"{where}: is the checkpoint of another {plain(kind, 40)} ({plain(text, 400)}); {anew}, or give "
                        "the same options")
    return state


def checkpointed(spec: Method, lab, folder: Path, every_s: float = 60.0,
                 clock: Callable[[], float] = time.monotonic, **given: Any) -> Iterator[Step]:
    """The steps of a run, resumed from `folder` if it was cut there, with a checkpoint every `every_s` seconds. `given` is what
    its `run` takes besides, such as pictures that were read already.

    The last step's is written once its taker is done with it: a run that is killed before it has kept what it made makes its
    last steps again, and is not taken for finished."""
    path = Path(folder) / "checkpoint.pt"
    resume = load_state(path, spec) if path.exists() else None
    saved = clock()
    for step in spec.run(lab, resume, **given):
        if not step.last and clock() - saved > every_s:
            save_state(path, spec, step.state())
            saved = clock()
        yield step
        if step.last:
            save_state(path, spec, step.state())


def train_to_disk(spec: Training, lab, folder: Path, **given: Any) -> Iterator[Step]:
    """Run a training into a folder: `log.jsonl`, `sheet.png`, `checkpoint.pt`, and `weights.safetensors` with every sheet."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        for step in checkpointed(spec, lab, folder, **given):
            line = {"i": step.i, "s": round(time.time() - started, 1), **{k: round(v, 5) for k, v in step.scores.items()}}
            log.write(json.dumps(line) + "\n")
            log.flush()
            if step.image is not None:
                save_png(step.image, folder / "sheet.png")
                tensors, about = step.extras["weights"]()
                zoo.save_tensors(folder / "weights.safetensors", tensors, {**about, "steps": step.i + 1})
            yield step
