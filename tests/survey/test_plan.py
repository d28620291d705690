"""Orders are balanced, checks are hidden, pictures tell nothing."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from labkit.image import ImageError, open_upload, save_png
from labkit.metrics.judge import Verdict
from labkit.spec import SpecError
from labkit.survey.plan import (
    Item,
    Plan,
    attention_item,
    flat,
    items_of_folder,
    items_of_pictures,
    judged,
    order_of,
    pictures_of_folder,
    png_without_metadata,
    williams,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 21])
def test_williams_designs_are_balanced(n):
    square = williams(n)
    assert square.shape == (n if n % 2 == 0 else 2 * n, n)
    times = len(square) // n
    for column in square.T:
        assert (np.bincount(column, minlength=n) == times).all(), "each treatment as often at every position"
    followed = Counter((int(a), int(b)) for row in square for a, b in zip(row, row[1:], strict=False))
    assert len(followed) == n * (n - 1) and set(followed.values()) <= {times}, "each follows each other as often"


def test_orders_over_a_block_are_balanced():
    """Without checks, the orders of 6 raters hold each of 6 pictures at each position once; with them, each picture is
    repeated equally often."""
    keys = list("abcdef")
    plain = [[p.item for p in order_of(Plan(repeats=0), keys, r)] for r in range(6)]
    assert all({order[k] for order in plain} == set(keys) for k in range(6))
    assert plain != sorted(plain), "neighbours in time do not get shifted copies in turn"
    repeated = Counter(p.item for r in range(12) for p in order_of(Plan(repeats=2, gap=2), keys, r) if p.repeat)
    assert set(repeated.values()) == {4} and set(repeated) == set(keys)


@pytest.mark.parametrize("n", [6, 7, 21])
def test_checks_stand_where_they_should(n):
    keys, plan = [f"p{j}" for j in range(n)], Plan(repeats=2, gap=4)
    last, asked = set(), set()
    for rater in range(60):
        order = order_of(plan, keys, rater, "ask")
        assert [p.position for p in order] == list(range(n + 3))
        at = {(p.item, p.repeat): p.position for p in order}
        assert len(at) == n + 3 and all((key, False) in at for key in keys)
        for (key, again), position in at.items():
            if again:
                assert position - at[key, False] > plan.gap
        asked.add(at["ask", False])
        last.add(order[-1].repeat)
        assert n // 3 <= at["ask", False] <= n - n // 4 + 1
    assert len(asked) > 2 and last == {True, False}, "neither stands at a place that raters could tell each other"


def test_orders_are_drawn_by_the_seed():
    keys = [f"p{j}" for j in range(9)]
    assert order_of(Plan(), keys, 3) == order_of(Plan(), keys, 3)
    assert order_of(Plan(), keys, 3) != order_of(Plan(), keys, 4) != order_of(Plan(seed=1), keys, 4)


def test_repeats_need_room():
    with pytest.raises(ValueError, match="give 6 pictures"):
        order_of(Plan(repeats=2, gap=4), list("abcde"), 0)
    with pytest.raises(ValueError, match="too few"):
        Plan().fits(1)
    Plan(repeats=2, gap=4).fits(6)
    with pytest.raises(SpecError, match="min_dwell"):
        Plan(min_dwell=-1)


def test_the_judge_s_score_goes_to_items_whose_prompts_it_knows():
    class Judge:
        def __call__(self, picture):
            seen = "apple" if picture.getpixel((0, 0))[0] > 200 else "ship"
            return Verdict(seen, "", "", "", {"subject": {"apple": 0.25, "ship": 0.75} if seen == "ship" else {"apple": 1.0}})

    red, blue = (png_without_metadata(Image.new("RGB", (8, 8), c)) for c in ((250, 0, 0), (0, 0, 250)))
    items = [Item("a", red, "an apple", scores={"clip": 0.5}), Item("b", blue, "an apple"), Item("c", blue, "hallelujah")]
    assert [item.scores for item in judged(items, Judge())] == [{"clip": 0.5, "judge": 1.0}, {"judge": 0.25}, {}]


def recipe(**spec) -> dict:
    return {"method": "VQGANCLIP", "spec": {"prompt": "a cat", "seed": 3, **spec}, "scores": {"clip": 0.25, "note": "x"}}


def test_items_of_a_sweeps_folder(tmp_path):
    picture = Image.effect_noise((32, 32), 60).convert("RGB")
    nested = {"guidance": {"scale": 1500, "deep": {"x": 0.5}}, "init": {"sha256": "ab", "png": "A" * 9000}, "many": [1, 2]}
    save_png(picture, tmp_path / "b.png", recipe(**nested))
    save_png(picture, tmp_path / "a.png", recipe(steps=5))
    picture.save(tmp_path / "sheet.png")  # as a sweep's contact sheet: no recipe, no picture to rate
    first, second = items_of_folder(tmp_path)
    assert (first.key, first.prompt, first.seed, first.scores) == ("a", "a cat", 3, {"clip": 0.25})
    assert first.settings == {"method": "VQGANCLIP", "steps": 5}
    assert second.settings == {
        "method": "VQGANCLIP", "guidance__scale": 1500, "guidance__deep__x": 0.5, "init__sha256": "ab",
    }  # fmt: skip
    with Image.open(io.BytesIO(first.png)) as shown:
        assert not shown.info and np.array_equal(np.asarray(shown), np.asarray(picture)), "same pixels, nothing else"
    assert b"VQGANCLIP" not in first.png and b"a cat" not in first.png


def test_bad_pictures_are_named(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match="holds 1 PNGs, none with a recipe"):
        items_of_folder(tmp_path)
    with pytest.raises(ValueError, match=r"plain\.png: .*no labkit recipe"):
        items_of_pictures([tmp_path / "plain.png"])
    save_png(Image.new("RGB", (8, 8)), tmp_path / "x" / "same.png", recipe())
    save_png(Image.new("RGB", (8, 8)), tmp_path / "y" / "same.png", recipe())
    with pytest.raises(ValueError, match="'same'"):
        items_of_pictures([tmp_path / "x" / "same.png", tmp_path / "y" / "same.png"])
    with pytest.raises(ValueError, match="gone.png"):
        items_of_pictures([tmp_path / "gone.png"])


def test_metadata_of_any_kind_is_left_out(tmp_path):
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("secret", "settings", "en", "geheim")
    Image.new("RGBA", (8, 8)).save(tmp_path / "p.png", pnginfo=info, dpi=(300, 300), icc_profile=b"who made it")
    with Image.open(tmp_path / "p.png") as picture:
        bare = png_without_metadata(picture)
    assert not any(chunk in bare for chunk in (b"secret", b"pHYs", b"iCCP"))


def test_attention_item_asks_for_its_number():
    found = {attention_item(Plan(seed=s)).expected for s in range(8)}
    assert found == {2, 3, 7, 8}, "not the ends or the middle, which a careless rater might give"
    pictures = [attention_item(Plan(seed=s), (64, 48)) for s in range(2)]
    assert pictures[0].png != pictures[1].png
    with Image.open(io.BytesIO(pictures[0].png)) as picture:
        assert picture.size == (64, 48)


def test_flat_settings():
    assert flat({"a": {"b": 1, "c": {"d": True}}, "e": "x" * 501, "f": None}) == {"a__b": 1, "a__c__d": True}


def test_a_damaged_picture_is_named_not_left_out(tmp_path):
    """As those of strangers are: a file that is cut short, and few bytes with very many pixels."""
    small = Image.new("RGB", (8, 8))
    for name in "ab":
        save_png(small, tmp_path / f"{name}.png", {"spec": {"prompt": name}})
    save_png(small, tmp_path / "sheet.png")
    (tmp_path / ".0123.part.png").write_bytes(b"half of a picture that was being written")
    assert [[p.name for p in part] for part in pictures_of_folder(tmp_path)] == [["a.png", "b.png"], ["sheet.png"]]
    data, large = (tmp_path / "a.png").read_bytes(), io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(large, "PNG")
    recipe = data[data.index(b"tEXt") - 4 : data.index(b"IDAT") - 4]
    bomb = large.getvalue()[:33] + recipe + large.getvalue()[33:]
    for damaged, words in ((data[:-20], "cut short"), (bomb, "too large: 20000 × 20000")):
        (tmp_path / "c.png").write_bytes(damaged)
        for look in (lambda: items_of_folder(tmp_path), lambda: items_of_pictures([tmp_path / "c.png"])):
            with pytest.raises(ImageError, match=rf"c\.png: .*{words}"):
                look()


def test_every_picture_of_a_survey_comes_through_the_one_door(tmp_path):
    grey = np.full((8, 8), 257 * 90, np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    save_png(Image.new("L", (8, 8)), tmp_path / "a.png", {"spec": {"prompt": "grey"}})
    recipe = (tmp_path / "a.png").read_bytes()
    recipe = recipe[recipe.index(b"tEXt") - 4 : recipe.index(b"IDAT") - 4]
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:33] + recipe + buffer.getvalue()[33:])
    (item,) = items_of_pictures([tmp_path / "a.png"])
    assert open_upload(item.png).getpixel((0, 0)) == (90, 90, 90)
