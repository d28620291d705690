"""Does enhancing work? Scenes degraded by known amounts, enhanced in the report's three ways and in others, and looked at.

    made = enhance_study(lab, 200)        # made.table: a row a scene and way;  made.summary: a row a way

The VQGAN+CLIP report names three kinds: simple statistics ("the sum of pixels is too low, it's too dark"), the user's choice of
a filter, and a learnt search. Beside them a random search and all recipes of depth two at as many evaluations, and the search
without its guards. The original is known, so whether a picture got nearer to it is a fact: root mean squared error of pixels in
[0, 1], and the perceptual distance. The report's finding, that it "doesn't alter the objects", is asked of the judge.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.files import write_atomically
from labkit.image import ImageInput, contact_sheet, to_pil, to_tensor
from labkit.image.adjust import Adjustments, adjusted, levels, luma
from labkit.image.degrade import SLIDERS, Degradation, degraded, drawn
from labkit.image.moves import moves
from labkit.methods.enhance import STRIDES, Enhance, Looks, Node, chosen, proxy_of
from labkit.metrics.intervals import share
from labkit.models.judge import perceptual_distance
from labkit.models.load import fingerprint
from labkit.runs.workers import run_all
from labkit.world import Scene, render, sample_scene

BLANK = ImageInput.of(Image.new("RGB", (64, 64), "grey"), 64, 64)
SEARCH = Enhance(picture=BLANK)
CELLS = "out/enhancing"  # where finished scenes stay
HARM = 0.02  # root mean squared error from which a clean picture counts as harmed: five grey levels of 255
TUNING = 50_000  # first scene of those that weights of the objective were tuned on
FILTERS = {  # what a user can choose from, as cameras and editors have it
    "lighter": Adjustments(gamma=0.7), "darker": Adjustments(gamma=1.4), "warm": Adjustments(temperature=0.25),
    "cool": Adjustments(temperature=-0.25), "vivid": Adjustments(contrast=1.3, saturation=1.5),
    "muted": Adjustments(contrast=0.75, saturation=0.65), "crisp": Adjustments(sharpness=0.8),
}  # fmt: skip
WAYS = ("statistics", "a filter", "search")
OTHERS = ("random search", "all of depth two", "search, no guard")


@dataclass(frozen=True)
class Spoilt:
    """A scene and what was done to it; nothing, where it is to be left alone."""

    scene: Scene
    done: tuple[Degradation, ...]

    def pictures(self) -> tuple[Tensor, Tensor]:
        """The original and what was made of it, (1, 3, 64, 64) in [0, 1], as 8 bits keep them."""
        x = to_tensor(Image.fromarray(render(self.scene)))
        if not self.done:
            return x, x
        return x, to_tensor(to_pil(degraded(x, [self.done], torch.zeros_like(x))))


def spoilt_scenes(n: int, clean: bool = False, tuning: bool = False) -> list[Spoilt]:
    """`n` one-subject test scenes, each with one to three degradations that sliders can undo, or with none where `clean`. The
    `tuning` ones are others."""
    out, first, rng = [], TUNING if tuning else 0, np.random.default_rng(31 + tuning)
    for k in itertools.count(first):
        scene = sample_scene(k, "test", two=False)
        done = () if clean else tuple(drawn(rng, int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2))), SLIDERS, least=0.4))
        out.append(Spoilt(scene, done))
        if len(out) == n:
            return out


def by_statistics(x: Tensor) -> Adjustments:
    """The report's simple mathematics of the picture: levels stretched over the range, and a gamma that brings the mean luma to
    the middle, as far as its slider goes."""
    black, white = levels(x)
    mean = float(luma(adjusted(x, [Adjustments(black=black, white=white)])[0]).mean().clamp(0.02, 0.98))
    return Adjustments(black=black, white=white, gamma=round(float(np.clip(np.log(0.5) / np.log(mean), 0.25, 4)), 4))


def by_filter(x: Tensor, original: Tensor) -> Adjustments:
    """The filter that brings the picture nearest to the original, or none: a user who has seen it, as a real one has not."""
    recipes = [Adjustments(), *FILTERS.values()]
    return recipes[int((adjusted(x, recipes)[0] - original).square().mean((1, 2, 3)).argmin())]


def by_search(lab, x: Tensor, template: Enhance) -> tuple[Adjustments, dict[str, Any]]:
    """What the beam search finds, after how many evaluations, and at which step it was settled."""
    spec = template.but(picture=ImageInput.of(to_pil(x), x.shape[-1], x.shape[-2]))
    for step in spec.run(lab):
        if step.extras["settled"]:
            break
    return (Adjustments(**step.extras["found"]["adjustments"]),
            {"evaluations": len(step.extras["tree"]), "steps": step.i + 1, "settled": step.extras["settled"]})


def by_random(looks: Looks, n: int, least: float, seed: int) -> Adjustments:
    """The best of `n` recipes, each of one to six random moves at random strides."""
    rng, recipes = np.random.default_rng(seed), [Adjustments()]
    while len(recipes) < n:
        recipe = Adjustments()
        for _ in range(int(rng.integers(1, 7))):
            found = list(moves(recipe, STRIDES[rng.integers(len(STRIDES))], looks.levels, False, False))
            recipe = found[rng.integers(len(found))][1]
        recipes.append(recipe)
    return _best(looks, recipes, least)


def by_depth_two(looks: Looks, n: int, least: float) -> Adjustments:
    """The best of all recipes of two moves or fewer, at the largest stride first, as many as `n`."""
    recipes = {Adjustments(): None}
    for stride in STRIDES:
        for _, once in moves(Adjustments(), stride, looks.levels, False, False):
            recipes.setdefault(once)
        for _, once in list(moves(Adjustments(), stride, looks.levels, False, False)):
            for _, twice in moves(once, stride, looks.levels, False, False):
                recipes.setdefault(twice)
    return _best(looks, list(recipes)[:n], least)


def _best(looks: Looks, recipes: Sequence[Adjustments], least: float) -> Adjustments:
    tree: list[Node] = [{"recipe": recipe.moved, **seen} for recipe, seen in zip(recipes, looks(recipes), strict=True)]
    return Adjustments(**chosen(tree, least)["recipe"])


def ways_of(lab, spoilt: Spoilt, template: Enhance = SEARCH, others: bool = True) -> dict[str, tuple[Adjustments, dict]]:
    """Every way's recipe for a scene, and what is known of how it was found."""
    original, x = spoilt.pictures()
    found, about = by_search(lab, x, template)
    out = {"search": (found, about)}
    if not spoilt.done:
        return out
    out |= {"statistics": (by_statistics(x), {}), "a filter": (by_filter(x, original), {})}
    if others:
        n, looks = about["evaluations"], Looks(lab, proxy_of(x, template.proxy), template.drift, template.clipping)
        out |= {"random search": (by_random(looks, n, template.least, spoilt.scene.seed), {"evaluations": n}),
                "all of depth two": (by_depth_two(looks, n, template.least), {"evaluations": n}),
                "search, no guard": by_search(lab, x, template.but(drift=0, clipping=0))}
    return out


