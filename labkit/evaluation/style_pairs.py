"""Does style by a picture work? Held-out pairs of a flat scene and a scene of another style, read by the judge.

    python -m labkit evaluate adain | transform_net

A content is a flat scene of one subject, of a held-out combination; its style picture is a scene of another style with another
subject. The judge says whether the result shows the style picture's style and still the content's subject. Beside its rates
stand those of the same results held against other pairs' claims (what chance gives), the contents themselves, and the content's
scene drawn in that style (what could be reached), each with a Wilson interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.evaluation.painting import held_out_scenes, paint_all, share_of
from labkit.image import ImageInput, contact_sheet, to_pil, to_tensor
from labkit.methods.adaptive_style import AdaptiveStyle
from labkit.methods.neural_style import NeuralStyle
from labkit.methods.transform_style import TransformStyle
from labkit.spec import Method
from labkit.world import Scene, classes, render, sample_scene

CLAIMS = ("style", "subject")
SHOWN = 12  # pairs on the sheet


@dataclass(frozen=True)
class Pair:
    """A content, the scene whose style it is to take on, and both as pictures."""

    content: Scene
    style: Scene

    @property
    def pictures(self) -> tuple[ImageInput, ImageInput]:
        return tuple(ImageInput.of(render(scene), 64, 64) for scene in (self.content, self.style))


def held_out_pairs(n: int = 40, tuning: bool = False) -> list[Pair]:
    """`n` pairs, the styles in turn. The `tuning` list shares no pair with the measured one."""
    styles = [name for name in classes("style") if name != "flat"]
    pairs = []
    for k, content in enumerate(held_out_scenes(n, tuning)):
        seed = 10_000 * (1 + tuning) + 100 * k
        while (style := sample_scene(seed, "held", style=styles[k % len(styles)], two=False)
               ).subjects[0].subject == content.subjects[0].subject:
            seed += 1
        pairs.append(Pair(content, style))
    return pairs


def by_gatys(content: ImageInput, style: ImageInput) -> Method:
    """Gatys with its defaults."""
    return NeuralStyle(content=content, styles=[{"picture": style}])


WAYS: dict[str, Callable[[ImageInput, ImageInput], Method]] = {
    "Gatys": by_gatys,
    "AdaIN": lambda content, style: AdaptiveStyle(content=content, styles=[{"picture": style}]),
    "EFDM": lambda content, style: AdaptiveStyle(content=content, styles=[{"picture": style}], way="efdm"),
    "transform net": lambda content, style: TransformStyle(content=content),
}


@dataclass(frozen=True)
class PairsReport:
    """`table`: a row a way and pair.  `summary`: a row a way, shares with intervals.  `sheet`: contents, style pictures, and a
    row a way.  `pictures`: way → (N, 3, 64, 64) in [0, 1]."""

    table: pd.DataFrame
    summary: pd.DataFrame
    sheet: Image.Image
    pictures: dict[str, Tensor]


def measure_pairs(lab, n: int = 40, ways: Sequence[str] = tuple(WAYS), tuning: bool = False, n_jobs: int = 1) -> PairsReport:
    """Each pair by each way. The transform net knows one style only, the one that it has learnt: it is asked for that one, on
    the same contents."""
    pairs = held_out_pairs(n, tuning)
    asked = [pair.pictures for pair in pairs]
    pictures, seconds = {}, {}
    for way in ways:
        made = paint_all([WAYS[way](*two) for two in asked], lab, n_jobs)
        pictures[way] = torch.cat([to_tensor(one.picture) for one in made])
        seconds[way] = float(np.median([one.seconds for one in made]))
    pictures |= {"the contents as they are": torch.cat([content.tensor() for content, _ in asked]),
                 "drawn in that style": torch.cat([_drawn(pair) for pair in pairs])}
    order, rows = _elsewhere(pairs), []
    for way, x in pictures.items():
        learnt = lab.transform_net.about["style"] if way == "transform net" else None
        wanted = [(learnt or pair.style.style, pair.content.subjects[0].subject) for pair in pairs]
        for k, seen in enumerate(lab.judge.all(x)):
            others = wanted[order[k]]
            rows.append({"way": way, "pair": k, "asked style": wanted[k][0], "asked subject": wanted[k][1],
                         "saw style": seen.style, "saw subject": seen.subject,
                         **{claim: float(getattr(seen, claim) == wanted[k][j]) for j, claim in enumerate(CLAIMS)},
                         **{f"shuffled {claim}": float(getattr(seen, claim) == others[j]) for j, claim in enumerate(CLAIMS)}})
    table = pd.DataFrame(rows)
    summary = pd.DataFrame([
        {"way": way, **{column: share_of(some[column]) for column in (*CLAIMS, *(f"shuffled {c}" for c in CLAIMS))},
         "both": share_of(some["style"] * some["subject"]), "seconds": f"{seconds[way]:.2f}" if way in seconds else "–"}
        for way, some in table.groupby("way", sort=False)])
    return PairsReport(table, summary, _sheet(asked, pictures, table), pictures)


def adain_figures(lab, n: int) -> dict:
    """What AdaIN and EFDM make of n held-out pairs."""
    return _figures(lab, n, ("AdaIN", "EFDM"))


def transform_figures(lab, n: int) -> dict:
    """What the transform net makes of the contents of n held-out pairs."""
    return _figures(lab, n, ("transform net",))


def _figures(lab, n: int, ways: tuple[str, ...]) -> dict:
    return {f"On {n} held-out pairs": measure_pairs(lab, n, ways).summary.set_index("way").T}


def _drawn(pair: Pair) -> Tensor:
    return to_tensor(to_pil(torch.from_numpy(render(replace(pair.content, style=pair.style.style))).permute(2, 0, 1) / 255))


def _elsewhere(pairs: Sequence[Pair]) -> np.ndarray:
    """Another pair for each, the same ones every time."""
    return np.random.default_rng(0).permutation(len(pairs))


def _sheet(asked: Sequence[tuple[ImageInput, ImageInput]], pictures: dict[str, Tensor], table: pd.DataFrame) -> Image.Image:
    """Contents and style pictures above, then a row a way: what was made, and what the judge saw in it."""
    n = min(SHOWN, len(asked))
    tiles = [content.pil() for content, _ in asked[:n]] + [style.pil() for _, style in asked[:n]]
    labels = ["content"] * n + ["style"] * n
    for way, x in pictures.items():
        if way == "the contents as they are":
            continue
        seen = table[table["way"] == way]
        tiles += [to_pil(one) for one in x[:n]]
        labels += [f"{way}: {row['saw style']}, {row['saw subject']}" for _, row in seen.head(n).iterrows()]
    return contact_sheet(tiles, labels, columns=n, tile=128)
