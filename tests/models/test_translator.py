"""Nets that make sketches into pictures: shapes, what decides, and what they refuse."""

import pytest
import torch

from labkit.models.translator import CycleGAN, PatchCritic, Translator, TranslatorConfig

SMALL = {"widths": (8, 8, 8), "blocks": 1}


def net(**changes) -> Translator:
    torch.manual_seed(0)
    return Translator(TranslatorConfig(**SMALL | changes)).eval()


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (16, 24)])
def test_a_picture_of_the_sketch_s_size_comes_back(size):
    x = torch.rand(2, 3, *size) * 2 - 1
    made = net()(x)
    assert made.shape == x.shape and made.abs().max() <= 1
    alone = torch.cat([net()(x[k:k + 1]) for k in range(2)])
    assert torch.allclose(made, alone, atol=1e-5), "a batch is its pictures one by one"


def test_the_sketch_decides_and_where_there_is_one_the_sentence():
    model, x, e = net(condition=6), torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 6)
    model.measure(torch.randn(20, 6))
    made = model(x, e)
    assert not torch.allclose(made, model(x, e.flip(0)), atol=1e-4)
    assert not torch.allclose(made, model(x.flip(0), e), atol=1e-4)


def test_sentences_are_read_as_they_stand_among_the_others():
    """Moved and stretched all together they say the same."""
    model, x, some = net(condition=6), torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(20, 6)
    model.measure(some)
    made = model(x, some[:2])
    model.measure(5 + 3 * some)
    assert torch.allclose(model(x, 5 + 3 * some[:2]), made, atol=1e-4)


def test_a_cyclegan_has_a_way_there_and_a_way_back():
    torch.manual_seed(0)
    model, x = CycleGAN(TranslatorConfig(**SMALL)).eval(), torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(model(x), model.draw(x)) and not torch.allclose(model.draw(x), model.trace(x), atol=1e-3)


def test_a_patch_s_score_is_of_its_surroundings_alone():
    """Without norms, which look at the whole: a pixel moves the scores of few patches."""
    critic = PatchCritic(3, (8, 8, 8)).eval()
    for k, layer in enumerate(critic.net):
        if isinstance(layer, torch.nn.InstanceNorm2d):
            critic.net[k] = torch.nn.Identity()
    x = torch.rand(1, 3, 64, 64)
    other = x.clone()
    other[..., 0, 0] += 1
    moved = (critic(other) - critic(x)).abs()[0, 0] > 1e-9
    assert critic(x).shape == (1, 1, 8, 8) and moved[0, 0] and not moved[4:].any() and not moved[:, 4:].any()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: TranslatorConfig(widths=(8, 12, 8)), r"widths: \(8, 12, 8\) must be three multiples of 8"),
    (lambda: TranslatorConfig(blocks=0), "blocks, condition: 0, 0 must be 1 or more, 0 or more"),
    (lambda: net()(torch.zeros(1, 3, 60, 64)), r"x: shape \(1, 3, 60, 64\) must be \(B, 3, H, W\), H and W multiples of 8"),
    (lambda: net()(torch.zeros(1, 3, 64, 64), torch.zeros(1, 6)), "e: this net reads no sentence; leave it out"),
    (lambda: net(condition=6)(torch.zeros(2, 3, 64, 64)), r"e: give a sentence's vector for each picture, \(2, 6\)"),
    (lambda: net(condition=6)(torch.zeros(2, 3, 64, 64), torch.zeros(1, 6)), r"e: shape \(1, 6\) must be \(2, 6\)"),
])  # fmt: skip
def test_refusals_name_the_value_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
