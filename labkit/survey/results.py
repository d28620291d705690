"""What a survey has found: the table, the paper's two charts and the sentences, for the organiser's page and the command.

Charts group pictures by prompt and colour them by one setting, the one that the survey's pictures were made to compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from labkit.clip.figures import Sheet
from labkit.metrics.undefined import said
from labkit.survey.agreement import complete, icc, krippendorff
from labkit.survey.charts import Language, means_chart, ranking_chart, ratings_chart_table
from labkit.survey.comparison import best, compare
from labkit.survey.report import attention, demographics, items_of, progress, retest_of, summary, votes_of
from labkit.survey.statistics import by_condition, correlation, ratings_table
from labkit.survey.store import Store

MOST = 8  # values of a setting: more cannot be told apart by colour
COLUMNS = ["prompt", "n", "mean", "low", "high", "median", "sd", "minimum", "maximum", "mean_deviation", "variance_ddof0",
           "variance_ddof1", "iqr"]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """`progress` counts raters and votes; `table` has a row per picture (NaN without votes), `lines` say the rest in words;
    `figures` are "means" and, with two settings or more, "ranking"; `by` is the setting that they compare, or None."""

    progress: dict[str, int]
    table: pd.DataFrame
    lines: list[str]
    by: str | None
    figures: dict[str, Sheet] = field(default_factory=dict)


def settings_of(store: Store, survey: str) -> list[str]:
    """The settings by which a survey's pictures differ, in 2 to MOST values, the seed last."""
    made = items_of(store, survey)
    names = [name for name in made if name not in ("prompt", "seed") and not name.startswith("score_")]
    return [name for name in [*names, "seed"] if 2 <= made[name].nunique() <= MOST]


def results(store: Store, survey: str, by: str | None = None, language: Language = "en", draws: int = 2000) -> Results:
    """Everything about a survey's votes, of attentive raters.

    by  the setting to compare, as `settings_of` lists them; unless given, the first of them.
    Raises ValueError on an unknown survey or setting.
    """
    settings = settings_of(store, survey)
    if by is not None and by not in settings:
        raise ValueError(f"by={by!r}: is no setting by which the pictures differ; there is {', '.join(settings) or 'none'}")
    by = by or next(iter(settings), None)
    made = items_of(store, survey)
    counts = {what: int(n) for what, n in progress(store, survey).items()}
    votes = votes_of(store, survey, attentive=True)
    if votes.empty:
        empty = made[["prompt"]].reindex(columns=COLUMNS)
        return Results(counts, empty, [*_people(store, survey), "No attentive rater has voted yet"], by)
    ratings = ratings_table(votes)
    table = summary(store, survey, draws=draws)
    lines = [*_people(store, survey), *_agreement(store, survey, ratings)]
    for score in (name for name in made if name.startswith("score_")):
        lines += _said(f"Rank correlation with {score.removeprefix('score_')}",
                       lambda score=score: str(correlation(ratings, made[score].dropna().to_dict(), draws)))  # fmt: skip
    rated = made.loc[made.index.isin(ratings.columns)]  # the pictures' own order, whatever came first in the votes
    label = _labels(rated, by)
    chart = ratings_chart_table(ratings[list(rated.index)], rated["prompt"].to_dict(), label.to_dict(), draws)
    figures = {"means": means_chart(chart, language)}
    if by is not None:
        fair = _fair(rated, label)
        lines += _together(made, by, settings)
        if fair:
            lines += _comparison(by_condition(ratings[fair], label.to_dict()), draws)
            some = chart[chart["excerpt"].isin(rated.loc[fair, "prompt"])]
            first, second = list(dict.fromkeys(label[fair]))[:2]
            figures["ranking"] = ranking_chart(some, first, second, language)
        else:
            lines.append(f"Settings: no prompt was rated with every value of {_dotted(by)}, so they are not compared")
    return Results(counts, table.reindex(columns=COLUMNS), lines, by, figures)


def _labels(made: pd.DataFrame, by: str | None) -> pd.Series:
    """Item → what the charts call its setting."""
    if by is None:
        return pd.Series("rating", index=made.index)
    return made[by].map(lambda value: f"{by.split('__')[-1]} {_short(value)}")


def _fair(made: pd.DataFrame, label: pd.Series) -> list[str]:
    """The pictures of those prompts that were made with every setting; else the difference may be the prompts'."""
    values = label.nunique()
    if values < 2:
        return []
    kinds = label.groupby(made["prompt"]).transform("nunique")
    return list(made.index[kinds == values])


def _together(made: pd.DataFrame, by: str, settings: list[str]) -> list[str]:
    """A warning of settings that changed only where `by` did: what is found belongs to neither of them alone."""
    moved = [_dotted(name) for name in settings if name != by and (made.groupby(by)[name].nunique() <= 1).all()]
    told = f"Careful: {', '.join(moved)} changed together with {_dotted(by)}; the votes cannot tell them apart"
    return [told] if moved else []


def _dotted(name: str) -> str:
    return name.replace("__", ".")


def _people(store: Store, survey: str) -> list[str]:
    passed, lines = attention(store, survey), []
    if len(passed):
        lines.append(f"Attention item: {int(passed.sum())} of {len(passed)} gave its number; votes of others do not count")
    for question, title in (("age_band", "Age"), ("gender", "Gender")):
        counts = demographics(store, survey, question)
        if len(counts):
            lines.append(f"{title}: " + ", ".join(f"{answer} {n}" for answer, n in counts.items()))
    return lines


def _agreement(store: Store, survey: str, ratings: pd.DataFrame) -> list[str]:
    lines = _said("Krippendorff's alpha (interval)", lambda: said(krippendorff(ratings)))
    whole = complete(ratings)

    def intraclass() -> str:
        found = icc(whole)
        single, average = said(found.single), said(found.average)
        return f"{single} for one rater, {average} for the mean of {found.raters} ({found.items} items)"

    def again() -> str:
        found = retest_of(store, survey)
        return f"r {said(found.r)}, mean difference {found.difference:.2f}, equal {found.equal:.0%} (n = {found.n})"

    return [*lines, *_said("ICC(2,1) and ICC(2,k)", intraclass), *_said("Hidden repeats", again)]


def _comparison(settings: pd.DataFrame, draws: int) -> list[str]:
    def friedman() -> str:
        found = compare(settings)
        pairs = "; ".join(f"{row.a} − {row.b}: {row.difference:+.2f}, p {row.p_holm:.3f}" for row in found.pairs.itertuples())
        test = f"Friedman chi² {found.chi2:.2f}, p {found.p:.3f}, W {found.w:.2f}. " if found.p == found.p else ""
        return f"{test}Wilcoxon with Holm: {pairs} (n = {found.n} raters)"

    def verdict() -> str:
        found = best(settings, draws)
        return found.reason if found else f"none: {found.reason}"

    return [*_said("Settings", friedman), *_said("Best setting", verdict)]


def _said(title: str, make) -> list[str]:
    """`title: …`, or why it cannot be said yet: few votes are no fault."""
    try:
        return [f"{title}: {make()}"]
    except ValueError as error:
        return [f"{title}: not yet ({error})"]


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]
