"""Databases for the survey's tests: a SQLite file, and a real PostgreSQL that these tests start and stop."""

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from labkit.survey import Item, Plan, Store
from labkit.survey.plan import png_without_metadata


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl: the newest of Debian's, or where the PATH has them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def ordinary_user() -> dict:
    """Arguments of subprocess that make root an ordinary user, as initdb wants it; nothing for others."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres():
    """The folder of the socket of a running PostgreSQL, or a string that says why there is none."""
    programs = postgres_programs()
    if programs is None:
        yield "no PostgreSQL: on Debian, apt-get install postgresql"
        return
    if importlib.util.find_spec("psycopg") is None:
        yield "no psycopg: pip install 'psycopg[binary]'"
        return
    # under /tmp: the path of a socket has at most 107 characters, and pytest's own folder is closed to other users
    home = Path(tempfile.mkdtemp(prefix="labkit-pg-", dir="/tmp"))
    user = ordinary_user()
    if user:
        os.chown(home, user["user"], user["group"])

    def run(*command: str) -> None:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]], cwd=home, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120, **user,
        )  # fmt: skip
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"

    try:
        run("initdb", "-D", f"{home}/data", "-U", "labkit", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "-D", f"{home}/data", "-w", "-l", f"{home}/log", "-o", f"-k {home} -c listen_addresses=''", "start")
        try:
            yield home
        finally:
            run("pg_ctl", "-D", f"{home}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path, missing) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'survey.db'}"
    socket = request.getfixturevalue("postgres")
    if isinstance(socket, str):
        missing(socket)
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(host=str(socket), user="labkit", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://labkit@/{name}?host={socket}"


class Clock:
    """A clock that tests turn by hand."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pictures(n: int) -> list[Item]:
    """n small pictures, two prompts, three settings."""
    return [
        Item(
            f"p{j}", png_without_metadata(Image.new("RGB", (16, 16), (20 * j % 256, 80, 120))), f"prompt {j % 2}", j,
            {"guidance__clip": 500 * (1 + j % 3)}, {"clip": j / 10},
        )
        for j in range(n)
    ]  # fmt: skip


@pytest.fixture
def items() -> list[Item]:
    return pictures(6)


@pytest.fixture
def store(url, clock, items) -> Store:
    """A store with the survey "songs": six pictures, one repeat, an attention item, two seconds of looking."""
    store = Store(url, clock)
    store.create("songs", Plan(repeats=1, gap=3, min_dwell=2), items)
    yield store
    store.close()
