"""A folder of pictures with captions, CSV or JSON lines: what is read, and what is refused by name."""

import json

import pytest
from PIL import Image

from labkit.pairs.folder import read_captioned
from labkit.pairs.pair import PairsError
from labkit.pairs.pictures import fetch_pictures


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.jpg"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    return tmp_path


def csv(folder, text, name="metadata.csv"):
    (folder / name).write_text(text, encoding="utf-8")


def test_csv_and_json_lines_give_the_same(folder):
    csv(folder, 'file_name,text\na.png,"a red apple, in the snow"\nsub/b.jpg,NA\na.png,"zwei Äpfel"\n')
    pairs = read_captioned(folder)
    assert [(pair.image, pair.caption, pair.match) for pair in pairs] == [
        ("a.png", "a red apple, in the snow", True), ("sub/b.jpg", "NA", True), ("a.png", "zwei Äpfel", True)]
    (folder / "metadata.csv").unlink()
    lines = [{"file_name": pair.image, "text": pair.caption} for pair in pairs]
    csv(folder, "\n".join(map(json.dumps, lines)), "metadata.jsonl")
    assert read_captioned(folder) == pairs
    assert len(fetch_pictures(pairs, folder / "cache").pairs) == 3


def test_other_columns_and_another_list(folder):
    csv(folder, "picture,title,id,language,passage\na.png,12,x7,de,lang\n", "list.csv")
    (pair,) = read_captioned(folder, folder / "list.csv", picture="picture")
    assert (pair.id, pair.caption, pair.language, pair.passage, pair.path) == ("x7", "12", "de", "lang", folder / "a.png")


@pytest.mark.parametrize(("text", "words"), [
    ("file_name,text\nc.png,x\nd.png,y\na.png,z\n", "metadata.csv: 2 of its 3 pictures are not in .*: 'c.png', 'd.png'; put"),
    ("name,text\na.png,x\n", "metadata.csv: has no column 'file_name'; it has name, text; name the column of the picture by"),
    ("file_name,words\na.png,x\n", "metadata.csv: has no column 'text'; .* name the column of the caption by caption=…"),
    ("file_name,text\na.png,\n", "metadata.csv: record 1 has no text; complete it"),
    ("file_name,text\n,x\n", "metadata.csv: record 1 has no file_name"),
    ("file_name,text\n../a.png,x\n", "record 1: file_name '../a.png' must be a file below"),
    ("file_name,text,id\na.png,x,1\na.png,y,1\n", "an id comes twice"),
    ("file_name,text\n", "metadata.csv: (lists no picture|cannot be read)"),
    ("", "metadata.csv: (lists no picture|cannot be read as csv)"),
])
def test_lists_that_are_refused(folder, text, words):
    csv(folder, text)
    with pytest.raises(PairsError, match=words):
        read_captioned(folder)


def test_folders_that_are_refused(folder, tmp_path):
    with pytest.raises(PairsError, match="has 2 files and none of metadata.csv, .*; put a list there with the columns"):
        read_captioned(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PairsError, match="empty: is empty; put a list"):
        read_captioned(tmp_path / "empty")
    with pytest.raises(PairsError, match="no: no such folder"):
        read_captioned(tmp_path / "no")
    with pytest.raises(PairsError, match="list.txt: must end in .csv, .jsonl"):
        read_captioned(folder, folder / "list.txt")
    with pytest.raises(PairsError, match="list.csv: no such file"):
        read_captioned(folder, folder / "list.csv")
    csv(folder, '{"file_name": "a.png"', "metadata.jsonl")
    with pytest.raises(PairsError, match="metadata.jsonl: cannot be read as json"):
        read_captioned(folder)
