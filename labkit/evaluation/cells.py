"""What a study is made of: specs that differ in what is studied, each painted, then looked at by CLIP and by the judge.

The score `clip` of a table is the cosine of the *whole finished picture* and its prompt, however the picture was made. What
CLIP made of the cutouts that guided the last step stands beside it under its own name, `clip of cutouts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from labkit.clip.pull import clip_score, targets_of
from labkit.evaluation.painting import Painted, paint_all
from labkit.image import contact_sheet, to_tensor
from labkit.prompt import parse
from labkit.spec import Method
from labkit.world import read


@dataclass(frozen=True)
class Study:
    """`table` (a row a picture), its `pictures` with a line under each, and what was `painted`, all in the same order."""

    table: pd.DataFrame
    pictures: list[Image.Image]
    labels: list[str]
    columns: int
    painted: list[Painted]

    def figure(self, tile: int = 160, title: str | None = None) -> Image.Image:
        """All pictures, labelled."""
        return contact_sheet(self.pictures, self.labels, self.columns, tile, title)


def paint_cells(lab, cells: Sequence[tuple[Mapping[str, Any], Method]], columns: int, n_jobs: int = -1) -> Study:
    """Paint every cell: what tells it from the others, and its spec.

    A row has that, prompt and seed, `clip`, `clip of cutouts` (NaN without guidance), `p(subject)` (the judge's probability of
    the prompt's own subject; NaN where it names none), what the judge sees, and the prompt's words that were never seen. Labels
    begin with what tells a cell from the others.
    """
    painted = paint_all([spec for _, spec in cells], lab, n_jobs)
    rows = [{**about, **_seen(lab, spec, one)} for (about, spec), one in zip(cells, painted, strict=True)]
    labels = [f"{', '.join(filter(None, map(_short, about.values())))}: {row['prompt'][:60]} | sees {row['judge sees']}, "
              f"p {row['p(subject)']:.2f}, clip {row['clip']:.2f}".replace("p nan, ", "")
              for (about, _), row in zip(cells, rows, strict=True)]
    return Study(pd.DataFrame(rows), [one.picture for one in painted], labels, columns, painted)


def _seen(lab, spec: Method, one: Painted) -> dict[str, Any]:
    verdict, reading, x = lab.judge(one.picture), read(spec.prompt), to_tensor(one.picture).to(lab.device)
    own = verdict.probabilities["subject"].get(reading.subjects[0], float("nan")) if reading.subjects else float("nan")
    last = one.scores.iloc[-1]
    return {"prompt": spec.prompt, "seed": spec.seed, "clip": clip_score(x, lab.clip, targets_of(lab.clip, parse(spec.prompt))),
            "clip of cutouts": last.get("cutouts", float("nan")), "p(subject)": own,
            "judge sees": " ".join(filter(None, (verdict.colour, verdict.subject))).replace("_", " "),
            "unknown": " ".join(reading.unknown)}


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
