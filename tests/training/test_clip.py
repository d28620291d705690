"""The pocket CLIP's loss in closed form, and the captions it is trained on."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labkit.training.clip import JUNK, class_captions, clip_loss, spoken
from labkit.world import classes, read, unknown_words


def vectors(n: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_loss_equals_symmetric_cross_entropy_where_captions_differ():
    image, text = vectors(5), vectors(7, 1)
    loss, _ = clip_loss(image, text, torch.tensor(10.0), torch.eye(5), [torch.zeros(5, 2)], (1.0,))
    logits, index = 10 * image @ text[:5].T, torch.arange(5)
    assert float(loss) == pytest.approx(float(F.cross_entropy(logits, index) + F.cross_entropy(logits.T, index)) / 2, rel=1e-5)


def test_attribute_terms_are_the_weighted_cross_entropy_over_the_rows_that_have_one():
    image, text = vectors(4), vectors(9, 1)
    target = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0.5, 0.5], [0, 0, 1]])
    other = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    with_it, without = (float(clip_loss(image, text, torch.tensor(5.0), torch.eye(4), [k * target, k * other],
                                        (1.0, 0.25))[0]) for k in (1, 0))
    logits, rows = 5 * image @ text[4:].T, [0, 2, 3]
    wanted = F.cross_entropy(logits[rows, :3], target[rows]) + F.cross_entropy(logits[:, 3:], other) / 4
    assert with_it - without == pytest.approx(float(wanted), rel=1e-4)


def test_equal_captions_are_one_another_s_positives():
    image = vectors(2)
    text = vectors(1, 1).expand(2, 8)
    loss, hit = clip_loss(image, text, torch.tensor(10.0), torch.ones(2, 2), [], ())
    assert hit == 1
    logits = 10 * image @ text.T
    wanted = (math.log(2) - (F.log_softmax(logits.T, dim=1)).mean(1).mean()) / 2
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("attribute", ["subject", "colour", "setting", "style"])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_class_captions_name_their_class_in_order(attribute, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    for name, text in zip(classes(attribute), class_captions(attribute, rng), strict=True):
        seen = read(f"{text} apple") if attribute == "colour" else read(text)
        got = {"subject": seen.subjects[:1], "colour": (*seen.colours, *((name,) if text.split()[1:2] == [name] else ())),
               "setting": (seen.setting,), "style": (seen.style,)}[attribute]
        assert name in got, text


def test_a_few_captions_get_a_word_that_means_nothing():
    rng = np.random.default_rng(0)
    said = [spoken("a red apple", rng) for _ in range(2000)]
    changed = [t for t in said if t != "a red apple"]
    assert 0.05 < len(changed) / 2000 < 0.11
    assert all(len(t.split()) == 4 and read(t).subjects == ("apple",) for t in changed if not unknown_words(t) == ())
    assert any(set(JUNK) & set(t.split()) for t in changed)
