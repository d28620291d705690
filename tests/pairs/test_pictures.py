"""Fetching the pictures of a list from a museum on loopback: dead links, half files, slow servers, and what is kept."""

import json
import time
from dataclasses import replace

import pytest

from labkit import fetch
from labkit.fetch import DownloadError, Limits, download
from labkit.files import NotWritable
from labkit.image import open_upload
from labkit.pairs.musti import read_musti
from labkit.pairs.pair import PairsError
from labkit.pairs.pictures import fetch_pictures

QUICK = Limits(size=100_000, silence=0.6, seconds=1.5, tries=2, pause=0.01)


def served(world, museum):
    """The world's pairs with addresses of the museum."""
    return [replace(pair, image=f"{museum.url}/{pair.image}", path=None) for pair in read_musti(world / "musti.json")]


def name(k):
    return f"/pictures/{k:06d}.png"


def test_each_picture_is_fetched_once_whoever_has_it(world, museum, tmp_path):
    found = fetch_pictures(served(world, museum), tmp_path, QUICK)
    assert len(found.pairs) == 24 and found.report.empty and sorted(museum.asked) == [name(k) for k in range(6)]
    assert {open_upload(pair.path).size for pair in found.pairs} == {(64, 64)}
    again = fetch_pictures(served(world, museum), tmp_path, QUICK)
    assert again.pairs == found.pairs and len(museum.asked) == 6, "from the cache, without a request"


def test_dead_broken_and_slow_ones_are_listed_and_the_others_stay(world, museum, tmp_path):
    broken = b"\x89PNG\r\n\x1a\n, not really"
    museum.answers |= {name(0): 404, name(1): broken, name(2): "drip", name(3): "page", name(4): "cut"}
    started, told = time.monotonic(), []
    found = fetch_pictures(served(world, museum), tmp_path, QUICK, done=lambda *way: told.append(way))
    assert time.monotonic() - started < 12
    assert {pair.image[-5] for pair in found.pairs} == {"5"} and sorted(told) == [(k, 6) for k in range(1, 7)]
    report = found.report.set_index(found.report["image"].str[-5].astype(int))
    assert report["state"].to_dict() == {k: "broken" if k == 1 else "dead" for k in range(5)}
    assert (report["pairs"] == 4).all() and report.loc[0, "ids"].split() == [f"world-train-000000-{j}" for j in range(4)]
    for k, words in enumerate(["HTTP 404 Not Found", "cut short", "took more than 1.5 s", "web page", "ended at"]):
        assert words in report.loc[k, "reason"]


def test_what_is_asked_for_again(world, museum, tmp_path):
    museum.answers |= {name(0): 404, name(1): b"\x89PNG broken", name(2): 503}
    fetch_pictures(served(world, museum), tmp_path, QUICK)
    assert museum.asked.count(name(0)) == 1, "404 is an answer"
    assert museum.asked.count(name(2)) == 2, "503 may be another one in a moment"
    museum.asked.clear(), museum.answers.clear()
    found = fetch_pictures(served(world, museum), tmp_path, QUICK)
    assert museum.asked == [name(2)] and len(found.report) == 2
    assert fetch_pictures(served(world, museum), tmp_path, QUICK, again=True).report["state"].tolist() == ["broken"]
    assert museum.asked[1:] == [name(0)], "what has come is not fetched again"


def test_a_server_that_recovers_within_the_tries(world, museum, tmp_path):
    museum.answers[name(0)], museum.after[name(0)] = 503, 1
    museum.answers[name(1)], museum.after[name(1)] = "cut", 1
    assert len(fetch_pictures(served(world, museum), tmp_path, QUICK).pairs) == 24
    assert museum.asked.count(name(0)) == museum.asked.count(name(1)) == 2


@pytest.mark.parametrize(("how", "words", "final"), [
    ("large", "is larger than 0.1 MB", True), ("endless", "is larger than 0.1 MB", True), ("silence", "timed out", False),
    ("drip", "took more than", False), (410, "HTTP 410", True), (429, "HTTP 429", False),
])
def test_limits_of_a_download(museum, tmp_path, how, words, final):
    museum.answers["/x.png"] = how
    (museum.folder / "x.png").write_bytes(b"\x89PNG" * 2000)
    limits = replace(QUICK, tries=1, silence=0.3, seconds=0.8)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=words) as caught:
        download((f"{museum.url}/x.png",), tmp_path / "x", limits=limits)
    assert caught.value.final is final and time.monotonic() - started < 6 and not (tmp_path / "x").exists()
    if how in ("large", "endless"):
        assert not (tmp_path / "x.part").exists(), "a part that is too large is not gone on with"


def test_plain_http_is_asked_for_as_https(world, tmp_path, monkeypatch):
    asked = []

    def refuse(sources, target, **more):
        asked.extend(sources)
        raise DownloadError([(sources[0], "no network")])

    monkeypatch.setattr("labkit.pairs.pictures.download", refuse)
    pairs = [replace(pair, image=pair.image.replace("pictures", "http://museum.example"), path=None)
             for pair in read_musti(world / "musti.json")]
    with pytest.raises(PairsError, match="none of the 6 is at hand: dead: http://museum.example/000000.png: no network"):
        fetch_pictures(pairs, tmp_path)
    assert set(asked) == {f"https://museum.example/{k:06d}.png" for k in range(6)}


def test_files_beside_the_list(world, tmp_path):
    found = fetch_pictures(read_musti(world / "musti.json"), tmp_path)
    assert len(found.pairs) == 24 and found.pairs[0].path == (world / "pictures" / "000000.png").resolve()
    pairs = [pair.at(tmp_path / "b.png") if pair.image.endswith("1.png") else pair for pair in found.pairs]
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert fetch_pictures(pairs, tmp_path).report[["state", "pairs"]].values.tolist() == [["broken", 4]]
    (tmp_path / "b.png").write_bytes(found.pairs[0].path.read_bytes())
    assert fetch_pictures(pairs, tmp_path).report.empty, "a file that was mended"
    missing = [replace(pair, path=None) if pair.image.endswith("1.png") else pair for pair in found.pairs]
    assert fetch_pictures(missing, tmp_path).report["reason"].tolist() == ["no such file beside the list"]


def test_an_interrupt_keeps_the_ledger(world, museum, tmp_path):
    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_pictures(served(world, museum), tmp_path, QUICK, at_once=1, done=stop)
    assert json.loads((tmp_path / "pictures.json").read_text())
    (tmp_path / "pictures.json").write_text("{ no json")
    assert len(fetch_pictures(served(world, museum), tmp_path, QUICK).pairs) == 24


def test_nothing_to_fetch_and_nowhere_to_put_it(world, tmp_path):
    with pytest.raises(PairsError, match="pairs: there is none"):
        fetch_pictures([], tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotWritable, match="a file, not a folder"):
        fetch_pictures(read_musti(world / "musti.json"), tmp_path / "file")


def test_the_limits_of_weights_are_as_they_were():
    assert Limits() == Limits(size=None, silence=fetch.TIMEOUT, seconds=None, tries=1)
