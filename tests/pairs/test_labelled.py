"""Labelled sets: layouts, twins across splits, cameras' rotation, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.pairs.groceries import world_set, write_world_set
from labkit.pairs.labelled import read_labelled
from labkit.pairs.pair import PairsError
from labkit.pairs.twins import mark_of, twins


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Blotches that differ by seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def lay(root, plan: dict[str, list]):
    """Write {"train/apple": [picture, …]} as PNGs."""
    for place, some in plan.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for k, one in enumerate(some):
            one.save(root / place / f"{k}.png")
    return root


def full(root, n: int = 3):
    return lay(root, {f"{split}/{label}": [picture(100 * i + 10 * j + k) for k in range(n)]
                      for i, split in enumerate(("train", "validation", "test"))
                      for j, label in enumerate(("apple", "bell_pepper"))})


def test_kaggle_s_layout(tmp_path):
    data = read_labelled(full(tmp_path), 16)
    assert data.classes == ("apple", "bell pepper") and not data.captioned and data.notices() == []
    assert [len(getattr(data, s)) for s in ("train", "validation", "test")] == [6, 6, 6]
    assert data.train.pictures.shape == (6, 3, 16, 16) and data.train.pictures.dtype == torch.uint8
    assert data.counts().loc["apple"].tolist() == [3, 3, 3]


def test_the_middle_square_and_not_a_squashed_picture(tmp_path):
    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    data = read_labelled(lay(full(tmp_path), {"train/apple": [wide]}), 20)
    assert (data.train.pictures[data.train.names.index("train/apple/0.png")][2] > 200).all()


def test_without_splits_a_class_is_dealt_out_the_same_way_each_time(tmp_path):
    root = lay(tmp_path, {label: [picture(10 * j + k) for k in range(10)] for j, label in enumerate(("apple", "carrot"))})
    data = read_labelled(root, 8)
    learnt, *others = data.counts().loc["apple"].tolist()
    assert learnt == 7 and sorted(others) == [1, 2] and read_labelled(root, 8).test.names == data.test.names


def test_what_comes_again_in_another_split_is_told_and_not_learned(tmp_path):
    root = full(tmp_path)
    same, near = picture(1), picture(2, (96, 80))
    same.save(root / "test" / "apple" / "again.png")
    near.save(root / "validation" / "apple" / "small.jpg", quality=60)
    data = read_labelled(root, 16)
    told = {row.file: (row.of, row.how) for row in data.twins.itertuples()}
    assert told == {"train/apple/1.png": ("test", "the same pixels"), "train/apple/2.png": ("validation", "nearly the same")}
    assert "train/apple/1.png" not in data.train.names and len(data.train) == 4
    assert "2 of train's pictures come again" in data.notices()[0]
    assert len(read_labelled(root, 16, keep_twins=True).train) == 6


def test_flat_pictures_are_no_twins_of_each_other():
    red, blue = (mark_of(Image.new("RGB", (20, 20), colour)) for colour in ("red", "blue"))
    assert twins([red], [blue]) == [] and twins([red], [red]) == [(0, 0, "the same pixels")] and twins([], [red]) == []


def test_a_camera_s_rotation_counts_before_twins_are_looked_for(tmp_path):
    root, upright = full(tmp_path), picture(77)
    turned, exif = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    upright.save(root / "test" / "apple" / "upright.png")
    turned.save(root / "train" / "apple" / "turned.png", exif=exif)
    data = read_labelled(root, 16)
    assert data.twins["file"].tolist() == ["train/apple/turned.png"] and data.twins["how"][0] == "the same pixels"


def test_broken_files_are_listed_and_the_others_used(tmp_path):
    root = full(tmp_path)
    (root / "train" / "apple" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (root / "test" / "apple" / "page.jpg").write_text("<html>not found</html>")
    data = read_labelled(root, 16)
    assert sorted(data.broken) == ["test/apple/page.jpg", "train/apple/0.png"] and len(data.train) == 5
    assert "2 files were left out" in data.notices()[0]


def test_captions_as_datasets_has_them(tmp_path):
    (tmp_path / "p").mkdir()
    lines = []
    for k in range(8):
        picture(k).save(tmp_path / "p" / f"{k}.png")
        lines.append({"file_name": f"p/{k}.png", "text": f"caption {k // 2}"})
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = read_labelled(tmp_path, 16)
    assert data.captioned and data.classes == tuple(f"caption {k}" for k in range(4))
    assert len(data.train) + len(data.validation) + len(data.test) >= 8 and len(data.test) >= 1


@pytest.mark.parametrize(("plan", "said"), [
    ({"train/apple": [1, 2, 3], "test/apple": [4]}, "has one class only, 'apple'; to tell apart there must be two"),
    ({"train/apple": [1, 2, 3], "train/kiwi": [4]}, "class 'kiwi' has one picture that can be opened"),
    ({"train": [1]}, "holds no pictures in folders named by their class"),
    ({}, "holds no pictures in folders named by their class"),
])
def test_sets_that_teach_nothing_are_refused(tmp_path, plan, said):
    root = lay(tmp_path, {place: [picture(k) for k in some] for place, some in plan.items()})
    with pytest.raises(PairsError, match=said):
        read_labelled(root, 16)


def test_a_set_of_broken_files_is_refused_by_its_first(tmp_path):
    for label in ("apple", "kiwi"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "train" / label / "a.jpg").write_text("no picture")
    with pytest.raises(PairsError, match=r"none of its 2 pictures can be opened; the first, train/apple/a.jpg: this is no"):
        read_labelled(tmp_path, 16)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PairsError, match="no such folder"):
        read_labelled(tmp_path / "gone", 16)


def test_the_world_s_set_is_the_same_from_files(tmp_path):
    data = world_set(2, 64)
    assert write_world_set(tmp_path, 2) == 7 * 6
    again = read_labelled(tmp_path, 64)
    assert again.classes == data.classes and torch.equal(again.train.pictures, data.train.pictures) and not len(again.twins)


@pytest.mark.parametrize("n", [0, 10_001])
def test_a_set_of_no_size(n):
    with pytest.raises(PairsError, match="n: must be 1 to 10,000"):
        world_set(n)
