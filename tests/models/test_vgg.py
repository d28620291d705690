"""torchvision's VGG as a perceptual net: the published layout becomes ours, layer by layer the same, nothing in place."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.vgg import make_layers

from labkit import Lab, zoo
from labkit.metrics.perceptual import pocket_distance
from labkit.models.convert import convert
from labkit.models.judge import perceptual_distance
from labkit.models.vgg import DEPTHS, MEAN, STD, VGG, VGGDepth, bare
from labkit.weights import WeightsMismatch

WIDTHS = (4, 6, 8, 10, 12)


def published(depth: int) -> tuple[nn.Sequential, dict]:
    """torchvision's own layers at a small width, and a state dict of the published layout."""
    cfg = [w for count, width in zip(DEPTHS[depth], WIDTHS, strict=True) for w in [*[width] * count, "M"]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(depth)
        features = make_layers(cfg)
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    return features.eval(), state | {"classifier.0.weight": torch.zeros(3, 4), "classifier.0.bias": torch.zeros(3)}


@pytest.fixture(scope="module", params=[16, 19])
def both(request, tmp_path_factory):
    """torchvision's layers, and a lab with what its file was converted to."""
    features, state = published(request.param)
    folder = tmp_path_factory.mktemp("vgg")
    torch.save(state, folder / "vgg.pth")
    path = convert(folder / "vgg.pth", folder / "vgg.safetensors")
    return features, Lab(device="cpu", perceptual=str(path))


def pictures(n: int = 2, side: int = 32) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_layer_is_torchvision_s_before_and_after_its_relu(both):
    features, lab = both
    x = pictures()
    z = ((x + 1) / 2 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    wanted = []
    with torch.no_grad():
        for part in features:
            z = part(z.clone())  # a clone: torchvision's ReLUs would change what was kept of the layer before
            wanted += [] if isinstance(part, nn.MaxPool2d) else [z]
    names = lab.perceptual.layer_names
    got = lab.perceptual.layers(x, names)
    assert len(names) == len(wanted) == 2 * (lab.perceptual.config.depth - 3)
    for name, here in zip(names, wanted, strict=True):
        assert torch.equal(got[name], here), name


def test_nothing_works_in_place_where_torchvision_does(both):
    features, lab = both
    assert any(part.inplace for part in features if isinstance(part, nn.ReLU))
    got = lab.perceptual.layers(pictures(), ["conv3_1", "relu3_1"])
    assert float(got["conv3_1"].min()) < 0 and torch.equal(got["conv3_1"].relu(), got["relu3_1"])
    x = pictures()
    before = copy.deepcopy(x)
    lab.perceptual.layers(x, lab.perceptual.layer_names)
    assert torch.equal(x, before), "the caller's batch stays (torch's own example divides it in place)"


def test_the_published_widths_are_torchvision_s():
    for depth, theirs in ((16, torchvision.models.vgg16), (19, torchvision.models.vgg19)):
        with torch.device("meta"):
            ours, original = bare(f"vgg{depth}"), theirs(weights=None)
        shapes = {k.replace("features", "body"): v.shape for k, v in original.state_dict().items() if k.startswith("features")}
        assert {k: v.shape for k, v in ours.state_dict().items()} == shapes


def test_style_and_content_are_read_where_they_were_published():
    net = VGG(VGGDepth(19, WIDTHS))
    assert net.style_layers == tuple(f"relu{s}_1" for s in range(1, 6)) and net.content_layers == ("relu4_2",)
    assert set(net.style_layers + net.content_layers) <= set(net.layer_names)
    assert net.least_side(net.style_layers) == 16 and net.least_side(["relu1_1"]) == 1
    assert net.layers(pictures(1, 16), net.style_layers)["relu5_1"].shape == (1, 12, 1, 1)


def test_it_serves_as_a_perceptual_distance(both):
    _, lab = both
    x = pictures()
    assert [f.shape[-1] for f in lab.perceptual.features(x)] == [32, 16, 8, 4, 2]
    assert torch.equal(perceptual_distance(lab.perceptual, x, x), torch.zeros(2))
    far = pocket_distance(lab.perceptual, (x + 1) / 2, (x.flip(3) + 1) / 2)
    assert far.value > 0 and far.name == "perceptual distance" and "VGG-" in far.variant


def test_another_number_of_convolutions_is_refused(tmp_path):
    _, state = published(16)
    torch.save({k: v for k, v in state.items() if not k.startswith("features.26")}, tmp_path / "x.pth")
    with pytest.raises(WeightsMismatch, match="has 12 convolutions; VGG-16 has 13 and VGG-19 has 16"):
        convert(tmp_path / "x.pth", tmp_path / "x.safetensors", "perceptual")
    _, state = published(16)
    state["features.0.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "y.pth")
    with pytest.raises(WeightsMismatch, match=r"body.0.bias is \(5,\), the model has \(4,\)"):
        convert(tmp_path / "y.pth", tmp_path / "y.safetensors", "perceptual")


def test_without_a_network_it_says_what_to_get_and_what_stands_in(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(zoo.WeightsNotFound, match="vgg19-dcbb9e9d.pth") as caught:
        _ = Lab(device="cpu", perceptual="vgg19").perceptual
    assert "575 MB" in str(caught.value) and "licence BSD-3-Clause" in str(caught.value)
    assert "perceptual='pocket'" in str(caught.value)
