"""VQGAN: architecture, quantising, and agreement with an independent implementation (diffusers' VQModel)."""

import re
import subprocess
import sys

import pytest
import torch

from labkit import zoo
from labkit.models.vqgan import PRESETS, VQGAN, VQGANConfig, load_vqgan

SMALL = VQGANConfig(
    ch=32,
    ch_mult=(1, 1, 2),
    num_res_blocks=2,
    attn_resolutions=(16,),
    resolution=64,
    z_channels=32,
    embed_dim=24,
    n_embed=50,
)


def small(**changes) -> VQGAN:
    torch.manual_seed(3)
    return VQGAN(VQGANConfig(**SMALL.to_dict() | changes)).eval()


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("name", "f", "parameters"),
    [
        ("imagenet-f16-1024", 16, 72_141_699),
        ("imagenet-f16-16384", 16, 76_073_859),
        ("gumbel-f8", 8, 68_995_971),
    ],
)
def test_full_size_architectures_count_as_published(name, f, parameters):
    with torch.device("meta"):
        model = VQGAN(PRESETS[name])
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.f == f and model.codebook.shape == (model.n_embed, model.embed_dim)


def test_import_needs_no_lightning():
    code = "import sys, labkit.models.vqgan, labkit.models.convert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "taming" in loaded
    assert not loaded & {"lightning", "pytorch_lightning", "lightning_fabric", "omegaconf"}


def test_construction_prints_nothing(capsys):
    small()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("gumbel", [False, True])
def test_shapes_at_any_multiple_of_f(gumbel):
    model = small(gumbel=gumbel, embed_dim=32)
    x = picture(2, 3, 32, 20)
    z_q, indices = model.encode(x)
    assert z_q.shape == (2, 32, 8, 5) and indices.shape == (2, 8, 5) and indices.dtype == torch.int64
    assert model.encode_continuous(x).shape == z_q.shape
    assert torch.equal(z_q, model.lookup(indices))
    assert torch.equal(model.decode(z_q), model.decode_indices(indices))
    assert model(x).shape == x.shape


def test_encode_quantises_the_continuous_latent():
    model, x = small(), picture(1, 3, 32, 32)
    z_q, indices = model.encode(x)
    again, same = model.quantize(model.encode_continuous(x))
    assert torch.equal(indices, same) and torch.equal(z_q, again)


def test_gumbel_takes_the_likeliest_code_and_its_continuous_latent_is_the_expectation():
    model, x = small(gumbel=True, embed_dim=32), picture(1, 3, 16, 16)
    logits = model.quantize.proj(model.quant_conv(model.encoder(x)))
    assert torch.equal(model.encode(x)[1], logits.argmax(1))
    expected = (logits.softmax(1).movedim(1, -1) @ model.codebook).movedim(-1, 1)
    torch.testing.assert_close(model.encode_continuous(x), expected)


def test_side_that_f_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 30, 32\).*multiples of f = 4"):
        small().encode(picture(1, 3, 30, 32))


def test_straight_through_gradient_is_that_of_the_quantised_value():
    """d/dz sum(w * q(z)^2) under straight-through is 2 w z_q, not 2 w z; the codebook gets none."""
    model = small()
    z = torch.randn(1, 24, 4, 4, generator=torch.Generator().manual_seed(5), requires_grad=True)
    w = torch.randn(1, 24, 4, 4, generator=torch.Generator().manual_seed(6))
    z_q, indices = model.quantize(z)
    assert torch.equal(z_q, model.lookup(indices))  # exactly the code, not z + (z_q - z)
    (w * z_q**2).sum().backward()
    assert torch.equal(z.grad, 2 * w * z_q.detach())
    assert model.codebook.grad is None


def test_lookup_lets_a_trainer_move_only_the_codes_in_use():
    model = small()
    model.lookup(torch.tensor([[[3, 3], [7, 3]]])).sum().backward()
    moved = model.codebook.grad.sum(1)
    assert moved[3] == 3 * 24 and moved[7] == 24 and moved.count_nonzero() == 2


