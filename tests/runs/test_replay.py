import io
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.image import ImageError, read_recipe, save_png
from labkit.lab import Lab
from labkit.loop import Made, Values, loop
from labkit.runs.replay import load_methods, replay, spec_from_png
from labkit.runs.result import collect
from labkit.runs.versions import CHANGES, changes_since, upgrade
from labkit.spec import METHODS, Method, SpecError
from tests.views.support import FakeLab, Noise

RECIPES = sorted((Path(__file__).parent / "recipes").glob("*.png"))  # by labkit 0.1.0, see each recipe


@pytest.fixture
def png(tmp_path):
    return collect(Noise(seed=5), FakeLab()).save(tmp_path / "a.png")


def change(png, **parts):
    recipe = {**read_recipe(png), **parts}
    with Image.open(png) as image:
        save_png(image.convert("RGB"), png, {k: v for k, v in recipe.items() if v is not None})


def test_same_pixels(png):
    again = replay(png, FakeLab())
    assert again.identical and again.psnr == math.inf and again.differences == []
    assert spec_from_png(png) == Noise(seed=5)


def test_a_stopped_run_is_replayed_as_far_as_it_went(tmp_path):
    stopped = collect(Noise(seed=5, mode="interrupt", steps=8, preview_every=3), FakeLab())
    assert stopped.steps_done == 4
    change(path := stopped.save(tmp_path / "a.png"), spec={**stopped.recipe["spec"], "mode": "plain"})
    again = replay(path, FakeLab())
    assert again.identical and again.result.steps_done == 3 and not again.result.finished, "as far as the picture had gone"


def test_says_what_differs(png):
    environment = {**read_recipe(png)["environment"], "torch": "1.0"}
    change(png, environment=environment, spec={**read_recipe(png)["spec"], "seed": 6})
    again = replay(png, FakeLab(sha256="b" * 64))
    assert not again.identical and 5 < again.psnr < 12, "two pictures of uniform noise: 10·log10(6) = 7.8 dB"
    told = "\n".join(again.differences)
    assert len(again.differences) == 2 and "torch: 1.0 in the recipe" in told and "aaaa" in told and "bbbb" in told


def test_another_size_is_not_compared(png):
    change(png, spec={**read_recipe(png)["spec"], "paper": {"width": 12}})
    again = replay(png, FakeLab())
    assert math.isnan(again.psnr) and again.differences == ["size: was (8, 8), is (12, 8)"]


@pytest.mark.parametrize(("parts", "words"), [
    ({"method": "Teleport"}, "a.png: was made by 'Teleport', which this labkit does not have.*VQGANCLIP"),
    ({"method": "__import__"}, "does not have"),
    ({"method": None}, "tells of no method"),
    ({"method": ["Noise"]}, "does not have"),
    ({"spec": [1]}, "not a table"),
    ({"spec": {"seed": -1}}, "seed: .*greater than or equal to 0; got -1"),
    ({"steps_done": 0}, "steps_done: |steps_done must be"),
    ({"steps_done": True}, "steps_done"),
])  # fmt: skip
def test_recipes_that_cannot_be_replayed(png, parts, words):
    change(png, **parts)
    with pytest.raises(SpecError, match=words):
        replay(png, FakeLab())


@pytest.mark.parametrize("parts", [{"models": 3}, {"environment": [1]}, {"environment": None}])
def test_odd_surroundings_only_differ(png, parts):
    change(png, **parts)
    again = replay(png, FakeLab())
    assert again.identical and again.differences


