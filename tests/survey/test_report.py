"""What leaves a survey: joined with what made the pictures, and nobody's age or gender beside a vote."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from labkit.survey import Plan, Store
from labkit.survey.comparison import best
from labkit.survey.consent import AGE_BANDS, CONSENT, version
from labkit.survey.report import (
    demographics,
    export,
    items_of,
    plan_of,
    progress,
    retest_of,
    summary,
    votes_of,
)
from labkit.survey.statistics import by_condition, correlation, ratings_table

AGREED = version(CONSENT["ru"])


def taste(item: str, rater: int) -> int:
    """Picture p5 is best, and raters differ by more than neighbouring pictures do, so that intervals overlap."""
    return int(item[1:]) + 2 * (rater % 3)


def rate(store, clock, raters: int, careless: int = 0) -> list[str]:
    """`raters` people with `taste`, the last `careless` of whom do not read; the ids."""
    found = []
    for n in range(raters):
        joined = store.join("songs", AGREED)
        found.append(joined.id)
        while (view := store.next(joined.token)) is not None:
            clock.now += 2 + n
            red = view.picture.getpixel((0, 0))
            wanted = taste(f"p{red[0] // 20}", n) if view.prompt else 2
            store.vote(joined.token, view.position, 10 if n >= raters - careless else wanted)
    return found


def test_votes_carry_order_position_and_time(store, clock):
    ids = rate(store, clock, 3)
    table = votes_of(store, "songs")
    assert len(table) == 3 * 7 and list(table["rater"].unique()) == ids
    for n, rater in enumerate(ids):
        mine = table[table["rater"] == rater]
        assert mine["position"].is_monotonic_increasing and set(mine["order_row"]) == {n}
        np.testing.assert_allclose(mine["dwell"], 2 + n, atol=1e-6)
        for row in mine.itertuples():
            assert row.rating == taste(row.item, n)
    assert table.groupby("rater")["repeat"].sum().tolist() == [1, 1, 1]


def test_items_are_joined_with_prompt_seed_and_settings(store):
    table = items_of(store, "songs")
    assert list(table.index) == [f"p{j}" for j in range(6)], "in order, without the attention item"
    assert table.loc["p4"].to_dict() == {"prompt": "prompt 0", "seed": 4, "guidance__clip": 1000, "score_clip": 0.4}


def test_summary_and_what_follows_from_it(store, clock):
    rate(store, clock, 9, careless=1)
    table = summary(store, "songs", draws=200)
    assert (table["n"] == 8).all(), "the careless rater is left out"
    expected = [np.mean([taste(f"p{j}", n) for n in range(8)]) for j in range(6)]
    np.testing.assert_allclose(table["mean"], expected)
    assert (summary(store, "songs", attentive=False, draws=200)["n"] == 9).all()
    ratings, items = ratings_table(votes_of(store, "songs", attentive=True)), items_of(store, "songs")
    assert correlation(ratings, items["score_clip"].to_dict(), draws=100).rho == pytest.approx(1)
    settings = by_condition(ratings, items["guidance__clip"].to_dict())
    assert list(settings.columns) == [500, 1000, 1500] and best(settings, draws=200).winner is None
    found = retest_of(store, "songs")
    assert found.n == 8 and found.difference == 0 and found.equal == 1


def test_unrated_pictures_stay_in_the_summary(store, clock):
    joined = store.join("songs", AGREED)
    view = next(v for v in (store.show(joined.token, p) for p in range(8)) if v.prompt)
    clock.now += 3
    store.vote(joined.token, view.position, 4)
    table = summary(store, "songs", attentive=False, draws=100)
    assert len(table) == 6 and table["n"].notna().sum() == 1 and progress(store, "songs")["finished"] == 0


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_export(store, clock, tmp_path, kind):
    ids = rate(store, clock, 2, careless=1)
    path = export(store, "songs", tmp_path / "deep" / f"votes.{kind}")
    if kind == "csv":
        rows = pd.read_csv(path).to_dict("records")
    else:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["survey"] == "songs"
        rows = found["votes"]
    assert len(rows) == 14
    for row in rows:
        j = int(row["item"][1:])
        assert (row["prompt"], row["seed"], row["guidance__clip"]) == (f"prompt {j % 2}", j, 500 * (1 + j % 3))
        assert row["score_clip"] == pytest.approx(j / 10)
        assert row["rating"] == (taste(row["item"], 0) if row["rater"] == ids[0] else 10)
        assert bool(row["attentive"]) is (row["rater"] == ids[0])
    said = path.read_text(encoding="utf-8").lower()
    assert "gender" not in said and "age_band" not in said and "token" not in said


def test_a_prompt_that_is_a_formula_is_exported_as_a_text(tmp_path, clock, items):
    formula, store = '=HYPERLINK("http://x","y")', Store(f"sqlite:///{tmp_path / 'f.db'}", clock)
    odd = [replace(item, prompt=formula, settings={"name": "-x", "drop": -0.5}) for item in items]
    store.create("songs", Plan(repeats=0, attention=False, min_dwell=0), odd)
    rate(store, clock, 1)
    found = pd.read_csv(export(store, "songs", tmp_path / "v.csv"))
    assert set(found["prompt"]) == {"'" + formula} and set(found["name"]) == {"'-x"} and set(found["drop"]) == {-0.5}
    rows = json.loads(export(store, "songs", tmp_path / "v.json").read_text(encoding="utf-8"))["votes"]
    assert {row["prompt"] for row in rows} == {formula} and {row["drop"] for row in rows} == {-0.5}
    store.close()


def test_a_name_or_a_prompt_that_is_no_text_is_refused(tmp_path, clock, items):
    store = Store(f"sqlite:///{tmp_path / 'f.db'}", clock)
    for name, prompt, said in (("so\udcffngs", "a", "name: character"), ("songs", "a\ud800", "p0: prompt: character 2")):
        with pytest.raises(ValueError, match=said):
            store.create(name, Plan(repeats=0), [replace(items[0], prompt=prompt), *items[1:]])
    store.close()


def test_export_refuses_other_formats(store, tmp_path):
    with pytest.raises(ValueError, match=r"\.csv or \.json"):
        export(store, "songs", tmp_path / "votes.xlsx")


def join(store, **answers: int) -> None:
    for band, n in answers.items():
        for _ in range(n):
            store.join("songs", AGREED, gender=None if band == "nothing" else band)


def test_small_groups_are_withheld(store):
    """The paper's own 16 women and 2 men: 2 is below 5, and 2 alone could be worked out, so nothing is told apart."""
    join(store, woman=16, man=2)
    assert demographics(store, "songs", "gender").to_dict() == {"withheld": 18}
    assert demographics(store, "songs", "gender", least=1).to_dict() == {"man": 2, "woman": 16}