def test_quantising_is_exact_under_autocast():
    model = small()
    z = torch.randn(1, 24, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.quantize(z)[1]
    assert torch.equal(found, model.quantize(z)[1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ch": 48}, "ch: 48 must be a multiple of 32"),
        ({"ch_mult": ()}, "ch_mult"),
        ({"n_embed": 0}, "n_embed: 0"),
        ({"resolution": 30}, "resolution: 30 must be a multiple of f = 4"),
        ({"gumbel": True}, "embed_dim: 24 must equal z_channels = 32"),
    ],
)
def test_bad_configs_name_the_field_and_the_bound(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        VQGANConfig(**SMALL.to_dict() | changes)


def test_config_goes_through_json_values():
    assert VQGANConfig(**SMALL.to_dict() | {"ch_mult": [1, 1, 2], "attn_resolutions": [16]}) == SMALL


def diffusers_twin(model: VQGAN):
    """diffusers' VQModel with the same weights, by a map of its keys to taming's."""
    from diffusers import VQModel

    config = model.config
    last = len(config.ch_mult) - 1
    has_attention = [config.resolution >> i in config.attn_resolutions for i in range(last + 1)]
    down = ["AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in has_attention]
    up = ["AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(has_attention)]
    twin = VQModel(
        down_block_types=down,
        up_block_types=up,
        block_out_channels=[config.ch * m for m in config.ch_mult],
        layers_per_block=config.num_res_blocks,
        latent_channels=config.z_channels,
        vq_embed_dim=config.embed_dim,
        num_vq_embeddings=config.n_embed,
    ).eval()
    rules = [
        (r"^(en|de)coder\.norm_out", r"\1coder.conv_norm_out"),
        (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
        (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
        (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
        (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
        (r"\.down\.(\d+)\.attn\.", r".down_blocks.\1.attentions."),
        (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
        (r"\.up\.(\d+)\.block\.", lambda m: f".up_blocks.{last - int(m[1])}.resnets."),
        (r"\.up\.(\d+)\.attn\.", lambda m: f".up_blocks.{last - int(m[1])}.attentions."),
        (r"\.up\.(\d+)\.upsample\.", lambda m: f".up_blocks.{last - int(m[1])}.upsamplers.0."),
        (r"nin_shortcut", "conv_shortcut"),
        (r"(attentions\.\d+)\.norm\.", r"\1.group_norm."),
        (r"(attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
        (r"(attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
    ]
    state = {}
    for key, value in model.state_dict().items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        state[key] = value.flatten(1) if ".attentions." in key and value.ndim == 4 else value
    twin.load_state_dict(state, strict=True)
    return twin


@pytest.mark.parametrize("config", [SMALL, PRESETS["imagenet-f16-1024"]], ids=["small", "full"])
@torch.no_grad()
def test_agrees_with_diffusers(config):
    torch.manual_seed(0)
    # fp64, so that what is compared is the formula: in fp32 the rounding of ~70 layers reaches 2e-5 by itself
    model = VQGAN(config).eval().double()
    twin = diffusers_twin(model).double()
    x = picture(1, 3, 64, 32).double()
    z = model.encode_continuous(x)
    torch.testing.assert_close(twin.encode(x).latents, z, atol=1e-9, rtol=0)
    z_q, indices = model.quantize(z)
    theirs = twin.quantize(z)
    assert torch.equal(theirs[2][2].view_as(indices), indices)
    torch.testing.assert_close(twin.decode(z).sample, model.decode(z_q), atol=1e-9, rtol=0)


def write(path, model: VQGAN, **about):
    about = {"kind": "vqgan", "config": model.config.to_dict()} | about
    zoo.save_tensors(path, model.state_dict(), about)


def test_load_from_a_path(tmp_path):
    model = small()
    write(tmp_path / "mine.safetensors", model, steps=7)
    loaded = load_vqgan(tmp_path / "mine.safetensors")
    assert loaded.config == SMALL and not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}  # stored as fp16
    with torch.no_grad():
        z = model.lookup(torch.arange(16).view(1, 4, 4))
        assert (loaded.decode(z) - model.decode(z)).abs().max() < 2e-2


def test_load_the_pocket_model(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(zoo.WeightsNotFound, match="python -m labkit train vqgan"):
        load_vqgan("pocket")
    write(tmp_path / "models" / "vqgan.safetensors", small())
    assert load_vqgan("pocket").config == SMALL


def test_load_a_preset_that_is_not_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(zoo.WeightsNotFound, match="(?s)about 958 MB.*zoo get imagenet-f16-1024.*pocket"):
        load_vqgan("imagenet-f16-1024")


def test_load_names_what_is_near(tmp_path):
    with pytest.raises(zoo.WeightsError, match="imagenet-f16-1024"):
        load_vqgan("imagenet-f16-1023")
    with pytest.raises(zoo.WeightsNotFound, match="no such file"):
        load_vqgan(tmp_path / "nothing.safetensors")


def test_load_refuses_another_kind_and_a_config_that_does_not_fit(tmp_path):
    write(tmp_path / "judge.safetensors", small(), kind="judge")
    with pytest.raises(zoo.WeightsError, match="'judge', not 'vqgan'"):
        load_vqgan(tmp_path / "judge.safetensors")
    write(tmp_path / "wrong.safetensors", small(), config=SMALL.to_dict() | {"n_embed": 51})
    with pytest.raises(
        zoo.WeightsMismatch, match=r"embedding.weight is \(50, 24\), the model has \(51, 24\)"
    ):
        load_vqgan(tmp_path / "wrong.safetensors")
    write(tmp_path / "strange.safetensors", small(), config={"chanels": 3})
    with pytest.raises(zoo.WeightsError, match="chanels"):
        load_vqgan(tmp_path / "strange.safetensors")
