"""The VQGAN+CLIP report's three studies, each a function that returns a `Study`: a table and its pictures.

1. `initial_image_study`: without and with an initial image (the report: without one the quality falls).
2. `prompt_detail_study`: few words against many (the report: few words may give poorer pictures).
3. `iteration_study`: the report says that the shape forms within the first few thousand iterations and that both too few and
   too many hurt. Every number of iterations is a run of its own, as what a run does may depend on its length.

`template` is the spec that all cells share but for what is studied.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from PIL import Image

from labkit.evaluation.cells import Study, paint_cells
from labkit.evaluation.painting import prompt_of
from labkit.image import ImageInput
from labkit.methods.vqgan_clip import VQGANCLIP, Canvas
from labkit.world import Scene, classes, read, render, sample_scene, words

# The report's own prompts, few words and many.
FEW_WORDS = ("a house", "an apple", "a reality dark puppy")
MANY_WORDS = ("a house with realistic style",
              "A comic-style illustration of a fruit platter in sunlight, with other animals attempting to grab some",
              "A realistic looking dog sitting in a dark corner against a wall, with an overall color scheme in cool tones",
              "A colourful cubist painting of a parrot in a cage")
ITERATIONS = (2, 5, 10, 25, 50, 100, 200)
# One start each: what is studied shall show, and not what choosing among starts makes of it.
PAINT = VQGANCLIP(prompt="-", canvas=Canvas(tries=1))


def initial_image_study(lab, prompts: Sequence[str] = ("a house", "a dog"), seeds: Sequence[int] = (0,),
                        template: VQGANCLIP = PAINT, n_jobs: int = -1) -> Study:
    """Each prompt and seed without and with an initial image.

    It is a drawn scene of another subject, another one each time, so that what is found at the end was painted: the judge
    finds a drawing of the prompt's own subject before the first step. Raises ValueError on a prompt that names no subject.
    """
    cells = []
    for k, prompt in enumerate(prompts):
        subjects = read(prompt).subjects
        if not subjects:
            raise ValueError(f"prompt={prompt!r} names no subject of the picture world: no initial image can be drawn")
        for seed in seeds:
            spec, other = template.but(prompt=prompt, seed=seed), _scene_without(subjects, 1000 * seed + 7 * k)
            init = ImageInput.of(Image.fromarray(render(other)), spec.canvas.width, spec.canvas.height)
            cells += [({"start": "random codes", "shows": ""}, spec),
                      ({"start": "initial image", "shows": other.subjects[0].subject}, spec.but(canvas__init=init))]
    return paint_cells(lab, cells, 8, n_jobs)


def _scene_without(subjects: Sequence[str], first: int) -> Scene:
    """The first flat one-subject scene from number `first` on that shows none of these subjects."""
    scenes = (sample_scene(k, "test", style="flat", two=False) for k in count(first))
    return next(s for s in scenes if s.subjects[0].subject not in subjects)


def prompt_detail_study(lab, few: Sequence[str] = FEW_WORDS, many: Sequence[str] = MANY_WORDS, seeds: Sequence[int] = (0,),
                        template: VQGANCLIP = PAINT, n_jobs: int = -1) -> Study:
    """The report's short prompts against its long ones; words that the model has never seen are in the table."""
    cells = [({"kind": kind, "words": len(prompt.split())}, template.but(prompt=prompt, seed=seed))
             for kind, prompts in (("few words", few), ("many words", many)) for prompt in prompts for seed in seeds]
    return paint_cells(lab, cells, 8, n_jobs)


def fair_pairs(n: int) -> list[tuple[str, str, str]]:
    """(subject, few words, many words) for n subjects, spread over the world's list: "a dog" and the same dog with a colour and
    a setting. A fairer pair than the report's, whose long prompts ask for other things than its short ones."""
    names = classes("subject")
    pairs = []
    for k in range(n):
        subject = names[k * len(names) // n]
        scene = sample_scene(k, "test", subject=subject, style="flat", two=False)
        noun = words()["subjects"][subject]["name"]
        article = "" if noun in words()["without_article"] else "an " if noun[0] in "aeiou" else "a "
        pairs.append((subject, article + noun, prompt_of(scene).removeprefix("a flat illustration of ")))
    return pairs


def fair_detail_study(lab, pairs: Sequence[tuple[str, str, str]], seed: int = 0, template: VQGANCLIP = PAINT,
                      n_jobs: int = -1) -> Study:
    """The same subject in few words and in many; a row's `subject` says which belong together."""
    cells = [({"subject": subject, "kind": kind}, template.but(prompt=prompt, seed=seed))
             for subject, few, many in pairs for kind, prompt in (("few words", few), ("many words", many))]
    return paint_cells(lab, cells, 8, n_jobs)


def iteration_study(lab, prompts: Sequence[str] = ("a house", "an apple", "a dog"), at: Sequence[int] = ITERATIONS,
                    seed: int = 0, template: VQGANCLIP = PAINT, n_jobs: int = -1) -> Study:
    """Each prompt with each number of iterations, from the same noise."""
    cells = [({"iterations": n}, template.but(prompt=prompt, seed=seed, steps=n)) for prompt in prompts for n in at]
    return paint_cells(lab, cells, len(at), n_jobs)
