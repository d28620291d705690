"""One face for every CLIP, pocket or full-size: pictures and texts → unit vectors, and words it has never seen."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.fetch import sha256_of
from labkit.models.clip import MEAN, STD, SubwordTokenizer
from labkit.models.load import load_model
from labkit.models.openclip import load_openclip
from labkit.precision import resolved
from labkit.text import read_words
from labkit.weights import read_metadata
from labkit.world import unknown_words


class Encoder:
    """A frozen CLIP with its tokenizer and preprocessing.

    `size` is the side of the pictures it reads, `scale` its logit scale (1/temperature), `name` and `sha256` identify it.
    `of` is the name that its architecture, words and preprocessing have. With `bf16` the image tower multiplies in bfloat16;
    embeddings are fp32 either way.
    """

    def __init__(self, model: nn.Module, tokenizer, size: int, mean, std, name: str, sha256: str | None = None,
                 unknown=None, bf16: bool = False):
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.size, self.name, self.sha256 = tokenizer, size, name, sha256
        self._unknown, self.bf16, self.of = unknown, bf16, name
        device = next(model.parameters()).device
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1)

    def over(self, model: nn.Module, precision: str | None = None) -> Encoder:
        """The same preprocessing and words over another model of this architecture, which is left in its mode, trainable or
        not: what a fine-tuning looks through. `precision` of its image tower, this one's unless given."""
        other = copy(self)
        other.model, other.sha256 = model, None
        other.bf16 = self.bf16 if precision is None else resolved(precision, self.device) == "bf16"
        return other

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._mean.device

    @property
    def scale(self) -> float:
        """The model's own logit scale: softmax(scale · cosine) is its probability."""
        return float(self.model.logit_scale.exp())

    def encode_image(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1], any side → unit vectors (B, D), fp32, differentiable. Pictures of another side
        are resampled (antialiased bicubic), squashed if they are not square."""
        return F.normalize(self.raw_image(x), dim=-1)

    def raw_image(self, x: Tensor) -> Tensor:
        """The vectors before they are brought to length 1, which nothing that compares or scores may use."""
        x = self.prepared(x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            features = self.model.encode_image(x)
        return features.float()

    def prepared(self, x: Tensor) -> Tensor:
        """What the image tower is given of pictures: its side, its mean and spread."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"x: shape {tuple(x.shape)} must be (B, 3, H, W)")
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return ((x - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def encode_text(self, texts: list[str], batch: int = 256) -> Tensor:
        """Texts → unit vectors (N, D), fp32. Their letters are composed first (normal form C)."""
        if not texts or any(not t.strip() for t in texts):
            raise ValueError("texts: every text needs at least one character")
        texts = [read_words(t) for t in texts]
        parts = [self.model.encode_text(self.tokenizer(texts[k:k + batch]).to(self.device)).float()
                 for k in range(0, len(texts), batch)]
        return F.normalize(torch.cat(parts), dim=-1)

    def notices(self, text: str) -> list[str]:
        """What a user should know about how this model reads the text: unknown words, a text that is cut."""
        text, out = read_words(text), []
        unknown = self._unknown(text) if self._unknown else ()
        if unknown:
            words = ", ".join(repr(w) for w in unknown)
            out.append(f"the pocket model has never seen {words}")
        n, length = self._tokens(text), self.tokenizer.context_length
        if n > length:
            out.append(f"the text has {n} tokens, the model reads the first {length}")
        return out

    def _tokens(self, text: str) -> int:
        """How many tokens a text has uncut, start and end among them: ours, open_clip's own, Hugging Face's in open_clip."""
        if hasattr(self.tokenizer, "ids"):
            return len(self.tokenizer.ids(text))
        if hasattr(self.tokenizer, "encode"):
            return len(self.tokenizer.encode(text)) + 2
        return len(self.tokenizer.tokenizer(text)["input_ids"])


def load_encoder(name: str, device: torch.device | str = "cpu", bf16: bool = False, kind: str = "clip") -> Encoder:
    """The encoder of "pocket", of safetensors that labkit's training wrote (a fine-tuned full-size one names what it is `of`),
    or of anything that `load_openclip` takes ("ViT-B-32/openai", "hf-hub:…", "local-dir:…")."""
    saved = name.endswith(".safetensors") and Path(name).is_file()
    if saved and (of := read_metadata(name).get("of")):
        model, tokenizer, preprocess = load_openclip(str(of), device, Path(name))
        found = Encoder(model, tokenizer, **preprocess, name=name, sha256=sha256_of(name), bf16=bf16)
        found.of = str(of)
        return found
    if name == "pocket" or saved:
        model = load_model(kind, name, device).to(memory_format=torch.channels_last)
        tokenizer = SubwordTokenizer(model.about["tokenizer"], model.config.context_length)
        return Encoder(model, tokenizer, model.config.image_size, MEAN, STD, name, model.sha256, unknown_words, bf16)
    model, tokenizer, preprocess = load_openclip(name, device)
    return Encoder(model, tokenizer, preprocess["size"], preprocess["mean"], preprocess["std"], name, bf16=bf16)


def load_check(name: str, device: torch.device | str = "cpu", bf16: bool = False) -> Encoder:
    """The encoder of the CLIP that checks what another has guided: the same names, another pocket model."""
    return load_encoder(name, device, bf16, kind="clip_check")
