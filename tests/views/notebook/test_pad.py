"""The notebook's pad: what stands on it, drawn or uploaded, is what comes out."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from time import monotonic, sleep

import numpy as np
import pytest
from PIL import Image, ImageDraw

from labkit.image import ImageError
from labkit.image.convert import png_bytes
from labkit.views.notebook.pad import sketch_pad
from tests.apps.browser import visitor
from tests.views.cli.test_handover import answers, free_port


def lines(mode: str = "RGB", size: tuple[int, int] = (100, 50), paper="white") -> Image.Image:
    picture = Image.new(mode, size, paper)
    ImageDraw.Draw(picture).line([(10, 10), (90, 40)], fill="black", width=4)
    return picture


def send(box, picture: Image.Image | bytes) -> None:
    """Put on the pad what the browser sends of it."""
    data = picture if isinstance(picture, bytes) else png_bytes(picture)
    box.children[0].set_state({"base64": base64.b64encode(data).decode()})


def upload(box, data: bytes) -> None:
    file = {"name": "a.png", "type": "image/png", "size": len(data), "content": memoryview(data),
            "last_modified": datetime.now(UTC)}
    box.children[1].children[0].set_trait("value", (file,))


def test_nothing_on_the_pad_is_said():
    box, drawn = sketch_pad()
    with pytest.raises(ImageError, match="draw something"):
        drawn()
    send(box, Image.new("RGBA", (320, 320), (0, 0, 0, 0)))
    with pytest.raises(ImageError, match="one colour all over"):
        drawn()


def test_what_is_drawn_lies_on_white_paper():
    box, drawn = sketch_pad(side=100)
    send(box, lines("RGBA", paper=(0, 0, 0, 0)))
    np.testing.assert_array_equal(drawn(), lines())


@pytest.mark.parametrize(("mode", "paper"), [("RGB", "white"), ("RGBA", (0, 0, 0, 0))])
def test_what_it_begins_with_keeps_its_proportions_and_lies_on_white(mode, paper):
    _, drawn = sketch_pad(lines(mode, paper=paper), side=100)
    np.testing.assert_array_equal(np.asarray(drawn())[25:75], lines())
    assert (np.asarray(drawn())[:25] == 255).all()


def test_an_upload_is_drawn_on_the_pad_and_what_is_no_picture_changes_nothing():
    box, drawn = sketch_pad(side=100)
    upload(box, png_bytes(lines()))
    np.testing.assert_array_equal(np.asarray(drawn())[25:75], lines())
    upload(box, b"no picture")
    assert "not opened" in box.children[1].children[1].value
    np.testing.assert_array_equal(np.asarray(drawn())[25:75], lines())


def test_what_the_browser_sends_is_opened_like_a_strangers_picture():
    box, drawn = sketch_pad()
    box.children[0].set_state({"base64": "!!!"})
    with pytest.raises(ImageError, match="draw again"):
        drawn()
    send(box, b"no picture")
    with pytest.raises(ImageError):
        drawn()


def test_a_triangle_drawn_in_jupyter_reaches_the_next_cell(chromium, tmp_path):
    cells = ["from labkit.views.notebook.pad import sketch_pad\nbox, drawn = sketch_pad()\nbox", "drawn().save('drawn.png')"]
    notebook = {"cells": [{"cell_type": "code", "execution_count": None, "id": f"cell{k}", "metadata": {}, "outputs": [],
                           "source": source} for k, source in enumerate(cells)],
                "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
                "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "pad.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    lab = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
                            "--IdentityProvider.token=", f"--notebook-dir={tmp_path}"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port), "Jupyter answers")
        with visitor(chromium) as page:
            page.goto(f"http://127.0.0.1:{port}/lab/tree/pad.ipynb")
            draw_and_save(page)
            until((tmp_path / "drawn.png").is_file, "the second cell has written its picture")
    finally:
        lab.terminate()
        lab.wait(30)
    ink = np.asarray(Image.open(tmp_path / "drawn.png").convert("L")) < 128
    assert ink.shape == (320, 320) and 300 < ink.sum() < 5000
    assert ink[196:205, 150].any() and ink[55:66, 145:156].any() and not ink[250:].any()


def draw_and_save(page) -> None:
    page.locator(".jp-CodeCell").nth(0).click()
    page.keyboard.press("Shift+Enter")
    paper = page.locator(".paint-container canvas").first
    paper.wait_for()
    box = paper.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 200)
    page.mouse.down()
    for x, y in ((150, 60), (250, 200), (60, 200)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=10)
    page.mouse.up()
    page.locator(".jp-CodeCell").nth(1).click()
    page.keyboard.press("Shift+Enter")


def until(found, what: str, seconds: float = 120) -> None:
    deadline = monotonic() + seconds
    while not found():
        assert monotonic() < deadline, f"in {seconds:.0f} s it never happened: {what}"
        sleep(0.3)
