"""style: a picture and words; a style that is kept and used again; what does not fit is refused by its flag."""

import numpy as np
import pytest
from PIL import Image

from labkit.clip.learnt_style import LearntStyle
from labkit.image import open_upload, read_recipe
from labkit.views.cli import main

QUICK = ["--steps", "2", "--patches.number", "2", "--optimiser.width", "2", "--device", "cpu"]


@pytest.fixture
def photo(here):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)).save(here / "photo.png")
    return here


def test_words_give_a_picture_a_style_that_is_kept_and_used_again(photo, lab, capsys):
    assert main(["style", "photo.png", "a red/blue watercolour", "--out", "x.png", "--save", "s.safetensors", *QUICK]) == 0
    recipe = read_recipe("x.png")
    assert recipe["method"] == "CLIPStyler" and recipe["spec"]["text"] == "a red/blue watercolour"
    style = LearntStyle.load("s.safetensors")
    assert style.called == "a red/blue watercolour" and "s.safetensors" in capsys.readouterr().out
    assert main(["style", "photo.png", "--use", "s.safetensors", "--out", "again.png"]) == 0
    assert open_upload("again.png").tobytes() == open_upload("x.png").tobytes()
    assert main(["style", "photo.png", "--use", "s.safetensors", "--out", "none.png", "--strength", "0"]) == 0
    assert open_upload("none.png").tobytes() == open_upload("photo.png").tobytes()
    assert "a red/blue watercolour, in one pass" in capsys.readouterr().out


def test_strength_is_a_short_flag_and_a_slash_is_no_folder(photo, lab):
    assert main(["style", "photo.png", "oil/../mosaic", "--strength", "0", *QUICK]) == 0
    (made,) = (photo / "out").iterdir()
    assert open_upload(made).tobytes() == open_upload("photo.png").tobytes()
    assert read_recipe(made)["spec"]["output"]["strength"] == 0


def test_a_large_picture_is_made_smaller_and_a_small_one_left(photo, lab):
    Image.new("RGB", (3000, 20), "navy").save("long.png")
    assert main(["style", "long.png", "a mosaic", "--longest", "1024", "--out", "x.png", *QUICK]) == 2, "7 pixels are too few"
    Image.new("RGB", (2000, 1600), "navy").save("big.png")
    assert main(["style", "big.png", "a mosaic", "--longest", "40", "--out", "x.png", *QUICK]) == 0
    assert open_upload("x.png").size == (40, 32)


def test_several_styles_by_flags_and_what_cannot_be_kept(photo, lab, capsys):
    for name, box in (("left", (0, 0, 25, 30)), ("right", (25, 0, 50, 30))):
        mask = Image.new("RGB", (50, 30))
        mask.paste("white", box)
        mask.save(f"{name}.png")
    two = ["--styles", "text=a mosaic,mask=left.png", "text=an oil painting, wet,mask=right.png,weight=2"]
    assert main(["style", "photo.png", "--out", "x.png", *QUICK, *two]) == 0
    styles = read_recipe("x.png")["spec"]["styles"]
    assert [one["text"] for one in styles] == ["a mosaic", "an oil painting, wet"] and styles[1]["weight"] == 2
    assert main(["style", "photo.png", "--out", "y.png", "--save", "s.safetensors", *QUICK, *two]) == 2
    assert "2 styles were learnt" in capsys.readouterr().err and open_upload("y.png").size == (50, 30)


@pytest.mark.parametrize(("args", "wrong"), [
    (["photo.png"], "give a picture and a style"), (["photo.png", "a", "b"], "give a picture and a style"),
    (["gone.png", "a mosaic"], "gone.png"), (["photo.png", "a mosaic", "--longest", "4"], "--longest: 4"),
    (["photo.png", "a mosaic", "--save", "x.txt"], "--save"),
    (["photo.png", "a mosaic", "--strength", "9"], "--output.strength"),
    (["photo.png", "--use", "gone.safetensors"], "gone.safetensors"), (["photo.png", "--use", "photo.png"], "photo.png")])
def test_what_does_not_fit_is_refused(photo, lab, capsys, args, wrong):
    assert main(["style", *args, *(QUICK if "--use" not in args else [])]) == 2
    assert wrong in capsys.readouterr().err
