"""The door of the command line: what there is to call, exit codes, messages, and words that are no text."""

import io
import os
import re
import subprocess
import sys

import pytest

import labkit
from labkit import methods
from labkit.files import FileError, NotWritable
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.spec import METHODS, SpecError
from labkit.views import cli
from labkit.views.cli import every_command, main
from labkit.views.cli.handover import ROOT
from tests.views.support import FakeLab, Noise

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def python(*args, **env):
    return subprocess.run([sys.executable, *args], capture_output=True, timeout=120, cwd=ROOT, env={**os.environ, **env})


def test_importing_labkit_and_help_load_no_torch():
    ask = ("import labkit, sys; from labkit.views.cli import main; assert main(['--help']) == 0; "
           "assert not {'torch', 'gradio', 'tyro', 'pandas', 'pydantic'} & set(sys.modules), sorted(sys.modules)")
    done = python("-c", ask, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert all(len(line) <= 100 for line in lines)
    told = {line.split()[0]: line.split(maxsplit=1)[1:] for line in lines if line.startswith("  ")}
    assert {"paint", "diffuse", "matrix", "sweep", "demo", "vqgan-clip", "similarity-matrix", "key-phrases"} <= set(told)
    assert all(told.values()), "each says what it does"


def test_names_of_the_package():
    for name in labkit.__all__:
        assert getattr(labkit, name) is not None
    assert labkit.VQGANCLIP is VQGANCLIP and "Lab" in dir(labkit)
    with pytest.raises(AttributeError, match="no attribute 'Lob'"):
        labkit.Lob  # noqa: B018
    assert labkit.__version__ == labkit.collect(Noise(), FakeLab()).recipe["labkit"]


def test_methods_and_measures_are_found_without_importing_them():
    assert methods.load("vqgan_clip") is VQGANCLIP and methods.summary("vqgan_clip").startswith("VQGAN+CLIP")
    assert "VQGANCLIP" in methods.load_all() and methods.load_all() is METHODS
    found = methods.measures()["similarity-matrix"]
    assert found.load() is labkit.SimilarityMatrix and found.summary == "How near each text is to each image."
    assert methods.measures()["key-phrases"].load() is labkit.KeyPhrases
    with pytest.raises(SpecError, match="method: 'vqgan' is none of .*vqgan_clip"):
        methods.load("vqgan")
    ask = ("import sys; from labkit import methods; assert methods.measures() and methods.names(); "
           "assert 'torch' not in sys.modules and 'labkit.clip' not in sys.modules")
    assert python("-c", ask).returncode == 0


@pytest.mark.parametrize(("name", "kebab"), [
    ("SimilarityMatrix", "similarity-matrix"), ("KID", "kid"), ("CLIPScore", "clip-score"), ("TSNE2D", "tsne2-d")])
def test_kebab(name, kebab):
    assert methods.kebab(name) == kebab


@pytest.mark.parametrize("name", sorted({*every_command(), "survey new"} - {"lab", "apps", "train", "survey"}))
def test_every_help_is_readable(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: labkit {name}" in out and max(map(len, out.splitlines())) <= 100
    assert "default: None" not in out


def test_unknown_command(capsys):
    assert main(["pant"]) == 2 and "did you mean paint" in capsys.readouterr().err
    assert main(["simlarity-matrix"]) == 2 and "did you mean similarity-matrix?" in capsys.readouterr().err
    assert main([]) == 2 and main(["--version"]) == 0


def test_a_new_file_is_a_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "greet.py").write_text('"""Say hello."""\ndef main(args):\n    print("hello", *args)\n    return 0\n')
    from labkit.views.cli import commands as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    assert main(["--help"]) == 0 and re.search("^  greet +Say hello$", capsys.readouterr().out, re.M)
    assert main(["greet", "you"]) == 0 and capsys.readouterr().out == "hello you\n"


def raising(error, monkeypatch):
    def fail(args):
        raise error

    monkeypatch.setattr(cli, "dispatch", fail)
    return main(["x"])


@pytest.mark.parametrize(("error", "code", "words"), [
    (SpecError("steps: is wrong"), 2, "labkit: steps: is wrong"),
    (NotWritable("x.png: the disk is full"), 2, "the disk is full"),
    (FileError("x.png: the disk is full"), 1, "the disk is full"),
    (OSError(28, "No space left on device", "x"), 1, "labkit: x: no space left on device"),
    (PermissionError(13, "Permission denied", "x"), 2, "labkit: x: permission denied"),
    (KeyError("start"), 1, "Traceback"),
    (ValueError("of a library"), 1, "Traceback"),
    (OSError("of a library, without a number"), 1, "Traceback"),
    (KeyboardInterrupt(), 130, "stopped"),
])  # fmt: skip
def test_exit_codes(error, code, words, monkeypatch, capsys):
    assert raising(error, monkeypatch) == code
    err = capsys.readouterr().err
    assert words in err and ("Traceback" in err) == (words == "Traceback"), "only our own faults come with a traceback"


def test_a_file_s_own_words_cannot_move_the_terminal_nor_fill_it(monkeypatch, capsys):
    assert raising(SpecError("\n".join(["wrong: \x1b[31mred\x1b[2J\u202e", *["more"] * 1000, "x" * 10_000])), monkeypatch) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err and "\u202e" not in err and r"\x1b[31mred" in err and len(err) < 2000


@pytest.mark.parametrize("args", [
    ["matrix", "--texts", "\udcff", "--images", "x.png"], ["paint", "a \udce9 dog"], ["paint", "x", "--out", "\udcff.png"],
    ["\udcff"], ["sweep", "x", "--over", "seed", "\udcff"]])
def test_bytes_that_are_no_text_are_refused_plainly(args, capsys):
    assert main(args) == 2
    err = capsys.readouterr().err
    assert "is no text" in err and "UTF-8" in err and "Traceback" not in err
    assert f"argument {next(k for k, a in enumerate(args) if not a.isascii()) + 1}" in err


def test_every_word_can_be_typed_where_the_locale_knows_ascii_only(tmp_path):
    """The process turns to UTF-8: a file of that name is found (and is no picture), and bytes that are no UTF-8 are refused."""
    (tmp_path / "café.png").write_text("no picture")
    ask = ["-m", "labkit", "matrix", "--texts", "кот", "--images"]
    found = python(*ask, str(tmp_path / "café.png"), **ASCII)
    assert found.returncode == 2 and "this is no picture" in found.stderr.decode() and "café.png" in found.stderr.decode()
    refused = python(*ask, b"\xff", **ASCII)
    assert refused.returncode == 2 and rb"(\xff) is no text" in refused.stderr and b"Traceback" not in refused.stderr


def test_a_terminal_without_arrows(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(cli, "dispatch", lambda args: print("0.1 → 0.2") or 0)
    assert main(["x"]) == 0
    out.flush()
    assert b"0.1 ? 0.2" in out.buffer.getvalue()