def test_a_picture_without_a_recipe(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no labkit recipe"):
        replay(tmp_path / "a.png", FakeLab())


def test_knows_the_methods_of_the_package():
    assert "VQGANCLIP" in load_methods()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_pictures_of_the_first_labkit_are_made_again(path):
    """Bit for bit on the machine that made them; elsewhere, or where labkit has changed on purpose, with what differs."""
    assert read_recipe(path)["labkit"] == "0.1.0"
    again = replay(path, Lab(device="cpu"))
    assert again.result.finished and not math.isnan(again.psnr)
    others = [line for line in again.differences if not line.startswith("labkit: 0.1.0 in the recipe")]
    assert len(others) < len(again.differences), "which labkit made it is told"
    assert again.identical or others, f"PSNR {again.psnr:.1f} dB, and nobody says why"


def test_three_pictures_of_the_first_labkit_are_kept():
    assert {(recipe["method"], bool(recipe["spec"]["canvas"]["init"])) for recipe in map(read_recipe, RECIPES)} == {
        ("VQGANCLIP", False), ("VQGANCLIP", True), ("GuidedDiffusion", False)}


def old(method="VQGANCLIP", labkit="0.1.0", steps_done=27, **spec):
    return {"labkit": labkit, "method": method, "spec": {"steps": 60, "preview_every": 10} | spec, "steps_done": steps_done}


@pytest.mark.parametrize(("recipe", "canvas"), [
    (old(canvas={"start": "image", "init": {"png": "…"}}), {"init": {"png": "…"}, "tries": 1}),
    (old(labkit="unknown", canvas={"start": "image", "init": {}}), {"init": {}, "tries": 1}),
    (old(canvas={"start": "image", "init": None}), {"start": "image", "init": None, "tries": 1}),
    (old(canvas={"start": "noise", "init": None}), {"start": "noise", "init": None, "tries": 1}),
    (old(labkit="0.2.0", canvas={"start": "image", "init": {}}), {"start": "image", "init": {}, "tries": 1}),
    (old(labkit="0.2.0", canvas={"tries": 4}), {"tries": 4}),
    (old(labkit="0.2.1", canvas={"start": "noise"}), {"start": "noise"}),
    (old(method="Noise", canvas={"start": "image", "init": {}}), {"start": "image", "init": {}}),
    (old(canvas=[1]), [1]),
])  # fmt: skip
def test_fields_of_older_recipes_are_brought_to_todays(recipe, canvas):
    before = repr(recipe)
    assert upgrade(recipe)["spec"]["canvas"] == canvas and repr(recipe) == before


@pytest.mark.parametrize(("recipe", "values"), [
    (old(optimiser={"lr": 0.3}), {"lr": 0.3, "smooth": 0.0}),
    (old(), {"lr": 0.1, "smooth": 0.0}),
    (old(labkit="0.2.0", optimiser={"lr": 0.3}), {"lr": 0.3}),
    (old(method="Noise", optimiser={"lr": 0.3}), {"lr": 0.3}),
    (old(optimiser="adam"), "adam"),
])  # fmt: skip
def test_what_the_first_labkit_painted_was_not_smoothed(recipe, values):
    assert upgrade(recipe)["spec"]["optimiser"] == values


@pytest.mark.parametrize(("labkit", "done", "now"), [
    ("0.1.0", 27, 20), ("0.1.0", 7, 1), ("0.1.0", 30, 30), ("0.1.0", 60, 60), ("0.2.0", 27, 27), ("0.10.0", 27, 27),
    ("0.1.0", "27", "27"), ("0.1.0", True, True),
])  # fmt: skip
def test_a_stopped_run_of_the_first_labkit_kept_its_last_preview(labkit, done, now):
    assert upgrade(old(labkit=labkit, steps_done=done))["steps_done"] == now


def test_what_gives_other_pictures_is_told_to_older_recipes_only(monkeypatch):
    change = type(CHANGES[0])("0.3.0", "Noise", "the noise is blue")
    monkeypatch.setattr("labkit.runs.versions.CHANGES", (change,))
    assert changes_since(old("Noise", "0.2.9")) == ["since labkit 0.3.0: the noise is blue"]
    assert changes_since(old("Noise", "0.3.0")) == changes_since(old("Noise", "0.12.0")) == changes_since(old()) == []


class Slow(Method, listed=False):
    """Counts, and draws only every tenth number."""

    def run(self, lab, resume=None):
        now = Values(k=0)

        def step(i):
            now.k += 1
            return Made({}, lambda: Image.new("RGB", (4, 4), (now.k, 0, 0)))

        yield from loop(60, {"now": now}, step, 10, resume)


def test_a_run_that_was_stopped_between_previews_is_replayed_to_that_step(tmp_path, monkeypatch):
    def stop(step, result):
        if step.i == 26:
            raise KeyboardInterrupt

    monkeypatch.setitem(METHODS, "Slow", Slow)
    stopped = collect(Slow(), FakeLab(), on_step=stop)
    assert stopped.image.getpixel((0, 0)) == (27, 0, 0) and stopped.recipe["steps_done"] == 27
    again = replay(stopped.save(tmp_path / "a.png"), FakeLab())
    assert again.identical and again.result.steps_done == 27


@pytest.mark.parametrize("damage", ["cut", "bomb", "no end", "steps", "pixels"])
def test_all_of_the_file_is_looked_at_before_any_work(png, damage):
    data = png.read_bytes()
    if damage == "steps":
        change(png, steps_done="many")
    elif damage == "bomb":  # as the pixels of a picture that is far too large
        large, recipe = io.BytesIO(), data[data.index(b"tEXt") - 4 : data.index(b"IDAT") - 4]
        Image.new("1", (20_000, 20_000)).save(large, "PNG")
        png.write_bytes(large.getvalue()[:33] + recipe + large.getvalue()[33:])
    elif damage == "pixels":
        at = data.index(b"IDAT")
        length = int.from_bytes(data[at - 4 : at], "big")
        body = b"IDAT" + bytes(length)  # no zlib stream, with a checksum that is right
        png.write_bytes(data[:at] + body + zlib.crc32(body).to_bytes(4, "big") + data[at + 8 + length :])
    else:
        png.write_bytes(data[:-12] if damage == "no end" else data[: data.index(b"IDAT") + 20])
    lab = FakeLab()
    with pytest.raises((ImageError, SpecError), match="a.png: "):
        replay(png, lab)
    assert lab.loaded == []


ESC = "\x1b]0;title\x07\x1b[31m\u202e\n"


@pytest.mark.parametrize("parts", [
    {"labkit": ESC * 100, "method": ESC + "X" * 1000},
    {"method": ESC + "X" * 1000},
    {"spec": {ESC * 200: 1}},
    {"spec": {f"{ESC}{k}": ESC for k in range(1000)}},
    {"spec": {"seed": ESC * 200}},
    {"spec": {"paper": {ESC * 200: ESC}}},
    {"steps_done": ESC * 1000},
])  # fmt: skip
def test_a_strangers_recipe_commands_no_terminal(png, parts):
    change(png, **parts)
    with pytest.raises(SpecError) as caught:
        replay(png, FakeLab())
    assert len(str(caught.value)) < 4000 and str(caught.value).replace("\n", "").isprintable()


def test_a_strangers_surroundings_command_no_terminal(png):
    change(png, models={ESC: {ESC: ESC * 300}}, environment={f"{ESC}{k}": k for k in range(5000)})
    lines = replay(png, FakeLab()).differences
    assert len(lines) < 100 and all(line.isprintable() and len(line) < 300 for line in lines)
