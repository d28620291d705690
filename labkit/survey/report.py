"""What leaves a survey: tables of votes, items and checks, counts of people, CSV and JSON joined with prompt, seed, settings.

Nothing here links a rater to an age band or a gender: the store does not know it. Counts of fewer than `least` people
are withheld, and with them as many others as it takes that no withheld count can be worked out from the total.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
from sqlalchemy import func, select

from labkit.files import write_atomically
from labkit.survey.agreement import retest
from labkit.survey.plan import Plan
from labkit.survey.schema import history, items, people, places, raters, surveys, votes
from labkit.survey.statistics import describe, ratings_table
from labkit.survey.store import Store
from labkit.tables import csv_text

VOTES = ["rater", "item", "repeat", "rating", "position", "order_row", "dwell", "revision", "at"]


def votes_of(store: Store, survey: str, attentive: bool = False) -> pd.DataFrame:
    """The current votes on pictures, a row each: rater (random id), item, repeat, rating, position and order_row (which
    order, from 0), dwell in seconds, revision (from 1), at (seconds since 1970).

    attentive  only of raters who gave the attention item the number it asks for (of all where there is none).
    """
    table = _votes(store, survey)
    found = table[table["expected"].isna()][VOTES]
    if attentive:
        passed = attention(store, survey)
        found = found[found["rater"].isin(passed.index[passed])] if _asks(store, survey) else found
    return found.reset_index(drop=True)


def history_of(store: Store, survey: str) -> pd.DataFrame:
    """Every vote ever cast on a picture, replaced ones too: rater, item, repeat, position, revision, rating, dwell, at."""
    chosen = (
        select(
            history.c.rater, places.c.item, places.c.repeat, history.c.position, history.c.revision, history.c.rating,
            history.c.dwell, history.c.at,
        )
        .join(places, (places.c.rater == history.c.rater) & (places.c.position == history.c.position))
        .join(raters, raters.c.id == history.c.rater)
        .join(items, (items.c.survey == raters.c.survey) & (items.c.key == places.c.item))
        .where(raters.c.survey == survey, items.c.expected.is_(None))
        .order_by(raters.c.order_row, history.c.position, history.c.revision)
    )  # fmt: skip
    return _frame(store, survey, chosen)


def attention(store: Store, survey: str) -> pd.Series:
    """Rater → whether the attention item got the number it asks for. Who has not reached it is not in it."""
    table = _votes(store, survey)
    asked = table[table["expected"].notna()]
    return pd.Series((asked["rating"] == asked["expected"]).to_numpy(), index=asked["rater"].to_numpy(), dtype=bool)


def items_of(store: Store, survey: str) -> pd.DataFrame:
    """The survey's pictures, indexed by item, in order: prompt, seed, then a column per setting (as it is called in the
    spec) and per score (score_…). What a picture has none of is empty."""
    chosen = select(items).where(items.c.survey == survey, items.c.expected.is_(None)).order_by(items.c.place)
    found = _frame(store, survey, chosen)
    rows = [
        {
            "item": row.key, "prompt": row.prompt, "seed": row.seed, **json.loads(row.settings),
            **{f"score_{name}": value for name, value in json.loads(row.scores).items()},
        }
        for row in found.itertuples()
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("item")


def export(store: Store, survey: str, path: str | os.PathLike) -> Path:
    """Write the current votes joined with what made each picture, as .csv or .json by the path's end. Returns the path.

    A row (an object) per vote: VOTES, whether the rater was `attentive` (empty where unknown), and the item's columns. In a CSV
    texts that a spreadsheet would run as a formula begin with an apostrophe.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".json"):
        raise ValueError(f"path={str(path)!r}: ends in .csv or .json")
    table = votes_of(store, survey)
    table["attentive"] = table["rater"].map(attention(store, survey).astype(object)).astype(object)
    made = items_of(store, survey)
    joined = table.merge(made, how="left", left_on="item", right_index=True, suffixes=("", "_setting"))
    if path.suffix == ".csv":
        write_atomically(path, csv_text(joined, index=False).encode())
    else:
        rows = json.loads(joined.to_json(orient="records"))  # NaN becomes null, which JSON knows
        write_atomically(path, json.dumps({"survey": survey, "votes": rows}, ensure_ascii=False, indent=1).encode())
    return path


