"""Several pictures in one go: phrases × guidance strengths, a limit on number and time, a zip or a survey's folder of them.

Only finished pictures are kept: half a picture would be no fair thing to rate.
"""

from __future__ import annotations

import hashlib
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

from labkit.image import save_png
from labkit.methods.guided_diffusion import Guidance, GuidedDiffusion
from labkit.prompt import PromptError
from labkit.runs.result import Result
from labkit.runs.status import duration
from labkit.spec import SpecError
from labkit.survey.plan import Plan
from labkit.views.gradio import app

PICTURES = {"local": 60, "public": 12}  # of one go, by the name of the limits
SURVEYS = Path("out/lyrics")  # beside the survey's own database


@dataclass(frozen=True)
class Job:
    """A picture to make: of which phrase of the song, by which spec."""

    phrase: str
    spec: GuidedDiffusion


@dataclass(frozen=True)
class Made:
    """A finished picture: its file's name, the PNG with its recipe, and the lines that stand below it."""

    name: str
    png: bytes = field(repr=False)
    label: tuple[str, ...]


@dataclass(frozen=True)
class Now:
    """How far a batch is: the job's number (from 0), its result so far, why it or the batch ends early (else ""), and the
    picture, once it is finished."""

    k: int
    result: Result
    ending: str = ""
    made: Made | None = None


def plan(chosen: Sequence[tuple[str, str]], strengths: Sequence[float], seed: int, steps: int, most: int) -> list[Job]:
    """The jobs for (phrase, English prompt) pairs, phrase by phrase; those without a prompt are left out.

    Raises `SpecError`: nothing chosen, no prompt, no strength, too many, or a prompt that cannot be read.
    """
    if not chosen:
        raise SpecError("phrases: choose at least one")
    ready = [(phrase, prompt) for phrase, prompt in chosen if prompt.strip()]
    if not ready:
        raise SpecError("phrases: none of the chosen ones has an English prompt yet; write one beside it")
    if not strengths:
        raise SpecError("strength: choose at least one")
    if (n := len(ready) * len(strengths)) > most:
        raise SpecError(f"pictures: {len(ready)} phrases × {len(strengths)} strengths are {n}; this app makes {most} in one go")
    jobs = []
    for phrase, prompt in ready:
        try:
            jobs += [Job(phrase, GuidedDiffusion(prompt=prompt.strip(), steps=steps, seed=seed, guidance=Guidance(strength=s)))
                     for s in sorted(strengths)]
        except (SpecError, PromptError) as error:
            raise SpecError(f"{phrase}: {error}") from None
    return jobs


def label(job: Job, result: Result) -> tuple[str, ...]:
    """The phrase; the prompt where it is another; strength and CLIP score; which words the model does not know."""
    prompt = job.spec.prompt
    other = [f"→ {shorten(prompt, 90, placeholder=' …')}"] * (prompt.casefold() != job.phrase.casefold())
    measured = f"strength {job.spec.guidance.strength:g}, CLIP {result.scores.get('clip', math.nan):.2f}"
    return shorten(job.phrase, 90, placeholder=" …"), *other, measured, *result.notices


def make(jobs: Sequence[Job], lab, seconds: float, stopped: Callable[[], bool], folder: Path,
         clock: Callable[[], float] = time.monotonic) -> Iterator[Now]:
    """Run the jobs one after another; yields after every step, finished pictures lie in `folder`.

    It ends when `stopped()` or when `seconds` are over. A picture that fails is passed over, unless it is the first.
    """
    until, made = clock() + seconds, 0

    def late() -> bool:
        return clock() > until

    for k, job in enumerate(jobs):
        result = Result(job.spec)
        try:
            if made and (stopped() or late()):
                result.interrupted = True
                yield Now(k, result, _why(late(), seconds))
                return
            for result, ending, _ in app.stream(job.spec, lab, math.inf, lambda: stopped() or late()):
                if result.interrupted:
                    yield Now(k, result, _why(late(), seconds))
                    return
                yield Now(k, result, ending, _keep(k, job, result, folder) if result.finished else None)
                made += result.finished
        except SpecError as error:
            if not made:
                raise
            yield Now(k, result, str(error))


def _why(late: bool, seconds: float) -> str:
    return f"this app's time limit of {duration(seconds)} ended the run" if late else "stopped"


def _keep(k: int, job: Job, result: Result, folder: Path) -> Made:
    """The finished picture, saved under a name without a word of the visitor's."""
    path = folder / f"{k + 1:02d}-strength-{job.spec.guidance.strength:g}-{job.spec.digest()[:8]}.png"
    scores = {name: score for name, score in result.scores.items() if math.isfinite(score)}
    save_png(result.image, path, result.recipe | {"scores": scores, "seconds": round(result.seconds, 3), "phrase": job.phrase})
    return Made(path.name, path.read_bytes(), label(job, result))


def digest(made: Sequence[Made]) -> str:
    """12 hex digits that say which pictures these are."""
    return hashlib.sha256(b"".join(m.png for m in made)).hexdigest()[:12]


def zipped(made: Sequence[Made], folder: Path) -> Path:
    """A zip of the PNGs, in the folder."""
    path = folder / f"labkit-lyrics-{digest(made)}.zip"
    with zipfile.ZipFile(path, "w") as archive:  # PNGs are packed already
        for m in made:
            archive.writestr(m.name, m.png)
    return path


def kept(made: Sequence[Made], root: Path = SURVEYS) -> tuple[Path, str]:
    """The pictures in a folder of their own, and the command that makes a survey of it. Raises `SpecError` on too few."""
    repeats = ""
    try:
        Plan().fits(len(made))
    except ValueError:
        try:
            Plan(repeats=0).fits(len(made))
        except ValueError:
            raise SpecError(f"pictures: {len(made)} is too few to compare; make at least 2") from None
        repeats = " --repeats 0"  # too few for hidden repeats
    folder = root / digest(made)
    folder.mkdir(parents=True, exist_ok=True)
    for m in made:
        (folder / m.name).write_bytes(m.png)
    return folder, f"python -m labkit survey new lyrics-{folder.name} {folder.as_posix()}{repeats}"
