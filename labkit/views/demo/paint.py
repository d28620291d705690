"""The demo: a few prompts and sketches become pictures, a judge says what it sees in each, one page shows it all.

Pictures are painted in parallel processes of one thread each, which on a laptop is faster than one process with all
threads: the tensors are small. The judge has no part in the painting.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import joblib

from labkit.files import FileError, write_atomically, written
from labkit.image import ImageInput, open_upload, save_png
from labkit.methods.img2img import ImageToImage
from labkit.methods.text_to_image import TextToImage
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.runs.result import collect
from labkit.runs.status import duration
from labkit.runs.workers import run_all
from labkit.spec import Prompted
from labkit.tables import csv_text
from labkit.views.demo.made import Demo, Painted, readable
from labkit.views.demo.page import how_made, page, saw_words
from labkit.world import read, render_sketch, sample_scene

PAINTED = (
    "a flat illustration of a red apple in the snow",
    "a flat illustration of a green ship on the sea",
    "a flat illustration of a yellow house at night",
    "a watercolour of a purple butterfly in a meadow",
    "a comic-style illustration of a blue car at sunset",
    "A colourful cubist painting of a parrot in a cage",  # the VQGAN+CLIP report's
)
DRAWN = (
    "a flat illustration of a blue lighthouse at sunset",
    "a flat illustration of an orange cat on a plain background",
    "a flat illustration of a white rocket at night",
)
SKETCHED = {  # by whose line art it is that they start from
    "house": "a flat illustration of a red house in the snow",
    "guitar": "a flat illustration of a green guitar in a meadow",
    "elephant": "a flat illustration of a purple elephant in the city",
}
WAYS = {VQGANCLIP: "Painted by VQGAN+CLIP", TextToImage: "Drawn by Stable Diffusion",
        ImageToImage: "Made of sketches by Stable Diffusion"}
SIDE = 64  # pixels of a sketch


def asked(steps: int | None = None, seed: int = 0, quick: bool = False) -> list[Prompted]:
    """What the demo makes. `steps` of each picture (None: as many as its method has by default); `quick`: two pictures each
    way. Raises `SpecError`."""
    own, most = {"seed": seed} | ({} if steps is None else {"steps": steps}), 2 if quick else None
    return [*(VQGANCLIP(prompt=prompt, **own) for prompt in PAINTED[:most]),
            *(TextToImage(prompt=prompt, **own) for prompt in DRAWN[:most]),
            *(ImageToImage(prompt=prompt, picture=line_art(subject), **own) for subject, prompt in [*SKETCHED.items()][:most])]


def line_art(subject: str) -> ImageInput:
    """A drawn scene's subject as line art on an empty sheet."""
    scene = sample_scene(0, "test", subject=subject, style="flat", two=False)
    return ImageInput.of(render_sketch(scene, SIDE, alone=True), SIDE, SIDE)


def demo(folder: str | Path, specs: Sequence[Prompted], *, lab: Any = None, n_jobs: int | None = None,
         progress: Callable[[str], None] = lambda line: None, setup_seconds: float | None = None) -> Demo:
    """Make the pictures that are asked for into `folder`: picture-N.png (each with its recipe), strip-N.png, sketch-N.png of
    those that start from one, matrix.png, matrix.csv and index.html.

    lab     None: the pocket models, loaded by each process. A lab that is given makes them in this process.
    n_jobs  processes; None: one per core, no more than pictures.
    A picture that fails does not stop the others.
    """
    started = time.perf_counter()
    folder = Path(folder)
    if lab is None:
        from labkit.lab import Lab

        judging, jobs = Lab(), n_jobs or min(joblib.cpu_count(), len(specs))
        for kind in ("clip", "judge", *dict.fromkeys(kind for spec in specs for kind in spec.needs)):
            judging.model(kind)  # what is missing is told at once, not after the painting
    else:
        judging, jobs = lab, 1
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(len(specs)):  # an earlier demo's pictures shall not stand in for one that is missing
        for name in names(k):
            (folder / name).unlink(missing_ok=True)
    progress(f"making {len(specs)} pictures, {jobs} at a time")
    ended = itertools.count(1)

    def tell(k: int, one: Painted) -> None:
        progress(f"{next(ended)} of {len(specs)}: {one.prompt!r} " + (one.error or f"in {duration(one.seconds)}"))

    painted = run_all(partial(paint, folder=str(folder)), list(enumerate(specs)), judging, jobs, tell)
    look(painted, judging, folder)
    made = Demo(folder, painted, time.perf_counter() - started, setup_seconds, judging.pocket)
    write_atomically(folder / "index.html", page(made).encode())
    return made


