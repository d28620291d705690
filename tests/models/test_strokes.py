"""Whitening, swapping and fusing in closed form."""

import pytest
import torch

from labkit.models.strokes import (
    colour,
    colour_of,
    fuse,
    middles,
    resized,
    scales,
    style_swap,
    weights,
    whiten,
)


def features(seed: int, *shape: int) -> torch.Tensor:
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))
    mix = torch.randn(shape[0], shape[0], generator=torch.Generator().manual_seed(seed + 1))
    return (mix @ x.flatten(2)[0]).view_as(x) + 3


def covariance(x: torch.Tensor) -> torch.Tensor:
    flat = x.flatten(2)[0]
    return torch.cov(flat, correction=0)


def test_whitening_gives_identity_and_colouring_the_style_s_covariance():
    content, style = features(0, 6, 12, 10), features(5, 6, 9, 14) * 0.3
    white = whiten(content, colour_of(content))
    assert torch.allclose(covariance(white), torch.eye(6), atol=1e-3) and float(white.mean((2, 3)).abs().max()) < 1e-4
    made = colour(white, colour_of(style))
    assert torch.allclose(covariance(made), covariance(style), atol=1e-3 * float(covariance(style).diag().max()))
    assert torch.allclose(made.mean((2, 3)), style.mean((2, 3)), atol=1e-4)
    assert torch.allclose(colour(white, colour_of(content)), content, atol=1e-3), "there and back"


def test_whitening_is_zca_and_nothing_blows_up_in_empty_directions():
    """Of all roots of the inverse covariance the symmetric one: features stay as near to what they were as can be."""
    x = features(2, 4, 8, 8)
    assert torch.allclose(colour_of(x).inverse, colour_of(x).inverse.T, atol=1e-5)
    few = features(3, 20, 3, 3)  # 9 places in 20 dimensions
    assert float(whiten(few, colour_of(few)).abs().max()) < 10
    flat = torch.full((1, 5, 4, 4), 0.7)
    assert float(whiten(flat, colour_of(flat)).abs().max()) < 1


@pytest.mark.parametrize("patch", [1, 3, 5])
def test_a_picture_swapped_with_itself_is_itself(patch):
    x = features(1, 4, 7, 9)
    assert torch.allclose(style_swap(x, x, patch), x, atol=1e-5)
    assert torch.allclose(style_swap(2 * x, x, patch), x, atol=1e-5), "a patch is found by its direction"


def test_a_swap_by_hand_and_a_style_smaller_than_a_patch(monkeypatch):
    style = torch.tensor([[1.0, 0], [0, 1]]).view(1, 2, 1, 2)  # places (1, 0) and (0, 1)
    content = torch.tensor([[5.0, 0.1, 0.3], [1, 2, 0.2]]).view(1, 2, 1, 3)
    swapped = style_swap(content, style, 1)[0, :, 0]
    assert swapped.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert style_swap(features(0, 4, 8, 8), features(1, 4, 2, 3), 5).shape == (1, 4, 8, 8)
    monkeypatch.setattr("labkit.models.strokes.PATCHES", 1)
    assert torch.equal(style_swap(content, style, 1)[0, :, 0], swapped), "however many are compared at once"


def test_strokes_get_finer_by_a_root_of_two():
    assert scales(3) == pytest.approx([1, 2**-0.5, 0.5])
    x = features(0, 3, 16, 10)
    assert resized(x, 0.5).shape == (1, 3, 8, 5) and resized(x, 1.0) is x and resized(x, 0.01).shape == (1, 3, 1, 1)
    assert torch.allclose(resized(x, 0.5)[0, :, 0, 0], x[0, :, :2, :2].mean((1, 2)), atol=1e-5)


def test_clusters_are_those_of_the_values_and_seeded():
    a = torch.tensor([[0.0, 0.02, 0.5], [0.52, 1.0, 0.98]])
    state = torch.random.get_rng_state()
    found = middles(a, 3, seed=0)
    assert found.tolist() == pytest.approx([0.01, 0.51, 0.99], abs=1e-6)
    noisy = torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(middles(noisy, 4, seed=7), middles(noisy, 4, seed=7))
    assert torch.equal(state, torch.random.get_rng_state())
    assert middles(torch.zeros(4, 4), 3, 0).tolist() == [0, 0.5, 1], "a map of one value has no clusters"
    assert middles(noisy, 1, 0).shape == (1,)


def test_fusion_in_closed_form():
    a, c = torch.tensor([[0.0, 0.25, 0.5, 1.0]]), torch.tensor([0.0, 0.5, 1.0])
    soft, linear, uniform = (weights(a, c, how) for how in ("softmax", "linear", "uniform"))
    for w in (soft, linear, uniform):
        assert w.shape == (3, 1, 4) and torch.allclose(w.sum(0), torch.ones(1, 4))
    assert torch.allclose(uniform, torch.full((3, 1, 4), 1 / 3))
    assert torch.allclose(linear[:, 0], torch.tensor([[1, 0.5, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 1.0]]))
    by_hand = torch.softmax(50 * (1 - (0.25 - c).abs()), 0)
    assert torch.allclose(soft[:, 0, 1], by_hand) and float(soft[0, 0, 0]) > 0.999
    outside = weights(torch.tensor([[0.0, 0.9]]), torch.tensor([0.2, 0.6]), "linear")
    assert outside[:, 0].tolist() == [[1, 0], [0, 1]], "beyond the outer middles theirs alone"
    strokes = [torch.full((1, 2, 1, 4), v) for v in (1.0, 2.0, 6.0)]
    assert torch.allclose(fuse(strokes, uniform), torch.full((1, 2, 1, 4), 3.0)), "uniform fusion is the mean"
    assert torch.allclose(fuse(strokes, linear)[0, 0, 0], torch.tensor([1, 1.5, 2, 6]))
