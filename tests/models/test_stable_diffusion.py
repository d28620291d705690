"""Stable Diffusion from folders and files: the published layouts built small, the stock pipelines over the same, no pickle."""

import json
import re
import shutil

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from labkit.image import ImageInput
from labkit.lab import Lab
from labkit.methods.img2img import ImageToImage
from labkit.methods.inpainting import Inpainting
from labkit.methods.text_to_image import TextToImage
from labkit.models import stable_load
from labkit.models.stable_hub import KNOWN, wanted
from labkit.models.stable_load import load_stable_diffusion, quiet
from labkit.models.stable_single import SCHEDULER, write_words
from labkit.weights import WeightsError, WeightsMismatch, WeightsNotFound
from tests.conformance import tokenizer_json
from tests.models.tiny_stable import large_parts, tiny_parts

PROMPT = "a red apple in the snow"
BARE = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def saved(cls, parts: dict, folder, **more):
    """The parts as diffusers saves them, and the pipeline."""
    with quiet():
        pipe = cls(**parts, **more)
        pipe.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(StableDiffusionPipeline, tiny_parts(tokenizer_json()), tmp_path_factory.mktemp("tiny"), **BARE)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def last(spec, lab) -> torch.Tensor:
    *_, step = spec.run(lab)
    return step.extras["latent"]


def assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """To 1e-5 of the largest number."""
    assert ours.shape == theirs.shape and float((ours - theirs).abs().max() / theirs.abs().max()) <= 1e-5


