"""The released ImageNet diffusion models: the published layout in, the same numbers out of diffusers' UNet2DModel.

The layout and the arithmetic are those of `original_adm.py`, written apart from the map of keys. Random weights: the released
ones are not run here.
"""

from collections import Counter

import pytest
import torch
from diffusers import DDPMScheduler

from labkit import zoo
from labkit.models import adm
from labkit.models.adm import ADM, PRESETS, ADMConfig, build, convert_state_dict, key_map, original_shapes
from labkit.models.diffusion import load_diffusion
from tests.models.original_adm import OriginalADM

# The published models' levels, blocks and attention, thinner; several heads wherever there is attention, and at 512 a first
# block half as wide as the sinusoid.
THIN = {
    "imagenet-256": ADMConfig(model_channels=32, num_head_channels=16),
    "imagenet-512": ADMConfig(image_size=512, model_channels=64, channel_mult=(0.5, 1, 1, 2, 2, 4, 4), num_head_channels=32),
}
FACTORS = {256: (8, 16, 32), 512: (16, 32, 64)}  # how far a level is below the picture where it has attention


def original_of(config: ADMConfig) -> OriginalADM:
    """The original of that config; its norms' weights are not all one nor its biases zero."""
    model = OriginalADM(config.model_channels, config.channel_mult, FACTORS[config.image_size],
                                     config.num_head_channels)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_meta:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def originals():
    torch.manual_seed(0)
    return {name: original_of(config) for name, config in THIN.items()}


@pytest.fixture
def thin(monkeypatch, tmp_path):
    """The thin models stand for the published ones, in a cache of the test's own."""
    monkeypatch.setattr(adm, "PRESETS", THIN)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))


def noisy(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("name", "tensors", "parameters"),
                         [("imagenet-256", 566, 552_814_086), ("imagenet-512", 644, 557_973_638)])
def test_the_full_size_tensors_map_one_to_one(name, tensors, parameters):
    config = PRESETS[name]
    with torch.device("meta"):
        published, ours = original_of(config).state_dict(), build(config).state_dict()
    assert original_shapes(config) == {key: tuple(tensor.shape) for key, tensor in published.items()}
    assert len(published) == tensors
    assert sum(t.numel() for t in ours.values()) == sum(t.numel() for t in published.values()) == parameters
    mapped = key_map(config)
    assert mapped.keys() == published.keys()
    assert Counter(key for names in mapped.values() for key in names) == Counter(ours.keys())
    with torch.device("meta"):
        converted = convert_state_dict(published, config)
    assert {key: t.shape for key, t in converted.items()} == {key: t.shape for key, t in ours.items()}


@pytest.mark.parametrize("name", list(THIN))
def test_the_converted_model_agrees_with_the_original(originals, name):
    unet = build(THIN[name])
    unet.load_state_dict(convert_state_dict(originals[name].state_dict(), THIN[name]), strict=True)
    x, t = noisy(2, 3, 64, 128).requires_grad_(), torch.tensor([3, 871])
    wanted = originals[name](x, t)
    got = unet.eval()(x, t).sample
    assert wanted.detach().std() > 0.3  # or 1e-5 would mean little
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert (wanted[0] - originals[name](x[:1], t[1:])[0]).abs().max() > 0.01  # the time matters, so agreeing on it does
    # guidance differentiates through the model
    gradients = [torch.autograd.grad(out[:, :3].square().sum(), x)[0] for out in (got, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4 * float(gradients[1].abs().max()))


def test_qkv_lies_per_head():
    qkv = torch.tensor([[head, which, row] for head in range(3) for which in range(3) for row in range(4)])
    for which, part in enumerate(adm.split_qkv(qkv, 4)):
        assert part.tolist() == [[head, which, row] for head in range(3) for row in range(4)]


def test_a_plainly_chunked_qkv_is_caught(originals, monkeypatch):
    config, original = THIN["imagenet-256"], originals["imagenet-256"]
    x, t = noisy(1, 3, 64, 64), torch.tensor([500])
    monkeypatch.setattr(adm, "split_qkv", lambda qkv, width: qkv.chunk(3))
    unet = build(config)
    unet.load_state_dict(convert_state_dict(original.state_dict(), config), strict=True)  # it fits: shapes do not tell
    with torch.no_grad():
        assert (unet.eval()(x, t).sample - original(x, t)).abs().max() > 0.1


@pytest.mark.parametrize("name", list(THIN))
def test_a_published_file_converts_and_loads(originals, name, thin, tmp_path):
    torch.save(originals[name].state_dict(), tmp_path / "released.pt")
    zoo.convert(tmp_path / "released.pt", tmp_path / "mine.safetensors", kind="diffusion")
    about = zoo.read_metadata(tmp_path / "mine.safetensors")
    assert about["kind"] == "diffusion" and about["converted_from"] == "released.pt"
    model = load_diffusion(str(tmp_path / "mine.safetensors"))
    assert isinstance(model, ADM) and model.config == THIN[name] and len(model.sha256) == 64
    assert not model.training and not any(p.requires_grad or p.is_meta for p in model.parameters())
    x, t = noisy(2, 3, 64, 64), torch.tensor([0, 999])
    with torch.no_grad():
        x0, eps, share, _ = model(x, t)
        wanted = originals[name](x, t)
    torch.testing.assert_close(torch.cat([eps, share], dim=1), wanted, rtol=0, atol=1e-5)
    a = model.alpha_bar[t].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x0 + (1 - a).sqrt() * eps, x)


