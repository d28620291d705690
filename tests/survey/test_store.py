"""Votes are kept: one current per rater and picture, with history, through reloads, kills and crowds. On SQLite and
PostgreSQL alike."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import inspect, select, text

from labkit.survey import Item, Plan, Store, TooSoon
from labkit.survey.consent import CONSENT, version
from labkit.survey.plan import png_without_metadata
from labkit.survey.report import attention, history_of, progress, votes_of
from labkit.survey.schema import TABLES, consents, places, raters

ROOT = Path(__file__).resolve().parents[2]
AGREED = version(CONSENT["en"])


def rate_all(store, clock, token, rating=5) -> None:
    while (view := store.next(token)) is not None:
        clock.now += 3
        store.vote(token, view.position, rating)


# --- one rater


def test_a_rater_rates_reloads_and_goes_on(store, clock, url):
    token = store.join("songs", AGREED).token
    for k in range(3):
        view = store.next(token)
        assert (view.position, view.total, view.done, view.rating) == (k, 8, k, None)
        assert view.picture.size == (16, 16)
        clock.now += 2.5
        store.vote(token, view.position, k)
    again = Store(url, clock)
    assert again.next(token).position == 3, "where the rater was, from the database alone"
    assert [again.show(token, k).rating for k in range(3)] == [0, 1, 2]
    rate_all(again, clock, token)
    assert again.next(token) is None and again.show(token, 7).done == 8
    again.close()


def test_what_a_rater_sees_is_blind(store):
    """A view holds the picture, its prompt and how far one is: no key, no seed, no setting, no repeat."""
    token = store.join("songs", AGREED).token
    view = store.next(token)
    assert set(vars(view)) == {"position", "total", "done", "picture", "prompt", "rating"} and not view.picture.info


def test_pictures_are_those_of_the_order(store, items):
    joined = store.join("songs", AGREED)
    with store.reading() as connection:
        order = connection.execute(select(places.c.item).where(places.c.rater == joined.id).order_by(places.c.position))
        keys = order.scalars().all()
    colours = {item.key: (20 * j, 80, 120) for j, item in enumerate(items)}
    for position, key in enumerate(keys):
        view = store.show(joined.token, position)
        if key in colours:
            assert view.picture.getpixel((3, 3)) == colours[key]
            assert view.prompt == f"prompt {int(key[1:]) % 2}"
        else:
            assert key.startswith("attention")


def test_a_vote_is_replaced_and_the_old_one_kept(store, clock):
    joined = store.join("songs", AGREED)
    first = next(p for p in range(8) if store.show(joined.token, p).prompt)
    for rating in (3, 9, 0):
        store.show(joined.token, first)
        clock.now += 2 + rating
        store.vote(joined.token, first, rating)
    current, past = votes_of(store, "songs"), history_of(store, "songs")
    assert len(current) == 1 and current.iloc[0][["rating", "revision", "position", "order_row"]].tolist() == [0, 3, first, 0]
    assert past["rating"].tolist() == [3, 9, 0] and past["revision"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(past["dwell"], [5, 11, 2], atol=1e-6)
    assert current.iloc[0]["at"] == pytest.approx(clock.now) and current.iloc[0]["rater"] == joined.id


def test_too_soon_is_refused_and_nothing_kept(store, clock):
    token = store.join("songs", AGREED).token
    view = store.next(token)
    clock.now += 1.5
    with pytest.raises(TooSoon, match=r"0\.5 s") as caught:
        store.vote(token, view.position, 5)
    assert caught.value.wait == pytest.approx(0.5)
    clock.now += 0.25
    store.next(token)  # a reload: looking begins again
    clock.now += 0.5
    with pytest.raises(TooSoon):
        store.vote(token, view.position, 5)
    assert progress(store, "songs")["votes"] == 0 and history_of(store, "songs").empty


@pytest.mark.parametrize("rating", [-1, 11, 5.0, True, "5", None])
def test_only_whole_numbers_of_the_scale(store, clock, rating):
    token = store.join("songs", AGREED).token
    position = store.next(token).position
    clock.now += 5
    with pytest.raises(ValueError, match="whole number from 0 to 10"):
        store.vote(token, position, rating)


def test_what_is_not_there_is_refused(store, clock):
    token = store.join("songs", AGREED).token
    with pytest.raises(ValueError, match="not shown"):
        store.vote(token, 0, 5)
    for position in (8, -1):
        with pytest.raises(ValueError, match="beyond"):
            store.show(token, position)
    for call in (store.next, store.rater, store.withdraw):
        with pytest.raises(ValueError, match="token"):
            call("x")
    with pytest.raises(ValueError, match="survey='other'"):
        store.join("other", AGREED)
    with pytest.raises(ValueError, match="survey='other'"):
        votes_of(store, "other")


# --- consent and privacy


def test_consent_is_recorded_with_its_version(store, clock):
    english, russian = (store.join("songs", version(CONSENT[language])).id for language in ("en", "ru"))
    with store.reading() as connection:
        rows = connection.execute(select(raters.c.id, raters.c.consent, raters.c.consented)).all()
        texts = dict(connection.execute(select(consents.c.version, consents.c.text)).all())
    assert {row.id: texts[row.consent] for row in rows} == {english: CONSENT["en"], russian: CONSENT["ru"]}
    assert {row.consented for row in rows} == {clock.now}
    with pytest.raises(ValueError, match="consent="):
        store.join("songs", version("another text"))
    assert progress(store, "songs")["raters"] == 2, "who did not agree did not join"


def test_the_database_cannot_tell_who_said_what_of_themselves(store):
    """No table has a rater beside an age or a gender, and the token is nowhere."""
    joined = store.join("songs", AGREED, age_band="25-34", gender="woman")
    columns = {t: {c["name"] for c in inspect(store.engine).get_columns(t)} for t in inspect(store.engine).get_table_names()}
    assert set(columns) == set(TABLES.tables)
    for table, names in columns.items():
        if names & {"rater", "id"}:
            assert not names & {"age_band", "gender", "question", "answer"}, table
    with store.reading() as connection:
        dump = " ".join(str(connection.execute(text(f"SELECT * FROM {t}")).all()) for t in columns)
    assert joined.id in dump and joined.token not in dump and joined.token not in repr(joined)
    for wrong in ({"age_band": "30"}, {"gender": "robot"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            store.join("songs", AGREED, **wrong)


def test_withdrawing_deletes_everything_of_a_rater(store, clock):
    leaves, stays = store.join("songs", AGREED), store.join("songs", AGREED)
    for joined in (leaves, stays):
        rate_all(store, clock, joined.token)
    store.withdraw(leaves.token)
    assert set(votes_of(store, "songs")["rater"]) == set(history_of(store, "songs")["rater"]) == {stays.id}
    assert progress(store, "songs") == {"raters": 1, "finished": 1, "votes": 8}
    with pytest.raises(ValueError, match="token"):
        store.next(leaves.token)
    assert store.rater(store.join("songs", AGREED).token), "the next rater gets an order of their own"


# --- surveys


def test_create_again_opens_and_never_mixes(store, items, url):
    plan = Plan(repeats=1, gap=3, min_dwell=2)
    token = store.join("songs", AGREED).token
    assert store.create("songs", plan, items) == "songs" and store.next(token)
    for changed in ({"seed": 1}, {"attention": False}):
        with pytest.raises(ValueError, match="another|other pictures"):
            store.create("songs", plan.but(**changed), items)
    with pytest.raises(ValueError, match="other pictures"):
        store.create("songs", plan, items[:-1])
    store.create("second", plan.but(attention=False), items)
    assert store.next(store.join("second", AGREED).token).total == 7
    assert progress(store, "second") == {"raters": 1, "finished": 0, "votes": 0}


def test_bad_surveys_are_refused(store, items):
    plan = Plan(repeats=0)
    with pytest.raises(ValueError, match="'p0' occurs twice"):
        store.create("x", plan, [items[0], items[0]])
    with pytest.raises(ValueError, match="leave attention items"):
        store.create("x", plan, [*items, Item("ask", items[0].png, expected=3)])
    with pytest.raises(ValueError, match="name=''"):
        store.create("", plan, items)
    with pytest.raises(ValueError, match="0 consent texts"):
        store.create("x", plan, items, [])
    with pytest.raises(ValueError, match="201 characters"):
        store.create("x", plan, [items[0], Item("k" * 201, items[0].png)])
    with pytest.raises(ValueError, match="too few"):
        store.create("x", plan, items[:1])


def test_attention_tells_careful_raters(store, clock):
    careful, careless, early = (store.join("songs", AGREED) for _ in range(3))
    for joined, wanted in ((careful, 2), (careless, 5)):  # Plan(seed=0) asks for a 2
        while (view := store.next(joined.token)) is not None:
            clock.now += 3
            store.vote(joined.token, view.position, wanted)
    view = store.next(early.token)
    clock.now += 3
    store.vote(early.token, view.position, 4)
    assert attention(store, "songs").to_dict() == {careful.id: True, careless.id: False}
    assert set(votes_of(store, "songs", attentive=True)["rater"]) == {careful.id}
    assert len(votes_of(store, "songs")) == 7 + 7 + 1, "the attention item itself is no vote on a picture"


# --- the database


def test_sqlite_is_in_wal_mode_and_waits_for_the_disk(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/deep/er/s.db")
    with store.engine.begin() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys")
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert modes == ["wal", 2, 1]
    store.close()


def test_a_reader_does_not_wait_for_a_writer(store, url):
    """While one transaction writes, another reads what was before."""
    token = store.join("songs", AGREED).token
    with store.engine.begin() as writer:
        writer.execute(places.update().values(shown=1.0))
        done = []
        reader = threading.Thread(target=lambda: done.append(store.rater(token)))
        reader.start()
        reader.join(10)
        assert done


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("mysql://x/y", "not supported"),
        ("survey.db", "no database URL"),
    ],
)
def test_bad_urls_are_refused(url, said):
    with pytest.raises(ValueError, match=said):
        Store(url)


def test_a_store_waits_while_another_process_makes_the_file(tmp_path):
    """SQLite's own waiting does not cover the change to WAL mode."""
    path = tmp_path / "s.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE x (y)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO x VALUES (1)")
    timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
    timer.start()
    store = Store(f"sqlite:///{path}")
    timer.join()
    assert inspect(store.engine).has_table("votes")
    other.close(), store.close()


