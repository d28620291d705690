"""The pocket BLIP: one model from two classes of transformers, its first tokens, its losses, its file."""

import copy

import pytest
import torch
import torch.nn.functional as F

from labkit import zoo
from labkit.clip.blip import BLIP, load_blip
from labkit.kinds import KINDS
from labkit.models.blip import DEC, ENC, BLIPTokenizer, PocketBLIP, PocketBLIPConfig, train_blip_tokenizer
from labkit.models.load import config_of
from tests.conformance import assert_same, tiny_blip

TEXTS = ["red apple", "a blue dog in the snow under the night sky", "watercolour"]


@pytest.fixture(scope="module")
def blip():
    return tiny_blip()


def pictures(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_pocket_model_is_within_its_budget_and_stores_nothing_twice():
    net = PocketBLIP(PocketBLIPConfig())
    state = net.state_dict()
    places = {t.data_ptr() for t in state.values() if t.numel()}
    assert len(places) == len(state)
    assert sum(t.numel() for t in state.values()) * 2 <= KINDS["blip"].megabytes * 1e6 - 50_000, "with header and tokenizer"


def test_encoder_and_decoder_share_all_but_self_attention_and_a_copy_still_does(blip):
    for net in (blip.net, copy.deepcopy(blip.net)):
        ours, theirs = net.captioner.text_decoder.bert, net.retrieval.text_encoder
        for a, b in zip(ours.encoder.layer, theirs.encoder.layer, strict=True):
            assert a.crossattention is b.crossattention and a.output is b.output and a.intermediate is b.intermediate
            assert a.attention is not b.attention
        assert ours.embeddings is theirs.embeddings and net.captioner.vision_model is net.vision
    assert blip.net.captioner is not copy.deepcopy(blip.net).captioner


def test_vectors_have_length_one_and_a_text_s_padding_does_not_matter(blip):
    together, alone = blip.encode_text(TEXTS), torch.cat([blip.encode_text([t]) for t in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5) and torch.allclose(together.norm(dim=1), torch.ones(3))
    assert torch.allclose(blip.encode_image(pictures()).norm(dim=1), torch.ones(3))
    matched = torch.cat([blip.match(pictures()[k:k + 1], [t]) for k, t in enumerate(TEXTS)])
    assert torch.allclose(blip.match(pictures(), TEXTS), matched, atol=1e-5)


def test_what_matches_in_training_is_what_is_served(blip):
    """Both passes start with [ENC]: what transformers' own class does with [CLS] is another number."""
    ids, mask = blip.tokenizer(TEXTS)
    x = blip.prepare(pictures())
    logits = blip.net.match_logits(blip.net.states(x), ids, mask)
    assert torch.allclose(logits.softmax(1)[:, 1], blip.match(pictures(), TEXTS))
    led = ids.clone()
    led[:, 0] = blip.tokenizer._tokenizer.token_to_id(ENC)
    theirs = blip.net.retrieval(led, x, attention_mask=mask).itm_score
    assert torch.allclose(theirs, logits, atol=1e-5)
    assert not torch.allclose(blip.net.retrieval(ids, x, attention_mask=mask).itm_score, logits, atol=1e-4)


def test_contrast_is_that_of_transformers(blip):
    ids, mask = blip.tokenizer(TEXTS)
    theirs = blip.net.retrieval(ids, blip.prepare(pictures()), use_itm_head=False, attention_mask=mask).itm_score
    assert torch.allclose(blip.encode_image(pictures()) @ blip.encode_text(TEXTS).T, theirs, atol=1e-5)


def test_lm_loss_is_that_of_transformers_where_padding_is_told_to_not_count(blip):
    ids, mask = blip.tokenizer(TEXTS)
    x = blip.prepare(pictures())
    led = ids.clone()
    led[:, 0] = blip.tokenizer._tokenizer.token_to_id(DEC)
    theirs = blip.net.captioner(x, led, attention_mask=mask, labels=led.masked_fill(mask == 0, -100)).loss
    ours = blip.net.lm_loss(blip.net.states(x), ids, mask)
    assert torch.allclose(ours, theirs, atol=1e-5)
    naive = blip.net.captioner(x, led, attention_mask=mask, labels=led).loss
    assert not torch.allclose(naive, theirs, atol=1e-3), "transformers counts padding unless it is told"


def test_a_decoder_sees_no_word_that_comes_later(blip):
    ids, _ = blip.tokenizer(["a red apple in the snow"])
    states = blip.net.states(blip.prepare(pictures(1)))
    changed = ids.clone()
    changed[:, -2] = 70
    a, b = (blip.net.captioner.text_decoder(input_ids=i, encoder_hidden_states=states).logits for i in (ids, changed))
    assert torch.equal(a[:, :-2], b[:, :-2]) and not torch.allclose(a[:, -2:], b[:, -2:])


def test_the_last_two_ids_are_the_first_tokens_and_a_text_comes_back():
    tokenizer = BLIPTokenizer(train_blip_tokenizer(["a red apple in the snow"] * 9, 290), 12)
    n = tokenizer.vocab_size
    assert [tokenizer._tokenizer.id_to_token(i) for i in (n - 2, n - 1)] == [DEC, ENC] and n <= 290
    ids, mask = tokenizer(["a red apple", "A Rose: Ümlaut [ENC]"])
    assert ids.shape == mask.shape and mask[0].sum() < mask[1].sum() <= 12
    assert tokenizer.decode(ids[0]) == "a red apple" and (ids < n - 2).all(), "[ENC] in a text is text"


def test_a_trained_file_comes_back_and_is_served(blip, tmp_path):
    about = {"kind": "blip", "config": config_of(blip.net), "tokenizer": blip.tokenizer.json}
    path = zoo.save_tensors(tmp_path / "mine.safetensors", blip.net.state_dict(), about, dtype=None)
    again = load_blip(str(path))
    assert_same(dict(again.net.state_dict()), dict(blip.net.state_dict()))
    assert torch.equal(again.match(pictures(), TEXTS), blip.match(pictures(), TEXTS))
    assert again.caption(pictures()) == blip.caption(pictures()) and len(again.caption(pictures())) == 3
    assert again.sha256 and again.notices("a red zeppelin") == ["the pocket model has never seen 'zeppelin'"]


def test_pictures_may_be_pil_of_any_side_and_gradients_reach_them(blip):
    from labkit.image import to_pil

    x = F.interpolate(pictures(2), scale_factor=2)
    assert (blip.encode_image([to_pil(p) for p in x]) * blip.encode_image(x)).sum(1).min() > 0.999
    x = pictures(2).requires_grad_()
    blip.encode_image(x)[:, 0].sum().backward()
    assert x.grad.abs().sum() > 0


def test_training_keeps_the_trunk_s_statistics(blip):
    net = copy.deepcopy(blip.net).train()
    before = {k: v.clone() for k, v in net.patches.trunk.state_dict().items()}
    net.states(blip.prepare(pictures()))
    assert_same(dict(net.patches.trunk.state_dict()), before)
    assert isinstance(BLIP(net, blip.tokenizer, 64).caption(pictures(1))[0], str)
