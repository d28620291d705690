"""`labkit project FOLDER`: anyone's pictures become one page; what cannot be mapped is told before any work."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labkit.views.cli import main


@pytest.fixture
def folder(here):
    rng = np.random.default_rng(0)
    for k in range(8):
        path = here / "pictures" / "ab"[k % 2] / f"{k}<b>.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16 + k, 30, 3), dtype=np.uint8)).save(path)
    (here / "pictures" / "broken.png").write_bytes(b"nothing")
    return here / "pictures"


def test_pictures_of_unequal_sizes_become_linked_maps(lab, folder, here, capsys):
    (here / "c.csv").write_text("file_name,text,year\na/0<b>.png,=first,1990\n")
    command = ["project", "pictures", "--way", "tsne",
               "--perplexity", "2", "--beside", "vqgan-mean/pca", "blip/pca", "vqvae-codes", "--captions", "c.csv", "--out",
               "m.html", "--csv", "m.csv", "--png", "m.png"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["m.html", "m.png", "m.csv"] and "left out: pictures/broken.png" in said.err
    assert "trustworthiness" in said.err
    table = pd.read_csv("m.csv")
    assert len(table) == 8 and table["caption"][0] == "'=first" and list(table["folder"]) == ["a"] * 4 + ["b"] * 4
    data = json.loads(re.search(r'id="data">(.*?)</script>', (here / "m.html").read_text(encoding="utf-8"), re.DOTALL)[1])
    titles = [m["title"][:10] for m in data["maps"]]
    assert data["n"] == 8 and titles == ["clip, t-SN", "vqgan-mean", "blip, PCA,", "vqvae-code"]
    assert [c["name"] for c in data["labels"]] == ["folder", "year"] and data["names"][0] == "a/0<b>.png"


@pytest.mark.parametrize(("args", "said"), [
    (["pictures", "--way", "tsne"], "pictures: perplexity: 30 needs 91 points"),
    (["pictures", "--way", "pca", "--beside", "vqgan-flat/tsne"], "perplexity: 30 needs 91 points"),
    (["pictures", "--way", "pca", "--beside", "clip/umap"], "--beside: clip/umap: way"),
    (["pictures", "--way", "pca", "--captions", "none.csv"], "none.csv: no such file"),
    (["pictures", "--way", "pca", "--out", "map.png"], "--out"),
    (["nowhere"], "nowhere: no such folder"), (["empty"], "empty: holds no pictures"), ([], "FOLDER: is missing"),
    (["one", "--way", "pca"], "one: points: 1 are too few"), (["broken", "--way", "pca"], "none of its pictures can be opened"),
])
def test_what_cannot_be_mapped_is_told_and_leaves_nothing(lab, folder, here, capsys, args, said):
    for name, files in {"empty": 0, "one": 1}.items():
        (here / name).mkdir()
        for k in range(files):
            Image.new("RGB", (9, 9)).save(here / name / f"{k}.png")
    (here / "broken").mkdir()
    for k in range(4):
        (here / "broken" / f"{k}.png").write_bytes(b"nothing")
    before = sorted(here.rglob("*"))
    assert main(["project", *args]) == 2
    told = capsys.readouterr()
    assert said in told.err and "Traceback" not in told.err and not told.out
    assert sorted(here.rglob("*")) == before


def test_pictures_that_are_all_the_same_make_no_map(lab, here, capsys):
    for k in range(4):
        Image.new("RGB", (16, 16), "red").save(here / f"{k}.png")
    assert main(["project", ".", "--way", "pca", "--out", "m.html"]) == 2
    assert "same vector" in capsys.readouterr().err and not (here / "m.html").exists()