@torch.no_grad()
def scene_rows(task: tuple[Spoilt, bool], lab, template: Enhance = SEARCH, folder: str = CELLS) -> list[dict[str, Any]]:
    """A row a way for one scene (and whether the `others` are asked too), kept in the folder, where it is not made again."""
    spoilt, others = task
    key = f"{template.digest()} {fingerprint(lab.aesthetic)} {lab.clip.sha256} {spoilt} {others}"
    path = Path(folder, f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.json")
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    original, x = spoilt.pictures()
    subject, rows = spoilt.scene.subjects[0].subject, []
    for way, (recipe, about) in ways_of(lab, spoilt, template, others).items():
        y = to_tensor(to_pil(adjusted(x, [recipe])[0]))
        seen = [verdict.subject for verdict in lab.judge.all(torch.cat([original, x, y]))]
        far = [perceptual_distance(lab.perceptual, z * 2 - 1, original * 2 - 1).item() for z in (x, y)]
        error = [float((z - original).square().mean().sqrt()) for z in (x, y)]
        looks = Looks(lab, x, template.drift, template.clipping)([Adjustments(), recipe])
        rows.append({
            "scene": spoilt.scene.seed, "done": ", ".join(f"{d.kind} {d.way * d.amount:+.2f}" for d in spoilt.done), "way": way,
            "recipe": recipe.words(), "adjustments": json.dumps(recipe.moved),
            "error before": error[0], "error after": error[1], "perceptual before": far[0], "perceptual after": far[1],
            "score before": looks[0]["aesthetic"], "score after": looks[1]["aesthetic"], "subject": subject,
            "seen in the original": seen[0], "seen before": seen[1], "seen after": seen[2],
            "evaluations": about.get("evaluations", 0), "steps": about.get("steps", 0)})
    write_atomically(path, json.dumps(rows).encode())
    return rows


@dataclass(frozen=True)
class Enhanced:
    """`table`, a row a scene and way; `summary`, a row a way on degraded scenes and one of the search on clean ones; `spoilt`,
    the scenes in order."""

    table: pd.DataFrame
    summary: pd.DataFrame
    spoilt: list[Spoilt]

    def sheet(self, n: int = 12, tile: int = 112) -> Image.Image:
        """The first scenes: the original, what was done to it, and what every way made of that."""
        pictures, labels = [], []
        for one in [s for s in self.spoilt if s.done][:n]:
            original, x = one.pictures()
            rows = self.table[(self.table["scene"] == one.scene.seed) & (self.table["done"] != "")].set_index("way")
            pictures += [to_pil(original), to_pil(x)]
            labels += ["the original", rows["done"].iloc[0]]
            for way in (*WAYS, *OTHERS):
                there = way in rows.index
                recipe = Adjustments(**json.loads(rows.loc[way, "adjustments"])) if there else Adjustments()
                pictures.append(to_pil(adjusted(x, [recipe])[0]) if there else Image.new("RGB", (64, 64), "white"))
                labels.append(f"{way}: error {rows.loc[way, 'error before']:.2f} → {rows.loc[way, 'error after']:.2f}"
                              if there else "")
        return contact_sheet(pictures, labels, 2 + len(WAYS) + len(OTHERS), tile)


def enhance_study(lab, n: int = 200, compared: int = 60, template: Enhance = SEARCH, folder: str | Path = CELLS,
                  n_jobs: int = -1, tuning: bool = False,
                  done: Callable[[int, list], None] | None = None) -> Enhanced:
    """`n` degraded scenes and `n` clean ones; of the first `compared` degraded ones the other searches too. What is done stays
    done."""
    spoilt = spoilt_scenes(n, tuning=tuning) + spoilt_scenes(n, clean=True, tuning=tuning)
    tasks = [(one, k < compared) for k, one in enumerate(spoilt)]
    rows = run_all(partial(scene_rows, template=template, folder=str(folder)), tasks, lab, n_jobs, done)
    table = pd.DataFrame([row for some in rows for row in some])
    return Enhanced(table, summary_of(table), spoilt)


def summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row a way: the share of degraded scenes that come nearer to the original, by pixels and by perception, mean errors, and
    the share whose subject the judge still sees; of clean scenes, the share harmed and how soon the search stopped."""
    rows, spoilt, clean = {}, table[table["done"] != ""], table[table["done"] == ""]
    for way in [way for way in (*WAYS, *OTHERS) if way in set(spoilt["way"])]:
        part = spoilt[spoilt["way"] == way]
        rows[way] = {"nearer": _share(part["error after"] < part["error before"]),
                     "nearer, perceptual": _share(part["perceptual after"] < part["perceptual before"]),
                     **{name: part[name].mean() for name in ("error before", "error after", "perceptual before",
                                                             "perceptual after", "score before", "score after")},
                     "same subject": _share(part["seen after"] == part["seen before"]),
                     "right before": _share(part["seen before"] == part["subject"]),
                     "right after": _share(part["seen after"] == part["subject"]),
                     "evaluations": part["evaluations"].mean(), "steps": part["steps"].mean(), "n": len(part)}
    if len(clean):
        rows["search, clean scenes"] = {
            "harmed": _share(clean["error after"] > HARM), "changed": _share(clean["recipe"] != "nothing"),
            "error after": clean["error after"].mean(), "same subject": _share(clean["seen after"] == clean["seen before"]),
            "evaluations": clean["evaluations"].mean(), "steps": clean["steps"].mean(), "n": len(clean)}
    return pd.DataFrame(rows).T


def _share(hits: pd.Series) -> str:
    return share(int(hits.sum()), len(hits))
