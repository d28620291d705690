"""Pictures from a few prompts, what the judge saw, and one page that shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.outputs import output_folder
from labkit.views.cli.terminal import DONE, FAILED, say


@dataclass
class DemoOptions:
    """Make pictures of a few prompts and sketches; one page shows them with what the judge saw."""

    out: Annotated[str, arg(metavar="DIR", help="Where pictures and page go")] = "out/demo"
    steps: Annotated[int | None, maybe("Steps a picture; as many as the method has, or 20 with --quick", "INT")] = None
    seed: Annotated[int, arg(help="Seed of every picture")] = 0
    quick: Annotated[bool, arg(help="Two pictures each way and few steps: does it run at all?")] = False
    jobs: Annotated[int | None, maybe("Processes; one per core unless given", "INT")] = None


def main(args: list[str]) -> int:
    """`labkit demo`: exit code 1 if a picture is missing."""
    options = read_options("demo", DemoOptions, args)
    out = output_folder(options.out, "--out")
    from labkit.views.demo import paint as view

    setup = os.environ.get("LABKIT_SETUP_SECONDS", "")
    steps = 20 if options.quick and options.steps is None else options.steps
    specs = view.asked(steps, options.seed, options.quick)
    made = view.demo(out, specs, n_jobs=options.jobs, progress=say,
                     setup_seconds=float(setup) if setup.isdigit() else None)
    print(view.report(made))
    return FAILED if made.missing else DONE
