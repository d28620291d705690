"""Sets of sketches: strokes drawn where they are, broken lines listed, the same few chosen again, and zips read with care."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from labkit.sketches.prepare import SketchError
from labkit.sketches.sets import chosen, drawn, read_quickdraw, read_sketch_folder, read_sketch_zip, world_sketches


def row(k: int, word="cat", drawing=(((0, 255), (10, 10)), ((0, 0), (10, 200)))) -> str:
    return json.dumps({"word": word, "key_id": str(k), "drawing": drawing, "recognized": True})


def listed(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_strokes_are_drawn_where_they_are():
    """An L, twice as high as wide: its corner at the lower left, its ends at the upper left and the lower right."""
    picture = np.asarray(drawn([np.array([[0, 0], [0, 200], [100, 200]], float)], 64, 3).convert("L")) < 128
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    assert abs((rows[-1] - rows[0]) / (columns[-1] - columns[0]) - 2) < 0.15
    assert picture[rows[-1] - 1].sum() > 20 and picture[:, columns[0] + 1].sum() > 40 and not picture[20, 32:].any()
    assert abs(rows[0] + rows[-1] - 63) <= 1 and abs(columns[0] + columns[-1] - 63) <= 1


def test_a_list_is_read_line_by_line_and_broken_lines_are_listed(tmp_path):
    lines = [row(1), "{", row(2, drawing=[]), "", json.dumps({"word": "cat"}), row(3, drawing=[[[1], ["x"]]]), "7", row(4)]
    found = read_quickdraw(listed(tmp_path / "cat.ndjson", lines), size=32)
    assert [s.id for s in found.sketches] == ["1", "4"] and {s.label for s in found.sketches} == {"cat"}
    assert found.broken["id"].tolist() == [f"line {k}" for k in (2, 3, 5, 6, 7)]
    assert found.sketches[0].picture.size == (32, 32)


@pytest.mark.parametrize("line", [
    '{"word": "cat", "drawing": [[]]}', '{"word": "cat", "drawing": [[[1, 2]]]}', '{"word": "cat", "drawing": [[[1, 2], [1]]]}',
    '{"word": "cat", "drawing": [[[1' + "0" * 400 + '], [1]]]}', '{"word": "cat", "drawing": [[[1e999], [1]]]}',
    '{"word": "cat", "drawing": ' + "[" * 100_000 + "]" * 100_000 + "}",
], ids=["no points", "no y", "unequal", "too large", "infinite", "nested"])  # fmt: skip
def test_a_line_that_is_no_drawing_is_listed_and_the_rest_is_read(tmp_path, line):
    found = read_quickdraw(listed(tmp_path / "cat.ndjson", [line, row(1)]), size=32)
    assert [s.id for s in found.sketches] == ["1"] and found.broken["id"].tolist() == ["line 1"]


def test_a_list_without_a_drawing_is_no_list(tmp_path):
    with pytest.raises(SketchError, match="no line is a drawing"):
        read_quickdraw(listed(tmp_path / "a.ndjson", ["<html>"]))
    with pytest.raises(SketchError, match="no such file"):
        read_quickdraw(tmp_path / "none.ndjson")


def test_the_same_few_are_chosen_again_in_any_order_and_others_by_another_seed():
    ids = [(str(k), None) for k in range(1000)]
    first, again = chosen(ids, 50, 0), chosen(ids[::-1], 50, 0)
    assert {i for i, _ in first} == {i for i, _ in again} and len(first) == 50
    assert [int(i) for i, _ in first] == sorted(int(i) for i, _ in first), "in the set's own order"
    assert len({i for i, _ in first} & {i for i, _ in chosen(ids, 50, 1)}) < 12
    longer = chosen([*ids, *((str(k), None) for k in range(1000, 1100))], 50, 0)
    assert len({i for i, _ in first} & {i for i, _ in longer}) > 35


@pytest.fixture
def classes(tmp_path):
    for name, count in (("n01", 5), ("n02", 3)):
        folder = tmp_path / "sketch" / name
        folder.mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (k * 20, 0, 0)).save(folder / f"sketch_{k}.png")
    (tmp_path / "sketch" / "n02" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "sketch" / "readme.txt").write_text("words")
    return tmp_path / "sketch"


def test_a_zip_and_its_folder_give_the_same(classes, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(classes.rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path))
    zipped, loose = read_sketch_zip(tmp_path / "set.zip", n=4), read_sketch_folder(classes, n=4)
    for found in (zipped, loose):
        assert [s.label for s in found.sketches] == ["n01"] * 4 + ["n02"] * 3
        assert found.broken["id"].tolist() == ["sketch/n02/broken.jpg"]
    assert [s.picture.tobytes() for s in zipped.sketches] == [s.picture.tobytes() for s in loose.sketches]
    assert {s.label for s in read_sketch_zip(tmp_path / "set.zip", categories=["n02"]).sketches} == {"n02"}
    with pytest.raises(SketchError, match="has no category 'n09'; it has 2: n01, n02"):
        read_sketch_folder(classes, categories=["n09"])


def test_imagenet_s_numbers_become_its_words(tmp_path):
    """The order of the numbers is that of the classes; two are called crane."""
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for k in range(1000):
            archive.write(tmp_path / "p.png", f"sketch/n{k * 37 + 1440764:08d}/sketch_0.png")
    found = read_sketch_zip(tmp_path / "set.zip", categories=["tench", "goldfish", "toilet tissue"]).sketches
    assert [s.label for s in found] == ["tench", "goldfish", "toilet tissue"]
    assert [s.id.split("/")[1] for s in found] == [f"n{k * 37 + 1440764:08d}" for k in (0, 1, 999)]
    assert len({s.label for s in read_sketch_zip(tmp_path / "set.zip").sketches}) == 1000


def test_a_part_of_a_zip_that_cannot_be_unpacked_is_listed(classes, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("n02/sketch_0.png", "n02/sketch_1.png", "n02/sketch_2.png", "n02/._sketch_2.png"):
            archive.write(classes / name.replace("._", ""), f"sketch/{name}")
        first, second = (archive.getinfo(f"sketch/n02/sketch_{k}.png") for k in (0, 1))
    packed = bytearray((tmp_path / "set.zip").read_bytes())
    packed[first.header_offset + 30 + len(first.filename)] = 0xFF  # no block of deflate begins like that
    where = packed.index(second.filename.encode(), packed.index(b"PK\x01\x02")) - 46
    packed[where + 8] |= 1  # its entry says that it is encrypted
    (tmp_path / "set.zip").write_bytes(packed)
    found = read_sketch_zip(tmp_path / "set.zip")
    assert [s.id for s in found.sketches] == ["sketch/n02/sketch_2.png"], "and what a Mac left beside it is no sketch"
    assert found.broken["id"].tolist() == [first.filename, second.filename] and found.broken["reason"].str.len().min() > 5


def test_what_is_no_set_is_told(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(SketchError, match="is no zip file that can be read"):
        read_sketch_zip(tmp_path / "a.zip")
    with pytest.raises(SketchError, match="holds no pictures"):
        read_sketch_folder(tmp_path)
    with pytest.raises(SketchError, match="no such folder"):
        read_sketch_folder(tmp_path / "none")


def test_the_world_s_sketches_are_of_their_scenes():
    pairs = world_sketches(3, seed=5)
    assert [s.label for s, _ in pairs] == [scene.subjects[0].subject for _, scene in pairs]
    assert all(np.asarray(s.picture).min() < 100 and s.picture.size == (64, 64) for s, _ in pairs)
