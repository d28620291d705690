import numpy as np
import pytest

from labkit.image import read_recipe
from labkit.runs.result import MAX_PREVIEWS, collect
from labkit.spec import NonFiniteError
from tests.views.support import FakeLab, Noise


def pictures(**changes):
    return [step.image for step in Noise(**changes).run(FakeLab())]


def test_collects_everything():
    lab, seen = FakeLab(), []
    result = collect(Noise(seed=3), lab, on_step=lambda step, so_far: seen.append((step.i, so_far.steps_done)))
    assert lab.loaded == ["clip"] and seen == [(i, i + 1) for i in range(6)]
    assert result.finished and not result.interrupted and (result.steps_done, result.n) == (6, 6)
    assert np.array_equal(result.image, pictures(seed=3)[-1])
    assert [step["clip"] for step in result.history] == [i / 6 for i in range(6)]
    assert result.notices == ["never seen: <b>hallelujah</b>"]


def test_png_tells_how_it_was_made(tmp_path):
    spec = Noise(seed=3, paper={"width": 12})
    recipe = read_recipe(collect(spec, FakeLab()).save(tmp_path / "new" / "a.png"))
    assert recipe["method"] == "Noise" and Noise(**recipe["spec"]) == spec
    assert recipe["models"] == {"clip": {"name": "pocket", "sha256": "a" * 64}}
    assert recipe["steps_done"] == 6 and recipe["environment"]["torch"] and recipe["labkit"]


def test_interrupt_keeps_the_last_picture():
    result = collect(Noise(mode="interrupt"), FakeLab())
    assert result.interrupted and not result.finished and result.steps_done == 3
    assert np.array_equal(result.image, pictures()[2])


@pytest.mark.parametrize(("mode", "error"), [("nan", NonFiniteError), ("fail", RuntimeError)])
def test_an_error_carries_the_last_picture(mode, error):
    with pytest.raises(error) as caught:
        collect(Noise(mode=mode), FakeLab())
    result = caught.value.result
    assert not result.finished and result.recipe["steps_done"] == 3
    assert np.array_equal(result.image, pictures()[2])


def test_a_callback_that_fails_closes_the_run():
    closed = []

    def steps():
        try:
            yield from Noise().run(FakeLab())
        finally:
            closed.append(True)

    def fail(step, result):
        raise OSError("disk full")

    with pytest.raises(OSError):
        collect(Noise(), FakeLab(), steps(), fail)
    assert closed == [True]


@pytest.mark.parametrize("steps", [1, 2, 12, 13, 100])
def test_strip_spans_the_run(steps):
    result = collect(Noise(steps=steps), FakeLab())
    shown = [*result.preview_steps, result.steps_done]
    assert len(shown) <= MAX_PREVIEWS and shown == sorted(set(shown)) and shown[0] == 1
    gaps = np.diff(shown)
    assert steps < 3 or gaps.max() <= 2 * gaps[:-1].min(), "evenly spread"
    for number, image in zip(result.preview_steps, result.previews, strict=True):
        assert np.array_equal(image, pictures(steps=steps)[number - 1])
    assert result.strip().width > 150 * len(shown)


def test_nothing_to_save_before_the_first_picture(tmp_path):
    result = collect(Noise(preview_every=50, mode="interrupt"), FakeLab())
    with pytest.raises(ValueError, match="before its first picture"):
        result.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="before its first picture"):
        result.strip()


def test_steps_without_a_spec_have_a_recipe_without_a_method(tmp_path):
    result = collect(None, FakeLab(), Noise().run(FakeLab()))
    assert result.finished and "method" not in read_recipe(result.save(tmp_path / "a.png"))
