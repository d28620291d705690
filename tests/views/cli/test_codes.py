"""`codes` and `musti`: a set of the world is made, fetched, encoded and looked at; mistakes are told in a line."""

import json

import pandas as pd
import pytest

from labkit.latents.codes import CodeStore
from labkit.pairs.musti import read_musti
from labkit.pairs.world import write_world
from labkit.views.cli import main
from tests.latents.stores import header, rows


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_world(folder, 3)
    return folder


def test_a_set_of_the_world(here, capsys):
    assert main(["musti", "world", "--out", "w", "--n", "1", "--base-url", "http://127.0.0.1:9"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "w/musti.json"
    assert {pair.image for pair in read_musti("w/musti.json")} == {"http://127.0.0.1:9/pictures/000000.png"}
    for args, words in ((["--n", "0"], "--n: must be 1 to"), (["--split", "x"], "--split='x': use one of train")):
        assert main(["musti", "world", "--out", "v", *args]) == 2 and words in capsys.readouterr().err
    assert not (here / "v").exists()


def test_fetching_reports_what_is_dead(here, world, capsys):
    records = json.loads((world / "musti.json").read_text())
    for record in records:
        record["image"] = str(record["image"]).replace("pictures/000001", "pictures/gone")
    (world / "some-dead.json").write_text(json.dumps(records))
    assert main(["musti", "fetch", str(world / "some-dead.json"), "--out", "pics"]) == 0
    said = capsys.readouterr()
    assert "8 of 12 pairs have their picture at hand" in said.out and "pictures left out: 1 dead" in said.err
    report = pd.read_csv("pics/dead-links.csv")
    assert report["image"].tolist() == ["pictures/gone.png"] and report["pairs"].tolist() == [4]
    assert main(["musti", "fetch"]) == 2 and "musti fetch: give the list" in capsys.readouterr().err
    assert main(["musti", "fetch", "no.json"]) == 2 and "no.json: cannot be read" in capsys.readouterr().err


def test_extract_and_inspect(here, world, capsys):
    args = ["codes", "extract", str(world / "musti.json"), "--kind", "vqgan", "--embed", "clip", "--out", "c.lmdb"]
    assert main([*args, "--split", "val"]) == 0
    said = capsys.readouterr()
    pairs = [pair for pair in read_musti(world / "musti.json") if pair.match]
    assert f"c.lmdb: {len(pairs)} encoded, 0 there before, 0 pictures left out" in said.out
    assert f"{12 - len(pairs)} texts that do not belong to their picture, or are not labelled, are left out" in said.err
    assert CodeStore("c.lmdb").read().ids == [pair.id for pair in pairs]
    assert main([*args, "--split", "val"]) == 0 and f"0 encoded, {len(pairs)} there before" in capsys.readouterr().out
    assert main(args) == 2 and "split: the store has val, now it would be ''" in capsys.readouterr().err
    assert main(["codes", "inspect", "c.lmdb"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"c.lmdb: {len(pairs)} records") and "192 × float16 of the caption, by clip pocket" in said.out
    assert "16 × 16" in said.out and "split      val" in said.out and "checksum is right" in said.err


@pytest.mark.parametrize(("args", "words"), [
    (["inspect", "no.lmdb"], "no.lmdb: no such file"),
    (["inspect", "."], "is a folder; give the file in it"),
    (["extract", ".", "--kind", "vqvaes"], "--kind: 'vqvaes' is none of"),
    (["extract", ".", "--kind", "vqgan"], ".: is empty; put a list there"),
    (["extract", "no.json", "--kind", "vqgan"], "no.json: cannot be read"),
])
def test_mistakes(here, capsys, args, words):
    assert main(["codes", *args]) == 2 and words in capsys.readouterr().err
    assert not list(here.glob("**/*.lmdb"))


def test_a_damaged_store_is_told(here, capsys):
    store = CodeStore.create("c.lmdb", header())
    store.put(range(200), rows(range(200)))
    del store
    data = bytearray((here / "c.lmdb").read_bytes())
    at = data.rindex(b"rec-7")
    data[at - 3] ^= 0xFF
    (here / "c.lmdb").write_bytes(data)
    assert main(["codes", "inspect", "c.lmdb"]) == 2
    assert "is damaged; extract the codes again" in capsys.readouterr().err


def test_what_a_store_says_cannot_command_a_terminal(here, capsys):
    CodeStore.create("c.lmdb", header(split="\x1b[31mred"))
    assert main(["codes", "inspect", "c.lmdb"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\\x1b[31mred" in said
