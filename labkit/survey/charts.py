"""The lyrics paper's two charts of ratings, in English or Russian: Figure 6, the mean of every picture by experiment, and
Figure 7, the ranking of one experiment as bars with the other as a line. Where intervals are known they are drawn.

Both take one table with a row per picture: `excerpt` (what was asked for), `experiment` (any label), `mean`, and, where
there are raters' votes, `low` and `high`. `paper_table` makes it of `data/survey.csv`, `ratings_chart_table` of votes.
"""

from __future__ import annotations

import textwrap
from typing import Literal

import numpy as np
import pandas as pd

from labkit.clip.figures import Sheet, text_colour
from labkit.data import data_path
from labkit.survey.plan import HIGH, LOW
from labkit.survey.statistics import DRAWS, by_condition, describe, t_interval

Language = Literal["en", "ru"]
COLOURS = ("#3b6fb6", "#e0645c", "#9aa0a8", "#e0a33e", "#5b9e6f", "#8a6bb0")  # the paper's blue and red come first
DARK = "#2b2f36"
WORDS = {
    "en": {
        "means": "Mean rating of every picture", "ranking": "Pictures in the order of their mean rating",
        "rating": "mean rating", "intervals": "whiskers: 95 % intervals",
        "paper": "experiment {experiment}: guidance scale {scale}",
    },
    "ru": {
        "means": "Средняя оценка каждой картинки", "ranking": "Картинки в порядке средней оценки",
        "rating": "средняя оценка", "intervals": "отрезки: 95 %-е интервалы",
        "paper": "эксперимент {experiment}: параметр {scale}",
    },
}  # fmt: skip


def paper_table(raters: int | None = None, language: Language = "en") -> pd.DataFrame:
    """Table 2 of the lyrics paper for the charts: excerpt, experiment, mean.

    raters  with a number, low and high too: Student's intervals from the printed variances as of so many raters (the
            numbers fit 11, see `labkit.survey.grim`), cut to the scale.
    """
    table = pd.read_csv(data_path("survey.csv"), keep_default_na=False)
    label = _words(language)["paper"]
    found = table[["excerpt", "mean"]].copy()
    found["experiment"] = [
        label.format(experiment=e, scale=s) for e, s in zip(table["experiment"], table["clip_guidance_scale"], strict=True)
    ]
    if raters is not None:
        low, high = t_interval(table["mean"], table["variance"], raters)
        found["low"], found["high"] = low.clip(LOW, HIGH), high.clip(LOW, HIGH)
    return found


