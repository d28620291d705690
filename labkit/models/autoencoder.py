"""The pocket autoencoder of Stable Diffusion: diffusers' `AutoencoderKL`, 64 × 64 pixels to 16 × 16 × 4.

It begins as the pocket VQGAN: both are the same convolutions under different names. The VQGAN's latent of 8 channels becomes
its 4 principal components, each of variance one: a linear map, which goes into the encoder's last and the decoder's first
convolution. Four channels, as diffusers' in-painting pipeline takes no others; the same 1024 numbers as 8 × 8 × 16, and with a
thin first level the U-Net's step costs 1.2 times as much (measured).
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor

from labkit.models.load import load_model
from labkit.models.vqgan import VQGAN

CHANNELS = 4
QUIET = -8.0  # log variance of a fresh model's belief: σ = 0.018


def autoencoder_config(vqgan: VQGAN) -> dict:
    """The configuration that has the VQGAN's convolutions. Raises ValueError for one with attention outside the middle."""
    c = vqgan.config
    if c.attn_resolutions or c.gumbel:
        raise ValueError("vqgan: must be without attention beside the middle's and without Gumbel codes; take the pocket one")
    levels = len(c.ch_mult)
    return {"in_channels": 3, "out_channels": 3, "block_out_channels": [c.ch * m for m in c.ch_mult],
            "layers_per_block": c.num_res_blocks, "latent_channels": CHANNELS, "norm_num_groups": c.norm_groups,
            "sample_size": c.resolution, "scaling_factor": 1.0, "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels}


@torch.no_grad()
def from_vqgan(vqgan: VQGAN, x: Tensor) -> AutoencoderKL:
    """An autoencoder that begins as the VQGAN, its latent's components those of pictures x (B, 3, H, W) in [-1, 1]."""
    config = autoencoder_config(vqgan)
    model = AutoencoderKL(**config)
    theirs = {f"first_stage_model.{key}": value for key, value in vqgan.state_dict().items() if not key.startswith("quantize.")}
    state = convert_ldm_vae_checkpoint(theirs, config)
    z = vqgan.encode_continuous(x.to(vqgan.codebook.device)).movedim(1, -1).flatten(0, -2).double().cpu()
    mean, (values, vectors) = z.mean(0), torch.linalg.eigh(torch.cov(z.T))
    sizes, axes = values[-CHANNELS:].clamp_min(1e-12).sqrt(), vectors[:, -CHANNELS:]
    into, out = (axes / sizes).T, axes * sizes  # (4, D) and (D, 4)
    quant, post = (getattr(vqgan, name) for name in ("quant_conv", "post_quant_conv"))
    w, b = into @ quant.weight[..., 0, 0].double().cpu(), into @ (quant.bias.double().cpu() - mean)
    last, bias = (state[f"encoder.conv_out.{kind}"].double().cpu() for kind in ("weight", "bias"))
    weight = torch.einsum("dc,cikl->dikl", w, last)
    state["encoder.conv_out.weight"] = torch.cat([weight, torch.zeros_like(weight)])  # means, then log variances
    state["encoder.conv_out.bias"] = torch.cat([w @ bias + b, torch.full((CHANNELS,), QUIET, dtype=torch.float64)])
    first, p = state["decoder.conv_in.weight"].double().cpu(), post.weight[..., 0, 0].double().cpu()
    # The border's padding is of zeros after the map, not before it: there, and only there, the bias is a little off.
    state["decoder.conv_in.bias"] = state["decoder.conv_in.bias"].double().cpu() + first.sum((2, 3)) @ (
        p @ mean + post.bias.double().cpu())
    state["decoder.conv_in.weight"] = torch.einsum("ockl,cd->odkl", first, p @ out)
    for name, n in (("quant_conv", 2 * CHANNELS), ("post_quant_conv", CHANNELS)):
        state |= {f"{name}.weight": torch.eye(n)[..., None, None], f"{name}.bias": torch.zeros(n)}
    model.load_state_dict({key: value.float().cpu() for key, value in state.items()}, strict=True)
    return model


def load_autoencoder(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> AutoencoderKL:
    """The autoencoder of "pocket" or of a file that labkit's training wrote: fp32, eval mode, frozen. Raises WeightsError and
    its kin."""
    return load_model("autoencoder", name, device)
