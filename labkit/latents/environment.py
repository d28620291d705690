"""An LMDB file that grows, shared within a process, safe over forks, its errors in plain words.

LMDB (Chu 2011) is one memory-mapped B+ tree: a write transaction is there as a whole after its commit or not at all, also when
the process is killed, and readers never wait. Four things are left to whoever uses it, and are done here: a file may be open
only once in a process; a child that was forked may not use its parent's handle; the map has a size that must be raised when it
is full, or when another process has raised it; and its errors name neither file nor remedy.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from labkit.files import writable
from labkit.text import plain

SMALLEST = 1 << 20  # bytes of a new map
LONGEST = 200  # characters of a path in a message
FULL = ("No space left", "Disk quota", "File too large", "Input/output error")  # the last: a write that was cut short

_LOCK = threading.RLock()  # held through every transaction: the map must not be resized under one, nor a process forked
_OPEN: weakref.WeakValueDictionary[str, _Handle] = weakref.WeakValueDictionary()


class StoreError(ValueError):
    """What is wrong with a store, in words that name the file and what to do."""


class _Handle:
    """The one open environment of a file in this process; closed when nobody refers to it any more."""

    def __init__(self, path: Path):
        self.path, self.env, self.file = path, None, None

    def get(self) -> lmdb.Environment:
        file = os.stat(self.path)
        if self.env is None or (file.st_dev, file.st_ino) != self.file:  # removed and made anew meanwhile
            if self.env is not None:
                self.env.close()
            may = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
            self.env = lmdb.open(str(self.path), subdir=False, map_size=max(SMALLEST, file.st_size), readonly=not may, lock=may,
                                 readahead=False, max_spare_txns=0)
            self.file = file.st_dev, file.st_ino
        return self.env


class Environment:
    """A file of ordered keys and values, opened on first use: it may be pickled and sent to a worker.

    A process that may not write there reads it all the same.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._handle: _Handle | None = None

    def __getstate__(self) -> dict:
        return {"path": self.path, "_handle": None}

    def create(self) -> bool:
        """Make the file if it is not there; whether it was made. Raises `NotWritable`."""
        if self.path.is_file():
            return False
        writable(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _LOCK, _told(self.path):
            self.path.touch()
            try:
                self._open()
            except BaseException:
                self.remove()
                raise
        return True

    def remove(self) -> None:
        """Delete the file and its lock."""
        with _LOCK:
            if self._handle is not None and self._handle.env is not None:
                self._handle.env.close()
                self._handle.env = None
            self.path.unlink(missing_ok=True)
            self.path.with_name(self.path.name + "-lock").unlink(missing_ok=True)

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        """A transaction that sees the file as it was last committed. Raises `StoreError`."""
        if not self.path.is_file():
            what = "is a folder; give the file in it" if self.path.is_dir() else "no such file; `codes extract` makes one"
            raise StoreError(f"{plain(self.path, LONGEST)}: {what}")
        with _LOCK, _told(self.path):
            with self._begun() as transaction:
                yield transaction

    def write(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Put all pairs, or none of them: they are on the disk when this returns. The map grows as it must. Raises
        `StoreError`."""
        with _LOCK, _told(self.path):
            while True:
                try:
                    with self._begun(write=True) as transaction:
                        transaction.cursor().putmulti(pairs)
                    return
                except lmdb.MapFullError:
                    env = self._open()
                    need = sum(len(key) + len(value) for key, value in pairs)
                    env.set_mapsize(env.info()["map_size"] * 2 + 2 * need)

    def _begun(self, write: bool = False) -> lmdb.Transaction:
        env = self._open()
        try:
            return env.begin(write=write)
        except lmdb.MapResizedError:  # another process has written more than this one's map shows
            env.set_mapsize(0)
            return env.begin(write=write)

    def _open(self) -> lmdb.Environment:
        if self._handle is None:
            key = os.path.realpath(self.path)
            self._handle = _OPEN.get(key) or _Handle(Path(key))
            _OPEN[key] = self._handle
        return self._handle.get()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """LMDB's errors as `StoreError`."""
    named = plain(path, LONGEST)
    try:
        yield
    except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
        raise StoreError(f"{named}: is no code store, or a damaged one ({_cause(error)}); extract the codes again") from None
    except lmdb.ReadonlyError:
        raise StoreError(f"{named}: writing there is not permitted; give a path in a folder of yours") from None
    except (lmdb.Error, OSError) as error:
        if any(words in str(error) for words in FULL):
            raise StoreError(f"{named}: the disk is full, or does not answer ({_cause(error)}); make room and run it again: "
                             "what was committed is kept") from None
        raise StoreError(f"{named}: cannot be used ({_cause(error)}); see that its disk and folder are in order") from None


def _cause(error: Exception) -> str:
    return plain(error, 120)


def _after_fork() -> None:
    """In the child: its parent's handles are closed, and opened anew when they are needed."""
    for handle in list(_OPEN.values()):
        if handle.env is not None:
            handle.env.close()
            handle.env = None
    _LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_after_fork)
