"""The judge's net: shapes, and a perceptual distance that is one."""

import pytest
import torch

from labkit.models.judge import HEADS, VGGClassifier, VGGConfig, perceptual_distance
from labkit.models.load import config_of


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return VGGClassifier(VGGConfig([[8], [12, 12], [16]], {"subject": 5, "colour": 3, "setting": 4, "style": 2})).eval()


def pictures(seed: int, n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_logits_per_attribute(net):
    out = net(pictures(0))
    assert {k: tuple(v.shape) for k, v in out.items()} == {
        "subject": (3, 5), "colour": (3, 3), "setting": (3, 4), "style": (3, 2)}
    assert tuple(out) == HEADS


def test_features_halve_after_each_stage_but_the_last(net):
    assert [tuple(f.shape) for f in net.features(pictures(0))] == [(3, 8, 64, 64), (3, 12, 32, 32), (3, 16, 16, 16)]
    assert net.embed(pictures(0)).shape == (3, 32)


def test_config_makes_the_same_net(net):
    again = VGGClassifier.from_config(config_of(net)).eval()
    again.load_state_dict(net.state_dict())
    x = pictures(0)
    assert all(torch.equal(a, b) for a, b in zip(net(x).values(), again(x).values(), strict=True))


def test_perceptual_distance_is_0_for_equal_symmetric_and_grows(net):
    x, y = pictures(0), pictures(1)
    assert torch.equal(perceptual_distance(net, x, x), torch.zeros(3))
    d = perceptual_distance(net, x, y)
    assert d.shape == (3,) and (d > 0).all()
    assert torch.allclose(d, perceptual_distance(net, y, x), rtol=1e-5)
    near = perceptual_distance(net, x, x + 0.1 * (y - x))
    assert (near < d).all()


def test_perceptual_distance_in_closed_form():
    """One stage whose features are the picture's channels: the distance between unit vectors of colour."""
    net = VGGClassifier(VGGConfig([[3]], {"subject": 2})).eval()
    torch.nn.init.dirac_(net.stages[0][0].weight)
    red, green = torch.zeros(2, 1, 3, 8, 8)
    red[:, 0], green[:, 1] = 0.7, 0.3
    assert float(perceptual_distance(net, red, green).detach()) == pytest.approx(2, abs=1e-3)
    assert float(perceptual_distance(net, red, 0.5 * red).detach()) == pytest.approx(0, abs=1e-4)


def test_layers_by_name_are_what_the_stages_give_before_and_after_their_relu(net):
    x = pictures(0)
    assert net.layer_names == ("conv1_1", "relu1_1", "conv2_1", "relu2_1", "conv2_2", "relu2_2", "conv3_1", "relu3_1")
    got = net.layers(x, ["relu3_1", "conv2_2", "relu2_2", "relu1_1"])
    for name, features in zip(("relu1_1", "relu2_2", "relu3_1"), net.features(x), strict=True):
        assert torch.equal(got[name], features)
    assert torch.equal(got["conv2_2"].relu(), got["relu2_2"]) and float(got["conv2_2"].detach().min()) < 0
    with pytest.raises(ValueError, match="relu9_1 is none of conv1_1"):
        net.layers(x, ["relu9_1"])


def test_nothing_beyond_the_deepest_wanted_layer_is_computed(net):
    ran = []
    hooks = [part.register_forward_hook(lambda *_, s=s: ran.append(s)) for s, stage in enumerate(net.stages) for part in stage]
    net.layers(pictures(0), ["relu1_1"])
    for hook in hooks:
        hook.remove()
    assert ran == [0, 0, 0]
