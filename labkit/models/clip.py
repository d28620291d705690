"""Pocket CLIPs: open_clip's `CLIP` class with a small convolutional image tower and a compact sub-word tokenizer.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision". The text tower, the logit
scale and `encode_image`/`encode_text` are open_clip's own; only `visual` is exchanged: a residual convolutional tower
learns 64-pixel scenes far faster than a ViT of its size. Its embedding is the mean over positions of one linear map.

`CheckCLIP` is the second one, which looks at what the first has guided: torchvision's ConvNeXt (Liu et al. 2022) as its tower,
7 × 7 depthwise convolutions, layer norm and GELU, where the first has 3 × 3 full ones, batch norm and SiLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from tokenizers import Tokenizer
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from labkit.models.load import tuples

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
PAD, START, END = "<pad>", "<start>", "<end>"


@dataclass(frozen=True)
class PocketCLIPConfig:
    """Widths of the four stages (at 1/2, 1/4, 1/8 and 1/16 of the side), blocks of the last three, text tower sizes."""

    image_size: int = 64
    embed_dim: int = 192
    widths: tuple[int, ...] = (48, 96, 160, 224)
    blocks: tuple[int, ...] = (1, 2, 1)
    vocab_size: int = 640
    context_length: int = 40
    text_width: int = 128
    text_heads: int = 4
    text_layers: int = 2


class Residual(nn.Module):
    """x + conv-BN-SiLU-conv-BN, then SiLU; channels and side stay."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU(),
                                  nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.silu(x + self.body(x))


class ConvTower(nn.Module):
    """(B, 3, H, W) normalised picture → (B, embed_dim). SiLU, not ReLU: a painter descends through this tower."""

    def __init__(self, config: PocketCLIPConfig):
        super().__init__()
        w = config.widths
        layers = [nn.Conv2d(3, w[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(w[0]), nn.SiLU()]
        for before, width, blocks in zip(w, w[1:], config.blocks, strict=False):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
            layers += [Residual(width) for _ in range(blocks)]
        self.trunk = nn.Sequential(*layers)
        self.proj = nn.Linear(w[-1], config.embed_dim)
        self.image_size = (config.image_size, config.image_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(self.trunk(x).mean(dim=(2, 3)))


class PocketCLIP(CLIP):
    """open_clip's CLIP over a `ConvTower`; everything but `visual` is inherited."""

    described: ClassVar[type] = PocketCLIPConfig  # its config
    tower: ClassVar[type[nn.Module]] = ConvTower

    def __init__(self, config: PocketCLIPConfig):
        stand_in = CLIPVisionCfg(layers=1, width=32, head_width=32, image_size=16, patch_size=16)
        text = CLIPTextCfg(context_length=config.context_length, vocab_size=config.vocab_size,
                           width=config.text_width, heads=config.text_heads, layers=config.text_layers)
        super().__init__(config.embed_dim, stand_in, text)
        self.visual = self.tower(config)
        self.config = config

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        """open_clip's `encode_text` over the longest text of the batch only: what follows the end token is padding
        that a causal tower never looks at, so the result is the same."""
        n = int(text.argmax(dim=1).max()) + 1
        x = self.token_embedding(text[:, :n]) + self.positional_embedding[:n]
        x = self.ln_final(self.transformer(x, attn_mask=self.attn_mask[:n, :n]))
        x = x[torch.arange(len(x), device=x.device), text.argmax(dim=1)] @ self.text_projection
        return nn.functional.normalize(x, dim=-1) if normalize else x

    @classmethod
    def from_config(cls, config: dict) -> PocketCLIP:
        """Build from the JSON of its config."""
        return cls(cls.described(**tuples(config)))


@dataclass(frozen=True)
class CheckCLIPConfig(PocketCLIPConfig):
    """Widths of ConvNeXt's stages (at 1/4, 1/8 and 1/16 of the side) and how many blocks each has."""

    embed_dim: int = 128
    widths: tuple[int, ...] = (40, 80, 160)
    blocks: tuple[int, ...] = (2, 2, 2)
    text_width: int = 80


class ConvNeXtTower(ConvNeXt):
    """(B, 3, H, W) normalised picture → (B, embed_dim): torchvision's ConvNeXt, whose classes are the embedding's numbers."""

    def __init__(self, config: CheckCLIPConfig):
        after = [*config.widths[1:], None]
        stages = [CNBlockConfig(*one) for one in zip(config.widths, after, config.blocks, strict=True)]
        super().__init__(stages, layer_scale=0.1, num_classes=config.embed_dim)
        self.image_size = (config.image_size, config.image_size)


class CheckCLIP(PocketCLIP):
    """A CLIP that shares neither architecture nor seed with the one that guides, to look at what that has made."""

    described: ClassVar[type] = CheckCLIPConfig
    tower: ClassVar[type[nn.Module]] = ConvNeXtTower


class SubwordTokenizer:
    """Byte-level BPE over lower-cased text: any string has tokens. `__call__` pads to (N, context_length), int64."""

    def __init__(self, json_text: str, context_length: int):
        self.json = json_text
        self._tokenizer = Tokenizer.from_str(json_text)
        self._tokenizer.encode_special_tokens = True  # "<end>" in a prompt is text, not the end of it
        self.context_length = context_length
        self._start, self._end, self._pad = (self._tokenizer.token_to_id(t) for t in (START, END, PAD))

    def ids(self, text: str) -> list[int]:
        """The tokens of a text between start and end, uncut."""
        return [self._start, *self._tokenizer.encode(text).ids, self._end]

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> torch.Tensor:
        texts = [texts] if isinstance(texts, str) else texts
        n = context_length or self.context_length
        out = torch.full((len(texts), n), self._pad, dtype=torch.long)
        for row, text in zip(out, texts, strict=True):
            ids = self.ids(text)
            ids = ids if len(ids) <= n else [*ids[: n - 1], self._end]
            row[: len(ids)] = torch.tensor(ids)
        return out


def train_tokenizer(texts, vocab_size: int) -> str:
    """Learn the sub-words of `texts`; returns the tokenizer as JSON. The end token has the highest id, where CLIP's
    text tower reads its feature."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 2, special_tokens=[PAD], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([START, END])
    return tokenizer.to_str()
