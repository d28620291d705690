"""The way of a latent from noise to picture: which of a scheduler's steps are run, what strength leaves of a picture.

Meng et al. 2021, "SDEdit", arXiv:2108.01073: a picture is noised up to a time and denoised from there. Strength s of N steps:

    n = max(1, ⌊N s⌋) steps are run, the last of the N          z = √ᾱ z_0 + √(1 − ᾱ) ε at the first of them

⌊⌋ is of the decimal number that was typed: 50 · 0.58 is 28.999… in floating point, and 29 steps (diffusers runs 28). Where N s
is less than 1, one step is run (diffusers runs none, or stops with an error). With `exact`, n is what is asked for, whatever
the strength: N = ⌈n / s⌉. And s = 1 is no text → picture: at its first step √ᾱ of the picture is left, 7 % with Stable
Diffusion's schedule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import diffusers
import torch
from pydantic import Field
from torch import Tensor

from labkit.models.stable_diffusion import StableDiffusion
from labkit.spec import Spec, SpecError

SAMPLERS = {"own": None, "ddim": "DDIMScheduler", "euler": "EulerDiscreteScheduler", "dpm++2m": "DPMSolverMultistepScheduler"}
DUST = 1e-9  # far above what floating point leaves of N s, far below what anybody types


class Frame(Spec):
    """Size of what is made."""

    width: int = Field(0, ge=0, le=2048, description="Pixels across; 0: as many as the model was trained on")
    height: int = Field(0, ge=0, le=2048, description="Pixels down; likewise")

    def size(self, model: StableDiffusion) -> tuple[int, int]:
        """Height and width. Raises `SpecError` for what the model cannot make."""
        size = (self.height or model.size, self.width or model.size)
        for side, value in zip(("height", "width"), size, strict=True):
            if value % model.factor:
                low = max(model.factor, value // model.factor * model.factor)
                raise SpecError(f"frame.{side}: {value} is not a multiple of this model's {model.factor}; use {low} or "
                                f"{low + model.factor}")
        return size

    def notices(self, model: StableDiffusion) -> list[str]:
        """What a user should know about a size that the model was not trained on."""
        height, width = self.size(model)
        if model.size / 2 <= min(height, width) and max(height, width) <= 2 * model.size:
            return []
        return [f"this model was trained on pictures of {model.size} × {model.size}; at {width} × {height} it may draw nothing "
                "that one would know"]


class Sampling(Spec):
    """Which scheduler takes the steps."""

    name: Literal["own", "ddim", "euler", "dpm++2m"] = Field("ddim", description="Scheduler; own is what the model came with")
    eta: float = Field(0.0, ge=0, le=1, description="DDIM's share of fresh noise at every step; other schedulers have none")


def steps_run(asked: int, strength: float) -> int:
    """How many of `asked` steps strength leaves, 1 to `asked`."""
    return min(max(1, math.floor(asked * strength + DUST)), asked)


def steps_to_ask(run: int, strength: float) -> int:
    """How many steps to ask for so that `run` are run at this strength."""
    return max(run, math.ceil(run / strength - DUST))


def scheduler_of(own, name: str = "own"):
    """A scheduler for one run, of the model's own configuration: its own kind, or DDIM (Song et al. 2020), Euler (Karras et al.
    2022, algorithm 2 without churn) or DPM-Solver++ 2M (Lu et al. 2022)."""
    cls = type(own) if SAMPLERS[name] is None else getattr(diffusers, SAMPLERS[name])
    # What diffusers' pipelines mend of old configurations.
    return cls.from_config(own.config, steps_offset=1, clip_sample=False)


@dataclass(frozen=True)
class Way:
    """The steps that are run.

    scheduler  with its times set; `times` (n,) those that are run, falling.  asked  N.  begin  index of the first of them.
    """

    scheduler: object
    times: Tensor
    asked: int
    begin: int

    def alpha_bar(self, k: int) -> float:
        """ᾱ at the k-th step that is run: the share of variance that is picture."""
        if hasattr(self.scheduler, "sigmas"):
            return float(1 / (1 + self.scheduler.sigmas[self.begin + k].double() ** 2))
        return float(self.scheduler.alphas_cumprod[int(self.times[k])])

    @property
    def told(self) -> dict[str, float]:
        """What strength comes down to: steps asked for and run, the first time, signal √ᾱ and noise √(1 − ᾱ) there."""
        a = self.alpha_bar(0)
        return {"steps asked for": self.asked, "steps run": len(self.times), "first t": float(self.times[0]),
                "signal": math.sqrt(a), "noise": math.sqrt(1 - a)}

    def believed(self, k: int, z: Tensor, guess: Tensor) -> Tensor:
        """x̂_0 (of the latent) from z as the scheduler scales it for the U-Net and the guided prediction at the k-th step."""
        a = self.alpha_bar(k)
        signal, noise = math.sqrt(a), math.sqrt(1 - a)
        kind = self.scheduler.config.prediction_type
        if kind == "sample":
            return guess
        return signal * z - noise * guess if kind == "v_prediction" else (z - noise * guess) / signal


def way(own, name: str, steps: int, strength: float | None = None, exact: bool = False) -> Way:
    """The way of `steps` steps; `strength` None begins with noise alone. Raises `SpecError` where the schedule has fewer."""
    scheduler = scheduler_of(own, name)
    asked = steps_to_ask(steps, strength) if exact and strength else steps
    most = scheduler.config.num_train_timesteps
    if asked > most:
        why = f", which {steps} exact steps at strength {strength} need" if asked > steps else ""
        raise SpecError(f"steps: {asked}{why}, are more than this model's {most}; use fewer")
    scheduler.set_timesteps(asked)
    begin = 0
    if strength is not None:
        begin = (asked - steps_run(asked, strength)) * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
    return Way(scheduler, scheduler.timesteps[begin:], asked, begin)


class Carried:
    """A scheduler's memory as a part of a run: what it keeps from step to step (indices, earlier guesses)."""

    def __init__(self, scheduler, device: torch.device):
        self.scheduler, self.device = scheduler, device

    def state_dict(self) -> dict:
        return {name: _copied(value) for name, value in vars(self.scheduler).items() if _plain(value)}

    def load_state_dict(self, state: dict) -> None:
        for name, value in state.items():
            now = getattr(self.scheduler, name, None)
            place = now.device if isinstance(now, Tensor) else self.device
            setattr(self.scheduler, name, _copied(value, place))


class Generators:
    """One generator of the CPU for each picture, as a part of a run."""

    def __init__(self, seeds: list[int]):
        self.each = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """(n, *shape) of noise, on the CPU: what a picture gets does not depend on how many there are."""
        return torch.cat([torch.randn(1, *shape, generator=rng) for rng in self.each])

    def state_dict(self) -> dict:
        return {"each": [rng.get_state() for rng in self.each]}

    def load_state_dict(self, state: dict) -> None:
        for rng, value in zip(self.each, state["each"], strict=True):
            rng.set_state(value)


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, int | float | str | Tensor)


def _copied(value: object, device: torch.device | None = None) -> object:
    if isinstance(value, list):
        return [_copied(part, device) for part in value]
    return value.detach().clone().to(device or value.device) if isinstance(value, Tensor) else value
