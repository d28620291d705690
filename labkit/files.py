"""The one way to write a file: looked at before the work begins, whole or not at all, and not lost when a disk fills.

    out = writable("out/apple.png", ".png")       before a long run: could this be written? leaves nothing behind
    write_atomically(out, data)                   bytes: the old file or the new one, never half of one
    with written(out) as part: figure.savefig(part)       the same for libraries that want a path
    kept(out, data)                               after a long run: elsewhere, where the disk has filled meanwhile

A file is written beside its target and then renamed (POSIX `rename` is atomic). Every failure is a `FileError` that names the
path, what is wrong with it and what to do.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.text import plain

PROBE = 4096  # bytes that `writable` writes: creating an empty file succeeds on a full disk
LONGEST = 200  # characters of a path in a message

CAUSES = {  # errno: (what is wrong, what to do)
    errno.ENOSPC: ("the disk is full", "make room, or give a path on another disk"),
    errno.EDQUOT: ("your quota on this disk is used up", "make room, or give a path on another disk"),
    errno.EFBIG: ("files may not become that large here (ulimit -f, or the file system's limit)", "raise the limit"),
    errno.EROFS: ("this file system is read-only", "give a path elsewhere"),
    errno.EACCES: ("writing there is not permitted", "give a path in a folder of yours"),
    errno.EPERM: ("writing there is not permitted", "give a path in a folder of yours"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "give a path through folders"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "give a path through folders"),
    errno.EISDIR: ("is a folder", "give a file in it"),
    errno.ELOOP: ("its links lead in a circle", "give a path without them"),
    errno.ENOENT: ("no file can be made there", "give a path elsewhere"),
    errno.EINVAL: ("such a name is not allowed there", "give another one"),
    errno.EIO: ("the disk does not answer", "give a path on another disk"),
}


class FileError(OSError):
    """A file could not be written. `instead` is where its content was kept, or None."""

    instead: Path | None = None


class NotWritable(FileError):
    """A file that could not be written, found before any work was done for it."""


def writable(path: str | os.PathLike, *suffixes: str) -> Path:
    """The path, if a file could be written there and, where suffixes are given, ends in one of them.

    It is really tried, with a small file beside it; what was made for that, folders too, is gone again. Raises `NotWritable`.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise NotWritable(f"{plain(path, LONGEST)}: must end in {' or '.join(suffixes)}")
    made: list[Path] = []
    try:
        target = _target(path)
        part = _part(target, made)
        try:
            _write(part, os.urandom(PROBE))
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _told(path, error, NotWritable) from None
    finally:
        _remove(made)
    return path


def write_atomically(path: str | os.PathLike, data: bytes) -> Path:
    """Write the bytes, all of them or none; folders are made. Returns the path. Raises `FileError`."""
    with written(path) as part:
        _write(part, data)
    return Path(path)


@contextmanager
def written(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path`, of the same ending, to write to: moved to `path` at the end, removed after any error.

    Raises `FileError` where the file system refuses, also inside the body.
    """
    made: list[Path] = []
    part = None
    try:
        target = _target(Path(path))
        part = _part(target, made)
        yield part
        _settle(part, target)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        _remove(made)
        # another file's error, and those of libraries (Pillow's are OSErrors without a number), are not about this path
        ours = isinstance(error, OSError) and error.errno and error.filename in (None, str(part), part, os.fspath(path))
        if ours or isinstance(error, _Refused):
            raise _told(path, error, FileError) from None
        raise


def kept(path: str | os.PathLike, data: bytes) -> Path:
    """`write_atomically` for what took long to make: where it fails, the bytes go to a temporary folder.

    The `FileError` is raised all the same; it says where they are (`instead`), or that they could be kept nowhere.
    """
    try:
        return write_atomically(path, data)
    except FileError as error:
        instead = _elsewhere(Path(path), data)
        where = f"it is kept as {instead}" if instead else "and nowhere else could it be kept either"
        told = FileError(f"{error}; {where}")
        told.instead = instead
        raise told from None


def _elsewhere(path: Path, data: bytes) -> Path | None:
    name = f"{path.stem[:60] or 'file'}{path.suffix[:10]}"
    for place in (None, "/dev/shm", os.path.expanduser("~")):  # None: the system's own
        with suppress(OSError):  # then the next place
            folder = Path(tempfile.mkdtemp(prefix="labkit-", dir=place))
            try:
                return write_atomically(folder / name, data)
            except FileError:
                folder.rmdir()
    return None


class _Refused(OSError):
    """What is wrong with a path, in words."""


def _target(path: Path) -> Path:
    """The file that the path leads to: a link stays, what it names is written."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        raise _Refused("is no name of a file; give another") from None
    if b"\0" in raw:
        raise _Refused("is no name of a file; give another")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise _Refused("is a folder; give a file in it")
    with suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            raise _Refused("is no ordinary file; give another name")
        # a folder's owner may replace a read-only file, and root any file; but somebody wants to keep it
        if not mode & 0o222 or not os.access(target, os.W_OK):
            raise _Refused("is there already and read-only; give another name, or make it writable")
    return target


def _part(target: Path, made: list[Path]) -> Path:
    """An empty file of a new name beside the target; folders that were made for it are put into `made`, innermost first."""
    part = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix if len(target.suffix) < 16 else ''}")
    chances = 10
    while True:
        folder = target.parent
        while not folder.is_dir():
            if folder.exists():
                raise _Refused(f"{plain(folder, LONGEST)} is a file, not a folder; give a path through folders")
            made.append(folder)
            folder = folder.parent
        try:
            for missing in reversed(made):
                missing.mkdir(exist_ok=True)
            open(part, "xb").close()
            return part
        except FileNotFoundError:  # another process has removed, at the same time, the folder that it had made
            chances -= 1
            if not chances:
                raise


def _write(part: Path, data: bytes) -> None:
    with open(part, "wb") as file:
        file.write(data)


def _settle(part: Path, target: Path) -> None:
    """Move a part into place, with the permissions of what was there; what a disk refuses late, it refuses here."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
        if not file.read(1):
            raise _Refused("there was nothing to write; nothing is left there")
    if target.exists():
        os.chmod(part, stat.S_IMODE(target.stat().st_mode))
    os.replace(part, target)


def _remove(folders: list[Path]) -> None:
    """Remove the folders that were made, unless somebody else has put something there meanwhile."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _told(path: str | os.PathLike, error: OSError, kind: type[FileError]) -> FileError:
    if isinstance(error, _Refused):
        return kind(f"{plain(path, LONGEST)}: {error}")
    cause, remedy = CAUSES.get(error.errno, (error.strerror, "give a path elsewhere"))
    return kind(f"{plain(path, LONGEST)}: {cause}; {remedy}")
