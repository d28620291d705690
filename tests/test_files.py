"""Files are looked at before the work, written whole or not at all, and kept elsewhere where a disk is full."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import files
from labkit.files import FileError, NotWritable, kept, writable, write_atomically, written


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


@pytest.fixture
def limited():
    """No file may become larger than 1 kB: the same kind of failure, at the same place, as a disk that is full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def full(monkeypatch, *folders, number=errno.ENOSPC):
    """Every file below these folders meets a full disk after its first bytes."""
    original = files._write

    def write(part, data):
        original(part, data[:10])
        if any(part.is_relative_to(folder) for folder in folders):
            raise OSError(number, os.strerror(number))
        part.unlink()
        original(part, data)

    monkeypatch.setattr(files, "_write", write)


def refused(folder):
    """Paths that cannot be written, whoever asks, with what is said of them."""
    (folder / "file").write_text("x")
    (folder / "folder.png").mkdir()
    (folder / "kept.png").write_text("x")
    (folder / "kept.png").chmod(0o444)
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "out.png").symlink_to("/dev/null")
    return {
        folder / "a.jpg": "must end in .png",
        folder / "folder.png": "is a folder; give a file in it",
        folder / "kept.png": "read-only",
        folder / "circle.png": "circle",
        folder / "out.png": "no ordinary file",
        folder / "file" / "a.png": "is a file, not a folder",
        folder / "file" / "deep" / "er" / "a.png": "is a file, not a folder",
        folder / f"{'x' * 300}.png": "the name is too long",
        folder / "new" / ("y" * 300) / "a.png": "the name is too long",
        folder / "a\0.png": "no name of a file",
        folder / "a\ud800.png": "no name of a file",
    }


def test_looks_before_the_work_and_leaves_nothing(tmp_path):
    table = refused(tmp_path)
    before = everything(tmp_path)
    for path, said in table.items():
        with pytest.raises(NotWritable, match=said) as caught:
            writable(path, ".png")
        words = str(caught.value)
        assert len(words) < 700 and words.isprintable() and "[Errno" not in words, words
    for path in (tmp_path / "a.png", tmp_path / "new" / "er" / "b.PNG"):
        assert writable(path, ".png", ".gif") == path
    assert everything(tmp_path) == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="Linux only")
def test_below_proc():
    for path in ("/proc/a.png", "/proc/new/a.png", "/proc/self/a.png"):
        with pytest.raises(NotWritable, match="; give a path"):
            writable(path, ".png")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENODEV])
def test_every_refusal_of_a_disk_is_told_plainly(tmp_path, monkeypatch, number):
    full(monkeypatch, tmp_path, number=number)
    with pytest.raises(NotWritable, match=r"a\.png: .+; (give|make)"):
        writable(tmp_path / "new" / "a.png")
    with pytest.raises(FileError, match=r"a\.png: .+; (give|make)"):
        write_atomically(tmp_path / "new" / "a.png", b"x")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("work", [writable, lambda path: write_atomically(path, b"x")])
def test_a_process_that_looks_does_not_hinder_one_that_looks_or_writes(tmp_path, monkeypatch, work):
    """The one removes the folder that it made to look, just when the other is about to put something there."""
    make, removed = Path.mkdir, []

    def mkdir(self, *args, **kwargs):
        make(self, *args, **kwargs)
        if len(removed) < 2:
            removed.append(self.rmdir())

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert work(tmp_path / "new" / "a.png") == tmp_path / "new" / "a.png" and len(removed) == 2


def test_a_link_stays_and_its_file_is_written(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "new" / "a.png")
    write_atomically(writable(tmp_path / "link.png", ".png"), b"one")
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "new" / "a.png").read_bytes() == b"one"


def test_permissions_of_what_was_there_stay(tmp_path):
    path = write_atomically(tmp_path / "a", b"one")
    assert path.stat().st_mode & 0o600 == 0o600
    path.chmod(0o600)
    write_atomically(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_bytes() == b"two"


def test_the_old_file_or_the_new_one(tmp_path, limited):
    path = write_atomically(tmp_path / "a", b"one")
    with pytest.raises(FileError, match=r"a: files may not become that large here \(ulimit -f.*raise the limit"):
        write_atomically(path, bytes(5000))
    assert path.read_bytes() == b"one" and everything(tmp_path) == ["a"]
    with pytest.raises(NotWritable, match="ulimit"):
        writable(path)
    assert everything(tmp_path) == ["a"]


def test_a_library_writes_to_a_part_with_the_same_ending(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with written(path) as part:
        assert part.suffix == ".csv" and part.parent == path.parent and not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole" and everything(tmp_path) == ["new", "new/a.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("of the body"), OSError("Pillow's kind"),
                                   FileNotFoundError(errno.ENOENT, "absent", "another.txt")])
def test_errors_of_the_body_are_its_own_and_leave_nothing(tmp_path, error):
    write_atomically(tmp_path / "a", b"one")
    for name in ("a", "new/b"):
        with pytest.raises(type(error)) as caught:
            with written(tmp_path / name) as part:
                part.write_text("half")
                raise error
        assert caught.value is error
    assert everything(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"one"


def test_a_body_that_writes_nothing_or_meets_a_full_disk(tmp_path):
    for write in (lambda part: None, lambda part: part.unlink()):
        with pytest.raises(FileError, match="a.png: "):
            with written(tmp_path / "a.png") as part:
                write(part)
    with pytest.raises(FileError, match="a.png: there was nothing to write"):
        write_atomically(tmp_path / "a.png", b"")
    with pytest.raises(FileError, match="the disk is full; make room"):
        with written(tmp_path / "a.png") as part:
            part.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert everything(tmp_path) == []


def test_what_took_long_is_kept_elsewhere(tmp_path, monkeypatch):
    asked, spare = tmp_path / "asked", tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    assert kept(asked / "a.png", b"picture") == asked / "a.png" and everything(spare) == []
    full(monkeypatch, asked)
    with pytest.raises(FileError, match="b.png: the disk is full; .*it is kept as ") as caught:
        kept(asked / "b.png", b"picture")
    assert caught.value.instead.read_bytes() == b"picture" and caught.value.instead.is_relative_to(spare)
    assert str(caught.value.instead) in str(caught.value) and everything(asked) == ["a.png"]


def test_the_next_spare_place_serves_where_the_first_is_full(tmp_path, monkeypatch):
    asked, spare, home = (tmp_path / name for name in ("asked", "spare", "home"))
    spare.mkdir(), home.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    monkeypatch.setenv("HOME", str(home))
    full(monkeypatch, asked, spare, "/dev/shm")
    with pytest.raises(FileError) as caught:
        kept(asked / f"{'n' * 300}.png", b"picture")
    assert caught.value.instead.is_relative_to(home) and caught.value.instead.suffix == ".png"
    full(monkeypatch, asked, spare, home, "/dev/shm")
    before = everything(tmp_path)
    with pytest.raises(FileError, match="nowhere else could it be kept") as caught:
        kept(asked / "c.png", b"picture")
    assert caught.value.instead is None and everything(tmp_path) == before


def test_a_kill_leaves_the_old_file(tmp_path):
    """A process that is killed in the middle of writing, as by a machine that runs out of memory."""
    path = write_atomically(tmp_path / "a.bin", b"one")
    code = f"""
import os, signal
from labkit.files import written
with written({str(path)!r}) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == -9
    assert path.read_bytes() == b"one"
