"""KID in the judge's features: the unbiased estimate in closed form, and an order that it must have."""

from types import SimpleNamespace

import pytest
import torch

from labkit.loop import NonFiniteError
from labkit.metrics.kid import kid


class Flat(torch.nn.Module):
    """Features are the pixels, in [-1, 1]."""

    def embed(self, x):
        assert x.is_floating_point() and -1 <= float(x.min()) and float(x.max()) <= 1
        return x.flatten(1)


FLAT = SimpleNamespace(net=Flat())


def pictures(n: int, mean: float, seed: int) -> torch.Tensor:
    spread = 0.1 * torch.randn(n, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    return (mean + spread).clamp(0, 1)


def mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """Bińkowski et al. 2018, eq. 4: the unbiased MMD² under (a·b/d + 1)³."""
    x, y = (a.flatten(1).double() * 2 - 1 for a in (x, y))
    n, d = x.shape

    def k(a, b):
        return (a @ b.T / d + 1) ** 3

    within = sum((k(a, a).sum() - k(a, a).diagonal().sum()) / (n * (n - 1)) for a in (x, y))
    return float(within - 2 * k(x, y).mean())


def test_it_is_the_unbiased_estimate_over_halves():
    """One picture said n times has the same half whatever is drawn; of two kinds the closed form is left."""
    x, y = pictures(1, 0.2, 0).expand(20, -1, -1, -1), pictures(1, 0.8, 1).expand(20, -1, -1, -1)
    found, spread = kid(FLAT, x, y)
    assert found == pytest.approx(mmd(x[:10], y[:10]), rel=1e-4) and spread == pytest.approx(0, abs=1e-6)
    assert found > 0.1


def test_no_bias_is_left():
    """The mean over halves is the unbiased estimate of all, whose pairs of a picture with itself do not count: with them, 20
    pictures of one kind would be apart by far more than the halves' error."""
    x, y = pictures(20, 0.5, 0), pictures(20, 0.5, 1)
    found, spread = kid(FLAT, x, y, subsets=400)
    biased = mmd(x, y) + sum((self_pairs(a) - mean_pairs(a)) / len(a) for a in (x, y))
    error = 4 * spread / 400**0.5
    assert found == pytest.approx(mmd(x, y), abs=error) and biased - mmd(x, y) > 2 * error


def kernel(x: torch.Tensor) -> torch.Tensor:
    x = x.flatten(1).double() * 2 - 1
    return (x @ x.T / x.shape[1] + 1) ** 3


def self_pairs(x: torch.Tensor) -> float:
    return float(kernel(x).diagonal().mean())


def mean_pairs(x: torch.Tensor) -> float:
    k = kernel(x)
    return float((k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1)))


def test_features_that_are_no_numbers_are_told():
    class Broken(torch.nn.Module):
        def embed(self, x):
            return x.flatten(1) * torch.nan

    with pytest.raises(NonFiniteError, match="NaN"):
        kid(SimpleNamespace(net=Broken()), pictures(20, 0.5, 0), pictures(20, 0.5, 1))
    with pytest.raises(ValueError, match="subsets=1"):
        kid(FLAT, pictures(20, 0.5, 0), pictures(20, 0.5, 1), subsets=1)


def test_the_same_kind_is_near_0_and_the_farther_the_larger():
    real = pictures(200, 0.5, 0)
    same, near, far = (kid(FLAT, pictures(200, mean, 1), real)[0] for mean in (0.5, 0.6, 0.8))
    assert abs(same) < near / 5 < far / 10


def test_the_global_generator_is_left_alone_and_the_seed_decides():
    x, y = pictures(40, 0.5, 0), pictures(40, 0.6, 1)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert kid(FLAT, x, y, seed=3) == kid(FLAT, x, y, seed=3) != kid(FLAT, x, y, seed=4)
    assert torch.equal(torch.get_rng_state(), before)


def test_too_few_pictures_are_named():
    with pytest.raises(ValueError, match="pictures: 19"):
        kid(FLAT, pictures(19, 0.5, 0), pictures(40, 0.5, 1))
