"""The pocket CLIP's text tower in transformers' class says the same, and so do its words as a file."""

import pytest
import torch
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from labkit.models.stable_text import text_model, text_tokenizer
from tests.conformance import pocket_lab, tokenizer_json

TEXTS = ["a red apple in the snow", "", "A photo of <end> 'zebra' " * 12, "naïve café ﬁ 12:30", "  two   spaces "]


@pytest.fixture(scope="module", params=["tiny", "pocket"])
def clip(request, missing):
    lab = request.getfixturevalue("tiny") if request.param == "tiny" else pocket_lab(missing, ["clip"])
    return lab.clip


@pytest.fixture(scope="module")
def words(clip):
    json_text = tokenizer_json() if clip.name == "tiny" else clip.model.about["tokenizer"]
    return text_tokenizer(json_text, clip.tokenizer.context_length)


def padded(words, texts=TEXTS) -> torch.Tensor:
    """As diffusers' pipelines ask."""
    return words(texts, padding="max_length", max_length=words.model_max_length, truncation=True, return_tensors="pt").input_ids


def test_tokens_are_the_same_and_survive_the_disk(clip, words, tmp_path):
    wanted = clip.tokenizer(TEXTS)
    assert torch.equal(padded(words), wanted)
    words.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(padded(again), wanted) and again.model_max_length == clip.tokenizer.context_length
    assert len(again) == clip.model.config.vocab_size and again.eos_token_id == int(wanted.max())


@torch.no_grad()
def test_the_tower_says_the_same_of_every_token_and_of_the_text(clip, words, tmp_path):
    model, ids = text_model(clip.model, words), padded(words)
    out = model(ids)
    x = clip.model.token_embedding(ids) + clip.model.positional_embedding
    wanted = clip.model.ln_final(clip.model.transformer(x, attn_mask=clip.model.attn_mask))
    assert torch.allclose(out.last_hidden_state, wanted, atol=1e-5)
    assert torch.allclose(out.pooler_output @ clip.model.text_projection, clip.model.encode_text(ids), atol=1e-5)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    model.save_pretrained(tmp_path)
    again = CLIPTextModel.from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(again(ids).last_hidden_state, out.last_hidden_state)
