"""Directions: finite where there is none, made of sentences that the model can read."""

import pytest
import torch

from labkit.clip.directions import picture_direction, sentence, templates_for, text_direction, unit


def test_a_difference_of_nothing_has_no_direction_and_a_finite_gradient():
    """CLIPstyler divides 0 by 0 where the output equals the content."""
    v = torch.zeros(2, 5, requires_grad=True)
    unit(v).sum().backward()
    assert torch.equal(unit(v), torch.zeros(2, 5)) and bool(v.grad.isfinite().all())
    assert float(unit(torch.tensor([0.3, 0.4])).norm()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("template", "text", "made"), [
    ("a bad photo of a {}.", "a watercolour", "a bad photo of a watercolour."),
    ("a bad photo of a {}.", "Watercolor painting", "a bad photo of a Watercolor painting."),
    ("a photo of the {}.", "an oil painting", "a photo of the oil painting."),
    ("itap of {}", "the sea", "itap of the sea"), ("{}", "a mosaic", "a mosaic")])
def test_a_sentence_has_one_article(template, text, made):
    assert sentence(template, text) == made


def test_sentences_are_those_whose_words_the_model_knows(tiny):
    known = templates_for(tiny.guide)
    assert 1 < len(known) < 80 and "a painting of a {}." in known and "a photo of a {}." not in known
    assert not any(tiny.guide.notices(one.format("picture")) for one in known)
    assert templates_for(tiny.guide, "none") == ("{}",)


def test_a_text_direction_goes_from_source_to_style(tiny):
    there, back = (text_direction(tiny.guide, a, b, ("{}",)) for a, b in (("a mosaic", "a dog"), ("a dog", "a mosaic")))
    assert torch.allclose(there, -back, atol=1e-5) and float(there.norm()) == pytest.approx(1, abs=1e-3)
    assert float(text_direction(tiny.guide, "a dog", "a dog", ("{}",)).norm()) == 0


def test_a_picture_direction_goes_from_content_to_style(tiny):
    a, b = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 40, 40) * 0.2
    there, back = picture_direction(tiny.guide, a, b), picture_direction(tiny.guide, b, a)
    assert torch.allclose(there, -back, atol=1e-5) and float(picture_direction(tiny.guide, a, a).norm()) == 0
