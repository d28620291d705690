"""The contract: what to do is a frozen `Spec`; a `Method` does it in `Step`s, a `Measure` returns a table and a figure.

A spec is the only place where a parameter is declared: its bounds, default and description make the validation and its
messages, the command line's flags, the controls of notebooks and apps, the recipe in each PNG and the axes of a sweep.

    class Paint(Method):
        prompt: str = Field(..., description="what to paint")
        def run(self, lab, resume=None) -> Iterator[Step]: ...

`run` only yields: no printing, plotting, saving, downloading, global seeds. Whoever stops iterating has stopped it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from labkit.loop import NonFiniteError, Step
from labkit.prompt import parse
from labkit.text import TextError, plain, read_words

__all__ = ["MAX_SEED", "MEASURES", "METHODS", "Batch", "Measure", "Method", "NonFiniteError", "Precision", "PreviewEvery",
           "Prompted", "Rate", "Scenes", "Seed", "Spec", "SpecError", "Step", "Steps", "Training", "explain"]

MAX_SEED = 2**31 - 1
MOST_FAULTS = 12  # that are told of one spec

# Fields that many specs have: declared once, each spec gives its default (`steps: Steps = 60`).
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="Seed of everything random")]
Steps = Annotated[int, Field(ge=1, le=500_000, description="Optimiser steps")]
Batch = Annotated[int, Field(ge=2, le=4096, description="Pictures a step")]
Rate = Annotated[float, Field(gt=0, le=0.1, description="Peak learning rate")]
Scenes = Annotated[int, Field(ge=32, le=2_000_000, description="Scenes in the bank")]
PreviewEvery = Annotated[int, Field(ge=1, le=10_000, description="Steps between previews")]
Precision = Literal["auto", "fp32", "bf16"]


class SpecError(ValueError):
    """A value that a spec does not take; the message names field, value and bound, a fault a line."""


class Spec(BaseModel):
    """Frozen parameters. Construction fails with `SpecError` on any value out of bounds or unknown name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any):
        for name, value in values.items():
            _refuse_no_text(name, value)
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


def _refuse_no_text(name: str, value: Any) -> None:
    """Raises SpecError on halves of characters and NUL, in lists and tables too."""
    if isinstance(value, str):
        try:
            read_words(value, name)
        except TextError as error:
            raise SpecError(str(error)) from None
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_no_text(name, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_no_text(f"{name}.{key}", item)


def explain(error: ValidationError, spec: type[BaseModel]) -> str:
    """One line per fault: field, what is wrong with it, the value that was given."""
    lines = []
    for fault in error.errors():
        where = plain(".".join(str(p) for p in fault["loc"]), 60) or spec.__name__
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, SpecError):  # of a nested spec: its lines name field and value already
            lines += [f"{where}: {line}" for line in str(cause).splitlines()]
            continue
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: {spec.__name__} has no such field; it has {', '.join(spec.model_fields)}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: is missing; give a value")
        else:
            message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
            lines.append(f"{where}: {message}; got {plain(repr(fault['input']))}")
    return "\n".join(lines if len(lines) <= MOST_FAULTS else [*lines[:MOST_FAULTS], f"and {len(lines) - MOST_FAULTS} more"])


METHODS: dict[str, type[Method]] = {}
MEASURES: dict[str, type[Measure]] = {}


class Method(Spec):
    """Makes something in steps. Subclasses name what they need and what they improve.

    Nothing else about a method is declared: whether it reads a prompt, starts from pictures, takes a seed or many steps is
    asked of its fields (`has`).
    """

    needs: ClassVar[tuple[str, ...]] = ()  # models of the lab: "clip", "guide", "vqgan", "judge", …
    score: ClassVar[str | None] = None  # the score that rises, on the pocket models
    weighted_prompts: ClassVar[bool] = False  # then a prompt of weight 0 changes nothing
    example: ClassVar[dict[str, Any]] = {}  # values of a small spec, of a few steps: what the conformance suite runs

    def __init_subclass__(cls, listed: bool = True, **kwargs):
        """`listed=False` keeps a base class out of METHODS, which views offer and recipes name."""
        super().__init_subclass__(**kwargs)
        if listed and not issubclass(cls, Training):
            METHODS[cls.__name__] = cls

    @classmethod
    def has(cls, name: str) -> bool:
        """Whether the spec has a field of this name: `has("prompt")`, `has("seed")`, `has("steps")`."""
        return name in cls.model_fields

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        """Yield the steps; `resume` is a `Step.state()` of the same spec."""
        raise TypeError(f"{type(self).__name__} defines no run()")

    def apart(self, image: Any) -> list[tuple[Any, Method]]:
        """The pictures (PIL) on a step's `image`, each with the spec that makes it alone: itself, unless a method makes several
        side by side."""
        return [(image, self)]


class Prompted(Method, listed=False):
    """What methods share that make a picture of a prompt in many steps, from a seed."""

    weighted_prompts: ClassVar[bool] = True

    prompt: str = Field(..., min_length=1, max_length=2000, description="What to show: text[:weight[:stop]] joined by |")
    steps: Steps = 100
    seed: Seed = 0
    preview_every: PreviewEvery = 10

    @field_validator("prompt")
    @classmethod
    def _prompt_parses(cls, text: str) -> str:
        parse(text)
        return text


class Training(Method, listed=False):
    """A method that works on its own copy of a model. Its steps' `extras["weights"]` save as pocket weights.

    `labkit.kinds` names each kind's; it owes no PNG replay.
    """

    steps: Steps = 2000
    batch: Batch = 64
    lr: Rate = 1e-3
    scenes: Scenes = 100_000
    warm: bool = Field(False, description="Start from the shipped weights (a warm start)")
    precision: Precision = Field("auto", description="auto: bf16 where the processor gains by it, else fp32")
    seed: Seed = 1
    preview_every: PreviewEvery = 250


class Measure(Spec):
    """Looks at something; `compute` returns a result with a table (`.table`) and a figure (`.figure()`).

    What it looks at besides the lab are arguments of `compute`; one annotated `list[Image.Image]` takes pictures, and views
    ask for them.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[dict[str, Any]] = {}  # values of a small spec, for the conformance suite

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        MEASURES[cls.__name__] = cls
