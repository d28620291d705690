"""Temperature, the likeliest codes, guidance, quantiles, given codes, entropy and bits: each in closed form."""

import math

import pytest
import torch

from labkit.models.drawing import Draw, Growing, distribution, draft, guided, pick, quantiles
from labkit.models.pixelsnail import bits_per_code
from labkit.models.pixelsnail_sampler import CachedPrior
from labkit.spec import SpecError
from tests.conformance import tiny_prior

P = torch.tensor([[0.1, 0.4, 0.2, 0.3]])


@pytest.mark.parametrize(("how", "expected"), [
    ({}, [0.1, 0.4, 0.2, 0.3]),
    ({"temperature": 0.5}, [1 / 30, 16 / 30, 4 / 30, 9 / 30]),  # p² over its sum
    ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
    ({"top_k": 9}, [0.1, 0.4, 0.2, 0.3]),
    ({"top_p": 0.39}, [0, 1, 0, 0]),
    ({"top_p": 0.41}, [0, 4 / 7, 0, 3 / 7]),
    ({"top_p": 0.71}, [0, 4 / 9, 2 / 9, 3 / 9]),
    ({"top_k": 3, "top_p": 0.7}, [0, 4 / 7, 0, 3 / 7]),  # of the three the first two have 7/9
    ({"temperature": 0.5, "top_p": 0.6}, [0, 16 / 25, 0, 9 / 25]),
])
def test_distribution(how, expected):
    expected = torch.tensor([expected], dtype=torch.float32)
    assert torch.allclose(distribution(P.log(), **how), expected, atol=1e-6)
    assert torch.allclose(distribution(P.log() + 5, **how), expected, atol=1e-6), "a constant changes nothing"


def test_of_equally_likely_codes_exactly_as_many_as_asked_for_are_kept():
    assert (distribution(torch.zeros(2, 8), top_k=3) > 0).sum(1).tolist() == [3, 3]
    assert (distribution(torch.zeros(2, 8), top_p=0.5) > 0).sum(1).tolist() == [4, 4]


def test_guidance_leads_away_from_what_no_sentence_gives():
    told, untold = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    for scale, expected in ((0, [1, 1]), (1, [2, 0]), (3, [4, -2])):
        assert guided(told, untold, scale).tolist() == [expected]
    assert guided(told, None, 3) is told


def test_codes_are_taken_at_the_quantiles():
    p = P.repeat(6, 1)
    assert pick(p, torch.tensor([0, 0.0999, 0.1001, 0.4999, 0.5001, 0.99999])).tolist() == [0, 0, 1, 1, 2, 3]
    holes = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).repeat(3, 1)
    assert pick(holes, torch.tensor([0.0, 0.5, 1 - 2**-24])).tolist() == [1, 3, 3], "none of probability 0"
    u = quantiles(1, 40_000, torch.Generator().manual_seed(0))[0]
    shares = torch.bincount(pick(P.expand(len(u), -1), u), minlength=4) / len(u)
    assert torch.allclose(shares, P[0], atol=0.01) and u.min() >= 0 and u.max() < 1


def grown(model, how=Draw(guidance=1), forced=None, e=None, seed=0):  # noqa: B008 (frozen)
    h, w = model.config.grid
    level = Growing(CachedPrior(model), how, quantiles(2, h * w, torch.Generator().manual_seed(seed)), e, forced=forced)
    level.grow(h * w)
    return level


def test_given_codes_are_kept_and_change_nothing_before_them():
    model, e = tiny_prior(), torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    free, forced = grown(model, e=e), torch.full((2, 8, 8), -1)
    forced[0, 4, 3], forced[1, 0, 0] = (free.codes[0, 4, 3] + 1) % 64, free.codes[1, 0, 0]
    made = grown(model, e=e, forced=forced)
    assert made.codes[0, 4, 3] == forced[0, 4, 3]
    assert torch.equal(made.codes[0].flatten()[:35], free.codes[0].flatten()[:35]), "nothing before it changes"
    assert not torch.equal(made.codes[0].flatten()[36:], free.codes[0].flatten()[36:]), "what follows heeds it"
    assert torch.equal(made.codes[1], free.codes[1]), "a code given as it would have been drawn leaves the others' luck alone"
    everything = grown(model, e=e, forced=free.codes.flip(0))
    assert torch.equal(everything.codes, free.codes.flip(0))
    with pytest.raises(ValueError, match="forced: .* codes up to 64 must be .* and below 64"):
        grown(model, forced=torch.full((2, 8, 8), 64))


def test_bits_are_the_prior_s_own_whatever_was_drawn_from():
    model, e = tiny_prior(), torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    for how in (Draw(guidance=1), Draw(guidance=4, temperature=0.7, top_k=5, top_p=0.9)):
        made = grown(model, how, e=e)
        assert torch.allclose(made.bits.flatten(1).mean(1), bits_per_code(model, made.codes, e), atol=1e-4)


def test_entropy_is_of_what_is_drawn_from():
    model = tiny_prior(n_embed=32)
    for p in (model.head.weight, model.head.bias):
        p.data.zero_()
    for how, expected in ((Draw(guidance=1), 5), (Draw(guidance=1, top_k=8), 3), (Draw(guidance=1, top_k=1), 0),
                          (Draw(guidance=1, top_p=0.5, temperature=3), 4)):
        made = grown(model, how)
        assert torch.allclose(made.entropy, torch.full((2, 8, 8), float(expected)), atol=1e-5)
        assert torch.allclose(made.bits, torch.full((2, 8, 8), 5.0), atol=1e-5)


def test_low_temperature_and_one_code_are_greedy_and_a_draft_of_enough_sweeps_is_too():
    model = tiny_prior(grid=(4, 4), heads=2)
    greedy = grown(model, Draw(guidance=1, top_k=1)).codes
    assert torch.equal(grown(model, Draw(guidance=1, temperature=1e-3), seed=5).codes, greedy)
    assert torch.equal(draft(model, torch.zeros_like(greedy), 0, sweeps=16), greedy)
    kept = draft(model, greedy + 1 - 2 * (greedy == 63), 5)
    assert torch.equal(kept.flatten(1)[:, :5], (greedy + 1 - 2 * (greedy == 63)).flatten(1)[:, :5])


def test_nothing_is_known_of_cells_that_are_not_drawn():
    model = tiny_prior()
    level = Growing(CachedPrior(model), Draw(guidance=1), quantiles(1, 64, torch.Generator().manual_seed(0)))
    level.grow(10)
    for seen in (level.bits, level.entropy):
        assert seen.flatten()[:10].isfinite().all() and all(map(math.isnan, seen.flatten()[10:].tolist()))


@pytest.mark.parametrize(("values", "message"), [
    ({"temperature": 0}, "temperature: .*greater than 0; got 0"),
    ({"top_p": 1.5}, "top_p: .*less than or equal to 1; got 1.5"),
    ({"top_k": -1}, "top_k: .*greater than or equal to 0; got -1"),
    ({"guidance": 21}, "guidance: .*less than or equal to 20; got 21"),
])
def test_bad_values_are_refused(values, message):
    with pytest.raises(SpecError, match=message):
        Draw(**values)
