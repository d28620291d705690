"""Converting taming checkpoints: the published format in, the same pictures out, and no code run."""

import pickle
import sys
import types

import pytest
import torch

from labkit import zoo
from labkit.models.convert import VQGAN_LAYOUT, infer_config
from labkit.models.vqgan import PRESETS, VQGAN, VQGANConfig, load_vqgan
from labkit.weights import find_state

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


@pytest.fixture
def lightning():
    """`lightning(name)` makes a class of that qualified name, to be pickled; `.forget()` removes them all."""
    monkeypatch = pytest.MonkeyPatch()

    def make(qualified: str):
        module, _, name = qualified.rpartition(".")
        made = type(name, (), {"__module__": module})
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            parent = types.ModuleType(".".join(parts[:i]))
            monkeypatch.setitem(sys.modules, parent.__name__, parent)
        setattr(sys.modules[module], name, made)
        return made

    make.forget = monkeypatch.undo
    yield make
    make.forget()


def lightning_file(path, model: VQGAN, callback, prefix: str = "") -> None:
    """A taming checkpoint as Lightning writes it: losses among the weights, callbacks keyed by class."""
    state = {prefix + key: value for key, value in model.state_dict().items()}
    state["loss.discriminator.main.0.weight"] = torch.zeros(4, 3, 4, 4)
    state["loss.perceptual_loss.lin0.model.1.weight"] = torch.zeros(1, 4, 1, 1)
    torch.save(
        {
            "epoch": 3,
            "global_step": 1000,
            "pytorch-lightning_version": "1.0.8",
            "callbacks": {callback: {"best_model_score": torch.tensor(0.5), "best_model_path": "x.ckpt"}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}],
            "lr_schedulers": [],
            "state_dict": state,
        },
        path,
    )


CHECKPOINT_CLASS = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"


@pytest.mark.parametrize("gumbel", [False, True])
def test_a_taming_checkpoint_converts_loads_and_decodes_the_same(tmp_path, lightning, gumbel):
    model = model_of(VQGANConfig(**SMALL.to_dict() | {"gumbel": gumbel, "embed_dim": 32}))
    lightning_file(tmp_path / "last.ckpt", model, lightning(CHECKPOINT_CLASS))
    lightning.forget()
    modules = set(sys.modules)
    assert zoo.convert(tmp_path / "last.ckpt", tmp_path / "v.safetensors") == tmp_path / "v.safetensors"
    assert not {name for name in set(sys.modules) - modules if "lightning" in name}
    tensors, about = zoo.load_tensors(tmp_path / "v.safetensors")
    assert not any(key.startswith("loss.") for key in tensors) and about["kind"] == "vqgan"
    loaded = load_vqgan(tmp_path / "v.safetensors")
    assert loaded.config == model.config
    indices = torch.arange(16).view(1, 4, 4)
    with torch.no_grad():
        assert torch.equal(loaded.decode_indices(indices), model.decode_indices(indices))


def test_the_full_architecture_goes_the_whole_way(tmp_path, lightning):
    model = model_of(PRESETS["imagenet-f16-1024"])
    wanted = zoo.entry("vqgan", "imagenet-f16-1024")
    zoo.published_path(wanted).parent.mkdir(parents=True)
    lightning_file(zoo.published_path(wanted), model, lightning(CHECKPOINT_CLASS))
    lightning.forget()
    assert zoo.get("imagenet-f16-1024") == wanted.path
    loaded = load_vqgan("imagenet-f16-1024")
    assert loaded.config == model.config and sum(p.numel() for p in loaded.parameters()) == 72_141_699
    indices = torch.arange(4).view(1, 2, 2)
    with torch.no_grad():
        assert torch.equal(loaded.decode_indices(indices), model.decode_indices(indices))


@pytest.mark.parametrize("name", list(PRESETS))
def test_configs_of_the_presets_are_inferred_from_shapes(name):
    with torch.device("meta"):
        assert infer_config(VQGAN(PRESETS[name]).state_dict()) == PRESETS[name]


