"""Any method as a command: the flags of its spec, then a picture that carries its recipe.

What else there is to ask for follows from the spec's fields: the judge where there is a prompt, strip and film where there are
steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from labkit import methods
from labkit.runs.result import Result, collect
from labkit.spec import Method, SpecError
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output
from labkit.views.cli.progress import Progress
from labkit.views.cli.terminal import DONE, FAILED, INTERRUPTED, say
from labkit.views.cli.values import Typed

POCKET = "made by pocket models: small ones, trained on drawn 64-pixel scenes"


@dataclass
class Picture:
    """Where the picture goes."""

    out: Annotated[str | None, maybe("The picture, with its recipe; unless given, in out/", "FILE.png")] = None


@dataclass
class Course:
    """How the run went."""

    strip: Annotated[str | None, maybe("Also how the run went, in one row of pictures", "FILE.png")] = None
    video: Annotated[str | None, maybe("Also the run as a film (.mp4 or .gif)", "FILE.mp4")] = None


@dataclass
class Verdict:
    """What the judge finds."""

    judge: Annotated[bool, arg(help="Say what the judge finds of the prompt; exit code 1 if it misses some")] = False


@dataclass(frozen=True)
class More:
    """What a command of its own adds to a method: options (a dataclass), what it does with what was typed before the spec is
    built, and with the result once the picture is saved."""

    options: type
    before: Callable[[Typed, Any], None]
    after: Callable[[Result, Any], None]


def options_of(method: type[Method], more: More | None = None) -> type:
    """What a run of this method can be asked for besides its spec."""
    parts = [Verdict] * method.has("prompt") + [Course] * method.has("steps") + [Picture, lab_flags(method.needs)]
    return joined(*parts, *([more.options] if more else []))


def run_method(args: list[str], name: str, command: str, more: More | None = None) -> int:
    """Run the method of a module with the flags of its spec, and of what its command adds."""
    method = methods.load(name)
    words = list(takewhile(lambda arg: not arg.startswith("-"), args))
    if method.has("prompt") and len(words) > 1:
        raise SpecError(f'PROMPT: is {len(words)} arguments; give it in quotes: labkit {command} "{" ".join(words)}"')
    typed, options = parse(command, method, options_of(method, more), args)
    if more:
        more.before(typed, options)
    spec = typed.build()
    out = output(options.out or f"out/{slug(getattr(spec, 'prompt', name))}-{spec.digest()[:6]}.png", "--out", ".png")
    strip = output(getattr(options, "strip", None), "--strip", ".png")
    video = output(getattr(options, "video", None), "--video", ".mp4", ".gif")
    lab, progress, frames = lab_of(options), Progress(), []
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
    if more:
        more.after(result, options)
    if strip:
        print(result.save_strip(strip))
    if video and frames:
        from labkit.runs.film import write_video

        print(write_video(frames, video))
    if failure:
        say(f"the last good picture is kept: {out}")
        raise failure
    if result.interrupted:
        say(f"stopped after {result.steps_done} of {result.n} steps; the last picture is kept: {out}")
        return INTERRUPTED
    return judged(lab, result, spec.prompt) if getattr(options, "judge", False) else DONE


def told(out: Path, result: Result, lab) -> None:
    """Say what was made."""
    name = type(result.spec).score
    course = [scores[name] for scores in result.history if name in scores]
    score = f", {name} {course[0]:.3f} → {course[-1]:.3f}" if len(course) > 1 else f", {name} {course[0]:.3f}" if course else ""
    print(f"{out}: {result.steps_done} step{'s' * (result.steps_done != 1)} in {result.seconds:.1f} s{score}")
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
