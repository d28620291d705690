"""AdaIN's moments and EFDM's ranks in closed form, and the nets of one pass."""

import pytest
import torch

from labkit.models.adain import WAYS, Decoder, DecoderConfig, adain, efdm, padded, statistics
from labkit.models.transform_net import TransformNet, TransformNetConfig


def features(seed: int, h: int = 6, w: int = 8, b: int = 1) -> torch.Tensor:
    return torch.randn(b, 4, h, w, generator=torch.Generator().manual_seed(seed)) * 2 + seed


def test_adain_has_the_style_s_mean_and_deviation():
    for style in (features(1), features(2, 3, 5)):
        got, wanted = statistics(adain(features(0), style)), statistics(style)
        assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(got, wanted, strict=True))


def test_efdm_is_the_style_sorted_by_the_content_s_ranks():
    c, s = features(0), features(1)
    got = efdm(c, s)
    assert torch.equal(got.flatten(2).sort(dim=2).values, s.flatten(2).sort(dim=2).values), "exactly its values"
    assert torch.equal(got.flatten(2).argsort(dim=2), c.flatten(2).argsort(dim=2)), "in the content's order"
    assert torch.equal(efdm(c, c), c)


@pytest.mark.parametrize("way", WAYS.values())
def test_a_map_given_to_itself_stays(way):
    c = features(0)
    assert torch.allclose(way(c, c), c, atol=1e-4)


@pytest.mark.parametrize("size", [(3, 5), (12, 20), (1, 1)])
def test_efdm_of_unequal_sizes_interpolates_the_sorted_style(size):
    """The original asserts that sizes are equal."""
    c, s = features(0), features(1, *size)
    got = efdm(c, s).flatten(2).sort(dim=2).values
    assert got.shape[2] == 48 and torch.isfinite(got).all()
    assert float(got.min()) >= float(s.min()) - 1e-5 and float(got.max()) <= float(s.max()) + 1e-5
    assert torch.allclose(got.mean(2), s.flatten(2).mean(2), atol=0.25)
    line = torch.linspace(0, 1, 480).view(1, 1, 20, 24)
    even = efdm(torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(0)), line).flatten().sort().values
    assert torch.allclose(even, (torch.arange(48) + 0.5) / 48, atol=0.01)


def test_efdm_s_gradient_goes_straight_through():
    c = features(0).requires_grad_(True)
    (efdm(c, features(1)) * 3).sum().backward()
    assert torch.equal(c.grad, torch.full_like(c, 3))


@pytest.mark.parametrize("way", WAYS.values())
def test_an_even_map_has_finite_values_and_gradients(way):
    """Others took the root of a variance of 0."""
    c = torch.ones(1, 4, 6, 8, requires_grad=True)
    out = way(c, features(1))
    out.square().sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(c.grad).all()
    assert torch.isfinite(way(features(1), torch.ones(1, 4, 2, 2))).all()


def test_no_caller_s_map_is_changed():
    c, s = features(0), features(1)
    kept = c.clone(), s.clone()
    for way in WAYS.values():
        way(c, s)
    assert torch.equal(c, kept[0]) and torch.equal(s, kept[1])


def test_decoder_s_sides_and_padding():
    decoder = Decoder(DecoderConfig(channels=4, widths=(8, 6, 4))).eval()
    assert decoder.step == 4 and decoder(features(0)).shape == (1, 3, 24, 32)
    assert [padded(torch.rand(1, 3, *s), 4, 16).shape[2:] for s in ((20, 30), (1, 1))] == [(20, 32), (16, 16)]
    again = Decoder.from_config({"layer": "relu3_1", "channels": 4, "widths": [8, 6, 4], "eye": ""})
    assert again.config == decoder.config


def test_johnson_s_net_has_the_published_number_of_parameters_and_keeps_sizes():
    net = TransformNet(TransformNetConfig())
    assert sum(p.numel() for p in net.parameters()) == 1_679_235
    small = TransformNet(TransformNetConfig((8, 8, 8), 1)).eval()
    for h, w in ((64, 64), (20, 301), (1, 5), (17, 33)):
        x = torch.rand(2, 3, h, w)
        kept = x.clone()
        assert small(x).shape == x.shape and torch.equal(x, kept)
