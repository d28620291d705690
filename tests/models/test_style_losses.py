"""Losses of style against what they are in closed form."""

import pytest
import torch

from labkit.models.style_losses import (
    LOSSES,
    Moments,
    Region,
    blended,
    content_loss,
    gaussian_w2,
    gram_loss,
    matrix_root,
    moments,
    w2_loss,
)


def features(seed: int = 0, c: int = 5, h: int = 6, w: int = 7) -> torch.Tensor:
    return torch.randn(1, c, h, w, generator=torch.Generator().manual_seed(seed))


def test_gram_of_a_constant_map_is_the_outer_product():
    v = torch.tensor([1.0, -2.0, 3.0])
    got = moments(v.view(1, 3, 1, 1).expand(1, 3, 4, 5))
    assert torch.allclose(got.gram[0], v[:, None] * v / 3, atol=1e-6) and torch.allclose(got.mean[0], v)
    assert torch.allclose(got.covariance, torch.zeros(1, 3, 3), atol=1e-5)


def test_gram_is_as_published_and_forgets_where_things_are():
    f = features()
    flat = f.flatten(2)[0]
    assert torch.allclose(moments(f).gram[0], flat @ flat.T / (5 * 6 * 7), atol=1e-6)
    shuffled = f.flatten(2)[..., torch.randperm(42, generator=torch.Generator().manual_seed(1))].view_as(f)
    assert float(gram_loss(moments(f), moments(shuffled))) < 1e-9


@pytest.mark.parametrize("kind", LOSSES)
def test_a_picture_is_at_0_from_itself_and_a_weight_needs_no_tuning_for_another_scale(kind):
    a, b = features(), features(1) + 0.5
    assert float(LOSSES[kind](moments(a), moments(a))) == pytest.approx(0, abs=2e-3)
    far = float(LOSSES[kind](moments(a), moments(b)))
    assert far > 0.05 and float(LOSSES[kind](moments(10 * a), moments(10 * b))) == pytest.approx(far, rel=1e-2)


def test_w2_of_gaussians_with_diagonal_covariance():
    mean, other = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    s, t = torch.tensor([4.0, 0.25]), torch.tensor([1.0, 9.0])
    wanted = 1 + 4 + float((s.sqrt() - t.sqrt()).square().sum())
    got = gaussian_w2(mean, torch.diag(s)[None], other, torch.diag(t)[None])
    assert float(got) == pytest.approx(wanted, rel=1e-3)
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(0)))[0]
    turned = gaussian_w2(mean @ turn.T, (turn @ torch.diag(s) @ turn.T)[None], other @ turn.T,
                         (turn @ torch.diag(t) @ turn.T)[None])
    assert float(turned) == pytest.approx(wanted, rel=1e-3), "whatever the axes"


def test_w2_has_a_gradient_where_there_is_no_spread():
    """Others took the root of a variance of 0 and painted black."""
    flat = torch.zeros(1, 3, 4, 4, requires_grad=True)
    w2_loss(moments(flat), moments(features(2, 3, 4, 4))).sum().backward()
    assert torch.isfinite(flat.grad).all()
    even = torch.ones(1, 3, 4, 4)
    moved = features(2, 3, 4, 4).requires_grad_(True)
    w2_loss(moments(moved), moments(even)).sum().backward()
    assert torch.isfinite(moved.grad).all() and float(moved.grad.abs().max()) > 0


def test_matrix_root_squares_to_its_matrix():
    f = features().flatten(2)
    a = f @ f.transpose(1, 2)
    assert torch.allclose(matrix_root(a) @ matrix_root(a), a, atol=1e-3)


def test_moments_of_pictures_side_by_side_are_the_blend_and_covariances_are_not():
    a, b = features(0), features(1) + 2
    beside = moments(torch.cat([a, b, b, b], dim=3))
    got = blended([moments(a), moments(b)], [1, 3])
    assert torch.allclose(got.mean, beside.mean, atol=1e-5) and torch.allclose(got.second, beside.second, atol=1e-5)
    wrong = (moments(a).covariance + 3 * moments(b).covariance) / 4
    assert float((wrong - beside.covariance).abs().max()) > 0.5
    with pytest.raises(ValueError, match="sum to nothing"):
        blended([moments(a)], [0])


def test_a_mask_takes_the_moments_of_its_region_at_any_size_of_layer():
    a, b = features(0, 4, 8, 8), features(1, 4, 8, 8) + 3
    f, mask = torch.cat([a, b], dim=3), torch.zeros(32, 64)
    mask[:, :32] = 1
    got = moments(f, mask)
    assert torch.allclose(got.mean, moments(a).mean, atol=1e-5) and torch.allclose(got.gram, moments(a).gram, atol=1e-5)
    whole = moments(f, torch.full((32, 64), 0.3))
    assert torch.allclose(whole.second, moments(f).second, atol=1e-5), "an even mask is none"
    with pytest.raises(ValueError, match="mask: is 0 everywhere"):
        moments(f, torch.zeros(32, 64))


def test_a_region_asks_nothing_beyond_its_mask():
    f, mask = features(0, 4, 8, 16).requires_grad_(True), torch.zeros(8, 16)
    mask[:, :8] = 1
    Region({"x": moments(features(1, 4, 8, 8))}, mask, 0.5).loss({"x": f}, "gram").sum().backward()
    assert float(f.grad[..., 8:].abs().max()) == 0 < float(f.grad[..., :8].abs().max())


def test_content_loss_is_relative_and_power_is_the_mean_square():
    f = features()
    assert float(content_loss(1.1 * f, f)) == pytest.approx(0.01, rel=1e-3)
    assert float(moments(f).power) == pytest.approx(float(f.square().sum(1).mean()), rel=1e-5)
    assert isinstance(moments(f), Moments)
