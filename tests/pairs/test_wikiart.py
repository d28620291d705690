"""WikiArt from parquet, from folders and from a hub on loopback: labels, broken files, and what is not followed."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labkit.fetch import DownloadError
from labkit.pairs import wikiart
from labkit.pairs.pair import PairsError
from labkit.pairs.wikiart import LISTING, SHARD, WikiArt, fetch_wikiart
from tests.pairs.server import Museum

ARTISTS, STYLES = ["claude-monet", "pablo-picasso"], ["Impressionism", "Analytical_Cubism", "Cubism"]


def jpeg(k: int, size=(24, 20)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), 10 * k, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def bomb() -> bytes:
    """A small file of very many pixels."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


def shard(path, rows, named: bool = True):
    """A parquet file as `datasets` writes it: (bytes, path, artist, genre, style) a row."""
    image = pa.array([{"bytes": r[0], "path": r[1]} for r in rows], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": image, "artist": [r[2] for r in rows], "genre": [r[3] for r in rows],
                      "style": [r[4] for r in rows]})
    if named:
        kinds = {"artist": ARTISTS, "genre": ["portrait", "landscape"], "style": STYLES}
        features = {"image": {"_type": "Image"}} | {k: {"names": v, "_type": "ClassLabel"} for k, v in kinds.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


@pytest.fixture
def hub_copy(tmp_path):
    rows = [(jpeg(k), f"claude-monet_water-lilies-{k}.jpg", k % 2, 1, k % 2) for k in range(20)]
    rows[3] = (jpeg(3)[:200], "cut.jpg", 1, 0, 1)
    rows[5] = (None, "/etc/passwd", 1, 0, 1)
    rows[7] = (bomb(), "bomb.png", 1, 0, 1)
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", rows)
    shard(tmp_path / "data" / "train-00001-of-00002.parquet", [(jpeg(9), "../../x_guernica.jpg", 1, 0, 2)])
    return tmp_path / "data"


def test_parquet_is_read_by_names_and_what_is_broken_is_listed(hub_copy):
    art = WikiArt.of(hub_copy)
    found = list(art.paintings())
    assert len(found) == 18 and art.broken == 3 and "© original authors" in art.licence
    first = found[0]
    assert (first.artist, first.genre) == ("claude monet", "landscape")
    assert (first.style, first.title) == ("Impressionism", "water lilies 0")
    assert first.picture.size == (24, 20) and first.source == "train-00000-of-00002.parquet#0"
    assert (found[-1].artist, found[-1].style, found[-1].title) == ("pablo picasso", "Cubism", "guernica")
    why = {source.rpartition("#")[2]: words for source, words in art.skipped.items()}
    assert set(why) == {"3", "5", "7"} and "no bytes" in why["5"] and "too large" in why["7"]
    assert art.counts() == {"Analytical Cubism": 10, "Impressionism": 10, "Cubism": 1}
    assert art.counts("artist")["pablo picasso"] == 11


def test_pictures_are_found_by_artist_genre_and_style(hub_copy):
    art = WikiArt.of(hub_copy)
    assert {p.style for p in art.paintings(style="analytical-cubism")} == {"Analytical Cubism"}
    assert [p.title for p in art.paintings(artist="Pablo Picasso", style="cubism")] == ["guernica"]
    assert len(list(art.paintings(genre="landscape", most=4))) == 4
    drawn = [[p.source for p in WikiArt.of(hub_copy).paintings(seed=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] and sorted(drawn[0]) == sorted(drawn[2])
    with pytest.raises(PairsError, match="style: no painting in .* has 'baroque'; there are Analytical Cubism, Cubism, I"):
        list(art.paintings(style="Baroque"))
    with pytest.raises(PairsError, match="label: 'title' is none of artist, genre, style"):
        art.counts("title")


def test_a_picture_that_nobody_wants_is_not_decoded(hub_copy, monkeypatch):
    opened = []
    honest = wikiart.open_upload
    monkeypatch.setattr(wikiart, "open_upload", lambda *a: opened.append(1) or honest(*a))
    assert len(list(WikiArt.of(hub_copy).paintings(style="Cubism"))) == len(opened) == 1


def test_labels_without_names_and_files_that_are_no_parquet(tmp_path):
    shard(tmp_path / "a.parquet", [(jpeg(1), None, 4, None, 99)], named=False)
    (tmp_path / "b.parquet").write_bytes(b"PAR1, not really")
    pq.write_table(pa.table({"picture": [1]}), tmp_path / "c.parquet")
    art = WikiArt.of(tmp_path)
    (one,) = art.paintings()
    assert (one.artist, one.genre, one.style, one.title) == ("4", "", "99", "")
    assert "cannot be read as parquet" in art.skipped["b.parquet"] and "no column image" in art.skipped["c.parquet"]
    assert len(list(WikiArt.of(tmp_path / "a.parquet").paintings())) == 1, "a file by its name"


def test_a_folder_of_styles(tmp_path):
    for style, name, data in (("Cubism", "pablo-picasso_guernica-1937.jpg", jpeg(1)),
                              ("Cubism", "broken_x.jpg", b"\xff\xd8 no"),
                              ("Pointillism", "untitled.png", jpeg(2)), (".hidden", "a_b.jpg", jpeg(3))):
        (tmp_path / "art" / style).mkdir(parents=True, exist_ok=True)
        (tmp_path / "art" / style / name).write_bytes(data)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a_key.jpg").write_bytes(jpeg(4))
    (tmp_path / "art" / "Cubism" / "x_link.jpg").symlink_to(tmp_path / "secret" / "a_key.jpg")
    art = WikiArt.of(tmp_path / "art")
    found = [(p.style, p.artist, p.title) for p in art.paintings()]
    assert found == [("Cubism", "pablo picasso", "guernica 1937"), ("Pointillism", "untitled", "")]
    assert list(art.skipped) == ["Cubism/broken_x.jpg"], "and a link that leads out of the folder is not looked at"


def test_places_that_hold_nothing(tmp_path):
    with pytest.raises(PairsError, match="no such folder; give the folder of WikiArt's"):
        WikiArt.of(tmp_path / "nowhere")
    with pytest.raises(PairsError, match="has no parquet file, and no folder of a style"):
        WikiArt.of(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(PairsError, match="is no parquet file"):
        WikiArt.of(tmp_path / "x.txt")


@pytest.fixture
def hub(tmp_path, hub_copy):
    server = Museum(tmp_path)
    names = sorted(path.name for path in hub_copy.iterdir())
    listed = [{"path": f"data/{name}", "type": "file"} for name in names]
    server.answers[LISTING] = json.dumps([{"path": "data/../../evil.parquet"}, {"path": "data/README.md"}, *listed]).encode()
    for name in names:
        server.answers[SHARD.format(name)] = (hub_copy / name).read_bytes()
    yield server
    server.close()


def test_a_hub_on_loopback_is_asked_for_as_many_files_as_wanted(hub, tmp_path):
    told = []
    art = fetch_wikiart(tmp_path / "got", 1, hub.url, done=lambda *way: told.append(way))
    assert len(list(art.paintings())) == 17 and told == [(1, 1)]
    assert sorted(p.name for p in (tmp_path / "got").glob("*.parquet")) == ["train-00000-of-00002.parquet"]
    both = fetch_wikiart(tmp_path / "got", 2, hub.url)
    assert len(list(both.paintings())) == 18
    assert hub.asked.count(SHARD.format("train-00000-of-00002.parquet")) == 1, "what is there is not fetched again"
    assert not [path for path in hub.asked if "evil" in path]


@pytest.mark.parametrize(("answer", "error", "words"), [
    (b"{}", PairsError, "is no list of files|lists no parquet"), (b"[", PairsError, "is no list of files"),
    (b"[]", PairsError, "lists no parquet file"), (404, DownloadError, "404"),
    (b" " * 1_000_001, DownloadError, "larger than 1 MB"),
])
def test_a_hub_that_answers_something_else(hub, tmp_path, answer, error, words):
    hub.answers[LISTING] = answer
    with pytest.raises(error, match=words):
        fetch_wikiart(tmp_path / "got", 1, hub.url)
