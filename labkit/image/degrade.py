"""Degradations whose order is known: more of one is worse. An aesthetic predictor learns the order, an enhancer undoes it.

Six are sliders of `labkit.image.adjust` moved away from where they do nothing, either way; noise and JPEG nobody can undo.
`amount` 0 leaves the picture as it is, 1 is as much as there is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from labkit.image.adjust import Adjustments, adjusted
from labkit.image.chunks import ImageError
from labkit.image.convert import to_pil, to_tensor

STOPS = {"brightness": 1.2, "contrast": 1.5, "saturation": 2.0, "gamma": 1.2}  # log2 of the factor at amount 1
WARMTH = 0.5  # stops of red against blue at amount 1
SOFT, HARD = 1.0, 1.5  # sharpness taken away, or too much of it, at amount 1
NOISE = 0.2  # its standard deviation at amount 1
QUALITY = (95, 5)  # of JPEG at amounts above 0, and at 1
SLIDERS = (*STOPS, "temperature", "sharpness")  # what an enhancer can undo
KINDS = (*SLIDERS, "noise", "jpeg")


@dataclass(frozen=True)
class Degradation:
    """How much of what, `amount` in [0, 1]; `way` +1 or −1 of a slider that can be moved either way."""

    kind: str
    amount: float
    way: int = -1

    def __post_init__(self):
        if self.kind not in KINDS or not 0 <= self.amount <= 1 or self.way not in (-1, 1):
            raise ImageError(f"a degradation is one of {', '.join(KINDS)}, of an amount from 0 to 1, its way -1 or 1; got "
                             f"{self.kind!r}, {self.amount!r}, {self.way!r}")

    @property
    def slider(self) -> dict[str, float]:
        """The slider and where it stands; {} for noise and JPEG."""
        if self.kind in STOPS:
            return {self.kind: 2.0 ** (self.way * STOPS[self.kind] * self.amount)}
        return {"temperature": {"temperature": self.way * WARMTH * self.amount},
                "sharpness": {"sharpness": (HARD if self.way > 0 else -SOFT) * self.amount}}.get(self.kind, {})


def degraded(x: Tensor, degradations: Sequence[Sequence[Degradation]], noise: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1], or one for all, each with its list of degradations done to it: the sliders at once,
    then noise, then JPEG. `noise` is of the pictures' shape and of standard deviation 1; it serves every amount, so that the
    rungs of one picture's ladder differ in nothing else."""
    recipes = [Adjustments(**{name: value for one in those for name, value in one.slider.items()}) for those in degradations]
    x = adjusted(x, recipes)[0]
    amount = {kind: [max((one.amount for one in those if one.kind == kind), default=0.0) for those in degradations]
              for kind in ("noise", "jpeg")}
    if any(amount["noise"]):
        x = (x + NOISE * x.new_tensor(amount["noise"]).view(-1, 1, 1, 1) * noise).clamp(0, 1)
    for k, strength in enumerate(amount["jpeg"]):
        if strength:
            x[k:k + 1] = _jpeg(x[k:k + 1], round(QUALITY[0] + (QUALITY[1] - QUALITY[0]) * strength))
    return x


def _jpeg(x: Tensor, quality: int) -> Tensor:
    buffer = io.BytesIO()
    to_pil(x).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as image:
        return to_tensor(image.convert("RGB")).to(x.device)


def drawn(rng, n: int = 1, kinds: Sequence[str] = KINDS, least: float = 0.4) -> list[Degradation]:
    """`n` of different kinds, of amounts from `least` to 1, each either way, from a numpy generator."""
    chosen = rng.choice(len(kinds), size=n, replace=False)
    return [Degradation(kinds[k], round(float(rng.uniform(least, 1)), 3), int(rng.choice((-1, 1)))) for k in chosen]


def scaled(degradations: Sequence[Degradation], share: float) -> list[Degradation]:
    """A share in [0, 1] of each of them."""
    return [Degradation(one.kind, one.amount * share, one.way) for one in degradations]


def ladder(degradations: Sequence[Degradation], rungs: int) -> list[list[Degradation]]:
    """From nothing to all of it in equal steps: `rungs` lists, each worse than the one before."""
    return [scaled(degradations, k / (rungs - 1)) for k in range(rungs)]
