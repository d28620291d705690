"""Stable Diffusion's text side out of the pocket CLIP: its tower as transformers' `CLIPTextModel`, its words as a tokenizer.

Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.3: the U-Net attends to what the
text tower says of every token. Here nothing is trained: the tower's weights are carried over and say the same (tested), so
that what the pocket CLIP knows of words, the U-Net need not learn.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, processors
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from labkit.models.clip import END, PAD, START, PocketCLIP

PARTS = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
         "attn.out_proj": "self_attn.out_proj"}  # open_clip's names of a block's parts → transformers'


def text_model(clip: PocketCLIP, tokenizer: PreTrainedTokenizerFast) -> CLIPTextModel:
    """The text tower of the pocket CLIP in transformers' class: fp32, eval mode, frozen. Its `last_hidden_state`
    (N, T, text_width) is what open_clip's tower says of every token after the last norm."""
    c = clip.config
    config = CLIPTextConfig(
        vocab_size=c.vocab_size, hidden_size=c.text_width, intermediate_size=4 * c.text_width, projection_dim=c.embed_dim,
        num_hidden_layers=c.text_layers, num_attention_heads=c.text_heads, max_position_embeddings=c.context_length,
        hidden_act="gelu", layer_norm_eps=clip.ln_final.eps, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and overwritten
        model = CLIPTextModel(config)
    state = text_state(clip)
    # Some releases of transformers keep the tower one level down.
    prefix = "text_model." if any(key.startswith("text_model.") for key in model.state_dict()) else ""
    model.load_state_dict({f"{prefix}{key}": value for key, value in state.items()}, strict=True)
    return model.eval().requires_grad_(False)


def text_state(clip: PocketCLIP) -> dict[str, Tensor]:
    """The tower's weights under transformers' names; open_clip's one matrix of queries, keys and values is three."""
    out = {"embeddings.token_embedding.weight": clip.token_embedding.weight,
           "embeddings.position_embedding.weight": clip.positional_embedding,
           "final_layer_norm.weight": clip.ln_final.weight, "final_layer_norm.bias": clip.ln_final.bias}
    for k, block in enumerate(clip.transformer.resblocks):
        place, state = f"encoder.layers.{k}", block.state_dict()
        for ours, theirs in PARTS.items():
            out |= {f"{place}.{theirs}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")}
        for kind in ("weight", "bias"):
            for letter, part in zip("qkv", state[f"attn.in_proj_{kind}"].chunk(3), strict=True):
                out[f"{place}.self_attn.{letter}_proj.{kind}"] = part
    return {key: value.detach().clone() for key, value in out.items()}


def text_tokenizer(json_text: str, context_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer of a `SubwordTokenizer`'s JSON as transformers' class, saved and loaded without a hub. It gives the same
    tokens: start and end about them, cut to `context_length`; "<end>" in a text is text."""
    tokenizer = Tokenizer.from_str(json_text)
    start, end = (tokenizer.token_to_id(token) for token in (START, END))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}",
                                                             special_tokens=[(START, start), (END, end)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD, unk_token=PAD,
                                   model_max_length=context_length, split_special_tokens=True,
                                   clean_up_tokenization_spaces=False)
