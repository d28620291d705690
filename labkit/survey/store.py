"""Where a survey's pictures, orders and votes are kept, so that none that was acknowledged is ever lost.

    store = Store("sqlite:///out/survey.db")              # or postgresql://user@host/name
    store.create("songs", Plan(), items_of_folder("out/sweep"))
    joined = store.join("songs", version(CONSENT["en"]))   # joined.token brings the rater back after a reload
    view = store.next(joined.token)                        # a picture and its prompt, nothing of its settings
    store.vote(joined.token, view.position, 7)             # returns once the vote is on the disk

A rater has one current vote per picture (two where it is a hidden repeat); earlier ones stay in the history. Time is
measured here, from show to vote, not by the page. Tables that leave the store are made in `labkit.survey.report`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from PIL import Image
from sqlalchemy import Connection, delete, func, insert, select, update

from labkit.image import open_upload
from labkit.survey.consent import AGE_BANDS, CONSENT, GENDERS, version
from labkit.survey.plan import HIGH, LOW, Item, Plan, attention_item, order_of
from labkit.survey.schema import connect, consents, history, items, people, places, raters, surveys, take_turns, votes
from labkit.text import read_words


class TooSoon(ValueError):
    """A vote before the picture was looked at long enough; `wait` is how many seconds are missing."""

    def __init__(self, wait: float):
        super().__init__(f"look at the picture a little longer: {wait:.1f} s to go")
        self.wait = wait


@dataclass(frozen=True)
class Joined:
    """A new rater's random `id`, and the `token` that only the rater gets."""

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class View:
    """What a rater sees at `position` (from 0) of `total`: a picture and its prompt; `rating` is the current vote or
    None, `done` how many have one. Nothing tells a repeat or an attention item from the others."""

    position: int
    total: int
    done: int
    picture: Image.Image = field(repr=False)
    prompt: str
    rating: int | None


