"""The clinic: ten ways in which the fine-tuning of a CLIP fails, each provoked, seen in a number and healed, same seed.

    python -m labkit clinic                    # the modes
    python -m labkit clinic learning-rate      # provoke one, heal it

    made = examine(lab, "learning-rate")
    made.table, made.figure(), made.told()

A mode is a row of `MODES`: its cause, the number in which it shows, and a function of `labkit.evaluation.clinic_modes` that
gives the numbers of the sick and of the healed run. "Shows" and "heals" are thresholds, no impressions; symptoms and thresholds
were chosen by runs with the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from labkit.evaluation.clinic_modes import MODES, Mode, Ward
from labkit.spec import SpecError

SICK, HEALED, BEFORE = "provoked", "cured", "before"


@dataclass(frozen=True)
class Examined:
    """A mode's outcome. `table`: a row for `before`, `provoked` and `cured`, a column a number; `curves`: name → the values by
    step of each; `shows` and `heals`, whether the symptom passed its thresholds."""

    mode: Mode
    table: pd.DataFrame
    curves: Mapping[str, Mapping[str, list[float]]]
    notes: Mapping[str, str]

    @property
    def symptom(self) -> dict[str, float]:
        """The mode's own number by run."""
        return {name: float(value) for name, value in self.table[self.mode.symptom].dropna().items()}

    @property
    def shows(self) -> bool:
        """Whether the provoked run has the symptom."""
        return self.mode.is_sick(self.symptom[SICK])

    @property
    def heals(self) -> bool:
        """Whether the cured run does not."""
        return not self.mode.is_sick(self.symptom[HEALED])

    def told(self) -> list[str]:
        """Cause, what was provoked and its number, cure and its number."""
        value = {name: f"{number:.3g}" for name, number in self.symptom.items()}
        before = f" (before: {value[BEFORE]})" if BEFORE in value else ""
        return [f"cause: {self.mode.cause}", f"provoked by {self.notes[SICK]}: {self.mode.symptom} {value[SICK]}{before}",
                f"cured by {self.notes[HEALED]}: {self.mode.symptom} {value[HEALED]}"]

    def figure(self) -> Figure:
        """The symptom as bars with its threshold, and the curve that tells it coming."""
        figure = Figure(figsize=(8, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        found = self.symptom
        colours = {BEFORE: "0.6", SICK: "tab:red", HEALED: "tab:green"}
        left.bar(list(found), list(found.values()), color=[colours[name] for name in found])
        left.axhline(self.mode.threshold, color="0.3", lw=1, ls="--")
        left.set_title(f"{self.mode.symptom} (dashed: sick {'below' if self.mode.low else 'above'})", fontsize=9)
        for name, curve in self.curves.items():
            for run, values in curve.items():
                right.plot(range(1, len(values) + 1), values, color=colours[run], label=f"{name}, {run}")
        right.set_xlabel("step", fontsize=8)
        right.set_title(self.mode.title, fontsize=9)
        if self.curves:
            right.legend(fontsize=7)
        return figure


def mode_of(name: str) -> Mode:
    """The mode of that name. Raises `SpecError`, which lists them."""
    found = {mode.name: mode for mode in MODES}
    if name not in found:
        raise SpecError(f"mode: {name!r} is none of {', '.join(found)}")
    return found[name]


def examine(lab, name: str, steps: int | None = None, ward: Ward | None = None) -> Examined:
    """Provoke a mode and heal it, on the pocket CLIP and the picture world's set. `steps` other than the mode's own are for a
    quick look; `ward` has pictures that several examinations share."""
    mode = mode_of(name)
    ward = ward or Ward(lab)
    found = mode.run(ward, steps or mode.steps)
    rows = {BEFORE: found.before, SICK: found.sick, HEALED: found.healed}
    table = pd.DataFrame({run: row for run, row in rows.items() if row}).T
    return Examined(mode, table, found.curves, {SICK: found.provoked, HEALED: found.cured})
