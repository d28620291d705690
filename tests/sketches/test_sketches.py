"""Sketches made fit: polarity, paper, width and frame; what is no sketch; the ways of spoiling one; edges that are kept."""

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from labkit.metrics.edges import EdgesKept, edges_kept
from labkit.sketches.prepare import SketchError, prepare
from labkit.sketches.spoil import spoiled


def house(size=(96, 96), line=3, ink=0, paper=255) -> Image.Image:
    """A square with a roof."""
    picture = Image.new("L", size, paper)
    draw = ImageDraw.Draw(picture)
    draw.line([(30, 80), (30, 45), (50, 25), (70, 45), (70, 80), (30, 80)], fill=ink, width=line)
    return picture.convert("RGB")


def ink(picture) -> np.ndarray:
    return np.asarray(picture.convert("L")) < 128


def test_white_lines_on_black_come_out_as_black_lines_on_white_do():
    straight, turned = prepare(house(), 64, 64), prepare(house(ink=255, paper=0), 64, 64)
    assert not straight.notices and "turned" in turned.notices[0] and "polarity" in turned.stages
    assert np.abs(np.asarray(straight.picture, int) - np.asarray(turned.picture, int)).max() <= 2
    assert np.asarray(straight.picture)[0, 0].tolist() == [255] * 3 and ink(straight.picture).any()


