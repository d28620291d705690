import base64
import io
import re
import signal

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from labkit.loop import Made, loop
from labkit.runs.result import Result, collect
from labkit.runs.status import POCKET, duration, status
from labkit.spec import Method, Step
from labkit.views.notebook import show as notebook
from labkit.views.notebook.show import page, show
from tests.views.support import FakeLab, Noise


class Screen:
    """Stands for the cell's output: keeps every version that was shown."""

    def __init__(self):
        self.shown = []

    def update(self, bundle):
        self.shown.append(bundle)

    @property
    def html(self):
        return self.shown[-1]["text/html"]


@pytest.fixture
def screen(monkeypatch):
    made = Screen()
    monkeypatch.setattr(notebook, "_open_display", lambda: made)
    return made


def pictures(html):
    return [Image.open(io.BytesIO(base64.b64decode(png))) for png in re.findall(r"base64,([^\"]+)", html)]


def test_one_display_follows_the_run(screen):
    result = show(Noise(steps=5), FakeLab(), every_s=0)
    assert len(screen.shown) == 1 + 5 + 1
    assert "loading models" in screen.shown[0]["text/html"]
    assert '<progress value="2" max="5"' in screen.shown[2]["text/html"] and "left" in screen.shown[2]["text/plain"]
    assert screen.shown[-1]["text/plain"].startswith("5 steps in 0 s, clip 0.8") and "<progress" not in screen.html
    picture, curve = pictures(screen.html)
    assert picture.size == (256, 256), "8 px are enlarged"
    assert np.array_equal(picture.resize((8, 8), Image.Resampling.NEAREST), result.image)
    assert curve.mode == "RGBA"


def test_updates_are_throttled_but_the_last_comes(screen):
    show(Noise(steps=200), FakeLab(), every_s=60)
    assert len(screen.shown) == 3 and "200 steps" in screen.html


def test_interrupt_keeps_the_picture(screen):
    result = show(Noise(mode="interrupt"), FakeLab(), every_s=60)
    assert result.interrupted and "stopped after 3 of 6 steps" in screen.html
    picture = pictures(screen.html)[0].resize((8, 8), Image.Resampling.NEAREST)
    assert np.array_equal(picture, list(Noise(steps=6).run(None))[2].image)


class Silent(Method, listed=False):
    """Makes a picture of no prompt, without a seed, in one step."""

    shade: int = 7

    def run(self, lab, resume=None):
        yield Step(0, 1, Image.new("RGB", (8, 8), (self.shade,) * 3))


class Counting(Method, listed=False):
    """Step i is a picture of shade i; a preview every tenth, and Ctrl-C is pressed in step 26."""

    def run(self, lab, resume=None):
        def step(i):
            if i == 26:
                signal.raise_signal(signal.SIGINT)
            return Made({"clip": i / 50}, lambda: Image.new("RGB", (8, 8), (i,) * 3))

        yield from loop(50, {}, step, 10)


def test_an_interrupt_shows_the_step_that_was_reached_and_not_the_last_preview(screen):
    result = show(Counting(), FakeLab(), every_s=60)
    assert result.interrupted and "stopped after 27 of 50 steps" in screen.html
    assert pictures(screen.html)[0].getpixel((0, 0)) == (26, 26, 26) == result.image.getpixel((0, 0))


def test_a_method_without_prompt_and_scores_is_shown(screen):
    result = show(Silent(), FakeLab(), every_s=0)
    assert result.finished and pictures(screen.html)[0].getpixel((0, 0)) == (7, 7, 7)
    assert "<i>" not in screen.html and "None" not in screen.html and screen.shown[-1]["text/plain"] == "1 step in 0 s"


def test_an_error_leaves_the_last_picture_on_display(screen):
    with pytest.raises(RuntimeError) as caught:
        show(Noise(mode="fail"), FakeLab(), every_s=60)
    assert "stopped by RuntimeError after 3 of 6 steps" in screen.html and pictures(screen.html)
    assert caught.value.result.steps_done == 3


def test_steps_of_a_run(screen):
    result = show(Noise(steps=4).run(None), FakeLab())
    assert result.finished and result.spec is None and "4 steps" in screen.html


def test_what_users_write_is_escaped(screen):
    show(Noise(prompt="<script>alert(1)</script> & \"dog\""), FakeLab())
    for shown in screen.shown:
        assert "<script" not in shown["text/html"] and "<b>" not in shown["text/html"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in screen.html
    assert "never seen: &lt;b&gt;hallelujah" in screen.html, "what the method has to say"


def test_score_names_are_escaped():
    result = Result(None, history=[{"<i>": 0.0}, {"<i>": 1.0}], n=2, steps_done=2)
    assert "<i>" not in page(result)["text/html"] and "&lt;i&gt;: 0 → 1" in page(result)["text/html"]


@pytest.mark.parametrize("pocket", [True, False])
def test_pocket_models_are_called_so(screen, pocket):
    show(Noise(), FakeLab(pocket=pocket))
    assert all((POCKET in shown["text/html"]) == pocket for shown in screen.shown)


def test_plain_python_displays_nothing(capsys):
    assert show(Noise(), FakeLab()).finished
    assert capsys.readouterr().out == ""


def test_the_curve_rises_where_the_score_rises():
    ink = np.asarray(notebook.curve_image([0.0, 1.0, 0.0, 2.0], (1, 2, 3)))[..., 3] > 0
    tops = ink.argmax(0)[2:-3]
    third = len(tops) // 3
    assert tops[-1] < tops[third] < tops[2 * third] and tops[0] > 60
    many = notebook.curve_image(list(np.linspace(0, 1, 5000)), (1, 2, 3))
    assert many.size == (256, 72)
    assert np.asarray(notebook.curve_image([1.0, 1.0], (0, 0, 0)))[..., 3].any(), "a flat line is a line"


@pytest.mark.parametrize(("seconds", "words"), [
    (0.2, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (125, "2 min 05 s"), (4800, "1 h 20 min"),
])  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_time_left_counts_only_this_run_s_steps():
    resumed = Result(None, history=[{}] * 10, steps_done=90, n=100, seconds=20.0)
    assert status(resumed) == "step 90 of 100, 20 s left"
    assert "stopped" in repr(resumed) and "finished" in repr(collect(Noise(), FakeLab()))


CELLS = [
    """import os, signal, threading
from labkit.views.notebook.show import show
from tests.views.support import FakeLab, Noise
result = show(Noise(prompt="a red apple", steps=4), FakeLab())
result""",
    """threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
result = show(Noise(steps=200, wait=0.05), FakeLab())""",
    "print(result.interrupted, result.image.size, 3 < result.steps_done < 100)",
]


def test_in_a_real_kernel(pytestconfig, tmp_path, monkeypatch):
    """One output per cell, updated in place; an interrupt of the kernel keeps the picture and is no error."""
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath), prepend=":")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    first, second, third = (cell.outputs for cell in book.cells)
    assert [output.output_type for output in first] == ["display_data", "execute_result"]
    assert "a red apple" in first[0].data["text/html"] and first[0].data["text/plain"].startswith("4 steps in")
    assert first[1].data["text/plain"].startswith("<Result: finished, 4 of 4 steps")
    assert [output.output_type for output in second] == ["display_data"]
    assert "stopped after" in second[0].data["text/html"] and pictures(second[0].data["text/html"])
    assert third[0].text.strip() == "True (8, 8) True"
