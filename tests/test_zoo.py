"""The zoo: what is registered, and comparing weights with a model before loading them."""

import pytest
import torch
from torch import nn

from labkit import zoo
from labkit.models.vqgan import PRESETS, VQGAN, VQGANConfig

SMALL = VQGANConfig(
    ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(128,), z_channels=32, embed_dim=16, n_embed=20
)


def model_of(config: VQGANConfig = SMALL) -> VQGAN:
    torch.manual_seed(0)
    return VQGAN(config).eval()


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """A cache and a data folder of the test's own."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(zoo, "data_path", lambda *parts: tmp_path.joinpath("data", *parts))


def test_load_state_casts_to_the_models_dtype():
    model = nn.Linear(2, 1)
    state = {"weight": torch.tensor([[1.0, 2.0]]).half(), "bias": torch.tensor([3.0]).half()}
    assert zoo.load_state(model, state) is model
    assert model.weight.dtype == torch.float32 and model(torch.ones(1, 2)).item() == 6


def test_a_model_on_the_meta_device_gets_tensors_of_its_own():
    with torch.device("meta"):
        model = nn.Linear(2, 1)
    state = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0]).half()}
    zoo.load_state(model, state)
    state["weight"].zero_()
    assert model.bias.dtype == torch.float32 and model(torch.ones(1, 2)).item() == 6


def test_mismatch_shows_five_differences_and_changes_nothing():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {f"{i}.weight": torch.zeros(3, 2) for i in range(4)} | {"extra": torch.zeros(1)}
    with pytest.raises(zoo.WeightsMismatch) as caught:
        zoo.load_state(model, state, "mine")
    lines = str(caught.value).splitlines()
    assert lines[0] == "mine: does not fit Sequential, 9 differences:" and len(lines) == 6
    assert lines[1] == "  missing 0.bias (2,)" and "unexpected extra (1,)" in lines[5]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_mismatch_tells_shapes_and_floats_from_integers():
    model = nn.BatchNorm1d(2)
    state = model.state_dict() | {"weight": torch.ones(3), "num_batches_tracked": torch.tensor(1.5)}
    with pytest.raises(zoo.WeightsMismatch, match=r"weight is \(3,\), the model has \(2,\)") as caught:
        zoo.check_state(model, state, "norm")
    assert "num_batches_tracked is torch.float32, the model has torch.int64" in str(caught.value)


def test_mismatch_names_the_full_size_entry_that_fits():
    with torch.device("meta"):
        small, large = VQGAN(PRESETS["imagenet-f16-1024"]), VQGAN(PRESETS["imagenet-f16-16384"])
    with pytest.raises(zoo.WeightsMismatch, match=r"look like imagenet-f16-16384 \(vqgan\)"):
        zoo.check_state(small, large.state_dict(), "last.ckpt")


def test_mismatch_names_the_pocket_entry_that_fits(tmp_path):
    state = nn.Linear(5, 3).state_dict()
    zoo.save_tensors(tmp_path / "data/models/gauge.safetensors", state, {"kind": "gauge"})
    with pytest.raises(zoo.WeightsMismatch, match=r"look like gauge \(gauge\)"):
        zoo.check_state(nn.Linear(5, 2), state, "it")


def test_registry_lists_pocket_and_full_size_models(tmp_path):
    path = tmp_path / "data/models/vqgan.safetensors"
    zoo.save_tensors(path, model_of().state_dict(), {"kind": "vqgan", "config": SMALL.to_dict(), "steps": 9})
    pocket = zoo.entry("vqgan", "pocket")
    assert pocket == zoo.entry("vqgan", "vqgan") and pocket.pocket and pocket.at_hand and pocket.path == path
    assert pocket.size == path.stat().st_size
    full = zoo.entry("vqgan", "gumbel-f8")
    assert not full.pocket and not full.at_hand
    assert full.sha256 is None and full.sources[0].startswith("https://")
    assert full.path == tmp_path / "cache" / "vqgan" / "gumbel-f8.safetensors"
    table = zoo.models().set_index("name")
    assert table.loc["vqgan", "at_hand"] and table.loc["vqgan", "pocket"]
    assert table.loc["imagenet-f16-1024", "size_mb"] == 958 and not table.loc["imagenet-f16-1024", "at_hand"]
    assert set(table["licence"].drop(["vgg16", "vgg19"])) == {"MIT"} and table.loc["vgg19", "licence"] == "BSD-3-Clause"


def test_a_full_size_clip_is_kept_where_load_openclip_looks(tmp_path):
    clip = zoo.entry("clip", "ViT-B-32/openai")
    assert clip.path == zoo.published_path(clip) == tmp_path / "cache/clip/ViT-B-32/openai.safetensors"
    import open_clip

    with torch.device("meta"):
        state = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16")).state_dict()
    assert zoo.fitting({key: tuple(t.shape) for key, t in state.items()}).name == "ViT-B-16/openai"


def test_unknown_names_list_near_ones():
    with pytest.raises(zoo.WeightsError, match="near names: .*imagenet-f16-16384"):
        zoo.entry("vqgan", "imagenet-f16-16348")
    with pytest.raises(zoo.WeightsError, match="there are: imagenet-f16-1024, imagenet-f16-16384, gumbel-f8"):
        zoo.entry("vqgan", "zzz")


def test_a_broken_pocket_file_stands_in_nobodys_way(tmp_path):
    (tmp_path / "data/models").mkdir(parents=True)
    (tmp_path / "data/models/broken.safetensors").write_bytes(b"not weights")
    assert zoo.entry("vqgan", "gumbel-f8").name == "gumbel-f8"
    with pytest.raises(zoo.WeightsError, match="a text .*not a checkpoint"):
        zoo.load_tensors(zoo.entry("broken", "broken").path)
