"""What attention adds to a style, as the style thesis planned to find out: one function, a table, a figure.

    ablate(lab, attention_arms(), n=40, seeds=3)            on and off, how many strokes, how they are fused
    ablate(lab, patch_arms(uniform, attended), …)           words: patches drawn evenly, or where attention is high

Pairs are a flat scene of a held-out combination, and a picture of another subject in another style, or that style's words. A
seed stands for another draw of everything: the style's pictures, and the method's own seed where it has one. The spread is the
standard deviation of an arm's mean over seeds. An arm is called better or worse than the first only where it is so under every
seed, and by more than the spread of either; else the table says "within the spread".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from labkit.clip.figures import Sheet
from labkit.evaluation.painting import held_out_scenes, paint_all
from labkit.image import ImageInput, contact_sheet, to_tensor
from labkit.image.style import Style
from labkit.methods.attention_style import AttentionStyle
from labkit.spec import Method
from labkit.world import Scene, classes, render, sample_scene, words

MEASURES = {"style": +1, "subject": +1, "content loss": -1, "style loss": -1}  # which way is better
SHOWN = 8  # pairs on the sheet
WITHIN = "within the spread"


@dataclass(frozen=True)
class StylePair:
    """A content scene, and a scene whose style it shall take; both as pictures, and the style in words."""

    content: Scene
    style: Scene
    content_picture: ImageInput
    style_picture: ImageInput
    text: str


Arm = Callable[[StylePair, int], Method]  # the spec that makes a pair's picture from a seed


def style_pairs(n: int, seed: int = 0, tuning: bool = False) -> list[StylePair]:
    """`n` pairs; of every seed the same contents, each with another picture of the same style. The `tuning` ones share no
    content with those that are measured."""
    styles, out = [style for style in classes("style") if style != "flat"], []
    for k, content in enumerate(held_out_scenes(n, tuning)):
        at = 1_000_000 * (1 + seed) + k + 500_000 * tuning
        while (style := sample_scene(at, "test", style=styles[k % len(styles)], two=False)).subjects[0].subject \
                == content.subjects[0].subject:
            at += 10_000
        pictures = (Image.fromarray(render(scene)) for scene in (content, style))
        out.append(StylePair(content, style, *(ImageInput.of(p, *p.size) for p in pictures), words()["styles"][style.style][0]))
    return out


def attention_arms(**fixed) -> dict[str, Arm]:
    """The arms of `AttentionStyle`, its defaults first; `fixed` are other fields of all of them."""
    def arm(**changes) -> Arm:
        return lambda pair, seed: AttentionStyle(content=pair.content_picture, style=Style(picture=pair.style_picture),
                                                 **{**fixed, **changes})

    base = AttentionStyle.model_fields["strokes"].default
    return {f"attention, {base} strokes, softmax": arm(), "without attention": arm(attention=False),
            **{f"{k} stroke{'s' * (k > 1)}": arm(strokes=k) for k in (1, 2, 5)},
            "fusion linear": arm(fusion="linear"), "fusion uniform": arm(fusion="uniform")}


def patch_arms(uniform: Method, attended: Method, asked: Callable[[Method, StylePair, int], Method]) -> dict[str, Arm]:
    """The arms of a method that reads a style in words: one spec draws its patches evenly, the other where attention is high.
    `asked(spec, pair, seed)` puts a pair's content and words, and a seed, into a spec, by the names of that method's fields."""
    return {"patches drawn evenly": lambda pair, seed: asked(uniform, pair, seed),
            "patches where attention is high": lambda pair, seed: asked(attended, pair, seed)}


@dataclass(frozen=True)
class Ablation:
    """`table`: a row a picture.  `summary`: a row an arm, with mean ± spread over seeds and what that says against the first
    one.  `by_seed`: an arm's mean of each measure under each seed.  `sheet`: contents, styles, and a row an arm."""

    table: pd.DataFrame
    summary: pd.DataFrame
    by_seed: pd.DataFrame
    sheet: Image.Image

    def figure(self) -> Sheet:
        """A panel a measure: every seed's mean as a point, their mean as a line, the first arm's spread as a band."""
        arms = list(dict.fromkeys(self.by_seed["arm"]))
        figure = Sheet(figsize=(2.9 * len(MEASURES), 0.34 * len(arms) + 1.1), layout="constrained")
        for k, (ax, measure) in enumerate(zip(figure.subplots(1, len(MEASURES), squeeze=False)[0], MEASURES, strict=True)):
            for row, arm in enumerate(arms):
                each = self.by_seed.loc[self.by_seed["arm"] == arm, measure].to_numpy()
                ax.plot(each, np.full(len(each), row), "o", color="#1f77b4", alpha=0.6, markersize=4)
                ax.plot([each.mean()] * 2, [row - 0.3, row + 0.3], color="black")
                if row == 0:
                    spread = spread_of(each)
                    ax.axvspan(each.mean() - spread, each.mean() + spread, color="#1f77b4", alpha=0.15, linewidth=0)
            ax.set_yticks(range(len(arms)), arms if k == 0 else [""] * len(arms), fontsize=8)
            ax.invert_yaxis()
            ax.set_title(f"{measure} ({'higher' if MEASURES[measure] > 0 else 'lower'} is better)", fontsize=8, loc="left")
            ax.tick_params(axis="x", labelsize=7)
        return figure


