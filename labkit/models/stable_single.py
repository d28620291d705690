"""Stable Diffusion 1 out of a single .safetensors file as CompVis' code writes it: unpacked into diffusers' layout.

The file holds weights only. Widths are read from their shapes, the rest is what was published with SD 1 (in-painting too):
number of heads, PNDM over β scaled-linear from 0.00085 to 0.012, CLIP's words (out of open_clip, which carries them), so that
nothing is fetched. diffusers knows the names of both layouts.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from open_clip.tokenizer import bytes_to_unicode, default_bpe
from safetensors.torch import save_file
from torch import Tensor

from labkit.weights import WeightsError, load_tensors
from labkit.weights.errors import shown

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
OTHERS = {"conditioner.": "Stable Diffusion XL", "cond_stage_model.model.": "Stable Diffusion 2"}
INDEX = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"],
         "unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"],
         "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "PNDMScheduler"]}
SCHEDULER = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
             "clip_sample": False}
MERGES = 49152 - 256 - 2  # of CLIP's vocabulary


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder that is there for as long as this lasts. Raises WeightsError on a pickle and on another layout."""
    state = load_tensors(path)[0]
    other = next((name for start, name in OTHERS.items() if any(key.startswith(start) for key in state)), None)
    if other or not all(any(key.startswith(start) for key in state) for start in (UNET, VAE, TEXT)):
        what = f"a single file of {other}" if other else "no Stable Diffusion"
        raise WeightsError(f"stable_diffusion: {shown(path)} is {what}; it must be of Stable Diffusion 1, as CompVis' code "
                           "writes it; for others give the folder in diffusers' layout (local-dir:FOLDER) or ORG/REPO of "
                           "the Hub")
    try:
        configs = {"unet": unet_config(state), "vae": vae_config(state), "text_encoder": text_config(state)}
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"stable_diffusion: {shown(path)} lacks weights of Stable Diffusion 1 ({error}); fetch it "
                           "again") from error
    weights = {"unet": convert_ldm_unet_checkpoint(dict(state), configs["unet"]),
               "vae": convert_ldm_vae_checkpoint(dict(state), configs["vae"]),
               "text_encoder": {key: value for key, value in convert_ldm_clip_checkpoint(state).items()
                                if not key.endswith("position_ids")}}
    with tempfile.TemporaryDirectory(prefix="labkit-") as name:
        folder = Path(name)
        for part, config in {**configs, "scheduler": SCHEDULER}.items():
            (folder / part).mkdir()
            (folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")).write_text(json.dumps(config))
        for part, tensors in weights.items():
            file = "model.safetensors" if part == "text_encoder" else "diffusion_pytorch_model.safetensors"
            whole = {key: value.contiguous() for key, value in tensors.items()}
            save_file(whole, folder / part / file, metadata={"format": "pt"})
        write_words(folder / "tokenizer", configs["text_encoder"]["max_position_embeddings"])
        (folder / "model_index.json").write_text(json.dumps(INDEX))
        yield folder


def unet_config(state: dict[str, Tensor]) -> dict:
    """The U-Net's configuration: four levels of 1, 2, 4, 4 times its width, eight heads."""
    first = state[f"{UNET}input_blocks.0.0.weight"]
    deepest = [state[f"{UNET}input_blocks.{k}.0.out_layers.3.weight"].shape[0] for k in (1, 4, 7, 10)]
    down = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    return {"_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": first.shape[1], "out_channels": 4,
            "block_out_channels": deepest, "layers_per_block": 2, "attention_head_dim": 8, "down_block_types": down,
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "norm_num_groups": 32,
            "cross_attention_dim": state[f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"].shape[1]}


def vae_config(state: dict[str, Tensor]) -> dict:
    """The autoencoder's configuration: four levels, two blocks each."""
    widths = [state[f"{VAE}encoder.down.{k}.block.0.conv1.weight"].shape[0] for k in range(4)]
    return {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "block_out_channels": widths,
            "latent_channels": state[f"{VAE}post_quant_conv.weight"].shape[1], "layers_per_block": 2, "norm_num_groups": 32,
            "sample_size": 512, "scaling_factor": 0.18215, "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4}


def text_config(state: dict[str, Tensor]) -> dict:
    """The text tower's configuration: CLIP ViT-L/14's, heads of 64 channels."""
    tower = f"{TEXT}text_model."
    words, places = (state[f"{tower}embeddings.{kind}_embedding.weight"] for kind in ("token", "position"))
    layers = 1 + max(int(key.removeprefix(f"{tower}encoder.layers.").partition(".")[0]) for key in state
                     if key.startswith(f"{tower}encoder.layers."))
    return {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": words.shape[0],
            "hidden_size": words.shape[1], "intermediate_size": state[f"{tower}encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": layers, "num_attention_heads": max(1, words.shape[1] // 64), "hidden_act": "quick_gelu",
            "max_position_embeddings": places.shape[0], "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}


def write_words(folder: Path, length: int) -> None:
    """CLIP's tokenizer as files."""
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1:MERGES + 1]
    letters = list(bytes_to_unicode().values())
    start, end = "<|startoftext|>", "<|endoftext|>"
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge.split()) for merge in merges), start, end]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": length, "bos_token": start, "eos_token": end, "pad_token": end,
        "unk_token": end, "do_lower_case": True}))
