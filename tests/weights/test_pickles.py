"""Pickles that would run code, or take hours or terabytes to read: refused before torch sees them."""

import argparse
import pathlib
import struct
import zipfile

import numpy as np
import pytest
import torch

from labkit.weights import WeightsError, read_checkpoint

PICKLED = {
    # tuples of tuples as a key: 60 levels, each holding the one below twice, take 2⁶⁰ steps to hash
    "hash bomb": (b"}(" + b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"K\1u.", "would take hours"),
    "deep key": (b"}(" + b")" + b"\x85" * 10**5 + b"K\1u.", "would take hours"),
    "room for terabytes": (b"cbuiltins\nbytearray\n\x8a\6\0\0\0\0\0\x10\x85R.", "would run builtins.bytearray"),
    "an old name of it": (b"c__builtin__\nbytearray\n\x8a\6\0\0\0\0\0\x10\x85R.", "would run builtins.bytearray"),
    "a tensor of terabytes": (b"ctorch\nFloatTensor\n\x8a\6\0\0\0\0\0\x10\x85R.", "would run torch.FloatTensor"),
    "a command": (b"cos\nsystem\nX\2\0\0\0ls\x85R.", "refused, for reading it would run os.system"),
    "a name that commands a terminal": (b"cos\x1b[31m\nsystem\n.", r"would run os\\x1b\[31m.system"),
    "newer instructions": (b"\x95\3\0\0\0\0\0\0\0}.", "of another protocol"),
    "a string of gigabytes": (b"X\xff\xff\xff\x7fabc.", "damaged"),
    "garbage": (b"\xff\xff", "damaged"),
    "an empty stack": (b"R.", "damaged"),
    "no end": (b"}", "damaged"),
    "no such memo": (b"h\7.", "damaged"),
    "what torch refuses": (b"K\1K\2\x85R.", "torch cannot read it"),
    "no such storage": (b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0009X\3\0\0\0cpuK\1tQ.", "torch cannot read it"),
}


def torch_zip(path: pathlib.Path, instructions: bytes) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\2" + instructions)
        archive.writestr("x/byteorder", "little")
        archive.writestr("x/version", "3\n")
    return path


@pytest.mark.parametrize("name", PICKLED)
@pytest.mark.parametrize("ending", [".ckpt", ".safetensors"])
def test_a_pickle_is_looked_through_before_it_is_read(tmp_path, name, ending):
    instructions, said = PICKLED[name]
    path = torch_zip(tmp_path / f"x{ending}", instructions)
    with pytest.raises(WeightsError, match=said) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(str(path)) and "weights_only" not in str(caught.value)


def test_a_list_in_itself_is_read(tmp_path):
    held, _ = read_checkpoint(torch_zip(tmp_path / "x.pt", b"]q\0h\0a."))
    assert held[0] is held


def test_what_trainers_note_beside_the_weights_is_read_as_nothing(tmp_path):
    noted = {"best": np.float64(0.5), "args": argparse.Namespace(lr=0.1), "root": pathlib.Path("runs"), "grid": np.ones(3)}
    torch.save({"model": {"w": torch.ones(2)}, **noted}, tmp_path / "x.pt")
    held, _ = read_checkpoint(tmp_path / "x.pt")
    assert torch.equal(held["model"]["w"], torch.ones(2))
    assert not any(isinstance(held[key], type(value)) for key, value in noted.items())


def test_a_zip_that_claims_more_than_it_has_is_refused(tmp_path):
    torch.save({"w": torch.ones(100)}, tmp_path / "x.pt")
    whole = (tmp_path / "x.pt").read_bytes()
    directory = whole.find(b"PK\1\2")
    claims = bytearray(whole)
    claims[directory + 20 : directory + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    (tmp_path / "x.pt").write_bytes(claims)
    with pytest.raises(WeightsError, match=r"its entries claim 4,29\d,\d{3},\d{3} bytes, the whole file has"):
        read_checkpoint(tmp_path / "x.pt")


def test_a_zip_that_unpacks_to_more_than_it_has_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\2" + b"0" * 10**6)
    with pytest.raises(WeightsError, match=r"x/data.pkl is compressed .* `zip -0 -r`"):
        read_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("keep", [60, 120, -5])
def test_half_of_an_old_checkpoint_is_an_error(tmp_path, keep):
    torch.save({"w": torch.ones(100)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "x.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:keep])
    with pytest.raises(WeightsError, match="not a whole checkpoint.*fetch it again"):
        read_checkpoint(tmp_path / "x.pt")