def test_stores_that_start_at_once_make_the_tables_once(url, items):
    def start(_):
        store = Store(url)
        store.create("songs", Plan(repeats=0), items)
        store.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))


# --- kills and crowds

RATER = """
import sys
from labkit.survey import Store
from labkit.survey.consent import CONSENT, version
store = Store(sys.argv[1])
for n in range(int(sys.argv[2])):
    joined = store.join("songs", version(CONSENT["en"]))
    while (view := store.next(joined.token)) is not None:
        rating = (view.position * 7 + n) % 11
        store.vote(joined.token, view.position, rating)
        print(joined.id, view.position, rating, flush=True)
"""


def command(url: str, raters: int) -> list[str]:
    return [sys.executable, "-c", RATER, url, str(raters)]


def child(url: str, raters: int, **more) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(command(url, raters), cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, **more)


def stored(store) -> dict:
    found = {}
    with store.reading() as connection:
        for rater, position, rating in connection.execute(text("SELECT rater, position, rating FROM votes")):
            found[rater, position] = rating
    return found


@pytest.mark.parametrize("acknowledged", [1, 40])
def test_a_kill_loses_no_acknowledged_vote(url, items, acknowledged):
    """A rater's process is killed by SIGKILL in the middle: what it had printed is there, and at most one vote more."""
    store = Store(url)
    store.create("songs", Plan(repeats=1, gap=3, min_dwell=0), items)
    process, seen = child(url, 1000), {}
    for line in process.stdout:
        rater, position, rating = line.split()
        seen[rater, int(position)] = int(rating)
        if len(seen) == acknowledged:
            process.send_signal(signal.SIGKILL)
            break
    for line in process.stdout:  # what was in the pipe was acknowledged, too
        if line.endswith("\n"):
            rater, position, rating = line.split()
            seen[rater, int(position)] = int(rating)
    assert process.wait(30) == -signal.SIGKILL
    process.stdout.close()
    kept = stored(store)
    assert seen.items() <= kept.items() and len(kept) <= len(seen) + 1
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM history")).scalar() == len(kept)
    assert store.next(store.join("songs", AGREED).token), "and the survey goes on"
    store.close()