def test_a_shadow_on_the_paper_and_a_pale_pencil_make_no_difference_to_where_the_ink_is():
    shade = Image.linear_gradient("L").resize((96, 96)).point(lambda v: 150 + v * 100 // 255).convert("RGB")
    photographed = ImageChops.multiply(house(ink=90), shade)
    plain, found = prepare(house(), 64, 64), prepare(photographed, 64, 64)
    assert (ink(plain.picture) != ink(found.picture)).mean() < 0.03
    assert np.asarray(found.picture)[:3].min() > 240, "the paper is white"


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 160)])
def test_proportions_are_kept_and_the_drawing_fills_the_frame(size):
    picture = prepare(house(), *size).picture
    rows, columns = np.flatnonzero(ink(picture).any(1)), np.flatnonzero(ink(picture).any(0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert picture.size == size and abs(wide / tall - 43 / 58) < 0.06
    assert max(wide / size[0], tall / size[1]) > 0.8
    assert abs(rows[0] - (size[1] - 1 - rows[-1])) <= 2 and abs(columns[0] - (size[0] - 1 - columns[-1])) <= 2


def test_lines_grow_by_as_many_pixels_as_are_asked_for_on_either_side():
    wide = ImageDraw.Draw(picture := Image.new("RGB", (90, 90), "white"))
    wide.rectangle((42, 10, 46, 80), fill="black")
    for more, width in ((0, 5), (2, 9), (-1, 3)):
        lines = prepare(picture, 90, 90, thicken=more, crop=False).picture
        assert int(ink(lines)[45].sum()) == width
    with pytest.raises(SketchError, match="thicken: at -4 nothing is left"):
        prepare(picture, 90, 90, thicken=-4)


@pytest.mark.parametrize("picture", [Image.new("RGB", (40, 40), c) for c in ("white", "black", "#806040")])
def test_a_picture_of_one_colour_is_no_sketch(picture):
    with pytest.raises(SketchError, match="sketch: is empty, or of one colour all over"):
        prepare(picture, 64, 64)


def test_a_speck_is_no_sketch():
    picture = Image.new("RGB", (100, 100), "white")
    picture.putpixel((50, 50), (0, 0, 0))
    with pytest.raises(SketchError, match="only 1 pixels are darker than the paper"):
        prepare(picture, 64, 64)


def test_what_spoils_a_sketch_does_what_it_says_and_the_same_again():
    sketch = prepare(house(), 64, 64).picture
    ways, again, other = spoiled(sketch), spoiled(sketch), spoiled(sketch, seed=1)
    amount = {name: ink(p).mean() for name, p in ways.items()}
    assert amount["thin"] < amount["as drawn"] < amount["thick"] and amount["broken"] < 0.9 * amount["as drawn"]
    assert abs(amount["inverted"] + amount["as drawn"] - 1) < 0.02
    assert all(p.size == sketch.size and p.tobytes() == again[name].tobytes() for name, p in ways.items())
    assert {name for name in ways if ways[name].tobytes() != other[name].tobytes()} == {"broken", "wobbly"}
    moved = [np.flatnonzero(ink(ways[name]).any(0))[0] for name in ("as drawn", "shifted")]
    assert moved[1] - moved[0] == round(0.12 * 64) and (np.asarray(ways["lined paper"])[0] < 200).all()


def test_edges_are_kept_by_the_sketch_itself_and_lost_as_it_moves_away():
    sketch = house()
    kept = [edges_kept(sketch, ImageChops.offset(sketch, by, 0)).kept for by in (0, 1, 3, 8)]
    assert kept[0] > 0.99 and kept[0] >= kept[1] > kept[2] > kept[3] and kept[3] < 0.6
    filled = Image.new("RGB", (96, 96), "#3060c0")
    ImageDraw.Draw(filled).polygon([(30, 80), (30, 45), (50, 25), (70, 45), (70, 80)], fill="#d02020")
    assert edges_kept(sketch, filled, reach=2.5).kept > 0.9, "a filled shape has the sketch's edges"
    assert edges_kept(sketch, Image.new("RGB", (96, 96), "white")).kept == 0


@pytest.mark.parametrize(("reach", "last"), [(1.0, 2), (1.5, 2), (2.0, 3), (4.0, 5)])
def test_a_line_is_kept_as_long_as_one_of_its_two_edges_is_within_reach(reach, last):
    """A line a pixel wide has its edges a pixel to the left and to the right: moved by d, the nearer is d - 1 away."""
    line = Image.new("RGB", (64, 64), "white")
    line.paste("black", (32, 0, 33, 64))
    kept = [edges_kept(line, ImageChops.offset(line, by, 0), reach).kept for by in range(8)]
    assert kept == [1.0] * (last + 1) + [0.0] * (7 - last)


def test_a_ring_that_moved_keeps_where_it_still_crosses_itself():
    """A ring moved by d lies d |cos φ| from itself: the share with d |cos φ| ≤ r is 1 - 2/π arccos(r / d); r is the reach and
    the pixel from the middle of the line to its edge."""
    ring = Image.new("L", (512, 512), 255)
    ImageDraw.Draw(ring).ellipse((56, 56, 456, 456), outline=0, width=2)
    ring = ring.convert("RGB")
    for by in (8, 16, 32):
        found = edges_kept(ring, ImageChops.offset(ring, by, 0), reach=3).kept
        assert found == pytest.approx(1 - 2 / np.pi * np.arccos((3 + 1) / by), abs=0.04), by


def test_a_busy_picture_keeps_no_more_than_chance():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    found = edges_kept(house(), noise)
    assert found.kept < 0.8 and abs(found.kept - found.by_chance) < 0.12 and abs(found.beyond_chance) < 0.4
    assert edges_kept(house(), house()).beyond_chance > 0.99 and EdgesKept(0.7, 0.4).beyond_chance == pytest.approx(0.5)
    assert edges_kept(house(), Image.new("RGB", (96, 96))).beyond_chance == 0 and np.isnan(EdgesKept(1, 1).beyond_chance)


def test_what_cannot_be_compared_is_told():
    with pytest.raises(ValueError, match="picture: is 10 × 10, the sketch 96 × 96"):
        edges_kept(house(), Image.new("RGB", (10, 10)))
    with pytest.raises(ValueError, match="no pixel darker than half"):
        edges_kept(Image.new("RGB", (10, 10), "white"), Image.new("RGB", (10, 10)))