def test_the_schedule_is_the_originals():
    with torch.device("meta"):
        model = ADM(THIN["imagenet-256"])
    assert model.alpha_bar.dtype == torch.float64 and model.alpha_bar.device.type == "cpu"
    theirs = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", beta_start=1e-4, beta_end=0.02).alphas_cumprod
    torch.testing.assert_close(model.alpha_bar, theirs.double(), rtol=2e-4, atol=0)  # theirs is a product in fp32


def test_what_the_model_cannot_take_is_an_error():
    model = ADM(ADMConfig(image_size=64, model_channels=32, channel_mult=(1, 1), attention_resolutions=(), num_res_blocks=1,
                          num_head_channels=32))
    t = torch.tensor([5])
    for x in (torch.zeros(1, 3, 64, 63), torch.zeros(1, 6, 64, 64), torch.zeros(3, 64, 64)):
        with pytest.raises(ValueError, match="x: shape .* multiples of 2"):
            model(x, t)
    for bad in (torch.tensor([1000]), torch.tensor([-1]), torch.tensor([0.5]), torch.tensor([1, 2]), torch.tensor(5)):
        with pytest.raises(ValueError, match="t: .* must be 1 whole numbers.* from 0 to 999"):
            model(torch.zeros(1, 3, 64, 64), bad)