def test_the_first_stage_of_a_transformer_is_taken_out(tmp_path):
    state = model_of().state_dict()
    held = {"first_stage_model." + key: value for key, value in state.items()}
    held |= {"first_stage_model.loss.disc.weight": torch.zeros(1), "transformer.head.weight": torch.zeros(2)}
    # an image-conditioned transformer has two VQGANs, of which the first stage is the one that draws
    held |= {"cond_stage_model." + key: value + 1 for key, value in state.items()}
    torch.save({"state_dict": held}, tmp_path / "transformer.ckpt")
    found = find_state({"state_dict": held}, tmp_path / "transformer.ckpt", VQGAN_LAYOUT)
    assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


def test_safetensors_with_tamings_keys_convert_too(tmp_path):
    model = model_of()
    zoo.save_tensors(tmp_path / "foreign.safetensors", model.state_dict(), {}, dtype=None)
    with pytest.raises(zoo.WeightsError, match="python -m labkit convert"):
        load_vqgan(tmp_path / "foreign.safetensors")
    zoo.convert(tmp_path / "foreign.safetensors", tmp_path / "mine.safetensors")
    assert load_vqgan(tmp_path / "mine.safetensors").config == SMALL


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, marker) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_bomb_is_refused_and_never_runs(tmp_path, legacy):
    marker = tmp_path / "marker"
    held = {"state_dict": model_of().state_dict(), "callbacks": Bomb(marker)}
    torch.save(held, tmp_path / "bomb.ckpt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(zoo.WeightsError, match=r"refused.*would run \w*io\.open"):
        zoo.convert(tmp_path / "bomb.ckpt", tmp_path / "out.safetensors")
    assert not marker.exists() and not (tmp_path / "out.safetensors").exists()
    pickle.loads(pickle.dumps(Bomb(marker))).close()
    assert marker.exists()  # the bomb was a live one


def test_lightnings_name_does_not_open_the_door_to_others(tmp_path, lightning):
    torch.save({"state_dict": {}, "a": lightning("pytorch_lightning_evil.Thing")()}, tmp_path / "x.ckpt")
    with pytest.raises(zoo.WeightsError, match=r"pytorch_lightning_evil\.Thing"):
        zoo.convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors")


def test_a_lightning_object_is_read_as_nothing(tmp_path, lightning):
    thing = lightning("lightning.pytorch.callbacks.Thing")()
    thing.note = "state"
    torch.save({"state_dict": model_of().state_dict(), "callbacks": thing}, tmp_path / "x.ckpt")
    lightning.forget()
    zoo.convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors")
    assert load_vqgan(tmp_path / "out.safetensors").config == SMALL


def test_convert_says_what_is_wrong(tmp_path):
    source = tmp_path / "x.ckpt"
    with pytest.raises(zoo.WeightsNotFound, match="no such file"):
        zoo.convert(source, tmp_path / "out.safetensors")
    torch.save(model_of().state_dict(), source)
    with pytest.raises(zoo.WeightsError, match="must end in .safetensors"):
        zoo.convert(source, tmp_path / "out.pt")
    with pytest.raises(zoo.WeightsError, match="kind: 'gan' cannot be converted"):
        zoo.convert(source, tmp_path / "out.safetensors", kind="gan")
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(zoo.WeightsError, match="x.ckpt: .*not whole.*fetch it again"):
        zoo.convert(source, tmp_path / "out.safetensors")
    torch.save({"some.weight": torch.ones(1)}, source)
    with pytest.raises(zoo.WeightsError, match="(?s)neither .*a taming VQGAN nor .* It holds.*some.weight: a tensor .1,."):
        zoo.convert(source, tmp_path / "out.safetensors")
    state = model_of().state_dict()
    del state["decoder.norm_out.weight"]
    torch.save({"state_dict": state}, source)
    with pytest.raises(zoo.WeightsMismatch, match=r"missing decoder.norm_out.weight \(32,\)"):
        zoo.convert(source, tmp_path / "out.safetensors")
