"""Stages that build on one another, each into a folder of its own: what is done stays done, what was cut goes on.

A stage's key is the hash of what decides it: its spec, its code's version, and the keys of the stages it builds on. Its folder
bears the key, so that another spec is another folder: nothing is overwritten, and going back finds the old work. A stage is

    done     its record and products are there, and the products' sha256 are those of the record
    damaged  a product is missing or has changed since: its folder is emptied and it is made again
    begun    its folder is there without a record: it goes on where it was cut
    stale    only a folder of another key is done: the spec, or something before it, has changed
    to do    nothing is there
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.data import version
from labkit.fetch import sha256_of
from labkit.files import write_atomically
from labkit.spec import Spec, SpecError

RECORD = "stage.json"
KEY = 10  # hexadecimal digits of a key in a folder's name


@dataclass(frozen=True)
class Stage:
    """One stage.

    name, what  a word, and a line on what it makes.     needs  names of the stages that it builds on.
    spec        what decides it (JSON by `Spec.to_json`), or plain values.
    products    its files, by their names in its folder.
    make        does it: `make(folder, {name: folder of a needed stage})` yields lines of progress and leaves the products.
                Called again on the same folder after a cut, it goes on.
    cost        what it will take, in words: "3,000 steps of 64 pictures".
    """

    name: str
    what: str
    make: Callable[[Path, Mapping[str, Path]], Iterator[str]]
    spec: Spec | Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    cost: str = ""


class Pipeline:
    """Stages in an order in which each comes after what it needs. Raises SpecError where that is not so."""

    def __init__(self, stages: Sequence[Stage], folder: str | Path):
        self.stages, self.folder = {s.name: s for s in stages}, Path(folder)
        known: dict[str, str] = {}
        for stage in stages:
            if missing := [n for n in stage.needs if n not in known]:
                raise SpecError(f"{stage.name}: needs {', '.join(missing)}, which must come before it")
            if stage.name in known:
                raise SpecError(f"{stage.name}: is there twice")
            spec = stage.spec.to_json() if isinstance(stage.spec, Spec) else dict(stage.spec)
            decided = [stage.name, type(stage.spec).__name__, spec, version(), [known[n] for n in stage.needs]]
            known[stage.name] = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:KEY]
        self.keys = known

    def place(self, name: str) -> Path:
        """The folder of a stage."""
        return self.folder / f"{name}-{self.keys[name]}"

    def record(self, name: str) -> dict[str, Any] | None:
        """What a finished stage wrote of itself: seconds, when, and its products' sha256."""
        try:
            return json.loads((self.place(name) / RECORD).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def state(self, name: str) -> str:
        """done, damaged, begun, stale or to do (see above)."""
        record, place = self.record(name), self.place(name)
        if record is not None:
            whole = all((place / p).is_file() and sha256_of(place / p) == sha for p, sha in record["products"].items())
            return "done" if whole and set(record["products"]) == set(self.stages[name].products) else "damaged"
        if place.is_dir() and any(place.iterdir()):
            return "begun"
        others = (p for p in self.folder.glob(f"{name}-*") if p != place and len(p.name) == len(place.name))
        return "stale" if any((p / RECORD).is_file() for p in others) else "to do"

    def wanted(self, *names: str) -> list[str]:
        """`names` (all, without any) and the stages that they need, in order. Raises SpecError on an unknown one."""
        if unknown := [n for n in names if n not in self.stages]:
            raise SpecError(f"stage: {', '.join(unknown)} is none of {', '.join(self.stages)}")
        found = set(names or self.stages)
        for name in reversed(list(self.stages)):
            if name in found:
                found.update(self.stages[name].needs)
        return [name for name in self.stages if name in found]

    def run(self, *names: str) -> Iterator[tuple[str, str]]:
        """Do what of the wanted stages is not done: yields (stage, line of progress). What was cut goes on."""
        for name in self.wanted(*names):
            if self.state(name) == "done":
                yield name, "done before"
                continue
            stage, place, started = self.stages[name], self.place(name), time.perf_counter()
            if self.state(name) == "damaged":  # what goes on from its checkpoint would find itself finished
                shutil.rmtree(place)
            place.mkdir(parents=True, exist_ok=True)
            for line in stage.make(place, {n: self.place(n) for n in stage.needs}):
                yield name, line
            if missing := [p for p in stage.products if not (place / p).is_file()]:
                raise RuntimeError(f"{name}: ended without {', '.join(missing)} in {place}")
            seconds = round(time.perf_counter() - started, 1)
            record = {"stage": name, "seconds": seconds, "ended": time.strftime("%Y-%m-%d %H:%M"),
                      "products": {p: sha256_of(place / p) for p in stage.products}}
            write_atomically(place / RECORD, json.dumps(record, indent=1).encode())
            yield name, f"done in {record['seconds']:.0f} s"

    def table(self) -> list[tuple[str, str, str, str]]:
        """A row a stage: name, state, what it needs, and its cost or, once done, its seconds."""
        rows = []
        for name, stage in self.stages.items():
            state = self.state(name)
            took = f"{self.record(name)['seconds']:.0f} s" if state == "done" else stage.cost
            rows.append((name, state, ", ".join(stage.needs), took))
        return rows
