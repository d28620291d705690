"""What a file is, by its content: whatever arrives under a checkpoint's name is named for what it is."""

import io
import os
import pickle
import shlex
import struct
import tarfile
import zipfile

import pytest
import torch

from labkit.models.vqgan import VQGAN, VQGANConfig, load_vqgan
from labkit.weights import WeightsError, WeightsNotFound, load_tensors, read_checkpoint, recognise
from labkit.zoo import convert

ADVICE = ("weights_only", "allowlist", "safe_globals", "trust", "unsafe")


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("last.ckpt"))
    return buffer.getvalue()


def header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + b"\0" * 100


PAGE = b"<!DOCTYPE html><html><head><title>Drive - Quota exceeded</title></head>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 980000000\n"
NONE_OF_THEM = {
    "page": (PAGE, "a web page .'Drive - Quota exceeded'., not a checkpoint"),
    "page with a mark and blanks": (b"\xef\xbb\xbf \r\n\t" + PAGE, "a web page"),
    "page after comments": (b"<!-- saved -->\n<?xml version='1.0'?>\n<!-- b --> <HTML lang=de>", "a web page"),
    "page after an endless comment": (b"<!--" + b"x" * 9000 + b"--><html>", "a web page"),
    "page in UTF-16": ("\ufeff<html><title>Anmeldung</title>".encode("utf-16-le"), "a web page .'Anmeldung'."),
    "page in Latin-1": ("<html><title>supprim\xe9</title>".encode("latin-1"), "a web page .'supprim\xe9'."),
    "page that commands a terminal": (b"<html><title>\x1b[31mred</title>", r"a web page .'\\x1b\[31mred'."),
    "part of a page": (b"<div class=error>Sign in</div>", "a web page"),
    "JSON": (b'{"error": "Repository not found"}', 'a JSON text .{"error": "Repository not found"}.'),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML text .AccessDenied."),
    "headers": (b"HTTP/1.1 302 Found\r\nLocation: x\r\n", "a server's answer .HTTP/1.1 302 Found."),
    "text": (b"see the other folder\n", "a text .'see the other folder'., not a checkpoint"),
    "LFS": (LFS, r"a pointer of large-file storage .*real file with `git lfs pull`; 980,000,000 bytes are promised"),
    "annex": (b"/annex/objects/SHA256E-s31390--f5.ckpt\n", "a pointer of large-file storage .*git annex get.*31,390 bytes"),
    "empty": (b"", "an empty file; fetch it again"),
    "blanks": (b" \n\n", "a file of blanks; fetch it again"),
    "zeros": (b"\0" * 5000, "zero bytes .*fetch it again"),
    "short": (b"\x01\xff\xfe\x02", "a file of 4 bytes, too short"),
    "unknown": (b"\xfe\xfd\xfc" * 100, "unknown to labkit .it begins with the bytes fe fd fc"),
    "gzip": (b"\x1f\x8b\x08" + b"\x99" * 99, "a gzip archive; unpack it"),
    "tar": (tarred(), "a tar archive; unpack it and give the checkpoint inside"),
    "zip": (zipped(**{"last.ckpt": b"x"}), r"a zip archive, but no torch checkpoint .it holds last.ckpt.; unpack it"),
    "npz": (zipped(**{"a.npy": b"x"}), "NumPy's arrays"),
    "TorchScript": (zipped(**{"m/data.pkl": b"x", "m/constants.pkl": b"", "m/code/m.py": b""}), "a TorchScript archive"),
    "half a zip": (zipped(**{"m/data.pkl": b"x" * 999})[:500], "not whole .*fetch it again"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "an HDF5 file"),
    "GGUF": (b"GGUF\3\0\0\0" + b"\0" * 99, "a GGUF file"),
    "ONNX": (b"\x08\x07\x12\x07pytorch" + b"\0" * 99, "an ONNX model"),
    "picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "a picture .PNG."),
    "pickle": (pickle.dumps({"w": 1}), "a bare pickle .* not a checkpoint of torch.save"),
    "old pickle": (pickle.dumps({"w": 1}, protocol=0), "a bare pickle .* not a checkpoint of torch.save"),
    "half a header": (struct.pack("<Q", 5000) + b'{"w":', "safetensors that are not whole .its header alone needs 5,008 bytes"),
    "a header of terabytes": (header(b'{"w":1}', 2**42), "its header claims 4,398,046,511,104 bytes"),
    "a header of brackets": (header(b'{"w":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "its header is damaged"),
    "numbers of terabytes": (header(b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'),
                             "its header promises 4,000,000,000,086 bytes, the file has 186"),
    "metadata of brackets": (header(b'{"__metadata__":{"labkit":"' + b"[" * 10**5 + b'"}}')[:-100], "metadata is not JSON"),
}


@pytest.mark.parametrize("name", NONE_OF_THEM)
@pytest.mark.parametrize("ending", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("door", [convert, load_vqgan, load_tensors], ids=["convert", "vqgan", "tensors"])
def test_what_is_no_checkpoint_is_called_by_its_name_at_every_door(tmp_path, name, ending, door):
    content, said = NONE_OF_THEM[name]
    path = tmp_path / f"last{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"(?s)last{ending}: .*{said}") as caught:
        door(path, *([tmp_path / "out.safetensors"] if door is convert else []))
    assert not any(word in str(caught.value) for word in ADVICE) and "\x1b" not in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_pipes_folders_and_links_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    (tmp_path / "annexed.ckpt").symlink_to("../.git/annex/objects/aa/SHA256E-s5--x.ckpt")
    for path, kind, said in [
        (tmp_path / "pipe.ckpt", WeightsError, "no regular file"), (tmp_path, WeightsError, "is a folder; give the file"),
        (tmp_path / "annexed.ckpt", WeightsNotFound, "fetch the real file with `git annex get annexed.ckpt`"),
        (tmp_path / "none.ckpt", WeightsNotFound, "no such file"),
    ]:
        with pytest.raises(kind, match=said):
            read_checkpoint(path)


def test_what_can_be_read_is_known_whatever_its_name(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "new.safetensors")
    torch.save({"w": torch.ones(2)}, tmp_path / "old.txt", _use_new_zipfile_serialization=False)
    for name, kind in {"new.safetensors": "torch", "old.txt": "torch-legacy"}.items():
        assert recognise(tmp_path / name).name == kind
        held, found = read_checkpoint(tmp_path / name)
        assert found == kind and torch.equal(held["w"], torch.ones(2))


def test_a_pickle_that_calls_itself_safetensors_comes_with_a_command_that_works(tmp_path):
    small = VQGANConfig(ch=32, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), z_channels=32, embed_dim=16, n_embed=20)
    path = tmp_path / "it's mine.safetensors"
    torch.save(VQGAN(small).state_dict(), path)
    with pytest.raises(WeightsError, match="a torch checkpoint, a pickle, which is not loaded as it is") as caught:
        load_vqgan(path)
    words = shlex.split(str(caught.value).split("`")[1])
    assert words[:4] == ["python", "-m", "labkit", "convert"] and words[4] == str(path) != words[5]
    assert load_vqgan(convert(*words[4:])).n_embed == 20


def test_a_pickle_without_named_tensors_gets_no_advice_to_convert_it(tmp_path):
    torch.save({5: torch.ones(1), "epoch": 3}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"(?s)no tensor in it has a name.*5 \(a number for a name\).*epoch") as caught:
        load_tensors(tmp_path / "x.pt")
    assert "labkit convert" not in str(caught.value)
