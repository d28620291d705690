"""Aesthetic heads: LAION's published layouts, the collapse of v2, unit vectors, and heads that do not fit a CLIP."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit import zoo
from labkit.models.aesthetic import PUBLISHED, V2, AestheticConfig, AestheticHead, WidthError, affine, load_aesthetic
from labkit.weights import WeightsError, WeightsMismatch


class LAIONv2(nn.Module):
    """As the file's makers have it: dropout in between, which does nothing when it scores."""

    def __init__(self, width: int, relu: bool = False):
        super().__init__()
        sizes, parts = (width, *V2, 1), []
        for k, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
            parts.append(nn.Linear(a, b))
            last = k == len(V2) - 1
            if k < len(V2):
                parts += [nn.ReLU()] * relu + [nn.Dropout(0.2)] * (not last)
        self.layers = nn.Sequential(*parts)

    def forward(self, e):
        return self.layers(e)


def published(tmp_path, model: nn.Module):
    torch.save(model.state_dict(), tmp_path / "published.pth")
    return zoo.convert(tmp_path / "published.pth", tmp_path / "ours.safetensors")


@pytest.fixture
def e():
    return F.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(1)), dim=1)


def test_v1_is_one_linear_map(tmp_path, e):
    torch.manual_seed(0)
    theirs = nn.Linear(32, 1)
    head = load_aesthetic(str(published(tmp_path, theirs)))
    assert torch.allclose(head(e), theirs(e)[:, 0]) and head.config == AestheticConfig(32)
    w, b = affine(head)
    assert torch.equal(w.float(), theirs.weight[0]) and b.item() == pytest.approx(theirs.bias.item())


def test_the_layers_of_v2_collapse_to_one_affine_map(tmp_path, e):
    torch.manual_seed(0)
    theirs = LAIONv2(32).eval()
    assert [key for key in theirs.state_dict() if key.endswith("weight")] == [f"layers.{k}.weight" for k in (0, 2, 4, 6, 7)]
    head = load_aesthetic(str(published(tmp_path, theirs)))
    assert head.config == AestheticConfig(32, V2, "none") and torch.allclose(head(e), theirs(e)[:, 0], atol=1e-6)
    w, b = affine(head)
    assert torch.allclose((e.double() @ w + b).float(), theirs(e)[:, 0], atol=1e-6)


def test_the_variant_with_relu_is_no_affine_map(tmp_path, e):
    torch.manual_seed(0)
    theirs = LAIONv2(32, relu=True).eval()
    assert [key for key in theirs.state_dict() if key.endswith("weight")] == [f"layers.{k}.weight" for k in (0, 3, 6, 9, 11)]
    head = load_aesthetic(str(published(tmp_path, theirs)))
    assert head.config.between == "relu" and torch.allclose(head(e), theirs(e)[:, 0], atol=1e-6)
    with pytest.raises(ValueError, match="it has activations"):
        affine(head)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_heads_have_their_published_shapes(name):
    shapes = {key: tuple(t.shape) for key, t in AestheticHead(PUBLISHED[name]).state_dict().items()}
    width = 512 if "b-32" in name else 768
    if "v1" in name:
        assert shapes == {"layers.0.weight": (1, width), "layers.0.bias": (1,)}
    else:
        assert shapes["layers.0.weight"] == (1024, 768) and shapes["layers.7.weight"] == (1, 16) and len(shapes) == 10


def test_what_is_no_head_is_refused_and_other_files_are_not_taken_for_one(tmp_path):
    torch.save({"weight": torch.zeros(3, 32), "bias": torch.zeros(3)}, tmp_path / "three.pth")
    with pytest.raises(WeightsMismatch, match="the last of which makes one number"):
        zoo.convert(tmp_path / "three.pth", tmp_path / "x.safetensors")
    torch.save({"layers.0.weight": torch.zeros(1, 4), "layers.0.bias": torch.zeros(1), "other": torch.zeros(1)},
               tmp_path / "more.pth")
    with pytest.raises(WeightsError):
        zoo.convert(tmp_path / "more.pth", tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists(), "nothing half-written"


def test_a_head_of_another_width_names_both(tiny):
    x = torch.rand(2, 3, 16, 16)
    with pytest.raises(WidthError, match=r"reads CLIP vectors of 768 numbers, the lab's CLIP \(tiny\) makes 16; give --clip "
                                         "ViT-L-14/openai"):
        AestheticHead(AestheticConfig(768)).score(tiny.clip, x)
    with pytest.raises(WidthError, match="also reads the tower of the pocket CLIP, which the lab's CLIP"):
        tiny.aesthetic.score(tiny.clip_check, x)


def test_inputs_are_unit_vectors_and_leaving_that_out_is_another_number(tiny):
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    read = tiny.aesthetic.inputs(tiny.clip, x)
    assert torch.allclose(read[:, :16], tiny.clip.encode_image(x), atol=1e-6)
    assert torch.allclose(read[:, :16].norm(dim=1), torch.ones(3), atol=1e-6)
    raw = tiny.aesthetic.inputs(tiny.clip, x, normalised=False)
    assert torch.equal(raw[:, 16:], read[:, 16:]) and not torch.allclose(raw[:, :16], read[:, :16], atol=1e-3)
    plain = AestheticHead(AestheticConfig(16))
    length = tiny.clip.raw_image(x).norm(dim=1)
    bias = plain.layers["0"].bias
    with torch.no_grad():
        assert torch.allclose(plain.score(tiny.clip, x, normalised=False) - bias, length * (plain.score(tiny.clip, x) - bias),
                              atol=1e-5), "an affine head's score grows with the vector's length"
