"""The judge's verdict and what of a prompt it finds."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.metrics.judge import Judge, Verdict
from labkit.models.judge import HEADS
from labkit.world import classes, read, render, sample_scene
from tests.conformance import TinyLab, pocket_lab


@pytest.fixture(scope="module")
def judge() -> Judge:
    return TinyLab().judge


def verdict(**likeliest: list[str]) -> Verdict:
    """A verdict with these classes on top, in this order."""
    table = {}
    for attribute in HEADS:
        first = likeliest.get(attribute, [])
        names = [*first, *(c for c in classes(attribute) if c not in first)]
        table[attribute] = {name: 1 / 2 ** (k + 1) for k, name in enumerate(names)}
    return Verdict(*(next(iter(table[a])) for a in HEADS), table)


def test_verdict_lists_every_class_likeliest_first(judge):
    seen = judge(render(sample_scene(0)))
    for attribute in HEADS:
        table = seen.probabilities[attribute]
        assert set(table) == set(classes(attribute)) and sum(table.values()) == pytest.approx(1, abs=1e-5)
        assert list(table.values()) == sorted(table.values(), reverse=True)
        assert getattr(seen, attribute) == next(iter(table)) == seen.top(attribute, 1)[0]


def test_one_picture_and_a_batch_and_arrays_agree(judge):
    arrays = [render(sample_scene(k)) for k in range(3)]
    x = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
    many = judge.all(x, batch=2)
    for array, seen in zip(arrays, many, strict=True):
        for alone in (judge(array), judge(Image.fromarray(array))):
            assert alone.subject == seen.subject
            for name, p in alone.probabilities["subject"].items():
                assert p == pytest.approx(seen.probabilities["subject"][name], abs=1e-5)


def test_pictures_of_other_sides_are_box_averaged(judge):
    array = render(sample_scene(0), 128)
    boxed = array.reshape(64, 2, 64, 2, 3).mean((1, 3)) / 255
    x = torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255
    assert np.allclose(judge.prepare(x)[0].permute(1, 2, 0).numpy(), boxed * 2 - 1, atol=1e-5)


@pytest.mark.parametrize(("prompt", "seen", "found"), [
    ("a red apple in the snow", {"subject": ["apple"], "colour": ["red"], "setting": ["snow"]},
     {"subject": True, "colour": True, "setting": True}),
    ("a red apple in the snow", {"subject": ["pig", "apple"], "colour": ["pink", "red"], "setting": ["sea", "snow"]},
     {"subject": False, "colour": False, "setting": False}),
    ("a red apple and a blue cup", {"subject": ["cup", "apple"], "colour": ["blue", "red"]},
     {"subject": True, "colour": True}),
    ("a red apple and a blue cup", {"subject": ["cup", "pig", "apple"], "colour": ["blue", "pink", "red"]},
     {"subject": False, "colour": False}),
    ("an oil painting of a dog", {"subject": ["dog"], "style": ["oil"]}, {"subject": True, "style": True}),
    ("hallelujah", {}, {}),
])
def test_finds_the_claims_that_were_made(prompt, seen, found):
    assert verdict(**seen).finds(read(prompt)) == found


@pytest.mark.parametrize(("prompt", "score"), [
    ("a red apple in the snow", (1 / 4 + 1 / 2 + 1 / 8) / 3),  # second, first and third likeliest
    ("an apple and a pig", 1 / 4 + 1 / 2),
    ("a dog", 1 / 8),
    ("hallelujah", float("nan")),
])
def test_score_is_the_mean_probability_of_the_claims(prompt, score):
    seen = verdict(subject=["pig", "apple", "dog"], colour=["red"], setting=["sea", "night", "snow"])
    found = seen.score(read(prompt))
    assert found == pytest.approx(score, nan_ok=True) and (found == found or "names nothing" in str(found))


def test_a_colour_counts_only_where_something_can_be_coloured():
    from labkit.world.sprites import natural_colour

    plain = next(s for s in classes("subject") if natural_colour(s) is None)
    assert verdict(subject=[plain]).finds(read(f"a red {plain.replace('_', ' ')}")) == {"subject": True}
    painted = next(s for s in classes("subject") if natural_colour(s))
    found = verdict(subject=[painted], colour=["red"]).finds(read(f"a red {painted.replace('_', ' ')}"))
    assert found == {"subject": True, "colour": True}


def test_check_reads_the_prompt(judge):
    seen, found = judge.check(Image.fromarray(render(sample_scene(0))), "a puppy at night")
    assert set(found) == {"subject", "setting"} and found["setting"] == (seen.setting == "night")


def test_the_pocket_judge_reads_real_scenes(missing):
    judge = pocket_lab(missing, ("judge",)).judge
    scenes = [sample_scene(k, "test", two=False, style="flat") for k in range(20)]
    hits = sum(judge(render(s)).subject == s.subjects[0].subject for s in scenes)
    assert hits >= 16 and len(judge.sha256) == 64
