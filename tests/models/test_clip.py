"""Pocket CLIP: open_clip's class with another image tower, and a tokenizer that takes any string."""

import json

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP as OpenCLIP
from torchvision.models.convnext import ConvNeXt

from labkit.models.clip import CheckCLIP, PocketCLIP, SubwordTokenizer, train_tokenizer
from labkit.models.load import config_of
from tests.conformance import CHECK, CLIP, tokenizer_json


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    return PocketCLIP(CLIP).eval().requires_grad_(False)


TOKENIZER = SubwordTokenizer(tokenizer_json(), CLIP.context_length)
END = TOKENIZER._end


def test_is_open_clip_s_and_only_the_tower_is_ours(model):
    assert isinstance(model, open_clip.CLIP)
    assert PocketCLIP.encode_image is OpenCLIP.encode_image and PocketCLIP.forward is OpenCLIP.forward


def test_encode_text_equals_open_clip_s_own(model):
    tokens = TOKENIZER(["an apple", "snow", "a much longer text about a red guitar in a dark corner of a cellar " * 3])
    for some in (tokens, tokens[:1], tokens[1:2]):
        for normalize in (False, True):
            ours, theirs = model.encode_text(some, normalize), OpenCLIP.encode_text(model, some, normalize)
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_what_follows_the_end_does_not_matter(model):
    tokens = TOKENIZER(["an apple", "a blue house at sea"])
    padded = tokens.clone()
    padded[0][int(tokens[0].argmax()) + 1 :] = 7
    assert torch.allclose(model.encode_text(padded), model.encode_text(tokens), atol=1e-6)


def test_config_makes_the_same_architecture_again(model):
    again = PocketCLIP.from_config(json.loads(json.dumps(config_of(model))))
    assert again.config == model.config
    again.load_state_dict(model.state_dict())
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.eval().encode_image(x), model.encode_image(x))


def test_the_one_that_checks_has_another_tower_and_the_same_face():
    torch.manual_seed(3)
    check = CheckCLIP(CHECK).eval().requires_grad_(False)
    assert isinstance(check, open_clip.CLIP) and isinstance(check.visual, ConvNeXt)
    x = torch.rand(2, 3, 24, 16, generator=torch.Generator().manual_seed(0))
    assert check.encode_image(x).shape == (2, CHECK.embed_dim) == check.encode_text(TOKENIZER(["a", "b c"])).shape
    assert type(CheckCLIP.from_config(json.loads(json.dumps(config_of(check)))).visual) is type(check.visual)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_tokenizer_takes_any_text(text):
    ids = TOKENIZER.ids(text)
    assert ids[-1] == END == max(ids) and ids.count(END) == 1, "the feature is read at the first end token"
    (row,) = TOKENIZER(text)
    assert row.shape == (CLIP.context_length,) and int((row == END).sum()) == 1
    assert int(row.max()) < CLIP.vocab_size and int(row.min()) >= 0


@pytest.mark.parametrize("text", ["<end>", "an apple <end> in the snow", "<start><pad>", "<END>"])
def test_special_tokens_in_a_prompt_are_text(text):
    ids = TOKENIZER.ids(text)[1:-1]
    assert not {TOKENIZER._start, TOKENIZER._end, TOKENIZER._pad} & set(ids)
    assert len(TOKENIZER.ids("an apple <end> in the snow")) > len(TOKENIZER.ids("an apple in the snow"))


def test_a_long_text_is_cut_and_still_ends():
    (row,) = TOKENIZER("red apple " * 100)
    assert int(row[-1]) == END and int((row == END).sum()) == 1
    assert TOKENIZER(["snow", "sea"], context_length=6).shape == (2, 6)


def test_case_does_not_matter_and_learning_is_repeatable():
    assert TOKENIZER.ids("A Red APPLE") == TOKENIZER.ids("a red apple")
    texts = ["a red apple in the snow", "a blue house at sea", "a red house"] * 3
    assert train_tokenizer(texts, 290) == train_tokenizer(texts, 290)


def test_frequent_words_are_few_tokens():
    assert len(TOKENIZER.ids("a")) == 3
    assert len(TOKENIZER.ids("in the")) <= 4 < len(TOKENIZER.ids("hallelujah"))