def ratings_chart_table(
    ratings: pd.DataFrame, excerpt: dict, experiment: dict, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """The charts' table from raters × items: items of one excerpt and experiment count together, rater by rater.

    excerpt, experiment  item → label, such as the columns of `labkit.survey.report.items_of` as dicts.
    """
    cells: dict[tuple, int] = {}
    where = {item: cells.setdefault((excerpt[item], experiment[item]), len(cells)) for item in ratings.columns}
    found = describe(by_condition(ratings, where), draws, seed)
    labels = list(cells)
    named = pd.DataFrame([labels[cell] for cell in found.index], columns=["excerpt", "experiment"], index=found.index)
    return named.join(found).reset_index(drop=True)


def means_chart(table: pd.DataFrame, language: Language = "en", title: str | None = None) -> Sheet:
    """Figure 6: a group of bars per excerpt, a colour per experiment, in the order of the table."""
    words = _words(language)
    excerpts, experiments = _checked(table)
    # the space goes to the bars that are there: an experiment of one picture leaves no gap in the other groups
    most = max(len(group) for _, group in table.groupby("excerpt"))
    width = 0.84 / most
    figure, ax = _axes(title or words["means"], words["rating"], 1.6 + len(excerpts) * (0.4 + 0.22 * most))
    for colour, experiment in zip(_colours(experiments), experiments, strict=True):
        rows = table[table["experiment"] == experiment]
        at = []
        for excerpt in rows["excerpt"]:
            present = [e for e in experiments if ((table["excerpt"] == excerpt) & (table["experiment"] == e)).any()]
            at.append(excerpts.index(excerpt) + (present.index(experiment) - (len(present) - 1) / 2) * width)
        ax.bar(at, rows["mean"], width * 0.94, color=colour, label=str(experiment))
        aside = 0.2 * width if "low" in table else 0.0  # the number and the whisker stand beside each other
        _whiskers(ax, np.array(at) + aside, rows)
        for x, mean in zip(at, rows["mean"], strict=True):
            ax.text(x - aside, 0.15, f"{mean:.2f}", ha="center", va="bottom", rotation=90, fontsize=7.5, color=_ink(colour))
    _finish(ax, excerpts, table, words)
    return figure


def ranking_chart(
    table: pd.DataFrame, bars: object, line: object, language: Language = "en", title: str | None = None
) -> Sheet:
    """Figure 7: the excerpts in the order of experiment `bars`, highest first, its means as bars, those of `line` as a
    line. Excerpts without a picture in `bars` are left out."""
    words = _words(language)
    _, experiments = _checked(table)
    for name, value in (("bars", bars), ("line", line)):
        if value not in experiments:
            raise ValueError(f"{name}={value!r}: is no experiment of the table; it has {', '.join(map(str, experiments))}")
    first = table[table["experiment"] == bars].sort_values("mean", ascending=False, kind="stable")
    excerpts = list(first["excerpt"])
    second = table[(table["experiment"] == line) & table["excerpt"].isin(excerpts)]
    second = second.assign(at=[excerpts.index(e) for e in second["excerpt"]]).sort_values("at")
    figure, ax = _axes(title or words["ranking"], words["rating"], 1.6 + 0.84 * len(excerpts))
    colours = dict(zip(experiments, _colours(experiments), strict=True))
    ax.bar(range(len(excerpts)), first["mean"], 0.62, color=colours[bars], label=str(bars))
    # beside each other: two whiskers at one place cannot be read
    shift = 0.14 if "low" in table else 0.0
    _whiskers(ax, np.arange(len(excerpts)) - shift, first)
    at = second["at"] + shift
    ax.plot(at, second["mean"], color=colours[line], lw=2.2, marker="o", ms=6, mec="white", mew=1.2, label=str(line), zorder=4)
    _whiskers(ax, at, second, colours[line])
    for x, mean in zip(range(len(excerpts)), first["mean"], strict=True):
        ax.text(x, 0.15, f"{mean:.2f}", ha="center", va="bottom", fontsize=8, color=_ink(colours[bars]))
    _finish(ax, excerpts, table, words)
    return figure


def _axes(title: str, ylabel: str, width: float):
    figure = Sheet(figsize=(min(max(width, 5.0), 14.0), 4.2), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(title, fontsize=11, loc="left", parse_math=False, pad=26)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylim(LOW, HIGH + 0.15)  # a whisker that ends at 10 keeps its cap
    ax.set_yticks(range(LOW, HIGH + 1, 2))
    ax.grid(axis="y", color="#e4e6ea", lw=0.8)
    ax.set_axisbelow(True)
    return figure, ax


def _finish(ax, excerpts: list[str], table: pd.DataFrame, words: dict) -> None:
    labels = ["\n".join(textwrap.wrap(str(e), 14, max_lines=3, placeholder=" …")) for e in excerpts]
    ax.set_xticks(range(len(excerpts)), labels, fontsize=8.5, parse_math=False)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(excerpts) - 0.4)
    handles, names = ax.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda k: hasattr(handles[k], "get_marker"))  # the bars before the line
    ax.legend(
        [handles[k] for k in order], [names[k] for k in order], frameon=False, fontsize=8.5, ncols=6, loc="lower left",
        bbox_to_anchor=(-0.01, 0.995), borderaxespad=0,
    )  # fmt: skip
    if "low" in table:
        ax.text(1, 1.02, words["intervals"], transform=ax.transAxes, ha="right", fontsize=8, color="0.35")


def _whiskers(ax, at, rows: pd.DataFrame, colour: str = DARK) -> None:
    if "low" not in rows or "high" not in rows:
        return
    known = rows["low"].notna().to_numpy()
    some = rows[known]
    ends = np.stack([some["mean"] - some["low"], some["high"] - some["mean"]]).clip(min=0)
    style = {"fmt": "none", "ecolor": colour, "elinewidth": 1.3, "capsize": 2.5, "zorder": 3}
    ax.errorbar(np.asarray(at)[known], some["mean"], yerr=ends, **style)


def _ink(colour: str) -> str:
    return text_colour([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def _colours(experiments: list) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(len(experiments))]


def _checked(table: pd.DataFrame) -> tuple[list, list]:
    """The excerpts and the experiments, in order of appearance."""
    missing = [name for name in ("excerpt", "experiment", "mean") if name not in table]
    if missing or table.empty:
        lacking = ", ".join(missing) or "picture"
        raise ValueError(f"table: has {len(table)} rows and no {lacking}; give excerpt, experiment and mean")
    if table.duplicated(["excerpt", "experiment"]).any():
        twice = table[table.duplicated(["excerpt", "experiment"])].iloc[0]
        raise ValueError(
            f"table: {twice['excerpt']!r} occurs twice in {twice['experiment']!r}; ratings_chart_table joins them"
        )
    return list(dict.fromkeys(table["excerpt"])), list(dict.fromkeys(table["experiment"]))


def _words(language: str) -> dict:
    if language not in WORDS:
        raise ValueError(f"language={language!r}: is one of {', '.join(WORDS)}")
    return WORDS[language]