def test_fifty_raters_at_once_lose_no_vote(url):
    """50 threads on one store: each has an order of its own, all votes and all of the history are there."""
    store = Store(url)
    png = [png_without_metadata(Image.new("RGB", (4, 4), (j, j, j))) for j in range(5)]
    store.create("songs", Plan(repeats=1, gap=2, min_dwell=0), [Item(f"p{j}", p) for j, p in enumerate(png)])
    start, seen = threading.Barrier(50), {}

    def rate(n: int) -> None:
        start.wait(60)
        joined = store.join("songs", AGREED, age_band="25-34", gender="man")
        while (view := store.next(joined.token)) is not None:
            store.vote(joined.token, view.position, (n + view.position) % 11)
            seen[joined.id, view.position] = (n + view.position) % 11

    with ThreadPoolExecutor(50) as pool:
        for outcome in [pool.submit(rate, n) for n in range(50)]:
            outcome.result(300)
    assert len(seen) == 50 * 7 and stored(store) == seen
    assert progress(store, "songs") == {"raters": 50, "finished": 50, "votes": 350}
    with store.reading() as connection:
        assert sorted(connection.execute(select(raters.c.order_row)).scalars()) == list(range(50))
        assert connection.execute(text("SELECT count(*) FROM history")).scalar() == 350
        assert connection.execute(text("SELECT n FROM people WHERE answer = 'man'")).scalar() == 50
    store.close()


def test_processes_at_once_lose_no_vote(url, items):
    store = Store(url)
    store.create("songs", Plan(repeats=1, gap=3, min_dwell=0), items)
    processes = [child(url, 3) for _ in range(4)]
    seen = {}
    for process in processes:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        for line in out.splitlines():
            rater, position, rating = line.split()
            seen[rater, int(position)] = int(rating)
    assert len(seen) == 4 * 3 * 8 and stored(store) == seen
    store.close()


def test_two_tabs_of_one_rater(store, clock):
    """Twenty votes on one picture at once: the current one is the last of an unbroken history."""
    token = store.join("songs", AGREED).token
    position = next(p for p in range(8) if store.show(token, p).prompt)
    store.show(token, position)
    clock.now += 5
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda k: store.vote(token, position, k % 11), range(20)))
    past, current = history_of(store, "songs"), votes_of(store, "songs")
    assert past["revision"].tolist() == list(range(1, 21)) and sorted(past["rating"]) == sorted(k % 11 for k in range(20))
    assert len(current) == 1 and current["rating"].iloc[0] == past["rating"].iloc[-1]
