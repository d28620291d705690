"""Train a pocket model; goes on where it was stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from labkit.files import write_atomically
from labkit.spec import NonFiniteError, SpecError
from labkit.views.cli.flags import maybe, parse
from labkit.views.cli.lab import DEVICES, checked_device
from labkit.views.cli.outputs import output, output_folder
from labkit.views.cli.terminal import DONE, FAILED, INTERRUPTED, MISTAKE, say


@dataclass
class TrainOptions:
    """Where a training lives."""

    folder: Annotated[str | None, maybe("Checkpoint, log, sheet, weights; runs/NAME unless given", "DIR")] = None
    start: Annotated[Literal["scratch", "pocket"], arg(name="from", help="pocket: a warm start from the shipped weights")] = (
        "scratch")
    ship: Annotated[bool, arg(help="At the end copy the weights into data/models/")] = False
    ship_as: Annotated[str | None, maybe("Under another name there (implies --ship)", "NAME")] = None
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def main(args: list[str]) -> int:
    """`labkit train NAME`: a training into a folder. A run that was cut goes on when it is started again."""
    from labkit.kinds import KINDS, named, trainings

    if not args or args[0] in ("-h", "--help"):
        print(f"usage: labkit train NAME …\n\nNAME is one of {', '.join(trainings())}; "
              "`labkit train NAME --help` lists its flags")
        return DONE if args else MISTAKE
    name = args[0]
    if name not in trainings():
        raise SpecError(f"train {name}: no such training; there are {', '.join(trainings())}")
    from labkit.data import data_path
    from labkit.lab import Lab
    from labkit.runs.checkpoint import train_to_disk
    from labkit.runs.result import Result
    from labkit.views.cli.progress import Progress

    # --from says it: there shall be one way
    typed, options = parse(f"train {name}", trainings()[name](), TrainOptions, args[1:], skip=("warm",))
    spec = typed.build(warm=options.start == "pocket")
    folder = output_folder(options.folder or f"runs/{name}", "--folder")
    record = KINDS[name]
    shipped = data_path("models", f"{options.ship_as}.safetensors" if options.ship_as else record.home)
    if options.ship:
        shipped.parent.mkdir(parents=True, exist_ok=True)
    home = output(shipped, "--ship", ".safetensors") if options.ship or options.ship_as else None
    lab, progress, result = Lab(device=checked_device(options.device)), Progress(), Result(spec)
    if (folder / "checkpoint.pt").exists():
        progress.note(f"going on from {folder}")
    try:
        for step in _timed(train_to_disk(spec, lab, folder), result):
            progress(step, result)
    except KeyboardInterrupt:
        progress.close()
        say(f"stopped after step {result.steps_done}; the same command goes on from the last checkpoint in {folder}")
        return INTERRUPTED
    except NonFiniteError as error:
        progress.close()
        say(f"labkit: {error}; weights up to the last sheet are in {folder}")
        return FAILED
    finally:
        progress.close()
    weights = folder / "weights.safetensors"
    scores = ", ".join(f"{k} {v:.4g}" for k, v in result.scores.items())
    print(f"{weights}: {result.steps_done} steps, {scores}" if scores else f"{weights}: was finished already")
    if home:
        print(f"shipped as {write_atomically(home, weights.read_bytes())}")
        if record.completes and not options.ship_as and (lacking := named(record.completes)(home.parents[1])):
            say(f"{home.parents[1]} still lacks weights of {', '.join(lacking)}")
    return DONE


def _timed(steps, result):
    """The steps, each taken into a `Result` that keeps the latest scores only: a training may have 500,000 steps."""
    started, first = time.perf_counter(), None
    for step in steps:
        first = step.i if first is None else first
        result.history = [dict(step.scores)]
        result.steps_done, result.n, result.finished = step.i + 1, step.n, step.last
        # `status` reckons with seconds per step of the history, which holds one
        result.seconds = (time.perf_counter() - started) / (step.i - first + 1)
        yield step
