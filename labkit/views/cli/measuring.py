"""Any measure as a command: the flags of its spec and its pictures, then its table; a figure and a CSV on request."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction

from labkit.spec import Measure, SpecError
from labkit.text import plain
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, print_table, save_figure, save_table
from labkit.views.cli.terminal import DONE, say
from labkit.views.cli.values import opened
from labkit.views.controls import other_arguments, pictures_argument


@dataclass
class Written:
    """Where what was measured goes."""

    out: Annotated[str | None, maybe("The figure", "FILE.png")] = None
    csv: Annotated[str | None, maybe("The table", "FILE.csv")] = None


def options_of(measure: type[Measure]) -> type:
    """What a measure can be asked for besides its spec."""
    parts, name = [], pictures_argument(measure)
    if name:
        hint = "(required)" if _required(measure) else ""
        files = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], maybe("The pictures", "FILE …", hint)]
        parts = [(name, files, field(default=()))]
    pictures = make_dataclass("Pictures", parts, namespace={"__module__": __name__})
    return joined(pictures, Written, lab_flags(measure.needs))


def run_measure(args: list[str], measure: type[Measure], command: str) -> int:
    """Compute a measure with the flags of its spec, and print its table."""
    typed, options = parse(command, measure, options_of(measure), args)
    if lacking := other_arguments(measure):
        raise SpecError(f"{command}: needs {', '.join(lacking)}, which cannot be typed; call it from Python")
    spec = typed.build()
    name = pictures_argument(measure)
    files = [file for some in getattr(options, name, ()) for file in some] if name else []
    if name and not files and _required(measure):
        raise SpecError(f"--{name.replace('_', '-')}: give at least one picture")
    out, csv = output(options.out, "--out", ".png"), output(options.csv, "--csv", ".csv")
    given = {name: [opened(file, f"--{name.replace('_', '-')}") for file in files]} if files else {}
    if files and "names" in inspect.signature(measure.compute).parameters:
        given["names"] = [Path(file).stem for file in files]
    lab = lab_of(options)
    lab.require(spec, say)
    result = spec.compute(lab, **given)
    for line in noticed(result):
        say(f"note: {plain(line, 300)}")
    print_table(result.table)
    if out:
        save_figure(result.figure(), out, dpi=120, bbox_inches="tight")
    if csv:
        save_table(result.table, csv)
    return DONE


def noticed(result) -> list[str]:
    """What a result has to say: lines, or lines by the text that they are about."""
    notices = getattr(result, "notices", ())
    if isinstance(notices, dict):
        return [f"{text!r}: {line}" for text, lines in notices.items() for line in lines]
    return list(notices)


def _required(measure: type[Measure]) -> bool:
    parameter = inspect.signature(measure.compute).parameters[pictures_argument(measure)]
    return parameter.default is parameter.empty
