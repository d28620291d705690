"""MUSTI's lists: what is read, what a label says, what is refused; splits that keep a picture together."""

import json
import math

import pytest

from labkit.pairs.musti import read_musti, write_musti
from labkit.pairs.pair import Pair, PairsError, label_table, scored, split_by_image

RECORD = {"id": 7, "image": "https://museum.example/a%20b.jpg", "language": "en", "subtask1_label": "YES",
          "subtask2_labels": ["flower", "wine"], "text": "He smelt the rose. ", "title": "Still life with roses"}


@pytest.fixture
def listed(tmp_path):
    def write(*changes, raw=None):
        path = tmp_path / "musti.json"
        records = [{k: v for k, v in (RECORD | {"id": n} | c).items() if v is not ...} for n, c in enumerate(changes)]
        path.write_bytes(raw if raw is not None else json.dumps(records).encode())
        return path

    return write


def test_a_record_becomes_a_pair(listed):
    assert read_musti(listed({"id": 7})) == [
        Pair("7", RECORD["image"], "Still life with roses", "He smelt the rose.", "en", True, ("flower", "wine"))
    ]


def test_an_empty_label_is_no_label_and_never_scored(listed):
    pairs = read_musti(listed({}, {"subtask1_label": "NO"}, {"subtask1_label": ""}, {"subtask1_label": ...}, {"title": None}))
    assert [pair.match for pair in pairs] == [True, False, None, None, True] and pairs[4].caption == ""
    assert [pair.id for pair in scored(pairs)] == ["0", "1", "4"]


def test_languages(listed):
    tongues = [("en", "YES"), ("de", "YES"), ("it", "NO"), ("de", "NO"), ("de", ""), ("de", "NO")]
    path = listed(*({"language": language, "subtask1_label": label} for language, label in tongues))
    assert [pair.id for pair in read_musti(path, ["de", "en"])] == ["0", "1", "3", "4", "5"]
    with pytest.raises(PairsError, match="musti.json: language 'sl': no record has it; there are 'de', 'en', 'it'"):
        read_musti(path, ["sl"])
    table = label_table(read_musti(path))
    assert table.loc["de"].tolist() == [1, 2, 1, 1, pytest.approx(2 / 3)] and table.loc["it", "majority"] == 1
    assert math.isnan(label_table([Pair("a", "b", "c")]).loc["(none)", "majority"])


@pytest.mark.parametrize(("change", "words"), [
    ({"image": ...}, "record 1: has no 'image'; it has id, language"),
    ({"text": ["a"]}, r"record 1: text must be a text; got \['a'\]"),
    ({"id": True}, "record 1: id must be a text; got True"),
    ({"image": " "}, "record 1: id and image must not be empty"),
    ({"subtask1_label": "MAYBE"}, "record 1: subtask1_label must be YES, NO or empty; got 'MAYBE'"),
    ({"subtask2_labels": "rose"}, "record 1: subtask2_labels must be a list of texts; got 'rose'"),
    ({"image": "/etc/passwd"}, "record 1: image '/etc/passwd' must be an https address, or a file below"),
    ({"image": "a/../../b.png"}, "must be an https address, or a file below"),
    ({"image": "C:\\b.png"}, "must be an https address, or a file below"),
])
def test_records_that_are_refused(listed, change, words):
    with pytest.raises(PairsError, match=f"musti.json: {words}" if words.startswith("record") else words):
        read_musti(listed(change))


@pytest.mark.parametrize(("raw", "words"), [
    (b"", "is no JSON"), (b"{", "is no JSON"), (b"[]", "must be a list of records, at least one"), (b"{}", "must be a list"),
    (b"[1]", "record 1: must be a table of fields; got 1"), (b"\xff\xfe\xfa", "musti.json: byte"),
    (json.dumps([RECORD, RECORD]).encode(), "id '7' comes twice"),
])
def test_files_that_are_refused(listed, raw, words):
    with pytest.raises(PairsError, match=words):
        read_musti(listed(raw=raw))


def test_no_file(tmp_path):
    with pytest.raises(PairsError, match="no.json: cannot be read .No such file or directory.; give the JSON of MUSTI"):
        read_musti(tmp_path / "no.json")


def test_what_is_written_is_read(tmp_path, listed):
    pairs = read_musti(listed({}, {"subtask1_label": "", "title": "Zürich – ‘rosé’"}, {"subtask1_label": "NO"}))
    assert read_musti(write_musti(tmp_path / "again.json", pairs)) == pairs


def many(n, texts=3):
    return [Pair(f"{k}-{j}", f"https://museum.example/{k}.jpg", "c") for k in range(n) for j in range(texts)]


def test_a_picture_is_in_one_part_only():
    parts = split_by_image(many(200), {"train": 0.8, "val": 0.1, "test": 0.1})
    images = {name: {pair.image for pair in pairs} for name, pairs in parts.items()}
    assert sum(map(len, images.values())) == len(set().union(*images.values())) == 200
    assert sum(map(len, parts.values())) == 600 and 140 <= len(images["train"]) <= 178
    assert split_by_image(many(200), {"train": 0.8, "val": 0.1, "test": 0.1}) == parts
    assert split_by_image(many(200), {"train": 0.8, "val": 0.1, "test": 0.1}, seed=1) != parts


def test_a_picture_stays_where_it_is_when_others_are_dead():
    before = split_by_image(many(200), {"train": 0.5, "test": 0.5})
    after = split_by_image(many(200)[60:], {"train": 0.5, "test": 0.5})
    assert all({pair.id for pair in after[name]} < {pair.id for pair in before[name]} for name in after)


def test_equal_files_are_one_picture(tmp_path):
    files = [tmp_path / f"{k}.png" for k in range(6)]
    for k, file in enumerate(files):
        file.write_bytes(bytes([k % 3]))  # three pictures at two addresses each
    pairs = [Pair(str(k), f"https://museum.example/{k}", "c", path=file) for k, file in enumerate(files)]
    parts = split_by_image(pairs, {"a": 1, "b": 1, "c": 1})
    assert sorted(sorted(int(pair.id) % 3 for pair in part) for part in parts.values()) == [[0, 0], [1, 1], [2, 2]]


def test_no_part_is_empty():
    for seed in range(20):
        assert all(split_by_image(many(3), {"train": 0.98, "val": 0.01, "test": 0.01}, seed).values())
    with pytest.raises(PairsError, match="split: 1 picture cannot make the 2 parts train, test; give at least 2 different"):
        split_by_image(many(1), {"train": 0.5, "test": 0.5})
    for shares in ({}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": math.inf}):
        with pytest.raises(PairsError, match="shares: "):
            split_by_image(many(3), shares)
