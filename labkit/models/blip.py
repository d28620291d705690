"""BLIP over transformers' classes: a vision tower, a text encoder that also looks at the picture, a decoder that captions.

Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and Generation". The
text transformer has three uses, told apart by the first token: [CLS], text alone (contrastive, ITC); [ENC], text that looks at
the picture through cross-attention (matching, ITM); [DEC], the same with a causal mask (captions, LM).

transformers keeps two classes, `BlipForImageTextRetrieval` (ITC, ITM) and `BlipForConditionalGeneration` (LM); the pocket model
is both, over the same tower and, as in the paper (section 3.1), the same text transformer but for its self-attention. Its
patches are the 4 × 4 cells of the pocket CLIP's convolutional trunk instead of raw pixels, a hybrid ViT (Dosovitskiy et al.
2021, section 3.1).

Which first token the fused pass gets is a trap: BLIP trains with [ENC], transformers' own forward and BLIP's demo leave [CLS].
Here it is [ENC] wherever a text looks at a picture, in training and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval
from transformers.models.blip.modeling_blip import BlipVisionModel

from labkit.models.clip import ConvTower, PocketCLIPConfig, SubwordTokenizer, train_tokenizer
from labkit.models.load import tuples

DEC, ENC = "[DEC]", "[ENC]"  # first tokens of a caption to be written, of a text that looks at a picture
TEMPERATURE = (0.07, 0.001, 0.5)  # where τ starts, and its bounds


@dataclass(frozen=True)
class PocketBLIPConfig:
    """Trunk (stages at 1/2 … 1/16 of the side, as in the pocket CLIP), width and layers of both transformers, sizes of the
    vocabulary and of ITC's space. `end` is the id of the token that ends a text; the last two ids are [DEC] and [ENC]."""

    image_size: int = 64
    trunk_widths: tuple[int, ...] = (48, 96, 160, 224)
    trunk_blocks: tuple[int, ...] = (1, 2, 1)
    width: int = 128
    heads: int = 4
    vision_layers: int = 2
    text_layers: int = 3
    feed_forward: int = 384
    vocab_size: int = 514
    end: int = 511
    context_length: int = 48
    embed_dim: int = 192


class TrunkPatches(nn.Module):
    """(B, 3, H, W) normalised pictures → (B, width, H/16, W/16): stands where transformers has one strided convolution."""

    def __init__(self, config: PocketBLIPConfig):
        super().__init__()
        tower = ConvTower(PocketCLIPConfig(config.image_size, 1, config.trunk_widths, config.trunk_blocks))
        self.trunk, self.proj = tower.trunk, nn.Conv2d(config.trunk_widths[-1], config.width, 1)

    @property
    def weight(self) -> Tensor:
        """transformers asks the patch embedding's weight for its type of numbers."""
        return self.proj.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.trunk(x))


