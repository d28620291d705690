"""Run the notebooks afresh; save them with their outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.runs.status import duration
from labkit.spec import SpecError
from labkit.views.cli.flags import read_options
from labkit.views.cli.terminal import DONE, FAILED, say


@dataclass
class NotebookOptions:
    """Run the notebooks afresh and save them with their outputs."""

    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME", help="Notebooks, as in 02_vqgan_clip; none: all")]] = ()
    stamp: Annotated[bool, arg(help="Only write badges and set-up cells from the address; run nothing")] = False


def main(args: list[str]) -> int:
    """`labkit notebooks [NAME …] [--stamp]`: exit code 1 if a cell fails."""
    from labkit.views.notebook.execute import FOLDER, refresh, restamp

    options = read_options("notebooks", NotebookOptions, args)
    there = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    wanted = [Path(name).stem for name in options.names] or list(there)
    if missing := [name for name in wanted if name not in there]:
        raise SpecError(f"notebooks: {', '.join(missing)}: no such notebook; a checkout has {', '.join(there) or 'none'}")
    failed = 0
    for name in wanted:
        if options.stamp:
            restamp(there[name])
            continue
        try:
            cost = refresh(there[name], lambda line, name=name: say(f"{name}: {line}"))
        except Exception as error:  # the other notebooks still run; the cell's traceback is in the message
            say(f"{name} failed and is left as it was\n{error}")
            failed += 1
        else:
            print(f"{name}: {duration(cost.seconds)}, {duration(cost.cpu_seconds)} of processor time, "
                  f"{cost.peak / 2**30:.1f} GiB at the peak")
    return FAILED if failed else DONE
