"""The contract: what to do is a frozen `Spec`; a `Method` does it in `Step`s, a `Measure` returns a table and a figure.

A spec is the only place where a parameter is declared: its bounds, default and description make the validation and its
messages, the command line's flags, the controls of notebooks and apps, the recipe in each PNG and the axes of a sweep.

    class Paint(Method):
        prompt: str = Field(..., description="what to paint")
        def run(self, lab, resume=None) -> Iterator[Step]: ...

`run` only yields: no printing, plotting, saving, downloading, global seeds. Whoever stops iterating has stopped it.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

MAX_SEED = 2**31 - 1


class SpecError(ValueError):
    """A value that a spec does not take; the message names field, value and bound, a fault a line."""


class NonFiniteError(ArithmeticError):
    """A run met NaN or infinity. `last` is the last good `Step` (of a painting: that has a picture), or None."""

    def __init__(self, message: str, last: Step | None = None):
        super().__init__(message)
        self.last = last


class Spec(BaseModel):
    """Frozen parameters. Construction fails with `SpecError` on any value out of bounds or unknown name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(explain(error, type(self))) from None

    def to_json(self) -> str:
        """The spec as JSON; `from_json` gives an equal spec."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str):
        """The spec of a JSON text. Raises `SpecError` on what is none."""
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SpecError(f"{cls.__name__}: is no JSON ({error}); give what to_json made") from None
        if not isinstance(values, dict):
            raise SpecError(f"{cls.__name__}: must be a table of names and values; got {type(values).__name__}")
        return cls(**values)

    def but(self, **changes: Any):
        """A copy with some fields changed, validated again. `a__b` reaches field b of the nested spec a."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        for key, value in changes.items():
            outer, _, inner = key.partition("__")
            if outer not in values:
                raise SpecError(f"{key}: {type(self).__name__} has no such field; it has {', '.join(values)}")
            if inner and not isinstance(values[outer], Spec):
                raise SpecError(f"{key}: {outer} has no fields of its own; it is {values[outer]!r}")
            values[outer] = values[outer].but(**{inner: value}) if inner else value
        return type(self)(**values)

    def digest(self) -> str:
        """16 hex digits that identify the spec's kind and values."""
        return hashlib.sha256(f"{type(self).__name__}{self.to_json()}".encode()).hexdigest()[:16]


def explain(error: ValidationError, spec: type[BaseModel]) -> str:
    """One line per fault: field, what is wrong with it, the value that was given."""
    lines = []
    for fault in error.errors():
        where = ".".join(str(p) for p in fault["loc"]) or spec.__name__
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, SpecError):  # of a nested spec: its lines name field and value already
            lines += [f"{where}: {line}" for line in str(cause).splitlines()]
            continue
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: {spec.__name__} has no such field; it has {', '.join(spec.model_fields)}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: is missing; give a value")
        else:
            shown = repr(fault["input"])
            message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
            lines.append(f"{where}: {message}; got {shown if len(shown) < 80 else shown[:77] + '...'}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Step:
    """One step of a run.

    i       from 0, rises by one.  n  how many steps there will be (honest).
    image   PIL.Image or None; the last step always has its picture.
    scores  name → float, for curves.  extras  name → anything worth showing (tensors, pictures, words).
    """

    i: int
    n: int
    image: Any = None
    scores: dict[str, float] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    snapshot: Callable[[], dict] | None = field(default=None, repr=False, compare=False)

    def state(self) -> dict:
        """A deep copy of what an exact resume needs. Take it before the next step is drawn."""
        if self.snapshot is None:
            raise ValueError("this step keeps no state; a run's steps do between two of them")
        return copy.deepcopy(self.snapshot())

    @property
    def last(self) -> bool:
        """Whether this is the run's last step."""
        return self.i == self.n - 1


METHODS: dict[str, type[Method]] = {}
MEASURES: dict[str, type[Measure]] = {}


class Method(Spec):
    """Makes something in steps. Subclasses name what they need and what they improve."""

    needs: ClassVar[tuple[str, ...]] = ()  # models of the lab: "clip", "guide", "vqgan", "judge", …
    score: ClassVar[str | None] = None  # the score that rises, on the pocket models
    weighted_prompts: ClassVar[bool] = False  # then a prompt of weight 0 changes nothing
    listed: ClassVar[bool] = True  # in METHODS, which views offer and recipes name

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.listed:
            METHODS[cls.__name__] = cls

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        """Yield the steps; `resume` is a `Step.state()` of the same spec."""
        raise TypeError(f"{type(self).__name__} defines no run()")


class Training(Method):
    """A method that works on its own copy of a model. Its steps' `extras["weights"]` save as pocket weights.

    `labkit.training.TRAININGS` lists them; it owes no PNG replay.
    """

    listed: ClassVar[bool] = False


class Measure(Spec):
    """Looks at something; `compute` returns a result with a table (`.table`) and a figure (`.figure()`)."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        MEASURES[cls.__name__] = cls
