"""A codebook: the nearest code is that of float64 distances whatever the rounding, and codes stay in use."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.models import codebook as module
from labkit.models.codebook import CodeUse, cells_of, lookup, nearest_code, seed_codebook, snap, straight_through, use_of


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_definition(z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """argmin over the codes of the squared distance in float64, the lowest index of equals."""
    cells, codes = z.movedim(1, -1).double(), codebook.double()
    distances = torch.stack([(cells - code).square().sum(-1) for code in codes])
    return (distances == distances.amin(0)).int().argmax(0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 40), st.sampled_from([1e-3, 1.0, 50.0]), st.sampled_from([0.0, 1.0, 300.0]),
       st.integers(0, 10**6))
def test_nearest_code_is_that_of_the_definition(n, channels, size, offset, seed):
    """Also far from the origin, where products in fp32 cannot tell the codes apart."""
    codes = random(n, channels, seed=seed) * size + offset
    z = random(2, channels, 3, 5, seed=seed + 1) * size + offset
    found = nearest_code(z, codes)
    assert found.dtype == torch.int64 and torch.equal(found, by_definition(z, codes))


@pytest.mark.parametrize("n", [1, 127, 128, 129, 1000])
def test_codes_themselves_are_found(n):
    codes = random(n, 8)
    assert torch.equal(nearest_code(codes.T[None, :, :, None], codes).flatten(), torch.arange(n))


def test_of_equal_codes_the_lowest_is_found():
    few = random(5, 6)
    codes = few[torch.arange(300) % 5]
    assert torch.equal(nearest_code(few.T[None], codes), torch.arange(5)[None])
    assert not nearest_code(random(1, 6, 4, 4), torch.zeros(500, 6)).any()


def test_half_way_between_codes_the_lowest_is_found():
    """Whole numbers: no rounding anywhere, so that the tie is one."""
    z = torch.tensor([[1.0, 1.0], [-3.0, 0.0]]).T[None]
    codes = torch.cat([torch.full((200, 2), 9.0), torch.tensor([[0.0, 0], [2, 0], [2, 2], [0, 2], [-3, 1], [-3, -1]])])
    assert nearest_code(z, codes).tolist() == [[200, 204]]
    assert nearest_code(z, codes.flip(0)).tolist() == [[2, 0]]


def test_codes_a_rounding_apart_are_told_apart():
    """Neighbours among the fp32 numbers: their scores round to the same, their distances do not."""
    base = random(1, 16) + 4
    ulp = torch.nextafter(base, torch.full_like(base, math.inf))
    codes = torch.cat([random(150, 16, seed=2), base, ulp])
    assert nearest_code(torch.cat([base, ulp])[..., None], codes).flatten().tolist() == [150, 151]


def test_a_cell_s_code_depends_on_neither_its_batch_nor_the_size_of_a_product(monkeypatch):
    codes = random(700, 8) * 0.01 + 5
    z = random(4, 8, 9, 9, seed=1) * 0.01 + 5
    whole = nearest_code(z, codes)
    assert torch.equal(torch.cat([nearest_code(one[None], codes) for one in z]), whole)
    monkeypatch.setitem(module.SCORES, "cpu", 7 * 768)
    assert torch.equal(nearest_code(z, codes), whole)


def test_latents_of_any_number_of_sides():
    codes, z = random(50, 4), random(3, 4, 6, seed=1)
    flat = nearest_code(z, codes)
    assert flat.shape == (3, 6)
    assert torch.equal(nearest_code(z.view(3, 4, 1, 2, 3), codes).flatten(1), flat)
    assert lookup(codes, flat).shape == z.shape and cells_of(z).shape == (18, 4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_a_code_that_exists(value):
    codes, z = random(50, 4), random(1, 4, 2, 2, seed=1)
    wanted = nearest_code(z, codes)
    z[0, :, 0, 0] = value
    found = nearest_code(z, codes)
    assert 0 <= int(found[0, 0, 0]) < 50 and torch.equal(found[0, 1], wanted[0, 1])


def test_lower_precisions_are_read_as_what_they_are():
    codes, z = random(300, 8), random(1, 8, 8, 8, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_code(z, codes), by_definition(z, codes))
    assert torch.equal(nearest_code(z.bfloat16(), codes), by_definition(z.bfloat16(), codes))
    assert torch.equal(nearest_code(z.double() + 1e-12, codes), by_definition(z, codes))


def test_straight_through_has_the_value_of_one_and_the_gradient_to_the_other():
    value, to = random(2, 3).requires_grad_(), random(2, 3, seed=1).requires_grad_()
    out = straight_through(value, to)
    assert torch.equal(out, value)
    grads = torch.autograd.grad((out * torch.arange(6.0).view(2, 3)).sum(), (value, to), allow_unused=True)
    assert grads[0] is None and torch.equal(grads[1], torch.arange(6.0).view(2, 3))


def test_snapping_gives_codes_and_leaves_the_codebook_its_own_loss():
    codes = random(40, 4).requires_grad_()
    z = random(1, 4, 3, 3, seed=1).requires_grad_()
    z_q, indices = snap(z, codes)
    assert torch.equal(z_q, lookup(codes, indices))
    z_q.square().sum().backward()
    assert torch.equal(z.grad, 2 * z_q.detach()) and codes.grad is None
    lookup(codes, indices).sum().backward()
    assert torch.equal(codes.grad[:, 0], indices.flatten().bincount(minlength=40).float())


# What keeps codes in use


def step(use, codes, chosen, revive=True):
    h = random(2, codes.shape[1], 3, 3)
    use.update(codes, h, torch.tensor(chosen), torch.Generator().manual_seed(0), revive)
    return {tuple(v) for v in cells_of(h).tolist()}


def test_codes_unused_for_long_move_onto_encoder_vectors():
    codes = random(24, 4)
    before, use = codes.clone(), CodeUse(24, patience=3)
    for _ in range(2):
        step(use, codes, [[0, 1]])
    assert torch.equal(codes, before) and use.used() == 1
    vectors = step(use, codes, [[0, 1]])
    assert torch.equal(codes[:2], before[:2]), "what is used stays"
    assert all(tuple(code) in vectors for code in codes[2:].tolist())
    assert int(use.idle.max()) == 0, "what was moved has its time again"


def test_where_nothing_is_to_be_revived_nothing_moves():
    codes = random(24, 4)
    before, use = codes.clone(), CodeUse(24, patience=2)
    for _ in range(4):
        step(use, codes, [[0, 1]], revive=False)
    assert torch.equal(codes, before) and use.used() == pytest.approx(2 / 24)


def test_a_count_goes_on_after_a_resume():
    codes, use, again = random(24, 4), CodeUse(24, patience=5), CodeUse(24, patience=5)
    for _ in range(3):
        step(use, codes, [[0, 1]])
    again.load_state_dict(use.state_dict())
    assert torch.equal(again.idle, use.idle) and int(again.idle.max()) == 3


@pytest.mark.parametrize("n", [10, 40])
def test_a_seeded_codebook_has_every_cell_before_one_comes_twice(n):
    h, codes = random(2, 4, 3, 3), torch.zeros(n, 4)
    seed_codebook(codes, h, torch.Generator().manual_seed(0))
    cells = {tuple(v) for v in cells_of(h).tolist()}
    assert {tuple(c) for c in codes.tolist()} <= cells and len(codes.unique(dim=0)) == min(n, 18)
    again = torch.zeros(n, 4)
    seed_codebook(again, h, torch.Generator().manual_seed(1))
    assert not torch.equal(again, codes), "in the generator's order"


def counted(*codes: int, n: int) -> dict[str, float]:
    return use_of(torch.bincount(torch.tensor(codes, dtype=torch.long), minlength=n))


def test_perplexity_of_codes_used_alike_of_one_of_two_and_of_none():
    assert counted(*range(8), n=8) == pytest.approx({"used": 8, "dead": 0, "perplexity": 8, "bits": 3})
    assert counted(5, 5, n=8) == {"used": 1, "dead": 7, "perplexity": 1, "bits": 0} == counted(n=8) | {"used": 1, "dead": 7}
    bits = -math.log2(1 / 4) / 4 - math.log2(3 / 4) * 3 / 4
    assert counted(0, 1, 1, 1, n=512)["perplexity"] == pytest.approx(2**bits)