def names(k: int) -> tuple[str, str, str]:
    """The files of the k-th picture."""
    return f"picture-{k + 1}.png", f"strip-{k + 1}.png", f"sketch-{k + 1}.png"


def paint(given: tuple[int, Prompted], lab: Any, folder: str) -> Painted:
    """Make and save one picture, in whatever process."""
    k, spec = given
    picture, strip, sketch = (Path(folder, name) for name in names(k))
    one = Painted(spec.prompt, picture, strip, WAYS[type(spec)])
    try:
        notices: dict[str, None] = {}
        result = collect(spec, lab, on_step=lambda s, r: notices.update(dict.fromkeys(s.extras.get("notices", ()))))
    except Exception as error:  # the others are painted all the same; the report tells of this one
        one.error = f"{type(error).__name__}: {error}"
        result, notices = getattr(error, "result", None), {}
    if result is not None and result.interrupted:
        raise KeyboardInterrupt
    if result is None or result.image is None:
        one.error = one.error or "stopped before the first picture"
        return one
    try:
        result.save(picture)
        result.save_strip(strip)
        if isinstance(spec, ImageToImage):
            save_png(spec.picture.pil(), sketch)
            one.sketch = sketch
    except FileError as error:
        one.error = str(error)
    course = [scores["clip"] for scores in result.history if "clip" in scores]
    one.before, one.after = (course[0], course[-1]) if course else (one.before, one.after)
    one.seconds, one.steps, one.notices = result.seconds, result.steps_done, tuple(notices)
    return one


def look(painted: list[Painted], lab: Any, folder: Path) -> None:
    """Judge the pictures that there are, and measure how near each is to each prompt (matrix.png, matrix.csv)."""
    from labkit.clip.similarity import SimilarityMatrix

    there = [p for p in painted if readable(p.picture)]
    images = [open_upload(p.picture) for p in there]
    for p, image in zip(there, images, strict=True):
        verdict, p.found = lab.judge.check(image, p.prompt)
        p.claims = claims(p.prompt)
        p.saw = {a: getattr(verdict, a) for a in ("subject", "colour", "setting", "style")}
    for name in ("matrix.png", "matrix.csv"):
        (folder / name).unlink(missing_ok=True)
    if images:
        shown = [f"picture {painted.index(p) + 1}" for p in there]
        result = SimilarityMatrix(texts=tuple(p.prompt for p in painted)).compute(lab, images, shown)
        with written(folder / "matrix.png") as part:
            result.figure().savefig(part, dpi=110, bbox_inches="tight")
        write_atomically(folder / "matrix.csv", csv_text(result.table).encode())


def claims(prompt: str) -> dict[str, str]:
    """What a prompt names, in words: {'subject': 'subject apple', 'colour': 'colour red', …}."""
    reading = read(prompt)
    named = {"subject": reading.subjects[:2], "colour": [c for c in reading.colours[:2] if c],
             "setting": [reading.setting or ""], "style": [reading.style or ""]}
    return {k: f"{k} {' and '.join(values)}".replace("_", " ").strip() for k, values in named.items()}


def report(made: Demo) -> str:
    """What a demo ends by saying."""
    there = [p for p in made.painted if p not in made.missing]
    lines = [f"{len(there)} of {len(made.painted)} pictures, in {made.folder}{os.sep}"]
    if made.pocket:
        lines[0] += " (made by pocket models)"
    for p in made.painted:
        lines += ["", f"{p.picture.name}  {p.prompt}"]
        if p.error:
            lines.append(f"  failed: {p.error}")
        if not p.saw:
            continue
        lines.append(f"  the judge saw  {saw_words(p.saw)}")
        missed = ", ".join(p.claims[claim] for claim, ok in p.found.items() if not ok)
        lines.append(f"  did not find   {missed or 'nothing is missing'}")
        lines.append(f"  made           {p.by[0].lower()}{p.by[1:]}, {how_made(p)}")
        lines += [f"  note           {notice}" for notice in p.notices]
    found = [ok for p in made.painted for ok in p.found.values()]
    lines += ["", f"the judge found {sum(found)} of the {len(found)} things that the prompts name"]
    lines += [f"strip-N.png    how each picture came about, N from 1 to {len(made.painted)}",
              "matrix.png     how near each picture is to each prompt (the numbers: matrix.csv)",
              f"all on a page  {made.folder / 'index.html'}"]
    if made.setup_seconds is not None:
        lines.append(f"set-up took    {duration(made.setup_seconds)}")
    lines.append(f"painting took  {duration(made.seconds)}, models and page included")
    if made.missing:
        lines.append(f"MISSING: {', '.join(p.picture.name for p in made.missing)}")
    return "\n".join(lines)
