"""StyleNet: as published, of any size, and never of an earlier run."""

import pytest
import torch

from labkit.models.style_net import StyleNet, StyleNetConfig, mirrored, width_for
from tests.conformance import assert_same, global_randomness


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        net = StyleNet(StyleNetConfig())
    assert sum(p.numel() for p in net.parameters()) == 615_267


@pytest.mark.parametrize("size", [(64, 64), (20, 300), (17, 33), (8, 200), (1, 5)])
def test_any_size_comes_back_as_it_was(size):
    y = StyleNet.drawn(StyleNetConfig(2), 0)(torch.rand(2, 3, *size)).detach()
    assert y.shape == (2, 3, *size) and bool(y.isfinite().all()) and 0 <= float(y.min()) and float(y.max()) <= 1


def test_the_cut_gives_back_the_picture_and_not_what_was_mirrored_around_it():
    """At a size that needs padding, the net sees exactly the mirrored picture."""
    net, x = StyleNet.drawn(StyleNetConfig(2), 0), torch.rand(1, 3, 20, 27)
    whole = mirrored(mirrored(x, 2, 2, 2), 2, 3, 3)
    assert whole.shape[-2:] == (24, 32) and torch.equal(whole[..., 2:22, 2:29], x)
    assert torch.allclose(net(whole)[..., 2:22, 2:29], net(x), atol=1e-6)


def test_mirrored_goes_to_and_fro():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert mirrored(x, 4, 5, 3).flatten().tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert mirrored(torch.ones(1, 1, 1, 1), 2, 2, 3).shape[-1] == 5


def test_a_fresh_net_is_of_its_seed_and_draws_nothing_global():
    before = global_randomness()
    a, b, c = StyleNet.drawn(StyleNetConfig(2), 5), StyleNet.drawn(StyleNetConfig(2), 5), StyleNet.drawn(StyleNetConfig(2), 6)
    assert_same(global_randomness(), before)
    assert_same(dict(a.state_dict()), dict(b.state_dict()))
    assert not torch.equal(a.enter.weight, c.enter.weight)


@pytest.mark.parametrize("size", [(24, 24), (17, 33)])
def test_a_net_that_adds_begins_with_the_picture_and_has_as_many_parameters(size):
    x = torch.rand(1, 3, *size)
    net = StyleNet.drawn(StyleNetConfig(2, adds=True), 0)
    assert torch.allclose(net(x).detach(), x.clamp(0.01, 0.99), atol=1e-5)
    plain = StyleNet.drawn(StyleNetConfig(2), 0)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters())
    assert float((plain(x).detach() - x).abs().max()) > 0.05


def test_small_pictures_get_the_narrow_net_and_widths_have_bounds():
    assert (width_for(64, 64), width_for(512, 400), width_for(100, 900)) == (8, 16, 8)
    for wrong in (0, 1, 129, "16", 8.0):
        with pytest.raises(ValueError, match="width"):
            StyleNetConfig(wrong)
    with pytest.raises(ValueError, match="adds: 1"):
        StyleNetConfig(8, 1)
