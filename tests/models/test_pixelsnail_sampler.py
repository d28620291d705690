"""The cached sampler: the network's own logits at every cell, in all modes, out of a state of its own."""

import pytest
import torch

from labkit.models.drawing import Draw, Growing, distribution, guided, pick, quantiles, sample_codes
from labkit.models.pixelsnail_sampler import CachedPrior
from tests.conformance import tiny_prior

MODES = {
    "attention": {}, "condition map": {"coarser": 64, "heads": 0}, "both": {"coarser": 64}, "neither": {"heads": 0},
    "5 × 5": {"kernel": (5, 5), "coarser": 64}, "two rows": {"kernel": (2, 3)}, "one row": {"kernel": (1, 5), "heads": 4},
    "oblong": {"grid": (4, 10), "coarser": 64}, "planned": {"plan": 4}, "planned under codes": {"plan": 4, "coarser": 64},
}  # fmt: skip
every = pytest.mark.parametrize("mode", MODES)


def inputs(model, n: int = 3):
    rng = torch.Generator().manual_seed(1)
    h, w = model.config.grid
    coarser = torch.randint(64, (n, h // 2, w // 2), generator=rng) if model.config.coarser else None
    return torch.randint(64, (n, h, w), generator=rng), torch.randn(n, 16, generator=rng), coarser


@every
def test_cached_logits_are_the_dense_ones_at_every_cell(mode):
    model = tiny_prior(**MODES[mode])
    codes, e, coarser = inputs(model)
    told, untold = model(codes, e, coarser), model(codes, None, coarser)
    assert told.std() > 0.3, "logits of some size"
    sampler = CachedPrior(model)
    state = sampler.start(3, e, coarser, both=True)
    alone = sampler.start(3, None, coarser)
    for cell in range(codes[0].numel()):
        at = (slice(None), slice(None), *divmod(cell, model.config.grid[1]))
        a, b = sampler.logits(state)
        assert (a - told[at]).abs().max() <= 1e-5 and (b - untold[at]).abs().max() <= 1e-5, cell
        c, nothing = sampler.logits(alone)
        assert (c - untold[at]).abs().max() <= 1e-5 and nothing is None
        for s in (state, alone):
            sampler.push(s, codes[at[0], at[2], at[3]])
    assert torch.equal(state.codes, codes) and state.full
    with pytest.raises(ValueError, match=f"all {codes[0].numel()} codes are drawn"):
        sampler.logits(state)


@every
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_same_seed_same_codes_cached_or_dense(mode, guidance):
    """Against the network run anew for every cell."""
    model = tiny_prior(**MODES[mode])
    codes, e, coarser = inputs(model, 2)
    how = Draw(guidance=guidance, temperature=0.9, top_p=0.97)
    made = sample_codes(model, how, torch.Generator().manual_seed(7), e, coarser)
    u = quantiles(2, codes[0].numel(), torch.Generator().manual_seed(7))
    dense = torch.zeros_like(codes)
    for cell in range(codes[0].numel()):
        y, x = divmod(cell, model.config.grid[1])
        logits = guided(model(dense, e, coarser)[:, :, y, x], model(dense, None, coarser)[:, :, y, x], guidance)
        dense[:, y, x] = pick(distribution(logits, 0.9, 0, 0.97), u[:, cell])
    assert torch.equal(made.codes, dense) and len(dense.unique()) > 10
    assert not torch.equal(made.codes, sample_codes(model, how, torch.Generator().manual_seed(8), e, coarser).codes)


def test_asking_twice_changes_nothing_and_samplings_share_nothing():
    model = tiny_prior()
    codes, e, _ = inputs(model)
    sampler = CachedPrior(model)
    one, other = sampler.start(3, e), sampler.start(3, -e)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    for cell in range(20):
        first = sampler.logits(one)[0]
        sampler.push(other, codes[:, cell // 8, cell % 8]) if sampler.logits(other) else None
        assert torch.equal(sampler.logits(one)[0], first)
        sampler.push(one, codes[:, cell // 8, cell % 8])
    again = sampler.start(3, e)
    for cell in range(20):
        last = sampler.logits(again)[0]
        sampler.push(again, codes[:, cell // 8, cell % 8])
    assert torch.equal(last, first), "the other sampling left no trace"
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_bad_starts_are_refused():
    sampler = CachedPrior(tiny_prior())
    with pytest.raises(ValueError, match="n: 0 must be 1 or more"):
        sampler.start(0)
    with pytest.raises(ValueError, match="both: there is no sentence to leave out"):
        sampler.start(1, both=True)
    with pytest.raises(ValueError, match=r"condition: shape \(2, 16\) must be \(1, 16\)"):
        sampler.start(1, torch.zeros(2, 16))


def test_drawing_on_gives_what_drawing_at_once_gives():
    model, e = tiny_prior(), torch.randn(2, 16)
    u = quantiles(2, 64, torch.Generator().manual_seed(0))
    parts, whole = (Growing(CachedPrior(model), Draw(), u, e) for _ in range(2))
    whole.grow(64)
    for cells in (1, 20, 0, 43):
        parts.grow(cells)
    for name in ("codes", "bits", "entropy"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))
