"""Checkpoints on disk: whole or the one before, and plain words for what is none."""

import errno
import pickle

import pytest
import torch

from labkit.files import FileError
from labkit.runs import checkpoint
from labkit.runs.checkpoint import checkpointed, load_state, save_state
from labkit.spec import SpecError
from tests.runs.test_replay import Slow
from tests.views.support import FakeLab, Noise

SPEC = Noise(seed=3)
STATE = {"i": 4, "parts": {"x": torch.arange(3.0)}}


@pytest.fixture
def path(tmp_path):
    save_state(tmp_path / "new" / "checkpoint.pt", SPEC, STATE)
    return tmp_path / "new" / "checkpoint.pt"


def test_what_is_saved_is_loaded(path):
    found = load_state(path, SPEC)
    assert found["i"] == 4 and torch.equal(found["parts"]["x"], torch.arange(3.0))
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_run_goes_on_where_it_was_cut(tmp_path):
    first = checkpointed(Slow(), FakeLab(), tmp_path, every_s=-1)
    for step in first:
        if step.i == 8:
            break
    first.close()
    rest = list(checkpointed(Slow(), FakeLab(), tmp_path))
    assert [step.i for step in rest] == list(range(9, 60)) and rest[-1].image.getpixel((0, 0)) == (60, 0, 0)


class Bad:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize("damage", ["cut", "empty", "page", "pickle", "code", "list", "keys", "flipped"])
def test_what_is_no_checkpoint_is_told_plainly(path, damage, capfd):
    data = path.read_bytes()
    if damage in ("list", "keys"):
        torch.save([1] if damage == "list" else {"kind": "Noise"}, path)
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "page": b"<html>", "pickle": pickle.dumps({"a": 1}, 2),
                          "code": pickle.dumps(Bad(), 2), "flipped": bytes(200) + data[200:]}[damage])
    with pytest.raises(SpecError, match="checkpoint.pt: is no whole checkpoint of this labkit; remove it to start anew$"):
        load_state(path, SPEC)
    assert "this ran" not in capfd.readouterr().out


def test_another_specs_or_labkits_checkpoint_is_refused(path, monkeypatch):
    with pytest.raises(SpecError, match="another Noise .*remove it to start anew, or give the same options"):
        load_state(path, Noise(seed=4))
    monkeypatch.setattr(checkpoint, "version", lambda: "9.9.9")
    with pytest.raises(SpecError, match="is a checkpoint of labkit .*, this is 9.9.9; remove it"):
        load_state(path, SPEC)


def test_a_full_disk_leaves_the_one_before(path, monkeypatch):
    def full(what, part):
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FileError, match="checkpoint.pt: the disk is full; make room"):
        save_state(path, SPEC, {"i": 5})
    monkeypatch.undo()
    assert load_state(path, SPEC)["i"] == 4 and [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]
