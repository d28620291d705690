"""LoRA and WiSE-FT in closed form."""

import pytest
import torch
from torch import nn

from labkit.models.clip import PocketCLIP
from labkit.models.lora import LowRank, add_lora, interpolate, merge, places, plain_state, unmerge
from tests.conformance import CLIP


@pytest.fixture
def clip():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return PocketCLIP(CLIP).eval()


def vectors(model) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    x, ids = torch.rand(2, 3, 16, 16, generator=rng), torch.tensor([[318, 4, 5, 319] + [0] * 20])
    return torch.cat([model.encode_image(x), model.encode_text(ids)])


def woken(model, rank: int = 2, alpha: float = 1.0) -> nn.ModuleList:
    rng = torch.Generator().manual_seed(1)
    differences = add_lora(model, rank, alpha, rng)
    for one in differences:
        one.b.data.normal_(generator=rng)
    return differences


def test_a_model_begins_as_it_was(clip):
    before = vectors(clip)
    differences = add_lora(clip, 2, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(vectors(clip), before)
    assert {id(p) for p in clip.parameters() if p.requires_grad} <= {id(p) for p in differences.parameters()}
    assert len(differences) == len(list(places(PocketCLIP(CLIP))))


def test_the_difference_is_alpha_over_root_r_times_b_a():
    weight, rng = torch.zeros(6, 4), torch.Generator().manual_seed(0)
    one = LowRank(weight, rank=4, alpha=3.0, rng=rng, parts=3)
    assert one.a.shape == (3, 2, 4) and one.scale == 3.0 / 2**0.5, "the rank is no larger than what there is"
    one.b.data.normal_(generator=rng)
    by_hand = torch.cat([one.scale * one.b[k] @ one.a[k] for k in range(3)])
    assert torch.allclose(one(weight), by_hand, atol=1e-6)
    kernel = torch.zeros(5, 2, 3, 3)
    conv = LowRank(kernel, 2, 1.0, rng)
    conv.b.data.normal_(generator=rng)
    assert torch.allclose(conv(kernel), (conv.scale * conv.b[0] @ conv.a[0]).view(5, 2, 3, 3), atol=1e-6)


def test_the_size_of_a_first_step_does_not_depend_on_the_rank():
    """A step of size η on B gives a difference of α/√r · η · sign(…) A: its size per row is the same for any rank."""
    sizes = []
    for rank in (2, 8, 32):
        one = LowRank(torch.zeros(64, 64), rank, 1.0, torch.Generator().manual_seed(0))
        one.b.data.fill_(0.01)
        sizes.append(float(one.difference(torch.zeros(64, 64)).detach().norm()))
    assert max(sizes) / min(sizes) < 1.35


def test_merging_is_exact_and_so_is_the_way_back(clip):
    plain = {k: v.clone() for k, v in clip.state_dict().items()}
    woken(clip)
    adapted, state = vectors(clip), plain_state(clip)
    assert not torch.allclose(adapted, vectors(reloaded(plain)))
    kept = merge(clip)
    assert torch.equal(vectors(clip), adapted) and clip.state_dict().keys() == plain.keys() == state.keys()
    assert all(torch.equal(v, state[k]) for k, v in clip.state_dict().items())
    assert torch.equal(vectors(reloaded(state)), adapted)
    unmerge(clip, kept)
    assert torch.equal(vectors(clip), adapted)
    merge(clip), unmerge(clip, kept)
    originals = {k.replace("parametrizations.", "").removesuffix(".original"): v for k, v in clip.state_dict().items()
                 if k.endswith(".original")}
    assert originals and all(torch.equal(v, plain[k]) for k, v in originals.items())


def reloaded(state) -> PocketCLIP:
    model = PocketCLIP(CLIP).eval()
    model.load_state_dict(state)
    return model


def test_wise_ft_s_ends_are_the_start_and_the_end_bit_for_bit():
    rng = torch.Generator().manual_seed(0)
    a, b = ({"w": torch.randn(50, generator=rng), "n": torch.tensor(n)} for n in (3, 9))
    assert torch.equal(interpolate(a, b, 0)["w"], a["w"]) and torch.equal(interpolate(a, b, 1)["w"], b["w"])
    assert int(interpolate(a, b, 0)["n"]) == 3 and int(interpolate(a, b, 1)["n"]) == 9
    assert torch.allclose(interpolate(a, b, 0.25)["w"], 0.75 * a["w"] + 0.25 * b["w"])


@pytest.mark.parametrize(("end", "alpha", "said"), [
    ({"w": torch.zeros(3)}, 1.5, "alpha=1.5: must lie in"), ({"v": torch.zeros(3)}, 0.5, "two architectures; w differs"),
    ({"w": torch.zeros(4)}, 0.5, "two architectures; w differs"),
])
def test_what_cannot_be_mixed(end, alpha, said):
    with pytest.raises(ValueError, match=said):
        interpolate({"w": torch.zeros(3)}, end, alpha)


def test_no_rank_and_nothing_to_adapt():
    with pytest.raises(ValueError, match="rank=0: must be at least 1"):
        add_lora(nn.Linear(2, 2), 0, 1.0, torch.Generator())
    with pytest.raises(ValueError, match="BatchNorm2d has no linear layer"):
        add_lora(nn.BatchNorm2d(2), 1, 1.0, torch.Generator())
