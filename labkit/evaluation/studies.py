"""The VQGAN+CLIP report's three studies, each a function that returns a table and a figure.

1. `initial_image_study`: without and with an initial image (the report: without one the quality falls).
2. `prompt_detail_study`: few words against many (the report: few words may give poorer pictures).
3. `iteration_study`: the report says that the shape forms within the first few thousand iterations and that both too few and
   too many hurt. One run answers for every number of iterations up to its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import pandas as pd
from PIL import Image

from labkit.image import ImageInput, contact_sheet
from labkit.methods.vqgan_clip import VQGANCLIP, Canvas
from labkit.world import read, render, sample_scene

# The report's own prompts, few words and many.
FEW_WORDS = ("a house", "an apple", "a reality dark puppy")
MANY_WORDS = ("a house with realistic style",
              "A comic-style illustration of a fruit platter in sunlight, with other animals attempting to grab some",
              "A realistic looking dog sitting in a dark corner against a wall, with an overall color scheme in cool tones",
              "A colourful cubist painting of a parrot in a cage")
ITERATIONS = (1, 5, 10, 25, 50, 100, 200, 400)


@dataclass(frozen=True)
class Study:
    """A table (a row a picture) and its pictures with a line under each."""

    table: pd.DataFrame
    pictures: list[Image.Image]
    labels: list[str]
    columns: int

    def figure(self) -> Image.Image:
        """All pictures, labelled."""
        return contact_sheet(self.pictures, self.labels, columns=self.columns, tile=192)


def _last(spec: VQGANCLIP, lab):
    """(picture, score) of a run's last step."""
    lab.require(spec)
    last = deque(spec.run(lab), maxlen=1)[0]
    return last.image, last.scores["clip"]


def _row(lab, picture: Image.Image, prompt: str, score: float, **also) -> dict:
    """What the judge makes of a picture: the probability of the prompt's own subject, and what it sees."""
    verdict, wanted = lab.judge(picture), read(prompt).subjects
    own = verdict.probabilities["subject"].get(wanted[0], float("nan")) if wanted else float("nan")
    return {**also, "prompt": prompt, "clip": score, "p(subject)": own, "judge sees": f"{verdict.colour} {verdict.subject}"}


def _label(row: dict) -> str:
    return f"{row['prompt'][:60]} | sees {row['judge sees']}, p {row['p(subject)']:.2f}, clip {row['clip']:.2f}"


def initial_image_study(lab, prompts: Sequence[str] = ("a house", "a dog"), seeds: Sequence[int] = (0, 1, 2),
                        steps: int = 150) -> Study:
    """Each prompt and seed without and with an initial image: a drawn scene of another subject, so that what is found at the
    end was painted (the judge finds a drawing of the prompt's own subject before the first step)."""
    rows, pictures = [], []
    for prompt in prompts:
        subjects = read(prompt).subjects
        if not subjects:
            raise ValueError(f"prompt={prompt!r} names no subject of the picture world: no initial image can be drawn")
        for seed in seeds:
            scenes = (sample_scene(k, "test", style="flat", two=False) for k in count(100 * seed))
            other = next(s for s in scenes if s.subjects[0].subject not in subjects)
            init = Canvas(init=ImageInput.of(Image.fromarray(render(other)), 64, 64))
            for start, canvas in (("random codes", Canvas()), ("initial image", init)):
                picture, score = _last(VQGANCLIP(prompt=prompt, seed=seed, steps=steps, canvas=canvas), lab)
                shown = other.subjects[0].subject if canvas is init else ""
                rows.append(_row(lab, picture, prompt, score, start=start, shows=shown, seed=seed))
                pictures.append(picture)
    return Study(pd.DataFrame(rows), pictures, [" ".join((r["start"], r["shows"])).strip() + f": {_label(r)}" for r in rows],
                 columns=2 * len(seeds))


def prompt_detail_study(lab, few: Sequence[str] = FEW_WORDS, many: Sequence[str] = MANY_WORDS, seeds: Sequence[int] = (0, 1),
                        steps: int = 150) -> Study:
    """The report's short prompts against its long ones; words that the model has never seen are in the table."""
    rows, pictures = [], []
    for kind, prompts in (("few words", few), ("many words", many)):
        for prompt in prompts:
            for seed in seeds:
                picture, score = _last(VQGANCLIP(prompt=prompt, seed=seed, steps=steps), lab)
                rows.append(_row(lab, picture, prompt, score, kind=kind, words=len(prompt.split()), seed=seed,
                                 unknown=" ".join(read(prompt).unknown)))
                pictures.append(picture)
    return Study(pd.DataFrame(rows), pictures, [f"{r['kind']}: {_label(r)}" for r in rows], columns=2 * len(seeds))


def iteration_study(lab, prompts: Sequence[str] = ("a house", "an apple", "a dog"), at: Sequence[int] = ITERATIONS,
                    seed: int = 0) -> Study:
    """One run per prompt, looked at after each number of iterations in `at`."""
    rows, pictures = [], []
    for prompt in prompts:
        spec = VQGANCLIP(prompt=prompt, seed=seed, steps=max(at), preview_every=1)
        lab.require(spec)
        for step in spec.run(lab):
            if step.i + 1 in at:
                rows.append(_row(lab, step.image, prompt, step.scores["clip"], iterations=step.i + 1))
                pictures.append(step.image)
    return Study(pd.DataFrame(rows), pictures, [f"{r['iterations']}: {_label(r)}" for r in rows], columns=len(at))
