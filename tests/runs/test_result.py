import errno
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from labkit import files
from labkit.files import FileError
from labkit.image import ImageError, open_upload, read_recipe
from labkit.loop import Made, Step, Values, loop
from labkit.runs.result import MAX_PREVIEWS, Result, collect
from labkit.runs.status import status
from labkit.spec import Method, NonFiniteError
from tests.views.support import FakeLab, Noise


class Counting(Method, listed=False):
    """Draws the number of its step, every tenth time or when it is asked; during step `at` Ctrl-C comes some times."""

    at: int = 0
    times: int = 1

    def run(self, lab, resume=None):
        now = Values(k=0)

        def step(i):
            for _ in range(self.times if i + 1 == self.at else 0):
                signal.raise_signal(signal.SIGINT)
            now.k += 1
            return Made({"k": now.k}, lambda: Image.new("RGB", (4, 4), (now.k, 0, 0)))

        yield from loop(60, {"now": now}, step, 10, resume)


def shown(result):
    return result.image.getpixel((0, 0))[0]


def stop_at(number):
    def on_step(step, result):
        if step.i + 1 == number:
            raise KeyboardInterrupt

    return on_step


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


def test_an_interrupt_shows_the_step_at_which_it_came():
    result = collect(Counting(), FakeLab(), on_step=stop_at(27))
    assert result.interrupted and (result.steps_done, shown(result), result.image_step) == (27, 27, 27)
    assert result.recipe["steps_done"] == 27 and result.preview_steps == [1, 10, 20]
    assert shown(collect(Counting(), FakeLab(), on_step=stop_at(30))) == 30


def test_ctrl_c_during_a_step_waits_for_its_picture():
    result = collect(Counting(at=27), FakeLab())
    assert result.interrupted and (result.steps_done, shown(result)) == (27, 27)
    assert status(result, "stopped") == "stopped after 27 of 60 steps, k 27"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    late = collect(Counting(at=60), FakeLab())
    assert late.finished and not late.interrupted and shown(late) == 60


def test_the_second_ctrl_c_ends_the_step_itself():
    result = collect(Counting(at=27, times=2), FakeLab())
    assert result.interrupted and (result.steps_done, shown(result)) == (26, 20)
    assert result.recipe["steps_done"] == result.image_step == 20, "what the picture shows, for its replay"
    assert status(result, "stopped").startswith("stopped after 26 of 60 steps, picture of step 20")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_who_listens_to_ctrl_c_already_goes_on_doing_so():
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        result = collect(Counting(at=27), FakeLab())
        assert result.finished and heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    found = []
    thread = threading.Thread(target=lambda: found.append(collect(Counting(), FakeLab(), on_step=stop_at(27))))
    thread.start(), thread.join()
    assert shown(found[0]) == 27


def test_a_view_that_stops_a_run_catches_up():
    run, result = Counting().run(FakeLab()), Result(Counting())
    for step in run:
        result.add(step)
        if step.i + 1 == 27:
            break
    assert shown(result) == 20
    result.catch_up(step), result.catch_up(step)
    assert shown(result) == 27 and result.preview_steps == [1, 10, 20]
    next(run)
    late = Result(Counting(), image=Image.new("RGB", (4, 4)))
    late.catch_up(step)
    assert shown(late) == 0, "the run has gone on"


def test_a_last_picture_that_is_none_leaves_the_one_before():
    def broken():
        raise ImageError("the tensor holds NaN")

    steps = iter([Step(0, 3, Image.new("RGB", (4, 4), (1, 0, 0))), Step(1, 3, draw=broken)])
    result = collect(None, FakeLab(), steps)
    assert shown(result) == 1 and result.steps_done == 2 and result.recipe["steps_done"] == 1


def test_a_picture_is_not_lost_on_a_full_disk(tmp_path, monkeypatch):
    result = collect(Noise(), FakeLab())
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spare"))
    write = files._write

    def full(part, data, everywhere=False):
        write(part, data[:20])
        if everywhere or part.parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")
        part.unlink(), write(part, data)

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(FileError, match="a.png: the disk is full; .*; it is kept as ") as caught:
        result.save(tmp_path / "a.png")
    assert read_recipe(caught.value.instead) == result.recipe and list(tmp_path.glob("*.png")) == []
    monkeypatch.setattr(files, "_write", lambda part, data: full(part, data, everywhere=True))
    with pytest.raises(FileError, match="a.png: .*nowhere else .*still in the result's `image`"):
        result.save(tmp_path / "a.png")
    with pytest.raises(FileError, match="strip.png: the disk is full"):
        result.save_strip(tmp_path / "strip.png")
    assert len(list(tmp_path.rglob("*.png"))) == 1, "the one that was kept before"


def test_the_strip_is_a_picture_too(tmp_path):
    result = collect(Noise(), FakeLab())
    path = result.save_strip(tmp_path / "new" / "strip.png")
    assert open_upload(path).tobytes() == result.strip().tobytes()
    with pytest.raises(ImageError, match="no labkit recipe"):
        read_recipe(path)