class BLIPNet(nn.Module):
    """The two classes of transformers, either of which may be missing, and ITC's temperature τ.

    `vision(x)` (B, 3, H, W) normalised → states (B, P, C), the first being the picture's own; `image_vectors(states)` and
    `text_vectors(ids, mask)` unit vectors (B, D); `match_logits(states, ids, mask)` (B, 2), index 1 for a match; `lm_loss`.
    """

    def __init__(self, retrieval: BlipForImageTextRetrieval | None, captioner: BlipForConditionalGeneration | None):
        super().__init__()
        self.retrieval, self._captioner = retrieval, (captioner,)
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE[0]))

    @property
    def captioner(self) -> BlipForConditionalGeneration | None:
        """The part that writes captions."""
        return self._captioner[0]

    @property
    def blip_config(self) -> BlipConfig:
        """transformers' config."""
        return (self.retrieval or self.captioner).config

    @property
    def vision(self) -> BlipVisionModel:
        """The vision tower that ITC and ITM read."""
        return (self.retrieval or self.captioner).vision_model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.temperature.device

    def states(self, x: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W) → (B, P, C)."""
        return self.vision(pixel_values=x).last_hidden_state

    def image_vectors(self, states: Tensor) -> Tensor:
        """ITC's unit vectors (B, D) of pictures, fp32."""
        return F.normalize(self.retrieval.vision_proj(states[:, 0]).float(), dim=-1)

    def text_vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ITC's unit vectors (B, D) of texts alone, fp32."""
        out = self.retrieval.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return F.normalize(self.retrieval.text_proj(out[:, 0]).float(), dim=-1)

    def match_logits(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """ITM's logits (B, 2), fp32, of texts (B, T) that look at pictures (B, P, C); their first token becomes [ENC]."""
        out = self.retrieval.text_encoder(input_ids=self._led_by(1, ids), attention_mask=mask, encoder_hidden_states=states)
        return self.retrieval.itm_head(out.last_hidden_state[:, 0]).float()

    def lm_loss(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Mean cross-entropy in nats of a text's tokens, each after those before it and the picture; padding does not count."""
        ids = self._led_by(2, ids)
        out = self.captioner.text_decoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=states)
        labels = ids.masked_fill(mask == 0, -100)[:, 1:]
        return F.cross_entropy(out.logits[:, :-1].float().flatten(0, 1), labels.flatten(), ignore_index=-100)

    def _led_by(self, from_the_end: int, ids: Tensor) -> Tensor:
        """The texts with [ENC] (1) or [DEC] (2) as first token: the last two ids of BLIP's vocabulary."""
        out = ids.clone()
        out[:, 0] = self.blip_config.text_config.vocab_size - from_the_end
        return out


class PocketBLIP(BLIPNet):
    """A small BLIP: `retrieval` and `captioner` share all but the decoder's self-attention and its head."""

    def __init__(self, config: PocketBLIPConfig):
        both = transformers_config(config)
        retrieval, captioner = BlipForImageTextRetrieval(both), BlipForConditionalGeneration(both)
        embeddings = retrieval.vision_model.embeddings
        embeddings.patch_embedding = TrunkPatches(config)
        captioner.vision_model = retrieval.vision_model
        encoder, decoder = retrieval.text_encoder, captioner.text_decoder.bert
        decoder.embeddings = encoder.embeddings
        for ours, theirs in zip(decoder.encoder.layer, encoder.encoder.layer, strict=True):
            ours.crossattention, ours.intermediate, ours.output = theirs.crossattention, theirs.intermediate, theirs.output
        super().__init__(retrieval, captioner)  # the captioner's own parts alone are registered: nothing is stored twice
        self.config = config
        self.decoder_attention = nn.ModuleList(layer.attention for layer in decoder.encoder.layer)
        self.decoder_head = captioner.text_decoder.cls

    @property
    def patches(self) -> TrunkPatches:
        """The convolutional trunk and its projection."""
        return self.vision.embeddings.patch_embedding

    def train(self, mode: bool = True) -> PocketBLIP:
        """As any module, but the trunk's batch norm keeps the statistics that it has: a batch of ours would spoil them."""
        super().train(mode)
        self.patches.trunk.eval()
        return self

    @classmethod
    def from_config(cls, config: dict) -> PocketBLIP:
        """Build from the JSON of its config."""
        return cls(PocketBLIPConfig(**tuples(config)))


def transformers_config(config: PocketBLIPConfig) -> BlipConfig:
    """transformers' config of a pocket model. Its embeddings and its head are not tied: each is stored once."""
    sizes = {"hidden_size": config.width, "intermediate_size": config.feed_forward, "num_attention_heads": config.heads,
             "initializer_range": 0.02, "layer_norm_eps": 1e-5}
    text = {**sizes, "vocab_size": config.vocab_size, "num_hidden_layers": config.text_layers,
            "max_position_embeddings": config.context_length, "bos_token_id": config.vocab_size - 2, "pad_token_id": 0,
            "sep_token_id": config.end, "eos_token_id": config.end, "tie_word_embeddings": False}
    vision = {**sizes, "num_hidden_layers": config.vision_layers, "image_size": config.image_size,
              "patch_size": 2 ** len(config.trunk_widths)}
    return BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=config.embed_dim,
                      tie_word_embeddings=False)


class BLIPTokenizer(SubwordTokenizer):
    """The pocket CLIP's kind of tokenizer with [DEC] and [ENC]: `__call__` gives ids and mask (N, T) of the longest text."""

    @property
    def end(self) -> int:
        """The id of the token that ends a text."""
        return self._end

    @cached_property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return self._tokenizer.get_vocab_size()

    def __call__(self, texts: list[str], context_length: int | None = None) -> tuple[Tensor, Tensor]:
        ids = super().__call__(texts, context_length)
        mask = (ids != self._pad).long()
        longest = int(mask.sum(1).max())
        return ids[:, :longest], mask[:, :longest]

    def decode(self, ids: Tensor) -> str:
        """The text of a caption's tokens, without special ones."""
        return self._tokenizer.decode(ids.tolist(), skip_special_tokens=True).strip()


def train_blip_tokenizer(texts, vocab_size: int) -> str:
    """Learn at most `vocab_size` - 2 sub-words of `texts`, add [DEC] and [ENC] as the last ids; the tokenizer as JSON."""
    tokenizer = Tokenizer.from_str(train_tokenizer(texts, vocab_size - 2))
    tokenizer.add_special_tokens([DEC, ENC])
    return tokenizer.to_str()