def test_other_architectures_are_refused_with_their_differences(originals, thin, tmp_path):
    state, source = originals["imagenet-256"].state_dict(), tmp_path / "x.pt"

    def refusal(changed: dict) -> list[str]:
        torch.save(changed, source)
        with pytest.raises(zoo.WeightsMismatch) as caught:
            zoo.convert(source, tmp_path / "out.safetensors", kind="diffusion")
        assert not (tmp_path / "out.safetensors").exists()
        return str(caught.value).splitlines()

    head, *lines = refusal({key: value for key, value in state.items() if not key.startswith("time_embed.2.")} |
                           {"label_emb.weight": torch.zeros(1000, 128), "extra": torch.zeros(2)})
    assert head.endswith("does not fit an unconditional ADM of 256 pixels and 32 channels, 4 differences:")
    assert [line.strip() for line in lines] == [
        "missing time_embed.2.weight (128, 128)", "missing time_embed.2.bias (128,)",
        "unexpected label_emb.weight (1000, 128)", "unexpected extra (2,)"]
    assert "no key of it ends in time_embed.0.weight" in refusal(
        {key: value for key, value in state.items() if not key.startswith("time_embed.")})[0]
    assert refusal(state | {"out.2.bias": torch.zeros(3)})[1:] == ["  out.2.bias is (3,), the model has (6,)"]
    assert "out.2.bias is torch.int64" in refusal(state | {"out.2.bias": torch.zeros(6, dtype=torch.int64)})[1]
    larger = originals["imagenet-512"].state_dict() | {"extra": torch.zeros(1)}
    assert refusal(larger)[0].endswith("of 512 pixels and 64 channels, 1 differences:")  # of the nearest
    torch.save({"state_dict": state}, source)  # wrapped, it is the same model
    assert zoo.convert(source, tmp_path / "out.safetensors", kind="diffusion").is_file()


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def test_a_bomb_and_a_broken_file_are_refused(originals, thin, tmp_path):
    source, out, state = tmp_path / "x.pt", tmp_path / "out.safetensors", originals["imagenet-256"].state_dict()
    torch.save(state | {"epoch": Bomb(tmp_path / "marker")}, source)
    with pytest.raises(zoo.WeightsError, match=r"refused.*would run \w*io\.open"):
        zoo.convert(source, out, kind="diffusion")
    assert not (tmp_path / "marker").exists() and not out.exists()
    torch.save(state, source)
    with pytest.raises(zoo.WeightsError, match="a pickle, which is not loaded as it is; `python -m labkit convert"):
        load_diffusion(str(source))
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(zoo.WeightsError, match="not whole"):
        zoo.convert(source, out, kind="diffusion")
    source.write_bytes(whole)
    zoo.convert(source, out, kind="diffusion")
    out.write_bytes(out.read_bytes()[:-1000])
    with pytest.raises(zoo.WeightsError, match="not a whole safetensors file"):
        load_diffusion(str(out))


def test_weights_of_another_model_are_refused(originals, thin, tmp_path):
    path, config = tmp_path / "x.safetensors", THIN["imagenet-256"]
    converted = convert_state_dict(originals["imagenet-256"].state_dict(), config)
    about = {"kind": "diffusion", "architecture": "adm", "config": config.to_dict()}
    zoo.save_tensors(path, originals["imagenet-256"].state_dict(), {}, dtype=None)
    with pytest.raises(zoo.WeightsError, match=r"not 'diffusion'.*convert .*x\.safetensors DST\.safetensors --kind diffusion"):
        load_diffusion(str(path))
    zoo.save_tensors(path, converted, about | {"config": {"image_size": 250}})
    with pytest.raises(zoo.WeightsError, match="model of kind 'diffusion' .image_size: 250 must be a multiple of 32"):
        load_diffusion(str(path))
    zoo.save_tensors(path, converted | {"extra": torch.zeros(1)}, about)
    with pytest.raises(zoo.WeightsMismatch, match=r"UNet2DModel, 1 differences:\n  unexpected extra \(1,\)"):
        load_diffusion(str(path))
    zoo.save_tensors(path, converted, about)  # in half precision: loads as fp32
    assert load_diffusion(str(path)).unet.dtype == torch.float32


def test_a_full_size_name_that_is_not_at_hand_says_what_to_get(thin):
    with pytest.raises(zoo.WeightsNotFound, match=r"imagenet-256 \(diffusion, 2211 MB, licence MIT\) is not at hand") as caught:
        load_diffusion("imagenet-256")
    assert "zoo get imagenet-256" in str(caught.value) and "diffusion='pocket'" in str(caught.value)


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_zoo_recognises_full_size_tensors(name):
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in build(PRESETS[name]).state_dict().items()}
    assert zoo.fitting(shapes).name == name


@pytest.mark.parametrize(("fields", "message"), [
    ({"image_size": 100}, "image_size: 100 must be a multiple of 32"),
    ({"channel_mult": ()}, "image_size: 256 must be a multiple of 1, for channel_mult names 0 levels"),
    ({"channel_mult": (0.1, 1, 1, 2, 2, 4)}, "channel_mult: gives widths .25, .*multiple of 32"),
    ({"num_res_blocks": 0}, "num_res_blocks: 0 must be 1 or more"),
    ({"num_head_channels": 48}, r"num_head_channels: 48 must divide the widths with attention, \[512, 1024, 1024, 1024\]"),
])
def test_what_cannot_be_built_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ADMConfig(**fields)
