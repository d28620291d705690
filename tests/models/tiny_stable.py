"""Small random Stable Diffusions: parts in diffusers' classes, folders in its layout, and the stock pipelines over them."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from labkit.models.stable_diffusion import StableDiffusion
from labkit.models.stable_text import text_tokenizer
from labkit.world import unknown_words

LENGTH = 24
SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}


def tiny_parts(tokenizer_json: str, prediction: str = "v_prediction", inputs: int = 4, width: int = 16, **more) -> dict:
    """The parts by name, as `StableDiffusionPipeline` takes them: 16 × 16 pixels to 8 × 8 × 4, text of `width`. `more` is the
    U-Net's."""
    tokenizer = text_tokenizer(tokenizer_json, LENGTH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        vae = AutoencoderKL(in_channels=3, out_channels=3, block_out_channels=(16, 16), layers_per_block=1, latent_channels=4,
                            norm_num_groups=8, sample_size=16, scaling_factor=0.7, down_block_types=("DownEncoderBlock2D",) * 2,
                            up_block_types=("UpDecoderBlock2D",) * 2, mid_block_add_attention=False)
        unet = UNet2DConditionModel(**{
            "sample_size": 8, "in_channels": inputs, "out_channels": 4, "block_out_channels": (16, 32), "layers_per_block": 1,
            "norm_num_groups": 8, "cross_attention_dim": width, "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            **more})
        text = CLIPTextModel(text_config(tokenizer, width))
        with torch.no_grad():  # at the scale of fresh layers no text would be seen and every picture would be grey
            for name, p in [*unet.named_parameters(), *text.named_parameters()]:
                p.mul_(2.5 if "attn2" in name or "embedding" in name else 1)
            for p in vae.decoder.parameters():
                p.mul_(2 if p.ndim > 1 else 1)
    nets = {"vae": vae, "unet": unet, "text_encoder": text}
    return {name: net.eval().requires_grad_(False) for name, net in nets.items()} | {
        "tokenizer": tokenizer, "scheduler": DDIMScheduler(**SCHEDULE, prediction_type=prediction)}


def text_config(tokenizer, width: int) -> CLIPTextConfig:
    """A text tower of one layer."""
    return CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=width, intermediate_size=32, num_hidden_layers=1,
                          num_attention_heads=2, max_position_embeddings=LENGTH, bos_token_id=tokenizer.bos_token_id,
                          eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, projection_dim=16)


def large_parts(tokenizer_json: str) -> dict:
    """The parts of an SDXL: a second text tower, and a U-Net that reads both and is told the picture's size."""
    parts = tiny_parts(tokenizer_json, "epsilon", cross_attention_dim=32, addition_embed_type="text_time",
                       addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 16,
                       transformer_layers_per_block=(1, 2), use_linear_projection=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        second = CLIPTextModelWithProjection(text_config(parts["tokenizer"], 16)).eval().requires_grad_(False)
    return parts | {"text_encoder_2": second, "tokenizer_2": parts["tokenizer"]}


def roofed(parts: dict, **more) -> StableDiffusion:
    """The parts as a lab serves them."""
    model = StableDiffusion(parts["vae"], parts["unet"], [parts["text_encoder"]], [parts["tokenizer"]], parts["scheduler"],
                            name="tiny", unknown=unknown_words, **more)
    return model.eval().requires_grad_(False)
