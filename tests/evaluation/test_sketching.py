"""Sketches over a grid: what the tables say is what is in the pictures, and what is made is not made again."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageOps

from labkit.evaluation import sketch_quality, sketching
from labkit.evaluation.sketching import (
    TEMPLATE,
    Asked,
    SketchSweep,
    asked_of,
    held_out_sketches,
    lines_of,
    look,
    references,
    sketch_sweep,
)
from labkit.image import ImageInput, open_upload
from labkit.methods.img2img import ImageToImage
from labkit.sketches.sets import Sketch
from labkit.sketches.spoil import lined
from labkit.spec import SpecError
from labkit.world import read

QUICK = TEMPLATE.but(steps=4)
OVER = {"strength": (0.3, 0.8), "guidance": (1.0, 5.0), "seed": (3,)}


def house(side=64, line=3) -> Image.Image:
    picture = Image.new("L", (side, side), 255)
    k = side / 96
    points = [(30 * k, 80 * k), (30 * k, 45 * k), (50 * k, 25 * k), (70 * k, 45 * k), (70 * k, 80 * k), (30 * k, 80 * k)]
    ImageDraw.Draw(picture).line(points, fill=0, width=line)
    return picture.convert("RGB")


def asked(n=2) -> list[Asked]:
    names = ("house", "apple")
    return [Asked(Sketch(house(), name, f"own-{name}"), f"a red {name}") for name in names[:n]]


@pytest.fixture(scope="module")
def swept(tiny, tmp_path_factory):
    return sketch_sweep(tiny, asked(), OVER, QUICK, tmp_path_factory.mktemp("cells"), 1)


def test_a_row_for_every_sketch_and_combination_with_what_strength_means(swept):
    table = swept.table
    assert len(table) == 8 and not (table["error"] != "").any() and swept.whole() is swept
    assert table[["sketch", "strength", "guidance", "seed"]].drop_duplicates().shape[0] == 8
    assert dict(zip(table["strength"], table["steps run"], strict=True)) == {0.3: 1, 0.8: 3}
    assert table.groupby("strength")["signal"].first().is_monotonic_decreasing and set(table["prompt"]) == {
        "a red house", "a red apple"}
    assert {"path", "error"} & set(swept.kept().columns) == set()


def test_what_is_made_is_not_made_again_and_what_is_missing_is(tiny, tmp_path, monkeypatch):
    first = sketch_sweep(tiny, asked(1), OVER, QUICK, tmp_path, 1)
    runs, told, run = [], [], ImageToImage.run
    monkeypatch.setattr(ImageToImage, "run", lambda self, *more: runs.append(self.strength) or run(self, *more))
    more = {**OVER, "strength": (0.3, 0.5, 0.8)}
    again = sketch_sweep(tiny, asked(1), more, QUICK, tmp_path, 1, lambda made, of: told.append((made, of)))
    assert runs == [0.5, 0.5] and told == [(k, 6) for k in range(1, 7)]
    old = again.table[again.table["strength"] != 0.5].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, first.table)


def test_what_is_found_is_what_the_judge_clip_and_the_lines_say_of_that_picture(swept, tiny):
    row = swept.table.iloc[5]
    picture, prompt = open_upload(row["path"]), row["prompt"]
    found = tiny.judge(picture).finds(read(prompt))
    assert {"subject", "colour"} == set(found) and row[["subject", "colour"]].tolist() == [found["subject"], found["colour"]]
    assert np.isnan(row["setting"]) and row["as asked"] == np.mean(list(found.values()))
    lines = lines_of(QUICK.but(prompt=prompt, picture=ImageInput.of(house(), 64, 64)), tiny)
    assert lines.size == picture.size == (16, 16)
    assert row["edges kept"] == look(tiny, picture, prompt, lines)["edges kept"]
    kept, lost = (look(tiny, p, prompt, lines)["edges kept"] for p in (lines, Image.new("RGB", (16, 16))))
    assert kept == 1 and lost == 0


@pytest.mark.parametrize("spoil", [ImageOps.invert, lambda p: Image.fromarray(np.minimum(
    np.asarray(p), (lined((64, 64)) * 255).astype(np.uint8)[..., None]))], ids=["white on black", "lined paper"])
def test_lines_are_the_strokes_whatever_the_paper(spoil, tiny):
    """So a picture is not praised for keeping ruled paper, nor for a dark sheet."""
    as_drawn, found = (lines_of(QUICK.but(picture=ImageInput.of(p, 64, 64), frame={"width": 64, "height": 64}), tiny)
                       for p in (house(), spoil(house())))
    ink = [np.asarray(p.convert("L")) < 128 for p in (as_drawn, found)]
    assert ink[0].any() and (ink[0] != ink[1]).sum() <= 0.05 * ink[0].sum()


def test_a_sketch_without_lines_is_a_row_without_edges(tiny, tmp_path):
    blank = [Asked(Sketch(Image.new("RGB", (64, 64), "white"), "house", "blank"), "a red house")]
    over = {"frame__fit": ("crop", "sketch"), "seed": (0,)}
    made = sketch_sweep(tiny, blank, over, QUICK, tmp_path, 1)
    crop, sketch = (row for _, row in made.table.iterrows())
    assert crop["error"] == "" and np.isnan(crop["edges kept"]) and np.isfinite(crop["clip"])
    assert "is empty, or of one colour" in sketch["error"] and np.isnan(sketch["clip"])
    with pytest.raises(ValueError, match="1 of 2 pictures failed, the first of blank: SpecError: picture: sketch: is empty"):
        made.whole()


def test_bad_values_are_refused_before_anything_is_made(tiny, tmp_path):
    with pytest.raises(SpecError, match="strength: .*greater than 0"):
        sketch_sweep(tiny, asked(), {"strength": (0.5, 0.0)}, QUICK, tmp_path, 1)
    with pytest.raises(SpecError, match="count: 2 pictures on one sheet are not looked at one by one"):
        sketch_sweep(tiny, asked(), {"count": (1, 2)}, QUICK, tmp_path, 1)
    assert not list(tmp_path.glob("*.png"))


def coloured(tmp_path) -> SketchSweep:
    """Pictures of one colour, red for the strength, green for the guidance."""
    rows = []
    for s in (0.2, 0.8):
        for g in (1.0, 5.0):
            path = tmp_path / f"{s}-{g}.png"
            Image.new("RGB", (64, 64), (round(s * 250), round(g * 50), 0)).save(path)
            rows.append({"sketch": "own-house", "prompt": "a red house", "strength": s, "guidance": g,
                         "judge sees": "red house", "edges kept": 0.5, "path": str(path),
                         "error": "broken" if (s, g) == (0.8, 5.0) else ""})
    return SketchSweep(pd.DataFrame(rows), asked(1))


def test_a_sheet_has_the_sketch_on_the_left_and_every_picture_in_its_place(tmp_path):
    sheet = coloured(tmp_path).sheet("strength", "guidance", tile=64)
    wide, high = 64 + 8, (sheet.height - 8) // 2
    at = [[sheet.getpixel((8 + wide * x + 60, 8 + high * y + 4)) for x in range(3)] for y in range(2)]
    assert at == [[(255,) * 3, (50, 50, 0), (200, 50, 0)], [(255,) * 3, (50, 250, 0), (128,) * 3]]
    with pytest.raises(ValueError, match="no picture has strength=0.5"):
        coloured(tmp_path).sheet("strength", "guidance", strength=0.5)


def test_held_out_sketches_are_lines_alone_and_the_judge_reads_what_was_drawn_of_them(missing):
    from tests.conformance import pocket_lab

    lab, some = pocket_lab(missing, ["judge", "clip"]), held_out_sketches(20)
    for one in some:
        paper = np.asarray(one.sketch.picture.convert("L"))
        assert (paper > 250).mean() > 0.5 and (paper < 128).any(), "a subject's lines, and no backdrop"
        assert one.sketch.label in read(one.prompt).subjects
    values = ["subject", "colour", "setting", "edges kept", "edges beyond chance"]
    table = references(lab, some).groupby("kind")[values].mean()
    drawn, bare = table.loc["a drawn scene"], table.loc["the sketch as it is"]
    assert drawn["subject"] > 0.9 and drawn["setting"] > 0.9 and drawn["edges beyond chance"] > 0.6
    assert bare["edges kept"] > 0.99 and bare["colour"] < 0.5 < drawn["colour"], "no colour is drawn into a sketch"


def test_every_way_is_made_as_it_is_and_prepared_and_compared_with_the_same_as_drawn(tiny, tmp_path):
    made = sketch_quality.quality_sweep(tiny, asked(), (0,), QUICK, tmp_path, 1).whole()
    ways = ["as drawn", "thin", "thick", "broken", "wobbly", "inverted", "shifted", "lined paper"]
    assert list(dict.fromkeys(made.table["way"])) == ways and len(made.table) == 2 * 8 * 2
    table = sketch_quality.quality_table(made.table, ["edges kept"]).set_index(["sketch", "way"])
    assert len(table) == 16 and (table["sketches"] == 2).all() and table.loc[("prepared", "as drawn"), "change"] == 0
    part = made.table[(made.table["frame__fit"] == "sketch")].pivot(index="sketch", columns="way", values="edges kept")
    assert table.loc[("prepared", "thick"), "change"] == pytest.approx((part["thick"] - part["as drawn"]).mean())
    prepared = made.table[made.table["frame__fit"] == "sketch"].set_index("way")["path"]
    turned, straight = ([np.asarray(open_upload(p), int) for p in prepared[way]] for way in ("inverted", "as drawn"))
    off = max(np.abs(a - b).max() for a, b in zip(turned, straight, strict=True))
    assert off <= 8, "prepared, polarity makes no difference"
    sheet = sketch_quality.quality_sheet(made, "own-house", tile=64)
    assert sheet.width > 8 * 64 and sheet.height > 3 * 64
    with pytest.raises(ValueError, match="'own-cat' is none of own-house, own-apple"):
        sketch_quality.quality_sheet(made, "own-cat")


def test_a_set_s_sketches_are_asked_for_by_their_labels():
    some = [Sketch(house(), "house", "a"), Sketch(house(), "cat", "b")]
    assert [one.prompt for one in asked_of(some, "a {label} in the snow")] == ["a house in the snow", "a cat in the snow"]
    with pytest.raises(ValueError, match="prompt: 'a cat' must have {label} in it"):
        asked_of(some, "a cat")
    with pytest.raises(ValueError, match="label: 'n02084071' of c is a number, no word"):
        asked_of([Sketch(house(), "n02084071", "c")])


def test_the_template_is_a_point_of_the_grid():
    assert TEMPLATE.strength in sketching.GRID["strength"] and TEMPLATE.guidance in sketching.GRID["guidance"]
