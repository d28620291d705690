"""`labkit enhance`: a search's picture, its recipe applied elsewhere, and what is refused with nothing half-written."""

import json

import numpy as np
import pytest
from PIL import Image

from labkit.image import open_upload, read_recipe
from labkit.image.adjust import Adjustments
from labkit.methods.enhance import apply
from labkit.views.cli import main
from labkit.views.cli.commands import enhance
from labkit.world import render, sample_scene


@pytest.fixture
def photo(tmp_path):
    """A dull picture's file."""
    pixels = render(sample_scene(3, "test")) // 2 + 40
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(autouse=True)
def small(monkeypatch, tiny):
    monkeypatch.setattr(enhance, "lab_of", lambda options: tiny)


def test_a_picture_is_enhanced_and_its_recipe_is_said_kept_and_applied_to_another(photo, tmp_path, capsys):
    better, again, tree = (tmp_path / name for name in ("better.png", "again.png", "tree.png"))
    args = ["enhance", str(photo), "--out", str(better), "--steps", "2", "--least", "0", "--drift", "0", "--tree", str(tree)]
    assert main(args) == 0
    found = read_recipe(better)["found"]
    said = capsys.readouterr().out
    assert found["adjustments"] and f"{found['words']} (" in said and "recipes seen" in said
    assert min(open_upload(tree).size) > 200
    assert main(["enhance", str(photo), "--recipe", str(better), "--out", str(again)]) == 0
    assert open_upload(again).tobytes() == open_upload(better).tobytes() and found["words"] in capsys.readouterr().out


def test_a_large_picture_is_enhanced_at_its_full_size_and_a_jpeg_has_its_recipe_beside(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.image.inputs.MAX_INPUT_PIXELS", 4000)
    large = tmp_path / "large.png"
    open_upload(photo).resize((100, 64)).save(large)
    greedy = ["--steps", "1", "--least", "0", "--drift", "0"]
    assert main(["enhance", str(large), "--out", str(tmp_path / "out.png"), *greedy]) == 0
    made = open_upload(tmp_path / "out.png")
    recipe = read_recipe(tmp_path / "out.png")
    assert made.size == (100, 64) and "spec" not in recipe
    assert made.tobytes() == apply(Adjustments(**recipe["found"]["adjustments"]), open_upload(large)).tobytes()
    assert main(["enhance", str(large), "--out", str(tmp_path / "out.jpg"), "--recipe", str(tmp_path / "out.png")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["found"] == recipe["found"]


@pytest.mark.parametrize(("size", "words"), [((1, 1), "show nothing to judge"), ((12_000, 9_000), "the picture is too large")])
def test_a_picture_of_one_pixel_or_of_100_megapixels_is_refused(size, words, tmp_path, capsys):
    path = tmp_path / "photo.png"
    Image.new("1", size).save(path)
    assert main(["enhance", str(path), "--out", str(tmp_path / "out.png")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("text", "words"), [
    ("{", "cannot be read as JSON"), ("[1]", "holds no adjustments"), ('{"contrast": 9}', "contrast: "),
    ('{"magic": 1}', "Adjustments has no such field")])
def test_a_broken_recipe_is_refused(text, words, photo, tmp_path, capsys):
    (tmp_path / "recipe.json").write_text(text)
    assert main(["enhance", str(photo), "--recipe", str(tmp_path / "recipe.json"), "--out", str(tmp_path / "out.png")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out.png").exists()
