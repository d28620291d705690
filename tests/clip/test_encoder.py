"""One face for every CLIP: unit vectors, notices, and errors that say what to give."""

import pytest
import torch

from labkit.clip.encoder import Encoder
from labkit.models.clip import MEAN, STD, PocketCLIP, SubwordTokenizer
from tests.conformance import CLIP, TinyLab, tokenizer_json


@pytest.fixture(scope="module")
def encoder():
    return TinyLab().clip


def test_pictures_of_any_side_become_unit_vectors(encoder):
    for side in ((16, 16), (40, 24), (7, 9)):
        x = torch.rand(3, 3, *side, generator=torch.Generator().manual_seed(0))
        out = encoder.encode_image(x)
        assert out.shape == (3, CLIP.embed_dim) and out.dtype == torch.float32
        assert torch.allclose(out.norm(dim=1), torch.ones(3), atol=1e-5)


def test_a_gradient_reaches_the_picture_and_no_weight(encoder):
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (grad,) = torch.autograd.grad(encoder.encode_image(x)[:, 0].sum(), x)
    assert grad.abs().sum() > 0 and all(p.grad is None and not p.requires_grad for p in encoder.model.parameters())


def test_preprocessing_is_the_model_s(encoder):
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    plain = torch.nn.functional.normalize(encoder.model.encode_image((x - mean) / std), dim=-1)
    assert torch.allclose(encoder.encode_image(x), plain, atol=1e-6)


def test_texts_do_not_depend_on_the_batch(encoder):
    texts = ["an apple", "a blue house at sea", "snow", "a much longer text about a red guitar in a dark corner"]
    together = encoder.encode_text(texts)
    assert torch.allclose(together.norm(dim=1), torch.ones(4), atol=1e-5)
    assert torch.allclose(encoder.encode_text(texts, batch=1), together, atol=1e-5)
    assert not together.requires_grad and encoder.scale == pytest.approx(float(encoder.model.logit_scale.exp()))


@pytest.mark.parametrize("texts", [[], ["an apple", "  "], [""]])
def test_an_empty_text_is_an_error(encoder, texts):
    with pytest.raises(ValueError, match="texts: every text needs"):
        encoder.encode_text(texts)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 4, 16, 16), (1, 16, 16, 3)])
def test_a_wrong_shape_is_named(encoder, shape):
    with pytest.raises(ValueError, match=r"x: shape .* must be \(B, 3, H, W\)"):
        encoder.encode_image(torch.zeros(shape))


def test_unknown_words_and_cut_texts_are_reported(encoder):
    assert encoder.notices("a red apple in the snow") == []
    assert encoder.notices("a realistic apple, hallelujah") == [
        "the pocket model has never seen 'realistic', 'hallelujah'"]
    (cut,) = encoder.notices("a red apple " * 40)
    assert cut.endswith(f"the model reads the first {CLIP.context_length}")


class _OpenCLIPs:
    context_length = 8

    def encode(self, text):
        return text.split()


class _HuggingFaces:
    context_length = 8

    def tokenizer(self, text):
        return {"input_ids": [0, *text.split(), 1]}


@pytest.mark.parametrize("tokenizer", [_OpenCLIPs(), _HuggingFaces()])
def test_texts_are_counted_for_every_kind_of_tokenizer(tokenizer):
    encoder = Encoder(PocketCLIP(CLIP), tokenizer, 16, MEAN, STD, "some")
    assert encoder.notices("one two three four five six") == []
    assert encoder.notices("one two three four five six seven") == [
        "the text has 9 tokens, the model reads the first 8"]


def test_a_model_is_frozen_on_its_way_in():
    model = PocketCLIP(CLIP).train()
    Encoder(model, SubwordTokenizer(tokenizer_json(), CLIP.context_length), 16, MEAN, STD, "some")
    assert not any(m.training for m in model.modules()) and not any(p.requires_grad for p in model.parameters())
