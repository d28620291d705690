"""The commands that run a spec: paint (and every other method), matrix, replay, sweep."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from labkit import methods
from labkit.files import write_atomically
from labkit.runs.result import Result, collect
from labkit.spec import SpecError
from labkit.views.cli import DONE, FAILED, INTERRUPTED, say
from labkit.views.cli.flags import DEVICES, LabFlags, checked_device, maybe, output, parse, read_options
from labkit.views.cli.progress import Progress

POCKET = "made by pocket models: small ones, trained on drawn 64-pixel scenes"


@dataclass
class RunOptions(LabFlags):
    """Where a run's picture goes."""

    out: Annotated[str | None, maybe("The picture, with its recipe; unless given, in out/", "FILE.png")] = None
    strip: Annotated[str | None, maybe("Also how the run went, in one row of pictures", "FILE.png")] = None
    video: Annotated[str | None, maybe("Also the run as a film (.mp4 or .gif)", "FILE.mp4")] = None
    judge: Annotated[bool, arg(help="Say what the judge finds of the prompt; exit code 1 if it misses some")] = False


def paint(args: list[str]) -> int:
    """`labkit paint PROMPT`: VQGAN+CLIP."""
    return run_method(args, "vqgan_clip", "paint")


def diffuse(args: list[str]) -> int:
    """`labkit diffuse PROMPT`: CLIP-guided diffusion."""
    return run_method(args, "guided_diffusion", "diffuse")


def run_method(args: list[str], name: str, command: str) -> int:
    """Run the method of a module with the flags of its spec."""
    typed, options = parse(command, methods.load(name), RunOptions, args)
    spec = typed.build()
    out = output(options.out or f"out/{slug(getattr(spec, 'prompt', name))}-{spec.digest()[:6]}.png", ".png")
    strip = output(options.strip, ".png") if options.strip else None
    video = output(options.video, ".mp4", ".gif") if options.video else None
    lab, progress, frames = options.lab(), Progress(), []
    lab.require(spec, progress.note)

    def on_step(step, result: Result) -> None:
        progress(step, result)
        if video and step.image is not None:
            frames.append(step.image)

    failure = None
    try:
        result = collect(spec, lab, on_step=on_step)
    except Exception as error:
        result, failure = getattr(error, "result", None), error
    finally:
        progress.close()
    if result is None or result.image is None:
        if failure:
            raise failure
        say("stopped before the first picture; nothing is saved")
        return INTERRUPTED
    result.save(out)
    told(out, result, lab)
    if strip:
        result.strip().save(strip)
        print(strip)
    if video and frames:
        from labkit.runs.film import write_video

        print(write_video(frames, video))
    if failure:
        say(f"the last good picture is kept: {out}")
        raise failure
    if result.interrupted:
        say(f"stopped after {result.steps_done} of {result.n} steps; the last picture is kept: {out}")
        return INTERRUPTED
    return judged(lab, result, spec.prompt) if options.judge else DONE


def told(out: Path, result: Result, lab) -> None:
    """Say what was made."""
    name = type(result.spec).score
    course = [scores[name] for scores in result.history if name in scores]
    score = f", {name} {course[0]:.3f} → {course[-1]:.3f}" if course else ""
    print(f"{out}: {result.steps_done} steps in {result.seconds:.1f} s{score}")
    if lab.draws_with_pocket(type(result.spec).needs):
        print(POCKET)


def judged(lab, result: Result, prompt: str) -> int:
    """Say what the judge saw and what of the prompt it did not find; the exit code."""
    verdict, found = lab.judge.check(result.image, prompt)
    print(f"the judge saw: {verdict_words(verdict)}")
    missed = [claim for claim, ok in found.items() if not ok]
    if not found:
        print("the prompt claims nothing that the judge knows")
    elif missed:
        print(f"it did not find the prompt's {', '.join(missed)}")
    return FAILED if missed else DONE


def verdict_words(verdict) -> str:
    """A verdict in words: `apple, red, in snow, as flat`."""
    words = [verdict.subject, verdict.colour, verdict.setting, verdict.style]
    return "{}, {}; setting {}; style {}".format(*(w.replace("_", " ") for w in words))