class Store:
    """Surveys in a database; one Store serves many threads, and many processes may open the same database.

    url    sqlite:///file.db (WAL mode) or postgresql://….  clock  seconds since 1970, for tests.
    """

    def __init__(self, url: str = "sqlite:///out/survey.db", clock: Callable[[], float] = time.time):
        self.engine = connect(url)
        self.clock = clock
        self._reading = self.engine.execution_options(reads=True)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def reading(self):
        """A transaction that only reads, as a context."""
        return self._reading.begin()

    def create(
        self, name: str, plan: Plan, pictures: list[Item], consent_texts: Iterable[str] = tuple(CONSENT.values())
    ) -> str:
        """Make the survey `name`, or open it again where plan, pictures and texts are the same. Returns the name.

        Raises ValueError on too few pictures, names that occur twice, or a survey of this name that is another one.
        """
        texts = list(consent_texts)
        if not 0 < len(name) <= 80 or not texts:
            raise ValueError(f"name={name!r}, {len(texts)} consent texts: need 1 to 80 characters and at least one text")
        keys = [item.key for item in pictures]
        if doubled := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"pictures: {doubled[0]!r} occurs twice; give each item its own key")
        if asked := [item.key for item in pictures if item.expected is not None]:
            raise ValueError(f"pictures: {asked[0]!r} expects an answer; leave attention items to Plan(attention=True)")
        if long := [key for key in keys if not 0 < len(key) <= 200]:
            raise ValueError(f"pictures: the key {long[0][:40]!r} has {len(long[0])} characters; give it 1 to 200")
        plan.fits(len(pictures))
        read_words(name, "name")  # no database keeps halves of characters
        for item in pictures:
            read_words(item.prompt, f"pictures: {item.key}: prompt")
        everything = list(pictures)
        if plan.attention:
            everything.append(attention_item(plan, open_upload(pictures[0].png).size))
        digest = _digest(plan, everything, texts)
        with self.engine.begin() as connection:
            take_turns(connection)  # two processes that start at once would both make it
            known = connection.execute(select(surveys.c.digest).where(surveys.c.name == name)).scalar()
            if known not in (None, digest):
                raise ValueError(f"name={name!r}: such a survey exists with other pictures, plan or texts; choose another")
            if known is None:
                self._insert(connection, name, digest, plan, everything, texts)
        return name

    def _insert(self, connection: Connection, name: str, digest: str, plan: Plan, every: list[Item], texts: list[str]):
        row = {"name": name, "digest": digest, "plan": plan.to_json(), "enrolled": 0, "created": self.clock()}
        connection.execute(insert(surveys), row)
        connection.execute(insert(consents), [{"survey": name, "version": version(t), "text": t} for t in set(texts)])
        connection.execute(insert(items), [
            {
                "survey": name, "key": item.key, "place": place, "png": item.png, "prompt": item.prompt, "seed": item.seed,
                "settings": json.dumps(item.settings), "scores": json.dumps(item.scores), "expected": item.expected,
            }
            for place, item in enumerate(every)
        ])  # fmt: skip
        answers = [("age_band", a) for a in AGE_BANDS] + [("gender", g) for g in GENDERS]
        connection.execute(insert(people), [{"survey": name, "question": q, "answer": a, "n": 0} for q, a in answers])

    def join(self, survey: str, consent: str, age_band: str | None = None, gender: str | None = None) -> Joined:
        """A new rater who agreed to the text of version `consent`; the order is drawn and stored now.

        age_band, gender  one of AGE_BANDS and GENDERS, or None: added to a count that no rater is linked to.
        Raises ValueError on an unknown survey, version or answer.
        """
        for field_name, value, allowed in (("age_band", age_band, AGE_BANDS), ("gender", gender, GENDERS)):
            if value is not None and value not in allowed:
                raise ValueError(f"{field_name}={value!r}: is one of {', '.join(allowed)}, or None")
        joined = Joined(secrets.token_hex(8), secrets.token_urlsafe(16))
        with self.engine.begin() as connection:
            counted = update(surveys).where(surveys.c.name == survey).values(enrolled=surveys.c.enrolled + 1)
            row = connection.execute(counted.returning(surveys.c.enrolled, surveys.c.plan)).first()
            if row is None:
                raise ValueError(f"survey={survey!r}: there is none of this name; create it first")
            agreed = select(consents.c.version).where(consents.c.survey == survey, consents.c.version == consent)
            if connection.execute(agreed).first() is None:
                raise ValueError(f"consent={consent!r}: is no version of this survey's texts; give version(text) of one")
            every = connection.execute(
                select(items.c.key, items.c.expected).where(items.c.survey == survey).order_by(items.c.place)
            ).all()
            pictures = [key for key, expected in every if expected is None]
            attention = next((key for key, expected in every if expected is not None), None)
            order_row = row.enrolled - 1
            order = order_of(Plan.from_json(row.plan), pictures, order_row, attention)
            connection.execute(insert(raters), {
                "id": joined.id, "survey": survey, "token_hash": _hash(joined.token), "consent": consent,
                "consented": self.clock(), "order_row": order_row,
            })  # fmt: skip
            connection.execute(insert(places), [
                {"rater": joined.id, "position": p.position, "item": p.item, "repeat": p.repeat} for p in order
            ])  # fmt: skip
            for question, answer in (("age_band", age_band), ("gender", gender)):
                if answer is not None:
                    at = (people.c.survey == survey, people.c.question == question, people.c.answer == answer)
                    connection.execute(update(people).where(*at).values(n=people.c.n + 1))
        return joined

    def rater(self, token: str) -> str:
        """The id of the rater with this token. Raises ValueError on an unknown one."""
        with self.reading() as connection:
            return _rater(connection, token).id

    def next(self, token: str) -> View | None:
        """Show the first picture without a vote, or None where all have one. A reload comes back here."""
        with self.reading() as connection:
            rater = _rater(connection, token)
            voted = votes.c.position == places.c.position, votes.c.rater == places.c.rater
            left = select(func.min(places.c.position)).outerjoin_from(places, votes, voted[0] & voted[1])
            position = connection.execute(left.where(places.c.rater == rater.id, votes.c.rater.is_(None))).scalar()
        return None if position is None else self.show(token, position)

    def show(self, token: str, position: int) -> View:
        """Show what stands at a position; looking begins now. Raises ValueError beyond the rater's order."""
        with self.engine.begin() as connection:
            rater = _rater(connection, token)
            at = (places.c.rater == rater.id, places.c.position == position)
            if not connection.execute(update(places).where(*at).values(shown=self.clock())).rowcount:
                raise ValueError(f"position={position}: is beyond this rater's order")
            joined = select(items.c.png, items.c.prompt).join(places, places.c.item == items.c.key)
            item = connection.execute(joined.where(*at, items.c.survey == rater.survey)).one()
            rating = select(votes.c.rating).where(votes.c.rater == rater.id, votes.c.position == position)
            counts = [
                connection.execute(select(func.count()).select_from(t).where(t.c.rater == rater.id)).scalar_one()
                for t in (places, votes)
            ]
            current = connection.execute(rating).scalar()
        return View(position, counts[0], counts[1], open_upload(item.png), item.prompt, current)

    def vote(self, token: str, position: int, rating: int) -> None:
        """Record a vote; a later one replaces it and both stay in the history. Once this returns, it is on the disk.

        Raises ValueError on a rating that is no whole number from 0 to 10 or a picture that was not shown, `TooSoon`
        on one that was not looked at for the plan's `min_dwell` seconds.
        """
        if isinstance(rating, bool) or not isinstance(rating, int) or not LOW <= rating <= HIGH:
            raise ValueError(f"rating={rating!r}: is a whole number from {LOW} to {HIGH}")
        with self.engine.begin() as connection:
            rater = _rater(connection, token, lock=True)  # two tabs of one rater take turns
            here = (places.c.rater == rater.id, places.c.position == position)
            shown = connection.execute(select(places.c.shown).where(*here)).scalar()
            if shown is None:
                raise ValueError(f"position={position}: this picture was not shown; call show first")
            now = self.clock()
            dwell = now - shown
            chosen = select(surveys.c.plan).where(surveys.c.name == rater.survey)
            wait = Plan.from_json(connection.execute(chosen).scalar_one()).min_dwell - dwell
            if wait > 0:
                raise TooSoon(wait)
            at = (votes.c.rater == rater.id, votes.c.position == position)
            before = connection.execute(select(votes.c.revision).where(*at)).scalar()
            values = {"rating": rating, "dwell": dwell, "revision": (before or 0) + 1, "at": now}
            row = {"rater": rater.id, "position": position, **values}
            connection.execute(insert(history), row)
            connection.execute(insert(votes), row) if before is None else connection.execute(
                update(votes).where(*at).values(values)
            )

    def withdraw(self, token: str) -> None:
        """Delete a rater with all votes and their history. The counts of ages and genders stay, as they name nobody."""
        with self.engine.begin() as connection:
            rater = _rater(connection, token, lock=True)
            for table in (history, votes, places):
                connection.execute(delete(table).where(table.c.rater == rater.id))
            connection.execute(delete(raters).where(raters.c.id == rater.id))


def _rater(connection: Connection, token: str, lock: bool = False):
    chosen = select(raters.c.id, raters.c.survey).where(raters.c.token_hash == _hash(token))
    row = connection.execute(chosen.with_for_update() if lock else chosen).first()
    if row is None:
        raise ValueError("token: is unknown; join the survey, or copy the return code again")
    return row


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _digest(plan: Plan, every: list[Item], texts: list[str]) -> str:
    parts = [plan.to_json(), *sorted(texts)]
    for item in every:
        parts += [item.key, hashlib.sha256(item.png).hexdigest(), item.prompt, json.dumps(item.settings, sort_keys=True)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
