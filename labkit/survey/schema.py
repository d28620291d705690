"""The tables of a survey's database, and the engine to it: SQLite in WAL mode, or PostgreSQL by its URL.

What may not be known is not there to be found: no name, no address, the resume token only as its hash, and age band and
gender as counts that belong to no rater.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

TABLES = MetaData()

surveys = Table(
    "surveys", TABLES,
    Column("name", String(80), primary_key=True),
    Column("digest", String(64), nullable=False),  # of plan, pictures and texts: a name means one survey
    Column("plan", Text, nullable=False),
    Column("enrolled", Integer, nullable=False),  # raters so far, those who withdrew included: the next one's row
    Column("created", Double, nullable=False),
)  # fmt: skip

consents = Table(
    "consents", TABLES,
    Column("survey", ForeignKey("surveys.name"), primary_key=True),
    Column("version", String(12), primary_key=True),
    Column("text", Text, nullable=False),
)  # fmt: skip

items = Table(
    "items", TABLES,
    Column("survey", ForeignKey("surveys.name"), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("png", LargeBinary, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("seed", Integer),
    Column("settings", Text, nullable=False),  # JSON
    Column("scores", Text, nullable=False),  # JSON
    Column("expected", Integer),  # of an attention item
)  # fmt: skip

people = Table(
    "people", TABLES,
    Column("survey", ForeignKey("surveys.name"), primary_key=True),
    Column("question", String(10), primary_key=True),  # "age_band" or "gender", never both at once
    Column("answer", String(20), primary_key=True),
    Column("n", Integer, nullable=False),
)  # fmt: skip

raters = Table(
    "raters", TABLES,
    Column("id", String(16), primary_key=True),  # random
    Column("survey", ForeignKey("surveys.name"), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("consent", String(12), nullable=False),
    Column("consented", Double, nullable=False),
    Column("order_row", Integer, nullable=False),
    UniqueConstraint("survey", "order_row"),
    ForeignKeyConstraint(["survey", "consent"], ["consents.survey", "consents.version"]),
)  # fmt: skip

places = Table(
    "places", TABLES,
    Column("rater", ForeignKey("raters.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item", String(200), nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("shown", Double),  # when it was last put before the rater
    UniqueConstraint("rater", "item", "repeat"),
)  # fmt: skip

votes = Table(
    "votes", TABLES,
    Column("rater", String(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("rating", Integer, nullable=False),
    Column("dwell", Double, nullable=False),  # seconds from shown to voted
    Column("revision", Integer, nullable=False),
    Column("at", Double, nullable=False),
    ForeignKeyConstraint(["rater", "position"], ["places.rater", "places.position"]),
)  # fmt: skip

history = Table(
    "history", TABLES,
    Column("rater", String(16), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("revision", Integer, primary_key=True),  # from 1; the greatest is the current vote
    Column("rating", Integer, nullable=False),
    Column("dwell", Double, nullable=False),
    Column("at", Double, nullable=False),
    ForeignKeyConstraint(["rater", "position"], ["places.rater", "places.position"]),
)  # fmt: skip


def connect(url: str) -> Engine:
    """An engine with the tables made. Raises ValueError on a URL that is none, or of another database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"url={url!r}: is no database URL; give sqlite:///file.db or postgresql://user@host/name") from None
    kind = parsed.get_backend_name() if parsed.drivername != "postgres" else "postgresql"
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("url: a database in memory forgets its votes; give sqlite:///file.db")
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": 60}, pool_timeout=120)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif kind == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            engine = create_engine(parsed, pool_pre_ping=True, pool_timeout=120)
        except ModuleNotFoundError as error:
            raise ValueError(f"url: PostgreSQL needs {error.name}; pip install 'psycopg[binary]'") from None
    else:
        raise ValueError(f"url: {kind} is not supported; give sqlite:///file.db or postgresql://user@host/name")
    with engine.begin() as connection:
        take_turns(connection)  # two processes that start at once would both make the tables
        TABLES.create_all(connection)
    return engine


def take_turns(connection: Connection) -> None:
    """Let one process at a time go on, until its transaction ends. SQLite's writers do so anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7461001)")


def _set_up_sqlite(connection, _record) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not where the driver guesses
    cursor = connection.cursor()
    for left in reversed(range(600)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:  # another process makes the change: SQLite does not wait for this one
            if "locked" not in str(error) or not left:
                raise
            time.sleep(0.1)
    cursor.execute("PRAGMA synchronous=FULL")  # a vote is acknowledged once it is on the disk
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection) -> None:
    # Two transactions that have read cannot both go on to write; whoever may write takes its turn at the start.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