def slug(text: str, longest: int = 40) -> str:
    """A text as a file's name: 'a red apple:2 | blur:-1' → 'a-red-apple-2-blur-1'."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:longest].rstrip("-") or "picture"


@dataclass
class MatrixOptions:
    """What the matrix is of."""

    images: Annotated[tuple[str, ...], arg(metavar="FILE", help="The pictures, a column each")]
    out: Annotated[str | None, maybe("The heat map", "FILE.png")] = None
    csv: Annotated[str | None, maybe("The table of cosines", "FILE.csv")] = None
    clip: Annotated[str, arg(help="CLIP: pocket, or as in ViT-B-32/openai", metavar="NAME")] = "pocket"
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def matrix(args: list[str]) -> int:
    """`labkit matrix --texts … --images …`: prints the table; a heat map and a CSV on request."""
    from labkit.clip.similarity import SimilarityMatrix
    from labkit.image import ImageError, open_upload
    from labkit.lab import Lab

    typed, options = parse("matrix", SimilarityMatrix, MatrixOptions, args)
    measure = typed.build()
    if not options.images:
        raise SpecError("--images: give at least one picture")
    out = output(options.out, ".png") if options.out else None
    csv = output(options.csv, ".csv") if options.csv else None
    pictures = []
    for path in options.images:
        if not Path(path).is_file():
            raise FileNotFoundError(f"--images: {path}: no such file")
        try:
            pictures.append(open_upload(path))
        except ImageError as error:
            raise ImageError(f"--images: {error}") from None
    lab = Lab(clip=options.clip, device=checked_device(options.device))
    lab.require(measure, say)
    result = measure.compute(lab, pictures, [Path(path).stem for path in options.images])
    for text, lines in getattr(result, "notices", {}).items():
        for line in lines:
            say(f"note: {text!r}: {line}")
    print(result.table.to_string(float_format="{:.3f}".format, line_width=100))
    if out:
        result.figure().savefig(out, dpi=120, bbox_inches="tight")
        print(out)
    if csv:
        from labkit.tables import csv_text

        write_atomically(csv, csv_text(result.table).encode())
        print(csv)
    return DONE


@dataclass
class ReplayOptions(LabFlags):
    """Make a picture again from the recipe in its PNG, as far as it had gone, and compare the two."""

    file: Positional[Annotated[str, arg(metavar="FILE.png", help="A PNG that labkit saved")]] = field(kw_only=True)
    out: Annotated[str | None, maybe("The new picture, with its recipe", "FILE.png")] = None


def replay(args: list[str]) -> int:
    """`labkit replay FILE.png --out FILE.png`."""
    from labkit.runs.replay import replay as again

    options = read_options("replay", ReplayOptions, args)
    out = output(options.out, ".png") if options.out else None
    if not Path(options.file).is_file():
        raise FileNotFoundError(f"{options.file}: no such file")
    say(f"replaying {options.file}")
    made = again(options.file, options.lab())
    if out and made.result.image is not None:
        made.result.save(out)
        print(out)
    if made.result.interrupted:
        say("stopped before the end")
        return INTERRUPTED
    if made.identical:
        print("the same picture, bit for bit")
    elif math.isnan(made.psnr):
        print("another picture, not comparable")
    else:
        print(f"not the same picture: PSNR {made.psnr:.1f} dB")
    for line in made.differences:
        print(f"  {line}")
    return DONE


@dataclass
class SweepOptions(LabFlags):
    """What is varied."""

    over: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]],
        arg(metavar="FIELD VALUE …", help="An axis, as in --over seed 0 1 2 --over cutouts.cutn 8 16"),
    ] = ()
    folder: Annotated[str, arg(help="Where finished cells stay", metavar="DIR")] = "out/sweep"
    jobs: Annotated[int, arg(help="Processes; -1: one per core")] = 1
    sheet: Annotated[str | None, maybe("The contact sheet; DIR/sheet.png unless given", "FILE.png")] = None


def sweep(args: list[str]) -> int:
    """`labkit sweep PROMPT --over FIELD VALUE …`."""
    from labkit.runs.sweep import sweep as run

    typed, options = parse("sweep", methods.load("vqgan_clip"), SweepOptions, args)
    over = {}
    for name, *values in options.over:
        over[name.replace(".", "__").replace("-", "_")] = [value_of(v) for v in values]
    if not over:
        raise SpecError("--over: give at least one axis, as in --over seed 0 1 2")
    sheet = output(options.sheet or Path(options.folder) / "sheet.png", ".png")
    done = run(typed.build(), over, options.lab(), options.folder, options.jobs)
    print(done.table.drop(columns="path").to_string(index=False, float_format="{:.3f}".format, line_width=100))
    done.sheet().save(sheet)
    print(sheet)
    failed = int((done.table["error"] != "").sum())
    if failed:
        say(f"{failed} of {len(done.table)} cells failed")
    return FAILED if failed else DONE


def value_of(text: str):
    """A typed value: numbers and true/false as what they are, everything else as text."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, int | float) else text
