"""Captions as a measure: the model's own answers in any batch, a figure, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.clip import captions
from labkit.clip.captions import Captions
from labkit.image import ImageError
from labkit.spec import NonFiniteError, SpecError
from tests.conformance import TinyLab


@pytest.fixture(scope="module")
def lab():
    return TinyLab()


def pictures(n: int = 5) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (20 + k, 30, 3), dtype=np.uint8)) for k in range(n)]


def test_the_table_is_what_the_model_says_in_any_batch(lab, monkeypatch):
    some, text = pictures(), "a dog at night"
    found = Captions(text=f" {text} ").compute(lab, some, list("abcde"))
    assert list(found.table.index) == list("abcde") and list(found.table.columns) == ["caption", "match", "cosine"]
    assert list(found.table["caption"]) == lab.blip.caption(some)
    assert np.allclose(found.table["match"], lab.blip.match(some, [text] * 5), atol=1e-5)
    assert np.allclose(found.table["cosine"], lab.blip.encode_image(some) @ lab.blip.encode_text([text])[0], atol=1e-5)
    monkeypatch.setattr(captions, "BATCH", 2)
    again = Captions(text=text).compute(lab, some)
    assert list(again.table["caption"]) == list(found.table["caption"]) and list(again.table.index)[0] == "image 0"
    assert np.allclose(again.table["match"], found.table["match"], atol=1e-5)


def test_without_a_text_a_model_need_not_match():
    lab = TinyLab()
    lab.blip.net.retrieval = None
    found = Captions().compute(lab, pictures(2))
    assert list(found.table.columns) == ["caption"] and found.notices == ()


def test_the_figure_has_a_picture_a_caption_and_no_formula(lab, monkeypatch):
    monkeypatch.setattr(lab.blip, "caption", lambda some, beams: ["from $1 to $2 \x1b[31m"] * len(some))
    found = Captions(text="costs $5 or $6 or more").compute(lab, pictures(7))
    axes = found.figure().axes
    assert sum(len(a.images) for a in axes) == 7 and "match" in axes[0].get_title() and not axes[7].get_title()
    assert found.figure()._repr_png_().startswith(b"\x89PNG"), "dollars are no formula"


def test_what_is_refused(lab, monkeypatch):
    with pytest.raises(SpecError, match="names: 1 for 2 images"):
        Captions().compute(lab, pictures(2), ["a"])
    with pytest.raises(SpecError, match="there are none"):
        Captions().compute(lab, [])
    with pytest.raises(ImageError, match="image 1: a str is no picture"):
        Captions().compute(lab, [pictures(1)[0], "b.png"])
    monkeypatch.setattr(lab.blip, "match", lambda x, texts: torch.full((len(texts),), torch.nan))
    with pytest.raises(NonFiniteError, match="precision fp32"):
        Captions(text="a dog").compute(lab, pictures(1))