def ablate(lab, arms: Mapping[str, Arm], n: int = 40, seeds: int = 3, tuning: bool = False, n_jobs: int = 1) -> Ablation:
    """Every arm's pictures of `n` pairs under each of `seeds` seeds, and what they show. The first arm is what the others are
    held against. Raises ValueError for fewer than two seeds, of which there is no spread, or no arms."""
    if seeds < 2 or n < 1 or not arms:
        raise ValueError(f"seeds, n, arms: {seeds}, {n}, {len(arms)}; a spread needs two seeds, a table a pair and an arm")
    rows, shown = [], {}
    for seed in range(seeds):
        pairs = style_pairs(n, seed, tuning)
        for name, arm in arms.items():
            specs = [arm(pair, seed) for pair in pairs]
            for spec in specs[:1]:
                lab.require(spec)
            made = [one.picture for one in paint_all(specs, lab, n_jobs)]
            rows += [{"arm": name, "seed": seed, "pair": k, **told} for k, told in enumerate(measured(lab, pairs, made))]
            if seed == 0:
                shown |= {name: made[:SHOWN]}
                first = pairs[:SHOWN]
    table = pd.DataFrame(rows)
    by_seed = table.groupby(["arm", "seed"], sort=False)[list(MEASURES)].mean().reset_index()
    pictures = {"content": [p.content_picture.pil() for p in first], "style": [p.style_picture.pil() for p in first], **shown}
    labels = [name if k == 0 else "" for name, some in pictures.items() for k in range(len(some))]
    sheet = contact_sheet([p for some in pictures.values() for p in some], labels, columns=len(first), tile=128)
    return Ablation(table, summary_of(by_seed), by_seed, sheet)


@torch.no_grad()
def measured(lab, pairs: Sequence[StylePair], made: Sequence[Image.Image]) -> list[dict[str, float]]:
    """What each picture shows: whether the judge sees the style and the subject (1 or 0), the squared error of the deepest
    layer that the attention auto-encoder reads against the content's, and that of Gram matrices, mean of all its layers,
    against the style's. Content and style are looked at in the size of what was made."""
    net, names = lab.perceptual, lab.attention_autoencoder.config.layers
    out = []
    for pair, picture, seen in zip(pairs, made, lab.judge.all(torch.cat([to_tensor(p) for p in made])), strict=True):
        size = (picture.height, picture.width)
        x, content, style = (net.layers(F.interpolate(t, size, mode="area").to(lab.device) * 2 - 1, names) for t in (
            to_tensor(picture), pair.content_picture.tensor(), pair.style_picture.tensor()))
        far = [float((gram(x[name]) - gram(style[name])).square().sum()) for name in names]
        out.append({"style": float(seen.style == pair.style.style),
                    "subject": float(seen.subject == pair.content.subjects[0].subject),
                    "content loss": float((x[names[-1]] - content[names[-1]]).square().mean()),
                    "style loss": float(np.mean(far))})
    return out


def gram(x: Tensor) -> Tensor:
    """F Fᵀ / (C · H · W) of features (1, C, H, W): (C, C)."""
    flat = x.flatten(2)[0]
    return flat @ flat.T / flat.numel()


def spread_of(each: np.ndarray) -> float:
    """Standard deviation over seeds, n − 1 in the denominator."""
    return float(np.std(each, ddof=1))


def summary_of(by_seed: pd.DataFrame) -> pd.DataFrame:
    """A row an arm: `mean ± spread` of each measure, and what may be said against the first arm."""
    arms = list(dict.fromkeys(by_seed["arm"]))
    each = {arm: by_seed[by_seed["arm"] == arm].sort_values("seed") for arm in arms}
    rows = {}
    for arm in arms:
        row = {}
        for measure, better in MEASURES.items():
            mine, base = (each[a][measure].to_numpy() for a in (arm, arms[0]))
            share = measure in ("style", "subject")
            number = "{:.1%} ± {:.1%}" if share else "{:.4f} ± {:.4f}"
            row[measure] = number.format(mine.mean(), spread_of(mine))
            row[f"{measure}, verdict"] = verdict(mine, base, better) if arm != arms[0] else "–"
        rows[arm] = row
    return pd.DataFrame(rows).T.rename_axis("arm")


def verdict(mine: np.ndarray, base: np.ndarray, better: int = 1) -> str:
    """"better", "worse" or "within the spread" of values under the same seeds; `better` −1 where lower ones are."""
    change = better * (mine - base)
    sure = abs(change.mean()) > max(spread_of(mine), spread_of(base)) and (np.all(change > 0) or np.all(change < 0))
    return ("better" if change.mean() > 0 else "worse") if sure else WITHIN