def demographics(store: Store, survey: str, question: str, least: int = 5) -> pd.Series:
    """How many raters joined with each answer ("age_band" or "gender"): answer → count, then "not said" and "withheld".

    Counts of 1 … least − 1 people go into "withheld" together; where that itself is below `least`, the next smallest
    count joins it. The counts add up to those who joined, withdrawn raters included.
    """
    if question not in ("age_band", "gender") or least < 1:
        raise ValueError(f"question={question!r}, least={least}: ask for 'age_band' or 'gender', and least ≥ 1")
    chosen = select(people.c.answer, people.c.n).where(people.c.survey == survey, people.c.question == question)
    counts = _frame(store, survey, chosen).set_index("answer")["n"].sort_index()
    with store.reading() as connection:
        joined = connection.execute(select(surveys.c.enrolled).where(surveys.c.name == survey)).scalar_one()
    counts = pd.concat([counts[counts > 0], pd.Series({"not said": joined - counts.sum()})]).astype(int)
    counts = counts[counts > 0]
    small, kept = counts[counts < least], counts[counts >= least].sort_values(kind="stable")
    while 0 < small.sum() < least and len(kept):
        small, kept = pd.concat([small, kept[:1]]), kept[1:]
    shown = counts[counts.index.isin(kept.index)].to_dict()
    return pd.Series({**shown, **({"withheld": int(small.sum())} if len(small) else {})}, dtype=int)


def progress(store: Store, survey: str) -> dict[str, int]:
    """How many raters joined and are still in it, how many have rated all, and how many votes there are."""
    table = _votes(store, survey)
    with store.reading() as connection:
        mine = select(places.c.rater, func.count().label("n")).join(raters, raters.c.id == places.c.rater)
        orders = dict(connection.execute(mine.where(raters.c.survey == survey).group_by(places.c.rater)).all())
    given = table["rater"].value_counts()
    return {"raters": len(orders), "finished": sum(given.get(r, 0) == n for r, n in orders.items()), "votes": len(table)}


def summary(store: Store, survey: str, attentive: bool = True, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`describe` of every picture, joined with its prompt, seed, settings and scores; pictures without a vote are NaN."""
    ratings = ratings_table(votes_of(store, survey, attentive))
    return items_of(store, survey).join(describe(ratings, draws, seed), how="left")


def retest_of(store: Store, survey: str, attentive: bool = True):
    """`labkit.survey.agreement.retest` of the survey's hidden repeats."""
    return retest(votes_of(store, survey, attentive))


def plan_of(store: Store, survey: str) -> Plan:
    """The plan of a survey. Raises ValueError on an unknown name."""
    return Plan.from_json(_frame(store, survey, select(surveys.c.plan).where(surveys.c.name == survey))["plan"].iloc[0])


def _votes(store: Store, survey: str) -> pd.DataFrame:
    chosen = (
        select(
            votes.c.rater, places.c.item, places.c.repeat, votes.c.rating, votes.c.position, raters.c.order_row,
            votes.c.dwell, votes.c.revision, votes.c.at, items.c.expected,
        )
        .join(places, (places.c.rater == votes.c.rater) & (places.c.position == votes.c.position))
        .join(raters, raters.c.id == votes.c.rater)
        .join(items, (items.c.survey == raters.c.survey) & (items.c.key == places.c.item))
        .where(raters.c.survey == survey)
        .order_by(raters.c.order_row, votes.c.position)
    )  # fmt: skip
    return _frame(store, survey, chosen)


def _asks(store: Store, survey: str) -> bool:
    with store.reading() as connection:
        asked = select(func.count()).select_from(items).where(items.c.survey == survey, items.c.expected.is_not(None))
        return connection.execute(asked).scalar_one() > 0


def _frame(store: Store, survey: str, chosen) -> pd.DataFrame:
    with store.reading() as connection:
        if connection.execute(select(surveys.c.name).where(surveys.c.name == survey)).first() is None:
            raise ValueError(f"survey={survey!r}: there is none of this name; create it first")
        found = connection.execute(chosen)
        return pd.DataFrame(found.all(), columns=list(found.keys()))
