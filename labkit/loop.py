"""Steps, and the one loop that every run is: methods and trainings alike.

A method hands over its parts (whatever has `state_dict` and `load_state_dict`: networks, optimisers, generators, `Values`) and
one function that does a step. Randomness comes from the parts only, so parts + index are the whole state of a run:

    rng, now = Rng(self.seed), Values(x=x)
    def step(i): ...; return Made({"clip": score}, lambda: to_pil(now.x))
    yield from loop(self.steps, {"rng": rng, "now": now}, step, self.preview_every, resume)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch


class NonFiniteError(ArithmeticError):
    """A run met NaN or infinity. `last` is the last good `Step` that has a picture, or else the last good one, or None."""

    def __init__(self, message: str, last: Step | None = None):
        super().__init__(message)
        self.last = last


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
    draw: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def state(self) -> dict:
        """A deep copy of what an exact resume needs. Take it before the next step is drawn."""
        if self.snapshot is None:
            raise ValueError("this step keeps no state; a run's steps do between two of them")
        return copy.deepcopy(self.snapshot())

    def picture(self) -> Any:
        """The step's picture, drawn now where it was no preview: whoever stops here keeps what they saw last, and not an
        older one. None where the step cannot be drawn any more, as the run has gone on."""
        return self.image if self.image is not None or self.draw is None else self.draw()

    @property
    def last(self) -> bool:
        """Whether this is the run's last step."""
        return self.i == self.n - 1


@dataclass
class Made:
    """What one step made: its scores, its picture as a function (called only when somebody looks), and what else is worth
    showing."""

    scores: dict[str, float]
    picture: Callable[[], Any]
    extras: dict[str, Any] = field(default_factory=dict)


class Part(Protocol):
    """Something that a run carries from step to step."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> Any: ...


class Rng:
    """The two generators of a run: `np` for indices and words, `torch` (on the CPU) for tensors."""

    def __init__(self, seed: int):
        self.np, self.torch = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def state_dict(self) -> dict:
        return {"np": self.np.bit_generator.state, "torch": self.torch.get_state()}

    def load_state_dict(self, state: dict) -> None:
        self.np.bit_generator.state = state["np"]
        self.torch.set_state(state["torch"])


class Values:
    """Tensors and plain values as a part: `now = Values(x=x, chunk=8)`, then `now.x`. What is loaded goes to the device of the
    tensor that it replaces, and into it where that one is a leaf that an optimiser holds."""

    def __init__(self, **values: Any):
        vars(self).update(values)

    def state_dict(self) -> dict:
        return {name: v.detach().clone() if isinstance(v, torch.Tensor) else v for name, v in vars(self).items()}

    def load_state_dict(self, state: dict) -> None:
        for name, value in state.items():
            mine = getattr(self, name)
            if isinstance(mine, torch.Tensor) and mine.requires_grad:
                mine.data.copy_(value)
            elif isinstance(mine, torch.Tensor):
                setattr(self, name, value.to(mine.device).clone())
            else:
                setattr(self, name, value)


def loop(n: int, parts: Mapping[str, Part], step: Callable[[int], Made], preview_every: int,
         resume: dict | None = None) -> Iterator[Step]:
    """Yield the steps of a run of `n`.

    `step(i)` does one. Every `preview_every`-th step, the first and the last have a picture. `resume` is a `Step.state()` of
    the same run: k steps + resume = n straight, bit for bit on the CPU. Raises `NonFiniteError` where a score is no number, or
    where `step` says so, with the last good step.
    """
    first = 0
    if resume is not None:
        first = resume["i"] + 1
        for name, part in parts.items():
            part.load_state_dict(copy.deepcopy(resume["parts"][name]))  # optimisers keep the tensors they are given
    last: Step | None = None
    at = first - 1  # where the run is now
    for i in range(first, n):
        at = i
        try:
            made = step(i)
            if not all(math.isfinite(v) for v in made.scores.values()):
                bad = ", ".join(f"{name} {v}" for name, v in made.scores.items() if not math.isfinite(v))
                raise NonFiniteError(f"no longer a number: {bad}; lower the learning rate")
        except NonFiniteError as error:
            raise NonFiniteError(f"step {i}: {error}", error.last or last) from None

        def snapshot(i: int = i) -> dict:
            if at != i:  # noqa: B023 (where the run is now)
                raise ValueError(f"step {i}: the run has gone on; take a step's state before the next")
            return {"i": i, "parts": {name: part.state_dict() for name, part in parts.items()}}

        def draw(i: int = i, picture: Callable[[], Any] = made.picture) -> Any:
            return picture() if at == i else None  # noqa: B023

        look = (i + 1) % preview_every == 0 or i in (0, n - 1)
        now = Step(i, n, made.picture() if look else None, made.scores, made.extras, snapshot, draw)
        last = now if now.image is not None or last is None or last.image is None else last
        yield now
