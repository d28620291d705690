"""Fine-tune CLIP on labelled pictures: finetune FOLDER; finetune --make FOLDER draws a set to begin with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.kinds import KINDS
from labkit.spec import NonFiniteError
from labkit.text import plain
from labkit.views.cli.flags import maybe, parse
from labkit.views.cli.lab import DEVICES, checked_device
from labkit.views.cli.outputs import output_folder, print_table
from labkit.views.cli.progress import Progress
from labkit.views.cli.terminal import DONE, FAILED, INTERRUPTED, LONG, say


@dataclass
class FinetuneOptions:
    """Which pictures, and where the result lies."""

    folder: Positional[Annotated[str | None, maybe(
        "train|validation|test/CLASS/*, or pictures and captions; none: the picture world's set", "FOLDER")]] = None
    out: Annotated[str, arg(metavar="DIR", help="Checkpoint, log, sheet, weights.safetensors")] = "runs/finetune"
    make: Annotated[str | None, maybe("Only draw the picture world's set, as files, into this folder", "DIR")] = None
    plan: Annotated[bool, arg(help="Only say what is in the set, and what it will take")] = False
    clip: Annotated[str | None, maybe(KINDS["clip"].help, "NAME")] = None
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def main(args: list[str]) -> int:
    """`labkit finetune FOLDER`."""
    from labkit.training.clip_finetune import FineTuneCLIP

    typed, options = parse("finetune", FineTuneCLIP, FinetuneOptions, args, skip=("folder",))
    spec = typed.build(folder=options.folder or "")
    return make(options.make, spec.pictures) if options.make else tune(spec, options)


def make(folder: str, n: int) -> int:
    """Draw the set."""
    from labkit.pairs.groceries import write_world_set

    home, progress = output_folder(folder, "--make"), Progress()
    try:
        made = write_world_set(home, n, done=progress.counting("pictures"))
    finally:
        progress.close()
    print(f"{home}: {made} pictures in train, validation and test")
    return DONE


def tune(spec, options) -> int:
    """Read the set, say what it takes, train."""
    from labkit.evaluation.tuning_cost import reckon
    from labkit.lab import Lab
    from labkit.runs.checkpoint import train_to_disk
    from labkit.runs.result import Result
    from labkit.training.clip_finetune import unknown_labels

    out, progress = output_folder(options.out, "--out"), Progress()
    lab = Lab(clip=options.clip, device=checked_device(options.device), precision=spec.precision)
    lab.require(spec, say)
    try:
        data = spec.data(lab.clip.size, progress.counting("pictures"))
    finally:
        progress.close()
    print_table(data.counts())
    for line in data.notices() + unknown_labels(lab.clip, data):
        progress.note(f"note: {plain(line, LONG)}", once=True)
    say(str(reckon(spec, lab)))
    if options.plan:
        return DONE
    result, started = Result(spec), time.perf_counter()
    try:
        for step in train_to_disk(spec, lab, out, data=data):
            result.history = [dict(step.scores)]
            result.steps_done, result.n, result.finished = step.i + 1, step.n, step.last
            result.seconds = time.perf_counter() - started
            progress(step, result)
    except KeyboardInterrupt:
        progress.close()
        say(f"stopped; the same command goes on from the last checkpoint in {out}")
        return INTERRUPTED
    except NonFiniteError as error:
        progress.close()
        say(f"labkit: {error}; weights up to the last sheet are in {out}")
        return FAILED
    finally:
        progress.close()
    print(", ".join(f"{k} {v:.4g}" for k, v in result.scores.items()) or "was finished already")
    print(f"{out / 'weights.safetensors'}: paint with it by --guide {out / 'weights.safetensors'}")
    return DONE
