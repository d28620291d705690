"""The commands about models and the machine: train, zoo, convert, check."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.spec import NonFiniteError, SpecError
from labkit.views.cli import DONE, FAILED, INTERRUPTED, MISTAKE, say
from labkit.views.cli.flags import DEVICES, checked_device, maybe, output, parse, read_options


@dataclass
class TrainOptions:
    """Where a training lives."""

    folder: Annotated[str | None, maybe("Checkpoint, log, sheet, weights; runs/NAME unless given", "DIR")] = None
    start: Annotated[Literal["scratch", "pocket"], arg(name="from", help="pocket: a warm start from the shipped weights")] = (
        "scratch")
    ship: Annotated[bool, arg(help="At the end copy the weights into data/models/")] = False
    ship_as: Annotated[str | None, maybe("Under another name there (implies --ship)", "NAME")] = None
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def train(args: list[str]) -> int:
    """`labkit train NAME`: a training into a folder. A run that was cut goes on when it is started again."""
    from labkit.models.kinds import trainings

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
    folder = Path(options.folder or f"runs/{name}")
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
    if options.ship or options.ship_as:
        home = data_path("models", f"{options.ship_as or name}.safetensors")
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, home)
        print(f"shipped as {home}")
    return DONE


def _timed(steps, result):
    """The steps, each taken into a `Result` that keeps the latest scores only: a training may have 500,000 steps."""
    import time

    started, first = time.perf_counter(), None
    for step in steps:
        first = step.i if first is None else first
        result.history = [dict(step.scores)]
        result.steps_done, result.n, result.finished = step.i + 1, step.n, step.last
        # `status` reckons with seconds per step of the history, which holds one
        result.seconds = (time.perf_counter() - started) / (step.i - first + 1)
        yield step


@dataclass
class ZooOptions:
    """The models: `zoo list` shows them, `zoo get NAME` fetches one (and converts it into safetensors)."""

    action: Positional[Annotated[Literal["list", "get"], arg(help="What to do")]] = "list"
    name: Positional[Annotated[str | None, maybe("Of the model to get", "NAME")]] = None


def zoo(args: list[str]) -> int:
    """`labkit zoo list`, `labkit zoo get NAME`."""
    from labkit import zoo as registry
    from labkit.views.cli.progress import Progress

    options = read_options("zoo", ZooOptions, args)
    if options.action == "list":
        rows = [("name", "kind", "size", "licence", "here")]
        for e in registry.entries():
            kind = f"{e.kind} (pocket)" if e.pocket else e.kind
            rows.append((e.name, kind, f"{e.size / 1e6:.1f} MB", e.licence, "yes" if e.at_hand else "no"))
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        for row in rows:
            print("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]))
        say("zoo get NAME fetches one that is not here")
        return DONE
    if not options.name:
        raise SpecError("zoo get: give a NAME; `zoo list` shows them")
    progress = Progress()
    try:
        path = registry.get(options.name, progress=progress.bytes)
    finally:
        progress.close()
    print(path)
    return DONE


@dataclass
class ConvertOptions:
    """A published checkpoint into safetensors that describe themselves. No code in it is run."""

    src: Positional[Annotated[str, arg(metavar="SRC", help="The checkpoint, such as last.ckpt")]] = field(kw_only=True)
    dst: Positional[Annotated[str, arg(metavar="DST", help="The safetensors to write")]] = field(kw_only=True)
    kind: Annotated[str | None, maybe("vqgan or diffusion; unless given, what the file holds", "KIND")] = None
    part: Annotated[str | None, maybe("Of a file that holds several models: the entry to take", "NAME")] = None


def convert(args: list[str]) -> int:
    """`labkit convert SRC DST`."""
    from labkit.models.convert import convert as convert_checkpoint

    options = read_options("convert", ConvertOptions, args)
    print(convert_checkpoint(options.src, output(options.dst, ".safetensors"), options.kind, options.part))
    return DONE


@dataclass
class CheckOptions:
    """Does everything that labkit needs work here? Exit code 1 if not."""


def check(args: list[str]) -> int:
    """`labkit check`."""
    from labkit.check import check_environment, format_findings

    read_options("check", CheckOptions, args)
    findings = check_environment()
    print(format_findings(findings))
    return FAILED if any(finding.ok is False for finding in findings) else DONE
