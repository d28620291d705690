"""A rater's visit without any page: what is to be shown after each thing that a rater does.

    visits = Visits(store, "songs")
    screen = visits.begin("en")                                  # the first picture, and the rater's token
    screen = visits.vote(screen.token, screen.view.position, 7)  # the next one; too soon: the same, the 7 kept as pending
    screen = visits.arrive(screen.token)                         # after a reload: where the rater was

Nothing here raises for what a visitor may send: an unknown token leads to the welcome, a vote that is none to the
picture that is due. What the store measures and refuses stays its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from labkit.survey.consent import CONSENT, version
from labkit.survey.plan import HIGH, LOW
from labkit.survey.report import plan_of
from labkit.survey.schema import consents, items, raters, surveys
from labkit.survey.store import Store, TooSoon, View

DEFAULT_STORE = "sqlite:///out/survey.db"
MOST_RATERS = 10_000  # of one survey: nobody can fill a disk by pressing Begin


@dataclass(frozen=True)
class Screen:
    """What a rater is to see: `name`, the rater's `token`, the picture's `view` while rating.

    wait     seconds until a vote counts.  pending  a vote that came too soon and waits for that.
    note     a key of `labkit.survey.words.WORDS` to be said, or "".
    """

    name: Literal["welcome", "rate", "done"]
    token: str | None = field(default=None, repr=False)
    view: View | None = None
    wait: float = 0.0
    pending: int | None = None
    note: str = ""


class Visits:
    """The visits to the survey `name` of a store. Raises ValueError where the store has none of this name.

    `texts` is the consent text by language: ours where the survey uses it, else a text of the survey's own. `total` is how
    many pictures a rater sees, repeats and attention item included; `dwell` how many seconds each at least.
    """

    def __init__(self, store: Store, name: str):
        self.store, self.name = store, name
        plan = plan_of(store, name)
        with store.reading() as connection:
            own = connection.execute(
                select(consents.c.version, consents.c.text).where(consents.c.survey == name).order_by(consents.c.version)
            ).all()
            shown = connection.execute(select(func.count()).select_from(items).where(items.c.survey == name)).scalar_one()
        self.dwell, self.total = plan.min_dwell, shown + plan.repeats
        texts = {row.version: row.text for row in own}
        self._versions = {c: v if (v := version(text)) in texts else own[0].version for c, text in CONSENT.items()}
        self.texts = {code: texts[number] for code, number in self._versions.items()}

    def knows(self, token: object) -> bool:
        """Whether this is the token of a rater of this survey, and not of another one in the same store."""
        if not isinstance(token, str) or not 0 < len(token) <= 64:
            return False
        try:
            rater = self.store.rater(token)
        except ValueError:
            return False
        with self.store.reading() as connection:
            return connection.execute(select(raters.c.survey).where(raters.c.id == rater)).scalar() == self.name

    def arrive(self, token: object = None) -> Screen:
        """Where a rater is: the first picture without a vote, or the end. Without a token the welcome."""
        if not token:
            return Screen("welcome")
        if not self.knows(token):
            return Screen("welcome", note="unknown")
        return self._screen(token, self.store.next(token))

    def begin(self, language: str, age_band: str | None = None, gender: str | None = None) -> Screen:
        """A new rater who agreed to the text in `language`. Raises ValueError on answers that are none of the choices."""
        with self.store.reading() as connection:
            enrolled = connection.execute(select(surveys.c.enrolled).where(surveys.c.name == self.name)).scalar_one()
        if enrolled >= MOST_RATERS:
            return Screen("welcome", note="full")
        agreed = self._versions.get(language) or self._versions["en"]
        return self.arrive(self.store.join(self.name, agreed, age_band or None, gender or None).token)

    def vote(self, token: object, position: object, rating: object) -> Screen:
        """Record a vote and go on. One that comes too soon is `pending` on the same picture."""
        sound = all(isinstance(n, int) and not isinstance(n, bool) for n in (position, rating))
        if not self.knows(token) or not sound or not LOW <= rating <= HIGH:
            return self.arrive(token)
        try:
            self.store.vote(token, position, rating)
        except TooSoon as error:
            return self._again(token, position, error.wait, rating)
        except ValueError:  # a picture that was never shown: a page of another day
            pass
        return self.arrive(token)

    def back(self, token: object, position: object = None) -> Screen:
        """The picture before `position`, with its vote; without a position the last one."""
        if not self.knows(token):
            return self.arrive(token)
        before = position if isinstance(position, int) and not isinstance(position, bool) else self.total
        return self._screen(token, self.store.show(token, min(max(before - 1, 0), self.total - 1)))

    def withdraw(self, token: object) -> Screen:
        """Delete the rater with all votes."""
        if not self.knows(token):
            return self.arrive(token)
        self.store.withdraw(token)
        return Screen("welcome", note="withdrawn")

    def _screen(self, token: str, view: View | None) -> Screen:
        return Screen("done", token) if view is None else Screen("rate", token, view, self.dwell)

    def _again(self, token: str, position: int, wait: float, pending: int) -> Screen:
        # `show` is the only way to the picture, and looking begins anew with it: the wait is the whole dwell then
        return Screen("rate", token, self.store.show(token, position), max(wait, self.dwell), pending)


def names_of(store: Store) -> list[tuple[str, int, int]]:
    """(name, pictures, raters so far) of every survey in a store, the newest first; who withdrew counts too."""
    pictures = select(items.c.survey, func.count().label("n")).where(items.c.expected.is_(None)).group_by(items.c.survey)
    pictures = pictures.subquery()
    chosen = select(surveys.c.name, pictures.c.n, surveys.c.enrolled).join(pictures, pictures.c.survey == surveys.c.name)
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(chosen.order_by(surveys.c.created.desc(), surveys.c.name))]


def open_store(url: str = DEFAULT_STORE, make: bool = False) -> Store | None:
    """The store at a URL; None where it is a SQLite file that is not there yet, unless `make`.

    Raises ValueError on a URL that is none, and on a database that cannot be opened.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None  # Store says what is wrong with it
    if not make and parsed is not None and parsed.get_backend_name() == "sqlite" and not _is_file(parsed.database):
        return None
    try:
        return Store(url)
    except SQLAlchemyError as error:
        raise ValueError(f"url={bare_url(url)!r}: the database cannot be opened ({_cause(error)})") from None


def _is_file(name: str | None) -> bool:
    return not name or name == ":memory:" or Path(name).is_file()  # the first two are Store's to refuse


def bare_url(url: str) -> str:
    """A database's URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
