"""Fetching: from a server on loopback that breaks off, changes, lies and serves web pages."""

import contextlib
import hashlib
import http.server
import json
import re
import threading

import pytest
import torch

from labkit import zoo


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))


class Hub:
    """A file server on loopback that does ranges, can break off, and remembers what was asked of it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.etag = content, '"v1"'
        self.stop_after: int | None = None
        self.kind = "application/octet-stream"
        self.status: int | None = None
        self.asked: list[str | None] = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                span = self.headers.get("Range")
                hub.asked.append(span)
                if hub.status:
                    return self.send_error(hub.status)
                start = int(re.search(r"bytes=(\d+)-", span)[1]) if span else 0
                if span and self.headers.get("If-Range", hub.etag) != hub.etag:
                    start = 0
                if start and start >= len(hub.content):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                if start:
                    last = len(hub.content) - 1
                    self.send_header("Content-Range", f"bytes {start}-{last}/{len(hub.content)}")
                self.send_header("Content-Length", str(len(hub.content) - start))
                self.send_header("Content-Type", hub.kind)
                self.send_header("ETag", hub.etag)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # a client may have seen enough
                    self.wfile.write(hub.content[start : hub.stop_after])

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/last.ckpt"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub():
    server = Hub(bytes(range(256)) * 9000)  # 2.3 MB: several pieces
    yield server
    server.close()


def an_entry(hub: Hub, *before: str, sha256: str | None = "right") -> zoo.Entry:
    known = hashlib.sha256(hub.content).hexdigest() if sha256 == "right" else sha256
    return zoo.Entry(
        "tower", "vqgan", (*before, hub.url), known, len(hub.content), "MIT", "RGB in [-1, 1]"
    )


def test_fetch_once_then_from_the_cache_without_a_request(hub):
    seen = []
    path = zoo.fetch(an_entry(hub), progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == hub.content and len(hub.asked) == 1
    assert seen[-1] == (len(hub.content), len(hub.content)) and len(seen) > 1
    assert zoo.fetch(an_entry(hub)) == path and len(hub.asked) == 1
    assert json.loads(path.with_name(path.name + ".json").read_text())["verified"] is True
    assert not path.with_name(path.name + ".part").exists()


def test_fetch_prefers_converted_safetensors(hub):
    wanted = an_entry(hub)
    zoo.save_tensors(wanted.path, {"w": torch.ones(1)}, {})
    assert zoo.fetch(wanted) == wanted.path and hub.asked == []


def test_an_interrupted_fetch_goes_on_where_it_stopped(hub):
    hub.stop_after = 1_500_000
    with pytest.raises(zoo.WeightsNotFound, match="ended at 1500000 of 2304000 bytes"):
        zoo.fetch(an_entry(hub))
    hub.stop_after = None
    assert zoo.fetch(an_entry(hub)).read_bytes() == hub.content
    assert hub.asked == [None, "bytes=1500000-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(hub):
    hub.stop_after = 1_500_000
    with pytest.raises(zoo.WeightsNotFound):
        zoo.fetch(an_entry(hub, sha256=None))
    hub.stop_after, hub.content, hub.etag = None, b"other\0" * 400_000, '"v2"'
    assert zoo.fetch(an_entry(hub, sha256=None)).read_bytes() == hub.content


def test_a_part_that_is_already_whole_or_too_long_starts_anew(hub):
    hub.stop_after = 1_500_000
    with pytest.raises(zoo.WeightsNotFound):
        zoo.fetch(an_entry(hub))
    hub.stop_after = None
    part = zoo.published_path(an_entry(hub)).with_name("tower.ckpt.part")
    part.write_bytes(hub.content + b"more")
    assert zoo.fetch(an_entry(hub)).read_bytes() == hub.content
    assert hub.asked == [None, f"bytes={len(hub.content) + 4}-", None]


def test_a_wrong_hash_is_thrown_away_and_the_next_source_tried(hub):
    liar = Hub(b"lies")
    try:
        path = zoo.fetch(an_entry(hub, liar.url))
        assert path.read_bytes() == hub.content and len(liar.asked) == 1
        path.unlink()
        with pytest.raises(zoo.WeightsNotFound, match=f"sha256 is [0-9a-f]{{64}}, expected {'0' * 64}"):
            zoo.fetch(an_entry(hub, sha256="0" * 64))
        assert not path.exists() and not path.with_name(path.name + ".part").exists()
    finally:
        liar.close()


def test_the_first_digits_of_a_hash_are_enough_where_no_more_are_published(hub):
    known = hashlib.sha256(hub.content).hexdigest()[:8]
    path = zoo.fetch(an_entry(hub, sha256=known))
    assert json.loads(path.with_name(path.name + ".json").read_text())["verified"] is True
    path.unlink()
    with pytest.raises(zoo.WeightsNotFound, match="sha256 is [0-9a-f]{64}, expected 00000000"):
        zoo.fetch(an_entry(hub, sha256="0" * 8))


def test_without_a_known_hash_it_says_not_verified_and_records_what_came(hub, caplog):
    path = zoo.fetch(an_entry(hub, sha256=None))
    assert "tower.ckpt: not verified" in caplog.text
    record = json.loads(path.with_name(path.name + ".json").read_text())
    assert record == {
        "url": hub.url,
        "sha256": hashlib.sha256(hub.content).hexdigest(),
        "size": len(hub.content),
        "verified": False,
    }


def test_a_web_page_is_not_taken_for_the_file(hub):
    hub.kind = "text/html; charset=utf-8"
    with pytest.raises(zoo.WeightsNotFound, match="a web page instead of the file"):
        zoo.fetch(an_entry(hub, sha256=None))


@pytest.mark.parametrize(("content", "said"), [
    (b"<!DOCTYPE html><title>Quota exceeded</title>", "a web page .'Quota exceeded'."), (b'{"error": "gated"}', "a JSON text"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 605\n", "a pointer of large-file storage"),
])
def test_a_text_that_is_called_a_file_is_thrown_away(hub, content, said):
    hub.content, good = content, hub.content
    with pytest.raises(zoo.WeightsNotFound, match=f"answered with {said}"):
        zoo.fetch(an_entry(hub, sha256=None))
    hub.content = good
    assert zoo.fetch(an_entry(hub, sha256=None)).read_bytes() == good and hub.asked == [None, None]


def test_not_found_names_everything_a_reader_needs(hub):
    hub.status = 404
    dead = "http://127.0.0.1:9/last.ckpt"
    with pytest.raises(zoo.WeightsNotFound) as caught:
        zoo.fetch(an_entry(hub, dead, "ftp://example.org/x", "http://example.org/x"))
    said = str(caught.value)
    assert re.search(rf"{re.escape(dead)}: .*refused", said)
    assert f"{hub.url}: HTTP 404" in said
    assert "ftp is not https" in said and "http is not https" in said
    assert "2 MB" in said and "licence MIT" in said and "zoo get tower" in said
    assert str(zoo.published_path(an_entry(hub))) in said and "vqgan='pocket'" in said
