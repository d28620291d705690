"""BLIP's losses in closed form: several positives, hard negatives, labelled negatives, τ."""

import math

import pytest
import torch
import torch.nn.functional as F

from labkit.models.blip import TEMPERATURE
from labkit.training.matching import clamp_temperature, hard_negatives, itc_loss, itm_loss, matching_losses
from tests.conformance import tiny_blip


def vectors(n: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_itc_with_one_positive_each_is_the_symmetric_cross_entropy():
    image, text = vectors(5), vectors(5, 1)
    logits, index = image @ text.T / 0.07, torch.arange(5)
    wanted = (F.cross_entropy(logits, index) + F.cross_entropy(logits.T, index)) / 2
    assert float(itc_loss(image, text, torch.eye(5).bool(), 0.07)) == pytest.approx(float(wanted), rel=1e-5)


def test_itc_shares_its_target_among_all_texts_of_a_picture_and_passes_over_what_fits_nothing():
    image, text = vectors(3), vectors(3, 1)
    fits = torch.tensor([[True, True, False], [False, False, True], [False, False, False]])
    logits = image @ text.T / 0.1
    rows, columns = F.log_softmax(logits, 1), F.log_softmax(logits.T, 1)
    wanted = -((rows[0, 0] + rows[0, 1]) / 2 + rows[1, 2]) / 2 - (columns[0, 0] + columns[1, 0] + columns[2, 1]) / 3
    assert float(itc_loss(image, text, fits, 0.1)) == pytest.approx(float(wanted) / 2, rel=1e-5)


def test_a_softmax_over_one_candidate_is_always_right():
    """One of the mistakes that gives perfect scores: there is nothing to learn from a batch of one."""
    assert float(itc_loss(vectors(1), vectors(1, 1), torch.ones(1, 1).bool(), 0.07)) == 0


def test_hard_negatives_never_fit_are_close_and_a_row_without_any_has_none():
    logits = torch.tensor([[9.0, 5.0, -20.0], [0.0, 0.0, 0.0], [9.0, 9.0, 1.0]])
    fits = torch.tensor([[True, False, False], [True, True, True], [False, True, False]])
    for seed in range(20):
        rows, columns = hard_negatives(logits, fits, torch.Generator().manual_seed(seed))
        assert rows.tolist() == [0, 2] and columns.tolist() == [1, 0]
    even = torch.zeros(4000, 3)
    _, drawn = hard_negatives(even, torch.tensor([[True, False, False]]).expand(4000, 3), rng())
    assert torch.bincount(drawn, minlength=3).tolist()[0] == 0 and abs(float((drawn == 1).float().mean()) - 0.5) < 0.03
    assert [len(t) for t in hard_negatives(logits, torch.ones(3, 3).bool(), rng())] == [0, 0]


def test_itm_weighs_positives_and_negatives_alike():
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0], [1.0, 0.0], [4.0, 0.0]])
    match = torch.tensor([True, False, False, False])
    positive, near, far = (math.log1p(math.exp(-d)) for d in (2, 1, 4))
    assert float(itm_loss(logits, match)) == pytest.approx((positive + (2 * near + far) / 3) / 2, rel=1e-5)
    assert float(itm_loss(logits[:1], match[:1])) == pytest.approx(positive, rel=1e-5)


@pytest.fixture
def batch():
    blip = tiny_blip()
    x = torch.rand(3, 3, 64, 64, generator=rng())
    texts = ["a red apple", "a blue dog", "a cat at night", "a green apple"]
    owner, match = torch.tensor([0, 1, 2, 0]), torch.tensor([True, True, True, False])
    with torch.no_grad():
        return blip, blip.net.states(blip.prepare(x)), texts, owner, match


def losses(batch, texts=None, fits=None, seed: int = 0):
    blip, states, own, owner, match = batch
    ids, mask = blip.tokenizer(texts or own)
    fits = torch.eye(3, 4).bool() if fits is None else fits
    return matching_losses(blip.net, states, ids, mask, owner, match, fits, torch.Generator().manual_seed(seed))


def test_a_text_labelled_false_is_a_candidate_of_contrast_that_no_picture_should_choose(batch):
    blip, states, texts, *_ = batch
    with torch.no_grad():
        logits = blip.net.image_vectors(states) @ blip.net.text_vectors(*blip.tokenizer(texts)).T / blip.net.temperature
        index, columns = torch.arange(3), logits[:, :3].T
        wanted = (F.cross_entropy(logits, index) + F.cross_entropy(columns, index)) / 2
        assert float(losses(batch)["itc"]) == pytest.approx(float(wanted), rel=1e-5)


def test_matching_sees_every_labelled_pair_and_one_drawn_negative_for_each_that_lacks_one(batch, monkeypatch):
    blip, states, texts, owner, match = batch
    seen = []
    monkeypatch.setattr(type(blip.net), "match_logits",
                        lambda net, states, ids, mask: seen.append((states, ids)) or torch.zeros(len(ids), 2))
    told = losses(batch)
    asked, ids = seen[0]
    # four labelled pairs; pictures 1 and 2 lack a false text (0 has one); each of three matching texts gets a false picture
    assert len(asked) == len(ids) == 4 + 2 + 3
    own = blip.tokenizer(texts)[0]
    for picture, text in zip(asked[4:], ids[4:], strict=True):
        i = next(k for k in range(3) if torch.equal(states[k], picture))
        j = next(k for k in range(3) if torch.equal(own[k], text))
        assert i != j, "what is drawn does not match"
    assert float(told["itm"]) == pytest.approx(math.log(2)) and float(told["matched"]) == 0.25


def test_a_batch_in_which_everything_fits_still_has_a_loss(batch):
    told = losses(batch, fits=torch.ones(3, 4).bool())
    assert all(torch.isfinite(v) for v in told.values())


def test_temperature_learns_and_stays_in_its_bounds(batch):
    net = batch[0].net.requires_grad_(True)
    losses(batch)["itc"].backward()
    assert net.temperature.grad.abs() > 0
    for value, wanted in ((9.0, TEMPERATURE[2]), (-1.0, TEMPERATURE[1]), (0.2, 0.2)):
        net.temperature.data.fill_(value)
        clamp_temperature(net)
        assert float(net.temperature.detach()) == pytest.approx(wanted)
