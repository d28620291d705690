"""A method over a grid of values, told cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from labkit import methods
from labkit.runs.status import duration
from labkit.runs.sweep import shown
from labkit.runs.sweep import sweep as run
from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, output_folder, print_table, save_sheet
from labkit.views.cli.terminal import DONE, FAILED, LONG, say
from labkit.views.cli.values import Typed


@dataclass
class SweepOptions:
    """What is varied."""

    over: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(
        metavar="FIELD VALUE …", help="An axis, as in --over seed 0 1 2 --over cutouts.cutn 8 16", help_behavior_hint="")] = ()
    method: Annotated[str, arg(metavar="NAME", help="By which method, as in guided_diffusion")] = "vqgan_clip"
    folder: Annotated[str, arg(help="Where finished cells stay", metavar="DIR")] = "out/sweep"
    jobs: Annotated[int, arg(help="Processes; -1: one per core")] = 1
    sheet: Annotated[str | None, maybe("The contact sheet; DIR/sheet.png unless given", "FILE.png")] = None


def run_sweep(args: list[str]) -> int:
    """Run a method for every combination of the values that `--over` names; the exit code."""
    method = methods.load(named_method(args))
    varied = tuple(after.replace("-", "_") for flag, after in zip(args, args[1:], strict=False) if flag == "--over")
    typed, options = parse("sweep", method, joined(SweepOptions, lab_flags(method.needs)), args, optional=varied)
    over = axes(typed, options.over)
    spec = typed.build(**{name: values[0] for name, values in over.items() if name in typed.optional})
    folder = output_folder(options.folder, "--folder")
    sheet = output(options.sheet or folder / "sheet.png", "--sheet", ".png")
    points = 1
    for values in over.values():
        points *= len(values)
    say(f"{points} cells of {method.__name__} into {folder}; finished ones are kept")
    ended = []

    def tell(k: int, row: dict) -> None:
        ended.append(k)
        how = row["error"] or ("was there already" if row["skipped"] else duration(row["seconds"] or 0))
        say(f"{len(ended)} of {points}: {cell(over, k)}: {plain(how, LONG)}")

    done = run(spec, over, lab_of(options), folder, options.jobs, tell)
    print_table(done.table.drop(columns="path"), index=False)
    save_sheet(done.sheet(), sheet)
    print(sheet)
    failed = int((done.table["error"] != "").sum())
    if failed:
        say(f"{failed} of {len(done.table)} cells failed")
    return FAILED if failed else DONE


def named_method(args: list[str]) -> str:
    """The method that `--method` names: its flags are read with the others."""
    found = SweepOptions.method
    for k, text in enumerate(args):
        if text == "--method" and k + 1 < len(args):
            found = args[k + 1]
        elif text.startswith("--method="):
            found = text.partition("=")[2]
    return found.replace("-", "_")


def axes(typed: Typed, asked: tuple[tuple[str, ...], ...]) -> dict[str, list]:
    """What was asked for by each `--over`: `cutouts.cutn 8 16` → cutouts__cutn: [8, 16]; an axis named twice has the values of
    both. Raises `SpecError`."""
    over: dict[str, list] = {}
    for name, *values in filter(None, asked):
        if not values:
            raise SpecError(f"--over {name}: give at least one value")
        over.setdefault(name.replace("-", "_").replace(".", "__"), []).extend(values)
    if not over:
        raise SpecError("--over: give at least one axis, as in --over seed 0 1 2")
    return {name: [typed.value(name.split("__"), text, f"--over {name.replace('__', '.')}") for text in dict.fromkeys(values)]
            for name, values in over.items()}


def cell(over: dict[str, list], k: int) -> str:
    """The k-th cell in words: the last axis runs fastest."""
    words = []
    for name, values in reversed(over.items()):
        k, which = divmod(k, len(values))
        words.append(f"{name.replace('__', '.')} {plain(shown(values[which]))}")
    return ", ".join(reversed(words))
