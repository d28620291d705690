"""draw, sketch and inpaint: a folder of a tiny Stable Diffusion, pictures that know how they were made."""

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw

from labkit.image import read_recipe
from labkit.models.stable_load import quiet
from labkit.views.cli import main
from tests.conformance import tokenizer_json
from tests.models.tiny_stable import tiny_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("tiny")
    with quiet():
        bare = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        StableDiffusionPipeline(**tiny_parts(tokenizer_json()), **bare).save_pretrained(where)
    return where


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sheet = Image.new("RGB", (80, 60), "white")
    ImageDraw.Draw(sheet).rectangle((20, 20, 50, 50), outline="black", width=3)
    sheet.save("house.png")
    mask = Image.new("RGB", (80, 60))
    mask.paste("white", (20, 20, 50, 50))
    mask.save("mask.png")
    return tmp_path


def made(*args) -> dict:
    assert main([*args, "--steps", "4", "--out", "made.png"]) == 0
    return read_recipe("made.png")


def test_the_three_commands_and_a_replay(folder, here, capsys):
    lab = ("--stable-diffusion", str(folder))
    recipe = made("draw", "a red apple in the snow", "--guidance", "3", *lab)
    assert recipe["method"] == "TextToImage" and recipe["steps_done"] == 4
    recipe = made("sketch", "house.png", "a red house in the snow", "--strength", "0.5", *lab)
    assert recipe["method"] == "ImageToImage" and recipe["spec"]["frame"]["fit"] == "sketch" and recipe["steps_done"] == 2
    assert recipe["spec"]["picture"]["width"] == 80
    assert main(["replay", "made.png", *lab]) == 0 and "bit for bit" in capsys.readouterr().out
    assert made("sketch", "house.png", "a house", "--frame.fit", "crop", *lab)["spec"]["frame"]["fit"] == "crop"
    recipe = made("inpaint", "a blue door", "--picture", "house.png", "--mask", "mask.png", *lab)
    assert recipe["method"] == "Inpainting" and recipe["models"]["stable_diffusion"]["sha256"]


def test_what_is_missing_is_told(folder, here, capsys):
    assert main(["sketch", "a red house"]) == 2 and "give a file and a prompt in quotes" in capsys.readouterr().err
    assert main(["sketch", "--steps", "3"]) == 2 and "give a file and a prompt" in capsys.readouterr().err
    assert main(["sketch", "no.png", "a house", "--stable-diffusion", str(folder)]) == 2 and "no.png" in capsys.readouterr().err
    assert main(["draw", "an apple", "--stable-diffusion", "nowhere/at-all"]) == 2
    assert "is not at hand and could not be fetched" in capsys.readouterr().err
