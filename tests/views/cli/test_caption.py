"""`labkit caption FILES`: what the lab's BLIP says is what is told; broken pictures are listed and stop nothing."""

import json

import pandas as pd
import pytest
from PIL import Image

from labkit.image import open_upload
from labkit.views.cli import main
from labkit.world import render, sample_scene


@pytest.fixture
def lab(lab, monkeypatch):
    """One that says the colour of a picture's corner: small random models speak no words."""
    monkeypatch.setattr(lab.blip, "caption", lambda some, beams=1: [f"=corner {p.getpixel((0, 0))}" for p in some])
    return lab


@pytest.fixture
def folder(here):
    (here / "pictures" / "more").mkdir(parents=True)
    for k, name in enumerate(("a.png", "b\x1b[31m.png", "more/c.jpg")):
        Image.fromarray(render(sample_scene(k))).resize((64 + k, 70)).save(here / "pictures" / name)
    (here / "pictures" / "broken.png").write_bytes(b"nothing")
    return here / "pictures"


def asked(lab, path, text):
    """Caption, match and cosine, by the model's own calls."""
    picture = [open_upload(path).resize((lab.blip.size,) * 2, Image.Resampling.BICUBIC)]
    return (lab.blip.caption(picture)[0], float(lab.blip.match(picture, [text])),
            float((lab.blip.encode_image(picture) * lab.blip.encode_text([text])).sum()))


def test_captions_and_a_text_of_a_folder(lab, folder, here, capsys):
    text = "a red apple in the snow"
    args = ["caption", "pictures", "pictures/a.png", "--text", text, "--csv", "c.csv", "--json", "c.json", "--out", "c.png"]
    assert main(args) == 0
    said = capsys.readouterr()
    assert "left out: pictures/broken.png" in said.err and said.out.split()[-3:] == ["c.png", "c.csv", "c.json"]
    assert "\x1b" not in said.out and "\\x1b[31m" in said.out, "a name cannot command a terminal"
    table = pd.read_csv("c.csv", index_col="file", keep_default_na=False)
    assert list(table.index) == ["pictures/a.png", "pictures/b\x1b[31m.png", "pictures/more/c.jpg"]
    for name, row in table.iterrows():
        caption, match, cosine = asked(lab, name, text)
        assert row["caption"] == f"'{caption}", "no formula for a spreadsheet"
        assert (row["match"], row["cosine"]) == (pytest.approx(match, abs=1e-5), pytest.approx(cosine, abs=1e-5))
    kept = json.loads((here / "c.json").read_text(encoding="utf-8"))
    assert [row["file"] for row in kept["pictures"]] == list(table.index) and kept["spec"]["text"] == text
    assert list(kept["left out"]) == ["pictures/broken.png"] and "blip" in kept["model"]
    with Image.open("c.png") as sheet:
        assert sheet.width > sheet.height, "three pictures in a row"


def test_without_a_text_there_are_captions_alone_and_unknown_words_are_told(lab, folder, capsys):
    assert main(["caption", "pictures/a.png"]) == 0
    said = capsys.readouterr().out
    assert "match" not in said and "cosine" not in said and asked(lab, "pictures/a.png", "x")[0] in said
    assert main(["caption", "pictures/a.png", "--text", "a bulldozer"]) == 0
    assert "never seen 'bulldozer'" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "said"), [
    ([], "FILE: is missing; give pictures"), (["no.png"], "no.png: no such file"), (["empty"], "empty: holds no pictures"),
    (["pictures/broken.png"], "pictures/broken.png: is no picture that can be opened"),
    (["pictures/broken.png", "note.txt"], "pictures/broken.png: and 1 more: each is no picture"),
    (["pictures/a.png", "--beams", "0"], "--beams: should be greater than or equal to 1"),
    (["pictures/a.png", "--json", "c.csv"], "--json: c.csv"), (["pictures/a.png", "--csv", "pictures"], "--csv: pictures"),
])
def test_mistakes_are_told_and_leave_nothing(lab, folder, here, capsys, args, said):
    (here / "empty").mkdir()
    (here / "note.txt").write_text("no picture")
    before = sorted(here.rglob("*"))
    assert main(["caption", *args]) == 2
    told = capsys.readouterr()
    assert said in told.err and "Traceback" not in told.err and not told.out
    assert sorted(here.rglob("*")) == before
