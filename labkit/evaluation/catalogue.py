"""The long studies by name, at the sizes at which they are kept: `python -m labkit study NAME` makes one, `study` lists them.

A study is one function here, of a lab and the number of processes; its keywords are its sizes, its templates the specs that its
pictures share. To add one, write it here: command, staleness and tests read this table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import torch

import labkit
from labkit.evaluation import (
    clinic_report,
    enhancing,
    generators,
    guidance,
    sketch_figures,
    sketch_quality,
    sketching,
    studies,
    styling,
)
from labkit.evaluation.conditioning import TELLERS, TRAINING, conditioning_study
from labkit.evaluation.excerpts import CLASSIC, excerpt_grid
from labkit.evaluation.generation import SAMPLING, measure_generation
from labkit.evaluation.stored import Found, StoredStudy, read_study, save_study, sources_of
from labkit.lab import Lab
from labkit.lyrics import songs as paper_songs
from labkit.spec import Method, SpecError


@dataclass(frozen=True)
class Named:
    """A study: its name, what it asks (of the function's docstring), the specs that its pictures share, and its function."""

    name: str
    about: str
    templates: tuple[Method, ...]
    run: Callable[..., Found]


STUDIES: dict[str, Named] = {}


def named(name: str, *templates: Method) -> Callable:
    """Enter a study under its name."""

    def register(function: Callable[..., Found]) -> Callable[..., Found]:
        STUDIES[name] = Named(name, (function.__doc__ or name).strip(), templates, function)
        return function

    return register


@named("initial-image", studies.PAINT)
def initial_image(lab, n_jobs: int, prompts: int = 14) -> Found:
    """VQGAN+CLIP report: is a picture worse without an initial image?"""
    few = [text for _, text, _ in studies.fair_pairs(prompts)]
    made = studies.initial_image_study(lab, few, template=studies.PAINT, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("prompt-detail", studies.PAINT)
def prompt_detail(lab, n_jobs: int, seeds: int = 3) -> Found:
    """VQGAN+CLIP report: are its own prompts of few words painted worse than its long ones?"""
    made = studies.prompt_detail_study(lab, seeds=range(seeds), template=studies.PAINT, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("fair-detail", studies.PAINT)
def fair_detail(lab, n_jobs: int, prompts: int = 14) -> Found:
    """The same subjects in few words and in many: does a colour and a setting help the painter to find the subject?"""
    made = studies.fair_detail_study(lab, studies.fair_pairs(prompts), template=studies.PAINT, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("iterations", studies.PAINT)
def iterations(lab, n_jobs: int, prompts: int = 5, at: tuple[int, ...] = studies.ITERATIONS) -> Found:
    """VQGAN+CLIP report: do both too few and too many iterations hurt?"""
    few = [text for _, text, _ in studies.fair_pairs(prompts)]
    made = studies.iteration_study(lab, few, at, template=studies.PAINT, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("strength", guidance.GUIDED)
def strength(lab, n_jobs: int, prompts: int = 2, steps: tuple[int, ...] = (25, 50, 100, 250)) -> Found:
    """Guided diffusion: does a strength mean the same at every number of steps, and a classic scale not?"""
    made = guidance.strength_study(lab, prompts, steps, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("range", guidance.GUIDED)
def range_scale(lab, n_jobs: int, prompts: int = 6, steps: int = 25) -> Found:
    """Guided diffusion: does range_scale keep pixels inside the range?"""
    made = guidance.range_study(lab, prompts, steps=steps, n_jobs=n_jobs)
    return Found({"": made.table}, {"": made.figure(128)})


@named("excerpts", CLASSIC)
def excerpts(lab, n_jobs: int, songs: int = 10, steps: int = 20) -> Found:
    """Lyrics paper: its ten excerpts at 3 × 3 scales. Which of the two scales makes a difference?"""
    asked = dict(list(paper_songs().set_index("number")["excerpt"].items())[:songs])
    made = excerpt_grid(lab, asked, steps, n_jobs=n_jobs)
    shown = 8 if 8 in asked else max(asked)  # a blue tractor: the one that the pocket models know best
    return Found({"": made.table}, {"": made.paper_figure(), "song": made.figure(shown)})


@named("ways", guidance.UNGUIDED, guidance.GUIDED, guidance.ON_PIXELS)
def ways(lab, n_jobs: int, prompts: int = 30, steps: int = 50) -> Found:
    """Lyrics paper, its headline: are diffusion and CLIP together better than each alone? Beside them the GAN it gave up."""
    made = guidance.compare_ways(lab, prompts, 1, steps, n_jobs=n_jobs)
    table = made.table.reset_index(names="way")
    return Found({"": table, "pictures": made.pictures()}, {"": made.figure()})


@named("generation", SAMPLING)
def generation(lab, n_jobs: int, n: int = 400, draws: int = 1000) -> Found:
    """Codes report: its score tables with ours beside them. Do sampled pictures show what their sentences say?"""
    made = measure_generation(lab, n, draws=draws)
    return Found({"": made.table.reset_index(names="metric"), "scores": made.scores, "captions": made.captions},
                 {"": made.sheet})


@named("conditioning", *(TRAINING.but(told=told) for told in TELLERS))
def conditioning(lab, n_jobs: int, steps: int = TRAINING.steps, batch: int = TRAINING.batch, scenes: int = TRAINING.scenes,
                 seeds: tuple[int, ...] = (71, 72), n: int = 100) -> Found:
    """Codes report: what do BLIP's vectors add to a VQ-VAE? Equal short trainings are told nothing, CLIP's or BLIP's."""
    made = conditioning_study(lab, TRAINING.but(steps=steps, batch=batch, scenes=scenes), seeds, n, n_jobs)
    return Found({"": made.table}, {"": made.sheet})


@named("sketching", sketching.TEMPLATE)
def sketching_grid(lab, n_jobs: int, sketches: int = 12, strengths: tuple[float, ...] = sketching.GRID["strength"],
                   guidances: tuple[float, ...] = sketching.GRID["guidance"], seeds: int = 2) -> Found:
    """Sketch thesis: does more strength help, what does it cost, and from where does guidance leave the sketch?"""
    asked, at = sketching.held_out_sketches(sketches), {"guidance": sketching.TEMPLATE.guidance}
    over = {"strength": strengths, "guidance": guidances, "seed": tuple(range(seeds))}
    made = sketching.sketch_sweep(lab, asked, over, n_jobs=n_jobs).whole()
    tables = {"": made.kept(), "means": sketch_figures.means(made.table, ["strength", "guidance"]),
              "references": sketching.references(lab, asked), "distance": sketch_figures.distances(lab, made, **at)}
    grid = made.sheet("strength", "guidance", sketch=asked[0].sketch.id, title=asked[0].prompt)
    heat = sketch_figures.as_picture(sketch_figures.heat_maps(made.table))
    return Found({name: table for name, table in tables.items() if len(table)},
                 {"": made.sheet("strength", "sketch", **at), "grid": grid, "heat": heat})


@named("sketch-quality", sketching.TEMPLATE)
def sketch_quality_pack(lab, n_jobs: int, sketches: int = 12, seeds: int = 2) -> Found:
    """Sketch thesis: how much does the quality of the sketch decide? The same ones thin, thick, broken, wobbly and so on."""
    asked = sketching.held_out_sketches(sketches)
    made = sketch_quality.quality_sweep(lab, asked, range(seeds), n_jobs=n_jobs).whole()
    sheet = sketch_quality.quality_sheet(made, asked[0].sketch.id, title=asked[0].prompt)
    return Found({"": made.kept(), "ways": sketch_quality.quality_table(made.table)}, {"": sheet})


@named("generators", sketching.TEMPLATE)
def generators_on_sketches(lab, n_jobs: int, sketches: int = 100) -> Found:
    """Sketch thesis and codes report: diffusion, pix2pix, CycleGAN and the bottleneck VAE on the same sketches."""
    made = generators.compare_generators(lab, sketches)
    return Found({"": made.table, "ways": made.summary}, {"": made.sheet})


@named("styling", styling.TEMPLATE)
def styling_by_words(lab, n_jobs: int, scenes: int = 100, by_picture: int = 25, halves: int = 40,
                     steps: int = styling.TEMPLATE.steps) -> Found:
    """Style thesis: does CLIPstyler give a picture the style that words name, and leave its subject?"""
    made = styling.measure_styling(lab, scenes, by_picture, halves, styling.TEMPLATE.but(steps=steps), n_jobs=n_jobs)
    return Found({"": made.table, "ways": made.summary(), "styles": made.by_style(), "halves": made.halves,
                  "seams": made.halves_summary()}, made.sheets())


@named("clinic", clinic_report.PAINT, clinic_report.NAIVE, clinic_report.CURED)
def clinic(lab, n_jobs: int, prompts: int = 100, seeds: int = 2, steps: int = clinic_report.CURED.steps,
           pictures: int = clinic_report.CURED.pictures, painting: int = clinic_report.PAINT.steps, alphas: int = 11,
           modes: int = 10) -> Found:
    """VQGAN+CLIP report: why did fine-tuning spoil its pictures, and what heals it? Ten ways to fail, each cured."""
    naive, cured = (spec.but(steps=steps, pictures=pictures) for spec in (clinic_report.NAIVE, clinic_report.CURED))
    made = clinic_report.report_study(lab, n_jobs, prompts, seeds, clinic_report.HOME, naive, cured,
                                      clinic_report.PAINT.but(steps=painting), alphas)
    tables = {"": made.paintings.drop(columns="path"), "checks": made.checks, "claims": made.claims, "wise": made.curve,
              "modes": clinic_report.modes_table(lab, n_jobs, modes)}
    return Found({name: table for name, table in tables.items() if len(table)}, {"": made.sheet})


@named("enhancing", enhancing.SEARCH)
def enhancing_scenes(lab, n_jobs: int, scenes: int = 200, compared: int = 60) -> Found:
    """VQGAN+CLIP report: statistics, a filter or a learnt search; does a picture get better, and its objects stay?"""
    made = enhancing.enhance_study(lab, scenes, compared, n_jobs=n_jobs)
    return Found({"": made.summary.reset_index(names="way"), "scenes": made.table}, {"": made.sheet()})


def study_of(name: str) -> Named:
    """The study of that name. Raises SpecError, which lists them."""
    if name not in STUDIES:
        raise SpecError(f"study: {name!r} is none; there are {', '.join(STUDIES)}")
    return STUDIES[name]


def make_study(name: str, lab: Lab | None = None, n_jobs: int = -1, folder: Path | None = None, **sizes: Any) -> StoredStudy:
    """Run a study and keep what it found, with how it was made. `sizes` are keywords of its function, where they are to differ
    from those at which it is kept; they are noted."""
    study, lab = study_of(name), lab or Lab()
    started, at_once = time.perf_counter(), joblib.effective_n_jobs(n_jobs)
    found = study.run(lab, n_jobs, **sizes)
    kinds = {*lab.loaded, *(kind for spec in study.templates for kind in spec.needs)}
    made = {
        "study": name, "about": study.about, "command": f"python -m labkit study {name}", "sizes": sizes,
        "date": date.today().isoformat(), "minutes": round((time.perf_counter() - started) / 60, 1),
        "processor": torch.backends.cpu.get_cpu_capability(), "processes": at_once,
        "threads": 1 if at_once > 1 else torch.get_num_threads(),
        "labkit": labkit.__version__, "torch": torch.__version__,
        "sources": sources_of(lab.fingerprints(tuple(kinds)).values()),
        "specs": {spec.digest(): {"method": type(spec).__name__, **json.loads(spec.to_json())} for spec in study.templates},
    }
    save_study(name, found, made, folder)
    return load_study(name, folder)


def load_study(name: str, folder: Path | None = None) -> StoredStudy:
    """A study as it was kept. Its `stale` names the weights and the specs that are others today, and sizes that are not those
    at which it is kept. Raises FileNotFoundError where it is not kept yet, SpecError where there is no such study."""
    study, stored = study_of(name), read_study(name, folder)
    today = {spec.digest() for spec in study.templates}
    specs = [about["method"] for digest, about in stored.made["specs"].items() if digest not in today]
    lines = [f"{method}'s defaults are others now" for method in dict.fromkeys(specs)]
    if stored.made["sizes"]:
        lines.append(f"a small version: {', '.join(f'{k}={v}' for k, v in stored.made['sizes'].items())}")
    return replace(stored, stale=(*stored.stale, *lines))
