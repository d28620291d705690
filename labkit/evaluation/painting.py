"""Does painting work? Pictures of held-out combinations, read by the judge.

The prompts name combinations of subject, colour and setting that no model but the judge has seen, in the flat style. Beside the
judge's rates stand the rate against shuffled prompts (what chance gives) and the judge's rate on real scenes of the same
combinations (what the judge could reach), each with a Wilson interval.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from labkit.files import write_atomically
from labkit.image import contact_sheet, save_png, to_tensor
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.metrics.intervals import share
from labkit.runs.workers import run_all
from labkit.spec import Method
from labkit.tables import csv_text
from labkit.world import Scene, render, sample_scene, words

CLAIMS = ("subject", "colour", "setting", "style")


def held_out_scenes(n: int, tuning: bool = False, posed: bool = False) -> list[Scene]:
    """`n` flat one-subject scenes of distinct held-out combinations, the same ones if `posed`. The `tuning` list shares no
    combination with the measured one, as long as n ≤ 100."""
    seen, out, k = set(), [], 0
    skip = 100 if tuning else 0
    while len(out) < n + skip:
        scene = sample_scene(k, "held", style="flat", two=False, posed=posed)
        placed = scene.subjects[0]
        combination = (placed.subject, placed.colour, scene.setting)
        if combination not in seen:
            seen.add(combination)
            out.append(scene)
        k += 1
    return out[skip:]


def prompt_of(scene: Scene) -> str:
    """What is asked for: style, colour, subject and setting by their plain names."""
    placed = scene.subjects[0]
    return plain_caption(placed.subject, placed.colour, scene.setting)


def plain_caption(subject: str, colour: str | None, setting: str, style: str = "flat") -> str:
    """A caption of these classes by their plain names, each in its place; a colour of None is not named."""
    noun, look = words()["subjects"][subject]["name"], words()["styles"][style][0]
    phrase = f"{colour} {noun}" if colour else noun
    article = "" if noun in words()["without_article"] else ("an " if phrase[0] in "aeiou" else "a ")
    return f"{'an' if look[0] in 'aeiou' else 'a'} {look} of {article}{phrase} {words()['settings'][setting][0]}"


@dataclass(frozen=True)
class PaintingReport:
    """`table` (a row a picture), `summary` (a row a claim), `sheet` (all pictures with what was asked and seen), `pictures`."""

    table: pd.DataFrame
    summary: pd.DataFrame
    sheet: Image.Image
    pictures: list[Image.Image]


@dataclass(frozen=True)
class Painted:
    """A run's last picture, the scores of every step, and its seconds."""

    picture: Image.Image
    scores: pd.DataFrame
    seconds: float


def paint_all(specs: Sequence[Method], lab, n_jobs: int = -1) -> list[Painted]:
    """Run specs, several at once, each on one thread and in a process that has a lab like this one. With `n_jobs=1` they run
    here, on as many threads as there are."""
    return run_all(_paint, specs, lab, n_jobs)


def _paint(spec: Method, lab) -> Painted:
    lab.require(spec)
    started, scores, picture = time.perf_counter(), [], None
    for step in spec.run(lab):
        scores.append(step.scores)
        picture = step.image or picture
    return Painted(picture, pd.DataFrame(scores), time.perf_counter() - started)


def measure_painting(lab, prompts: int = 100, seeds: int = 2, template: Method | None = None, tuning: bool = False,
                     n_jobs: int = -1, own_seeds: bool = False) -> PaintingReport:
    """Paint `prompts` held-out combinations with each of `seeds` seeds and let the judge look. The seeds are the same for every
    prompt, or with `own_seeds` all different: unguided pictures of one seed are one picture."""
    template = template or VQGANCLIP(prompt="-")
    jobs = [(s, template.but(prompt=prompt_of(s), seed=k + own_seeds * n * seeds))
            for n, s in enumerate(held_out_scenes(prompts, tuning)) for k in range(seeds)]
    return report_on(lab, [(s, spec.seed) for s, spec in jobs], paint_all([spec for _, spec in jobs], lab, n_jobs))


def report_on(lab, asked: Sequence[tuple[Scene, int]], painted: Sequence[Painted]) -> PaintingReport:
    """The report on pictures, of which each was asked for by a scene's prompt (see `prompt_of`) and a seed."""
    x = torch.cat([to_tensor(p.picture) for p in painted])
    verdicts = lab.judge.all(x)
    real = lab.judge.all(torch.stack([torch.from_numpy(render(s)).permute(2, 0, 1) / 255 for s, _ in asked]))
    order = np.random.default_rng(0).permutation(len(asked))
    rows = []
    for j, ((scene, seed), one, seen, on_real) in enumerate(zip(asked, painted, verdicts, real, strict=True)):
        other = asked[order[j]][0]
        clip = one.scores.get("clip", pd.Series([np.nan]))  # not every method looks through CLIP
        rows.append({"prompt": prompt_of(scene), "seed": seed, "clip before": clip.iloc[0],
                     "clip after": clip.iloc[-1], "seconds": one.seconds,
                     **{f"painted {c}": v for c, v in hits(scene, seen).items()},
                     **{f"shuffled {c}": v for c, v in hits(other, seen).items()},
                     **{f"real {c}": v for c, v in hits(scene, on_real).items()},
                     "saw": f"{seen.colour} {seen.subject}, {seen.setting}, {seen.style}"})
    table = pd.DataFrame(rows)
    summary = {c: {kind: share_of(table[f"{kind} {c}"]) for kind in ("painted", "shuffled", "real")} for c in CLAIMS}
    labels = [f"{'ok' if r['painted subject'] else 'NO'} {r['prompt'].removeprefix('a flat illustration of ')} : {r['saw']}"
              for r in rows]
    pictures = [p.picture for p in painted]
    return PaintingReport(table, pd.DataFrame(summary).T, contact_sheet(pictures, labels, columns=10, tile=128), pictures)


def hits(scene: Scene, seen) -> dict[str, float]:
    """Per claim 1 where the judge's verdict agrees with a one-subject scene, else 0; NaN where nothing is claimed."""
    placed = scene.subjects[0]
    return {"subject": float(seen.subject == placed.subject),
            "colour": float(seen.colour == placed.colour) if placed.colour else np.nan,
            "setting": float(seen.setting == scene.setting), "style": float(seen.style == scene.style)}


def share_of(column: pd.Series) -> str:
    """Share of ones in words, with Wilson's interval; NaN left out, "–" where nothing is left."""
    known = column.dropna()
    return share(int(known.sum()), len(known)) if len(known) else "–"


def save_report(report: PaintingReport, folder: Path) -> None:
    """table.csv, summary.txt and sheet.png."""
    folder = Path(folder)
    write_atomically(folder / "table.csv", csv_text(report.table, index=False).encode())
    write_atomically(folder / "summary.txt", f"{report.summary.to_string()}\n".encode())
    save_png(report.sheet, folder / "sheet.png")
