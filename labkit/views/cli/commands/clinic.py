"""The fine-tuning clinic: clinic MODE provokes a failure and heals it; without a mode it lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional

from labkit.views.cli.flags import joined, maybe, read_options
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, print_table, save_figure, save_table
from labkit.views.cli.terminal import DONE, FAILED, say


@dataclass
class ClinicOptions:
    """Ten ways in which fine-tuning CLIP fails: each provoked, seen in a number, and healed."""

    mode: Positional[Annotated[str | None, maybe("The failure; without one they are listed", "MODE")]] = None
    out: Annotated[str | None, maybe("The symptom and its course", "FILE.png")] = None
    csv: Annotated[str | None, maybe("All numbers of the three runs", "FILE.csv")] = None
    steps: Annotated[int | None, maybe("Of both runs; fewer are quicker and may not show it", "N")] = None


def main(args: list[str]) -> int:
    """`labkit clinic MODE`: code 1 where the symptom does not show or the cure does not heal."""
    options = read_options("clinic", joined(ClinicOptions, lab_flags(("clip",))), args)
    out, csv = output(options.out, "--out", ".png"), output(options.csv, "--csv", ".csv")
    from labkit.evaluation.clinic import MODES, examine, mode_of
    from labkit.spec import SpecError

    if options.mode is None:
        width = max(len(mode.name) for mode in MODES)
        print("\n".join(f"{mode.name:<{width}}  {mode.cause}" for mode in MODES))
        return DONE
    mode_of(options.mode)
    if options.steps is not None and not 2 <= options.steps <= 10_000:
        raise SpecError(f"--steps: must be 2 to 10,000; got {options.steps}")
    made = examine(lab_of(options), options.mode, options.steps)
    print("\n".join(made.told()))
    print_table(made.table)
    if out:
        save_figure(made.figure(), out, dpi=120)
    if csv:
        save_table(made.table, csv, index_label="run")
    if made.shows and made.heals:
        return DONE
    say("labkit: " + ("the symptom did not show" if not made.shows else "the cure did not heal") +
        f": {made.mode.symptom} is sick {'below' if made.mode.low else 'above'} {made.mode.threshold:g}")
    return FAILED