def test_groups_that_are_large_enough_are_told(store):
    join(store, woman=7, man=5)
    assert demographics(store, "songs", "gender").to_dict() == {"man": 5, "woman": 7}
    join(store, other=1, nothing=4)
    assert demographics(store, "songs", "gender").to_dict() == {"man": 5, "woman": 7, "withheld": 5}
    assert demographics(store, "songs", "age_band").to_dict() == {"not said": 17}


def test_withheld_always_hides_somebody_in_enough_others(store):
    generator = np.random.default_rng(0)
    for band in generator.choice(AGE_BANDS, size=24, p=[0.4, 0.3, 0.14, 0.1, 0.05, 0.01]):
        store.join("songs", AGREED, age_band=str(band))
        shown = demographics(store, "songs", "age_band")
        joined = progress(store, "songs")["raters"]
        assert shown.sum() == joined and (shown.drop("withheld", errors="ignore") >= 5).all()
        assert shown.get("withheld", 5) >= 5 or joined < 5


def test_unknown_questions_and_surveys(store):
    with pytest.raises(ValueError, match="question='name'"):
        demographics(store, "songs", "name")
    for call in (progress, plan_of, items_of):
        with pytest.raises(ValueError, match="survey='x'"):
            call(store, "x")
    assert plan_of(store, "songs") == Plan(repeats=1, gap=3, min_dwell=2)


def test_an_empty_survey_says_so(store):
    with pytest.raises(ValueError, match="no vote"):
        summary(store, "songs", draws=100)
    assert votes_of(store, "songs").empty


def test_export_survives_another_process(url, clock, items, tmp_path):
    """A second store on the same database sees the same votes."""
    first, second = Store(url, clock), Store(url, clock)
    first.create("songs", Plan(repeats=0, attention=False, min_dwell=0), items)
    rate(first, clock, 2)
    pd.testing.assert_frame_equal(votes_of(first, "songs"), votes_of(second, "songs"))
    assert pd.read_csv(export(second, "songs", tmp_path / "v.csv"))["attentive"].isna().all(), "nobody was asked"
    first.close(), second.close()