def stock(cls, folder, **more):
    with quiet():
        pipe = cls.from_pretrained(folder, local_files_only=True, **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_the_sum_of_a_model_is_that_of_its_files(folder, monkeypatch):
    """So that a stored study can name the files of the weights that it was made with."""
    monkeypatch.setattr(stable_load, "data_path", lambda *place: folder)
    files = stable_load.pocket_files()
    assert len(files) == 3 and load_stable_diffusion("pocket").sha256 == stable_load.digest_of(files)


@pytest.mark.parametrize("cls", [StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline])
def test_a_folder_runs_with_the_stock_pipelines_and_with_ours(folder, cls):
    pipe, lab = stock(cls, folder), Lab(stable_diffusion=str(folder), device="cpu")
    assert pipe.safety_checker is None
    picture, mask = (Image.new("RGB", (16, 16), colour) for colour in ("red", "black"))
    mask.paste("white", (0, 0, 8, 8))
    given = {"image": picture} if cls is not StableDiffusionPipeline else {}
    given |= {"mask_image": mask, "width": 16, "height": 16} if cls is StableDiffusionInpaintPipeline else {}
    given |= {"strength": 0.5} if given else {}
    theirs = pipe(PROMPT, num_inference_steps=4, generator=seeded(), guidance_scale=5.0, output_type="latent", **given).images
    ours = {"prompt": PROMPT, "steps": 4, "seed": 3, "guidance": 5.0, "sampler": {"name": "own"}}
    ours |= {"picture": ImageInput.of(picture, 16, 16), "strength": 0.5} if given else {}
    ours |= {"mask": ImageInput.of(mask, 16, 16)} if "mask_image" in given else {}
    spec = TextToImage if not given else Inpainting if "mask" in ours else ImageToImage
    assert_equal(last(spec(**ours), lab), theirs)


def test_a_loaded_model_is_frozen_and_knows_what_it_is(folder):
    model = load_stable_diffusion(f"local-dir:{folder}")
    assert (model.size, model.factor, model.channels) == (16, 2, 4) and re.fullmatch("[0-9a-f]{64}", model.sha256)
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    lab = Lab(stable_diffusion=str(folder), device="cpu")
    assert lab.fingerprints(["stable_diffusion"])["stable_diffusion"]["sha256"] == model.sha256
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    belief = model.vae.encode(x).latent_dist
    assert torch.allclose(model.encode(x), model.scale * belief.mean)
    assert torch.allclose(model.encode(x, [seeded()]), model.scale * belief.sample(seeded()), atol=1e-6)
    assert model.decode(torch.full((1, 4, 8, 8), 99.0)).abs().max() <= 1


# Stable Diffusion 1.5: the published configurations, a tenth as wide

UNET = {"act_fn": "silu", "attention_head_dim": 8, "block_out_channels": [32, 64, 128, 128], "center_input_sample": False,
        "cross_attention_dim": 96, "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "downsample_padding": 1,
        "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2, "mid_block_scale_factor": 1,
        "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}
VAE = {"act_fn": "silu", "block_out_channels": [32, 32, 64, 64], "down_block_types": ["DownEncoderBlock2D"] * 4,
       "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
       "sample_size": 512, "up_block_types": ["UpDecoderBlock2D"] * 4}
TEXT = {"vocab_size": 49408, "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 12, "num_attention_heads": 1,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 2,
        "pad_token_id": 1, "projection_dim": 96}
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(folder as published, the same weights as one file of CompVis' code)."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(4)
    unet, vae, text = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE), CLIPTextModel(CLIPTextConfig(**TEXT))
    for net in (unet, vae, text):
        net.half().float()  # what is stored in half precision
    write_words(folder / "tokenizer", 77)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "tokenizer": tokenizer,
             "scheduler": PNDMScheduler.from_config(SCHEDULER)}
    saved(StableDiffusionPipeline, parts, folder, **BARE)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
              "feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    old = {"vae": {re.sub(r"(attentions\.0)\.(to_\w(?:\w+\.0)?)\.", lambda m: f"{m[1]}.{OLD_ATTENTION[m[2]]}.", key): value
                   for key, value in vae.state_dict().items()},
           "text_encoder": {key if key.startswith("text_model.") else f"text_model.{key}": value
                            for key, value in text.state_dict().items()}}
    old["text_encoder"]["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    for part, file in (("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        state = {key: value.half() if value.is_floating_point() else value for key, value in old[part].items()}
        save_file(state, folder / part / f"{file}.safetensors", metadata={"format": "pt"})
    save_file({k: v.half() for k, v in unet.state_dict().items()}, folder / "unet/diffusion_pytorch_model.safetensors",
              metadata={"format": "pt"})
    single = folder.parent / "v1-5-pruned-emaonly.safetensors"
    state = {f"model.diffusion_model.{compvis_unet(k)}": v for k, v in unet.state_dict().items()}
    state |= {f"first_stage_model.{compvis_vae(k)}": v[:, :, None, None] if is_attention(k) else v
              for k, v in vae.state_dict().items()}
    state |= {f"cond_stage_model.transformer.{k}": v for k, v in old["text_encoder"].items()}
    state |= {"betas": torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, "model_ema.decay": torch.tensor(0.9999)}
    save_file({k: v.half().contiguous() if v.is_floating_point() else v for k, v in state.items()}, single)
    return folder, single


def is_attention(key: str) -> bool:
    """Whether CompVis' code has a convolution where diffusers has a matrix."""
    return bool(re.search(r"attentions\.0\.to_.*weight", key))


def renamed(key: str, rules) -> str:
    for pattern, new in rules:
        key = re.sub(pattern, new, key)
    return key


BLOCK = r"^((?:in|out)put_blocks\.\d+\.0|middle_block\.\d)"


def compvis_unet(key: str) -> str:
    return renamed(key, [
        (r"^conv_in\.", "input_blocks.0.0."), (r"^time_embedding\.linear_1\.", "time_embed.0."),
        (r"^time_embedding\.linear_2\.", "time_embed.2."), (r"^conv_norm_out\.", "out.0."), (r"^conv_out\.", "out.2."),
        (r"^mid_block\.resnets\.(\d)", lambda m: f"middle_block.{2 * int(m[1])}"),
        (r"^mid_block\.attentions\.0", "middle_block.1"),
        (r"^down_blocks\.(\d)\.resnets\.(\d)", lambda m: f"input_blocks.{3 * int(m[1]) + int(m[2]) + 1}.0"),
        (r"^down_blocks\.(\d)\.attentions\.(\d)", lambda m: f"input_blocks.{3 * int(m[1]) + int(m[2]) + 1}.1"),
        (r"^down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op"),
        (r"^up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.0"),
        (r"^up_blocks\.(\d)\.attentions\.(\d)", lambda m: f"output_blocks.{3 * int(m[1]) + int(m[2])}.1"),
        (r"^up_blocks\.(\d)\.upsamplers\.0", lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{1 if m[1] == '0' else 2}"),
        (rf"{BLOCK}\.norm1\.", r"\1.in_layers.0."), (rf"{BLOCK}\.norm2\.", r"\1.out_layers.0."),
        (r"\.conv1\.", ".in_layers.2."), (r"\.conv2\.", ".out_layers.3."), (r"\.time_emb_proj\.", ".emb_layers.1."),
        (r"\.conv_shortcut\.", ".skip_connection.")])


def compvis_vae(key: str) -> str:
    return renamed(key, [
        (r"down_blocks\.(\d)\.resnets\.", r"down.\1.block."), (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{3 - int(m[1])}.block."),
        (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample"),
        (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"), (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"conv_norm_out", "norm_out"), (r"conv_shortcut", "nin_shortcut"), (r"group_norm", "norm"), (r"to_out\.0", "proj_out"),
        (r"\.to_([qkv])\.", r".\1.")])


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_stable_diffusion_1_5_as_published_runs(published, kind):
    """At 64 pixels, which are 8 × 8 cells: its own scheduler, PNDM, and guidance."""
    folder, single = published
    pipe = stock(StableDiffusionImg2ImgPipeline, folder, **BARE)
    sketch = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    theirs = pipe(PROMPT, image=sketch, strength=0.5, num_inference_steps=6, guidance_scale=7.5, generator=seeded(),
                  output_type="latent", negative_prompt="blurry").images
    lab = Lab(stable_diffusion=str(folder if kind == "folder" else single), device="cpu")
    spec = ImageToImage(prompt=PROMPT, picture=ImageInput.of(sketch, 64, 64), strength=0.5, steps=6, guidance=7.5, seed=3,
                        negative="blurry", sampler={"name": "own"}, frame={"width": 64, "height": 64})
    first, *_ = steps = list(spec.run(lab))
    assert_equal(steps[-1].extras["latent"], theirs)
    assert any("trained on pictures of 512 × 512" in line for line in first.extras["notices"])
    assert len(lab.stable_diffusion.notices("snow " * 100)) == 1, "77 tokens are read"


def test_the_words_are_clip_s(published):
    """The same tokens as open_clip's own, which carries the same vocabulary."""
    import open_clip

    texts = ["a red house in the snow", "naïve café, 12 o'clock!", ""]
    ours = CLIPTokenizer.from_pretrained(published[0] / "tokenizer")(texts).input_ids
    theirs = open_clip.get_tokenizer("ViT-L-14")(texts)
    for mine, row in zip(ours, theirs.tolist(), strict=True):
        assert mine == [token for k, token in enumerate(row) if token or k == 0]


def test_a_single_file_of_another_family_is_named(published, tmp_path):
    state = load_file(published[1])
    for change, said in (({"conditioner.embedders.1.x": torch.zeros(1)}, "single file of Stable Diffusion XL"),
                         ({"cond_stage_model.model.x": torch.zeros(1)}, "single file of Stable Diffusion 2")):
        save_file({"model.diffusion_model.x": torch.zeros(1), **change}, tmp_path / "x.safetensors")
        with pytest.raises(WeightsError, match=said):
            load_stable_diffusion(str(tmp_path / "x.safetensors"))
    lost = "model.diffusion_model.middle_block.0.in_layers.0.weight"
    del state[lost]
    save_file(state, tmp_path / "y.safetensors")
    with pytest.raises(WeightsMismatch, match=r"y.safetensors/unet does not fit[^\n]*, 1 differences") as caught:
        load_stable_diffusion(str(tmp_path / "y.safetensors"))
    assert "missing mid_block.resnets.0.norm1.weight" in str(caught.value)
    torch.save({"state_dict": {}}, tmp_path / "z.ckpt")
    with pytest.raises(WeightsError, match="a pickle, which is not loaded as it is"):
        load_stable_diffusion(str(tmp_path / "z.ckpt"))


# Stable Diffusion XL

@pytest.mark.parametrize(("negative", "zeros"), [("", True), ("", False), ("a blue dog", True)])
def test_xl_is_what_its_pipelines_compute(tmp_path, negative, zeros):
    parts = large_parts(tokenizer_json())
    parts["scheduler"] = EulerDiscreteScheduler.from_config(parts["scheduler"].config)
    more = {"force_zeros_for_empty_prompt": zeros, "add_watermarker": False}
    saved(StableDiffusionXLPipeline, parts, tmp_path / "xl", **more)
    lab = Lab(stable_diffusion=str(tmp_path / "xl"), device="cpu")
    both = {"prompt": PROMPT, "negative_prompt": negative or None, "num_inference_steps": 6, "guidance_scale": 5.0,
            "output_type": "latent"}
    ours = {"prompt": PROMPT, "negative": negative, "steps": 6, "guidance": 5.0, "seed": 3, "sampler": {"name": "own"}}
    frame = {"width": 24, "height": 16}
    theirs = stock(StableDiffusionXLPipeline, tmp_path / "xl")(**both, width=24, height=16, generator=seeded()).images
    assert_equal(last(TextToImage(**ours, frame=frame), lab), theirs)
    sketch = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    pipe = stock(StableDiffusionXLImg2ImgPipeline, tmp_path / "xl")
    theirs = pipe(**both, image=sketch, strength=0.5, generator=seeded()).images
    assert_equal(last(ImageToImage(**ours, picture=ImageInput.of(sketch, 24, 16), strength=0.5, frame=frame), lab), theirs)


# What is wrong is told

def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without(path, key):
    state = load_file(path)
    state.pop(key)
    save_file(state, path, metadata={"format": "pt"})


@pytest.mark.parametrize(("spoil", "error", "said"), [
    (lambda f: (f / "model_index.json").unlink(), WeightsNotFound, "holds no model_index.json"),
    (lambda f: (f / "model_index.json").write_text("<html>"), WeightsError, "is no JSON of a model"),
    (lambda f: edited(f / "model_index.json", _class_name="FluxPipeline"), WeightsError, "describes a FluxPipeline; it must"),
    (lambda f: edited(f / "model_index.json", unet=["diffusers", "Evil"]), WeightsError, "says that unet is a Evil; it must"),
    (lambda f: edited(f / "model_index.json", vae=[None, None]), WeightsNotFound, "lacks vae; a StableDiffusionPipeline has"),
    (lambda f: shutil.rmtree(f / "unet"), WeightsNotFound, "lacks unet; "),
    (lambda f: shutil.rmtree(f / "scheduler"), WeightsNotFound, "lacks scheduler; "),
    (lambda f: (f / "unet/config.json").unlink(), WeightsNotFound, "unet holds no config.json"),
    (lambda f: (f / "vae/diffusion_pytorch_model.safetensors").unlink(), WeightsNotFound, "vae holds no weights; it must hold"),
    (lambda f: (f / "vae/diffusion_pytorch_model.safetensors").rename(f / "vae/diffusion_pytorch_model.bin"), WeightsNotFound,
     "holds only diffusion_pytorch_model.bin, a pickle, which may run code and is not loaded; it must hold"),
    (lambda f: torch.save({}, f / "unet/diffusion_pytorch_model.safetensors"), WeightsError, "a pickle"),
    (lambda f: (f / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 40), WeightsError, "model.safetensors"),
    (lambda f: without(f / "unet/diffusion_pytorch_model.safetensors", "conv_in.bias"), WeightsMismatch, "conv_in.bias"),
    (lambda f: without(f / "text_encoder/model.safetensors", "final_layer_norm.bias"), WeightsMismatch, "layer_norm.bias"),
    (lambda f: edited(f / "unet/config.json", block_out_channels=[16, 64]), WeightsMismatch, "make no UNet2DConditionModel"),
    (lambda f: edited(f / "unet/config.json", cross_attention_dim=32), WeightsMismatch, "unet"),
    (lambda f: (f / "tokenizer/tokenizer.json").unlink(), WeightsNotFound, "tokenizer holds no words"),
    (lambda f: (shutil.rmtree(f / "tokenizer"), write_words(f / "tokenizer", 77),
                edited(f / "model_index.json", tokenizer=["transformers", "CLIPTokenizer"])), WeightsMismatch,
     "has 49,408 tokens, the text encoder 320: it is of another model"),
    (lambda f: edited(f / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"]), WeightsError,
     "FlowMatchEulerDiscreteScheduler is no noise schedule of Stable Diffusion"),
    (lambda f: edited(f / "model_index.json", scheduler=["diffusers", "system"]), WeightsError, "system is no noise schedule"),
])  # fmt: skip
def test_a_folder_that_is_not_whole_is_told(copy, spoil, error, said):
    spoil(copy)
    with pytest.raises(error, match=said):
        load_stable_diffusion(str(copy))


def test_parts_of_different_models_are_told(folder, tmp_path):
    other = shutil.copytree(saved(StableDiffusionPipeline, tiny_parts(tokenizer_json(), width=32), tmp_path / "wide", **BARE),
                            tmp_path / "mixed")
    shutil.rmtree(other / "unet"), shutil.copytree(folder / "unet", other / "unet")
    with pytest.raises(WeightsMismatch, match="its U-Net reads text of width 16, its text encoder writes 32"):
        load_stable_diffusion(str(other))


def test_names_that_are_none_and_models_that_are_not_at_hand(monkeypatch):
    for name in ("sd", "a/b/c", "../x/y", "a b/c"):
        with pytest.raises(WeightsError, match="names no model; give a folder in diffusers' layout"):
            load_stable_diffusion(name)
    with pytest.raises(WeightsNotFound, match="holds no model_index.json"):
        load_stable_diffusion("local-dir:/nowhere/at/all")
    with pytest.raises(WeightsNotFound, match=r"\(about 2.1 GB, CreativeML OpenRAIL-M\) is not at hand and could not be"):
        load_stable_diffusion("stable-diffusion-v1-5/stable-diffusion-v1-5")


def test_of_a_repository_only_the_parts_are_fetched_and_each_once():
    files = ["model_index.json", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors", "vae/config.json", "tokenizer/merges.txt",
             "safety_checker/model.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/config.json",
             "unet/diffusion_pytorch_model.bin", "text_encoder/model.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    files += [f"{part}/diffusion_pytorch_model{half}.safetensors" for part in ("unet",) for half in ("", ".fp16")]
    assert sorted(wanted(files)) == ["model_index.json", "text_encoder/model.safetensors", "tokenizer/merges.txt",
                                     "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json",
                                     "vae/diffusion_pytorch_model.safetensors"]
    assert all(size > 1 and licence for size, licence in KNOWN.values())


def test_a_half_precision_folder_and_one_in_shards_load_the_same(folder, copy):
    place, name = copy / "unet", "diffusion_pytorch_model"
    state = load_file(place / f"{name}.safetensors")
    (place / f"{name}.safetensors").unlink()
    keys = sorted(state)
    shards = {f"{name}-0000{k + 1}-of-00002.safetensors": keys[k::2] for k in range(2)}
    for file, some in shards.items():
        save_file({key: state[key] for key in some}, place / file, metadata={"format": "pt"})
    (place / f"{name}.safetensors.index.json").write_text(json.dumps({
        "metadata": {"total_size": 1}, "weight_map": {key: file for file, some in shards.items() for key in some}}))
    (copy / "vae" / f"{name}.safetensors").rename(copy / "vae" / f"{name}.fp16.safetensors")
    ours, theirs = (load_stable_diffusion(str(f)).state_dict() for f in (copy, folder))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    (place / next(iter(shards))).unlink()
    with pytest.raises(WeightsNotFound, match="lacks diffusion_pytorch_model-00001-of-00002.safetensors, which"):
        load_stable_diffusion(str(copy))
