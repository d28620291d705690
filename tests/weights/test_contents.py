"""What a pickle holds is not taken for granted: found in whatever it is wrapped, and named where it is something else."""

import pytest
import torch

from labkit.models.convert import convert
from labkit.models.vqgan import VQGAN, VQGANConfig, load_vqgan
from labkit.weights import WeightsError, WeightsMismatch, load_tensors, save_tensors

SMALL = VQGANConfig(ch=32, ch_mult=(1,), num_res_blocks=1, attn_resolutions=(), z_channels=32, embed_dim=16, n_embed=20)


def a_vqgan_state(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    return dict(VQGAN(SMALL).state_dict())


def prefixed(prefix: str) -> dict:
    return {prefix + key: value for key, value in a_vqgan_state().items()}


WRAPPED = {
    "bare": lambda: a_vqgan_state(),
    "state_dict": lambda: {"state_dict": a_vqgan_state(), "epoch": 3},
    "model": lambda: {"model": a_vqgan_state(), "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "net": lambda: {"net": a_vqgan_state()},
    "params_ema": lambda: {"params_ema": a_vqgan_state()},
    "two deep": lambda: {"model": {"state_dict": a_vqgan_state()}},
    "in a list": lambda: [a_vqgan_state(), {"lr": 0.1}],
    "data parallel": lambda: prefixed("module."),
    "compiled": lambda: prefixed("_orig_mod."),
    "compiled data parallel": lambda: {"state_dict": prefixed("module._orig_mod.")},
    "Lightning's model": lambda: {"state_dict": prefixed("model.")},
    "latent model": lambda: {"state_dict": prefixed("first_stage_model.") | {"transformer.head.weight": torch.zeros(2)}},
    "a compiled part": lambda: {key.replace("encoder.", "encoder._orig_mod.", 1): v for key, v in a_vqgan_state().items()},
    "the same twice": lambda: {"model": a_vqgan_state(), "ema": a_vqgan_state()},
    "numbers as keys beside": lambda: a_vqgan_state() | {0: torch.zeros(1), (1, 2): "x"},
    "losses beside": lambda: a_vqgan_state() | {"loss.discriminator.weight": torch.zeros(1)},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_model_is_found_in_whatever_it_is_wrapped(tmp_path, name):
    torch.save(WRAPPED[name](), tmp_path / "x.ckpt")
    loaded = load_vqgan(convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors"))
    assert loaded.config == SMALL
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in a_vqgan_state().items())


def test_of_several_models_that_differ_none_is_taken_silently(tmp_path):
    torch.save({"model": a_vqgan_state(), "ema": {"module." + k: v for k, v in a_vqgan_state(1).items()}}, tmp_path / "x.ckpt")
    with pytest.raises(WeightsMismatch, match=r"(?s)holds 2 that differ.*--part NAME:\s+model\s+ema\.module"):
        convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors")
    for part in ("ema", "ema.module"):
        convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors", part=part)
        assert torch.equal(load_vqgan(tmp_path / "out.safetensors").codebook, a_vqgan_state(1)["quantize.embedding.weight"])
    with pytest.raises(WeightsMismatch, match="part: 'teacher' is not a taming VQGAN .*; there are: model, ema.module"):
        convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors", part="teacher")


SMALLEST = {
    "encoder.conv_in.weight": torch.zeros(32, 3, 3, 3), "decoder.conv_in.weight": torch.zeros(32, 32, 3, 3),
    "quantize.embedding.weight": torch.zeros(20, 16), "encoder.down.0.block.0.conv1.weight": torch.zeros(32, 32, 3, 3),
}
OTHERS = {
    "a number": (lambda: 5, r"neither .*a taming VQGAN nor .*It holds\s+a number \(5\)"),
    "nothing": (lambda: None, r"It holds\s+nothing"),
    "an empty dictionary": (lambda: {}, r"It holds\s+nothing \(an empty dictionary\)"),
    "a tensor": (lambda: torch.zeros(2, 3), r"It holds\s+a tensor \(2, 3\)"),
    "a list": (lambda: [torch.zeros(2, 3)] * 2, r"a list of 2, the first a tensor \(2, 3\)"),
    "numbers for names": (lambda: {"state_dict": {7: torch.zeros(1)}}, r"1 tensor: 7 \(a number for a name\) \(1,\)"),
    "tuples for names": (lambda: {(1, 2): torch.zeros(1)}, r"a tuple, not a name\): a tensor"),
    "another model": (lambda: {"module.fc.weight": torch.zeros(2, 3)}, r"module\.fc\.weight: a tensor \(2, 3\)"),
    "names that command a terminal": (lambda: {"\x1b[31m\u202e": torch.zeros(1)}, r"\\x1b\[31m\\u202e: a tensor"),
    "long names": (lambda: {"x" * 10**5: torch.zeros(1)}, "xxx…: a tensor"),
    "many": (lambda: {f"w{i}": torch.zeros(1) for i in range(5000)}, "… and 4,994 more"),
    "half a model": (lambda: {k: v for k, v in prefixed("module.").items() if "decoder" not in k},
                     "not a taming VQGAN: no key of it ends in decoder.conv_in.weight. It holds"),
    "a CLIP": (lambda: {k: torch.zeros(1) for k in ("visual.conv1.weight", "logit_scale", "token_embedding.weight")},
               "is a CLIP of open_clip, .*--clip ARCHITECTURE/FILE"),
    "a level of a thousand million": (lambda: SMALLEST | {"encoder.down.999999999.block.0.x": torch.zeros(1)},
                                      "numbered 0, 999999999"),
    "a level of 5000 digits": (lambda: SMALLEST | {f"encoder.down.{'9' * 5000}.x": torch.zeros(1)}, "numbered 0, 9999"),
    "3000 blocks": (lambda: SMALLEST | {f"encoder.down.0.block.{i}.conv1.weight": torch.zeros(32, 32, 3, 3)[:, :1]
                                        for i in range(3000)}, "at most 32"),
    "a scalar": (lambda: SMALLEST | {"encoder.conv_in.weight": torch.zeros(())}, r"conv_in.weight is \(\), it needs 4 axes"),
    "no channels": (lambda: SMALLEST | {"encoder.conv_in.weight": torch.zeros(0, 3, 3, 3)}, "it needs 4 axes, none of 0"),
    "flat codes": (lambda: SMALLEST | {"quantize.embedding.weight": torch.zeros(20)}, "it needs 2 axes"),
    "a tensor without numbers": (lambda: SMALLEST | {"w": torch.empty(10**12, device="meta")}, "w .10+,. is no plain"),
    "one number 10¹² times": (lambda: SMALLEST | {"w": torch.zeros(1).expand(10**12)}, "is no plain tensor"),
    "sparse": (lambda: SMALLEST | {"w": torch.eye(3).to_sparse()}, "is no plain tensor"),
    "the same numbers a thousand times": (lambda: SMALLEST | dict.fromkeys(map(str, range(1000)), torch.zeros(10**5)),
                                          "its tensors would take 400,.* bytes, the file has"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_model_is_named_in_bounded_time(tmp_path, name):
    make, said = OTHERS[name]
    torch.save(make(), tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match=f"(?s)x.ckpt: .*{said}") as caught:
        convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 2000
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("config", [
    {"num_res_blocks": 10**9}, {"ch_mult": [1] * 10**5}, {"blocks": [10**7]}, {"n_embed": 10**30}, {"layers": 10**6},
    {"stages": [[32] * 10**5]}, {"dropout": float("nan")},
])
def test_a_config_asks_for_no_more_than_the_file_can_hold(tmp_path, config):
    path = save_tensors(tmp_path / "m.safetensors", SMALLEST, {"kind": "vqgan", "config": SMALL.to_dict() | config})
    with pytest.raises(WeightsError, match=f"its config says {next(iter(config))} = .*4 tensors cannot be"):
        load_tensors(path)


def test_the_kind_is_found_and_a_wrong_one_is_named(tmp_path):
    torch.save(a_vqgan_state(), tmp_path / "x.ckpt")
    with pytest.raises(WeightsMismatch, match="is a taming VQGAN, not a released .*say --kind vqgan, or leave --kind out"):
        convert(tmp_path / "x.ckpt", tmp_path / "out.safetensors", kind="diffusion")
    with pytest.raises(WeightsError, match="is the checkpoint itself; give another name"):
        convert(save_tensors(tmp_path / "a.safetensors", a_vqgan_state(), {}), tmp_path / "a.safetensors")
