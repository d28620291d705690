"""The Style page without a browser: places and rows of styles become the spec's, and strength needs no other run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from apps import style
from labkit.image import read_recipe
from labkit.image.convert import png_bytes
from labkit.methods.clipstyler import CLIPStyler
from labkit.runs.replay import spec_from_png
from labkit.runs.result import collect
from labkit.spec import SpecError
from labkit.views.gradio.app import LOCAL
from labkit.views.gradio.page import Site, spec_from
from labkit.views.gradio.styles import MOST, PAINTED, PLACES, SIDE, LearntPart, StylesPart, a_scene, mask_of

NOTHING = ("", None, 1.0, PLACES[0], b"")


def drawn(*box: int) -> bytes:
    paper = Image.new("RGB", (64, 64), "white")
    if box:
        ImageDraw.Draw(paper).rectangle(box, fill="black")
    return png_bytes(paper)


@pytest.fixture
def content(tmp_path) -> str:
    path = tmp_path / "content.png"
    Image.radial_gradient("L").resize((40, 20)).convert("RGB").save(path)
    return str(path)


@pytest.fixture
def part() -> StylesPart:
    made = object.__new__(StylesPart)  # its fields need no component
    made.page = style.WORDS
    return made


def rows(*some: tuple) -> tuple:
    return sum((*some, *[NOTHING] * (MOST - len(some))), ())


def test_places_are_halves_of_the_picture_or_what_was_painted():
    for place, at in zip(PLACES[1:5], (np.s_[:, :8], np.s_[:, 8:], np.s_[:5], np.s_[5:]), strict=True):
        pixels = np.asarray(mask_of(place, b"", (16, 10)).pil().convert("L"))
        assert pixels.shape == (10, 16) and (pixels[at] == 255).all() and pixels.mean() == 127.5
    assert mask_of("everywhere", b"", (16, 10)) is None
    painted = np.asarray(mask_of(PAINTED, drawn(0, 0, 31, 63), (40, 20)).pil().convert("L"))
    assert painted.shape == (20, 40) and (painted[:, :16] == 255).all() and (painted[:, 24:] == 0).all()


def test_a_place_that_is_none_and_one_where_nothing_is_painted_are_refused():
    with pytest.raises(SpecError, match="nothing is painted yet"):
        mask_of(PAINTED, b"", (8, 8))
    with pytest.raises(SpecError, match="place: 'the moon' is none of everywhere"):
        mask_of("the moon", b"", (8, 8))


def test_rows_become_styles_and_empty_ones_nothing(part, content):
    flat = {"content": content}
    assert set(part.fields(flat, *rows())) == {"content"}
    found = part.fields(flat, *rows(("a mosaic", None, 2.0, "left half", b""), ("", content, 1.0, "everywhere", b"")))["styles"]
    assert [s.called for s in found] == ["a mosaic", "a picture"] and [s.weight for s in found] == [2, 1]
    assert (found[0].mask.width, found[0].mask.height) == (40, 20) and found[1].mask is None
    spec = spec_from(style.WORDS, {"content": content, "text": "neon"}, {"styles": found}, LOCAL)
    assert isinstance(spec, CLIPStyler) and spec.styles == found


def test_words_and_a_picture_in_one_row_are_refused(part, content):
    with pytest.raises(SpecError, match="give one of the two"):
        part.fields({"content": content}, *rows(("neon", content, 1.0, "everywhere", b"")))


def test_a_large_picture_is_made_smaller_in_its_proportions_and_a_missing_one_refused(part, tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGB", (1000, 250), "red").save(path)
    content = part.fields({"content": str(path)}, *rows())["content"]
    assert (content.width, content.height) == (SIDE, SIDE // 4)
    with pytest.raises(SpecError, match="content: is missing"):
        part.fields({"content": None}, *rows())


def test_strength_after_the_run_is_what_a_run_with_it_gives(tiny, content):
    flat = {"content": content, "text": "a watercolour", "steps": 3, "patches__number": 2, "seed": 4}
    spec = spec_from(style.WORDS, flat, {}, LOCAL)
    (*_, last) = spec.run(tiny)
    part = object.__new__(LearntPart)
    part.site = Site(style.WORDS, tiny, LOCAL, None, None, {}, None)
    for made in part._dialled(0.3, (spec, last.extras["learnt"])):
        path = Path(made["value"])
        recipe, again = read_recipe(path), spec_from_png(path)
        with Image.open(path) as shown:
            pixels = np.asarray(shown.convert("RGB"))
    assert again == spec.but(output__strength=0.3) and recipe["steps_done"] == 3
    assert np.array_equal(np.asarray(collect(again, tiny).image), pixels)
    assert not np.array_equal(np.asarray(last.image), pixels)


def test_without_a_run_there_is_nothing_to_dial(tiny):
    part = object.__new__(LearntPart)
    with pytest.raises(Exception, match="nothing is learnt yet"):
        list(part._dialled(0.3, None))


def test_a_scene_to_begin_with_is_another_one_each_time():
    one, other = a_scene(), a_scene()
    assert one.size == other.size == (64, 64) and one.tobytes() != other.tobytes()
