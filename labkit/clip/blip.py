"""What a lab serves as BLIP: unit vectors of pictures and texts, captions, and the probability that a text fits a picture.

    lab.blip.encode_image(x), lab.blip.encode_text(texts)      # (B, D) each; their dot products are cosines
    lab.blip.caption(x)                                        # ["a watercolour of a red dog in the snow", …]
    lab.blip.match(x, texts)                                   # (B,) in [0, 1]

Li et al. 2022 (see `labkit.models.blip`). Pocket and full size answer to the same calls; of the published full-size models one
captions and another matches, so that `blip="A+B"` names two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from labkit.image import to_tensor
from labkit.models.blip import BLIPNet, BLIPTokenizer
from labkit.models.blip_hub import load_published
from labkit.models.clip import MEAN, STD
from labkit.models.load import load_model
from labkit.text import plain, read_words
from labkit.weights import WeightsError
from labkit.world import unknown_words

PER_PASS = 128  # pictures at once
LONGEST = 40  # tokens of a caption that is written


class BLIP:
    """A frozen BLIP with its tokenizer and preprocessing.

    `size` is the side of the pictures it reads, `name` and `sha256` identify it. With `bf16` the vision tower multiplies in
    bfloat16. Pictures are a tensor (B, 3, H, W) in [0, 1] or a list of PIL pictures, of any side: they are resampled
    (antialiased bicubic), squashed if they are not square.
    """

    def __init__(self, net: BLIPNet, tokenizer, size: int, mean=MEAN, std=STD, name: str = "", sha256: str | None = None,
                 unknown=None, bf16: bool = False):
        self.net, self.tokenizer, self.size, self.name, self.sha256 = net, tokenizer, size, name, sha256
        self._unknown, self.bf16 = unknown, bf16
        self._mean, self._std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.net.device

    def prepare(self, pictures: Tensor | Sequence[Image.Image]) -> Tensor:
        """Pictures as the net reads them: (B, 3, size, size), normalised."""
        if not isinstance(pictures, Tensor):
            side = (self.size, self.size)
            small = [p if p.size == side else p.convert("RGB").resize(side, Image.Resampling.BICUBIC) for p in pictures]
            pictures = torch.cat([to_tensor(p) for p in small]) if small else torch.zeros(0, 3, *side)
        x = pictures.to(self.device).float()
        if x.ndim != 4 or x.shape[1] != 3 or not len(x):
            raise ValueError(f"pictures: shape {tuple(x.shape)} must be (B, 3, H, W), B ≥ 1")
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return (x - self._mean.to(x)) / self._std.to(x)

    def states(self, x: Tensor) -> Tensor:
        """The vision tower's states (B, P, C) of prepared pictures, fp32, differentiable."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self.net.states(x).float()

    def encode_image(self, x: Tensor | Sequence[Image.Image]) -> Tensor:
        """Pictures → unit vectors (B, D), fp32, differentiable."""
        self._needs("retrieval", "embeds")
        return torch.cat([self.net.image_vectors(self.states(part)) for part in self.prepare(x).split(PER_PASS)])

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """Texts → unit vectors (B, D), fp32. Their letters are composed first (normal form C)."""
        self._needs("retrieval", "embeds")
        texts = self._checked(texts)
        return torch.cat([self.net.text_vectors(*self._tokens(texts[k:k + PER_PASS])) for k in range(0, len(texts), PER_PASS)])

    @torch.no_grad()
    def match(self, pictures: Tensor | Sequence[Image.Image], texts: list[str]) -> Tensor:
        """The probability (B,) that each text fits its picture, where one in two does (ITM's softmax)."""
        self._needs("retrieval", "matches")
        x, texts = self.prepare(pictures), self._checked(texts)
        if len(x) != len(texts):
            raise ValueError(f"texts: {len(x)} pictures need as many texts; got {len(texts)}")
        parts = [self.net.match_logits(self.states(x[k:k + PER_PASS]), *self._tokens(texts[k:k + PER_PASS]))
                 for k in range(0, len(x), PER_PASS)]
        return torch.cat(parts).softmax(1)[:, 1]

    @torch.no_grad()
    def caption(self, pictures: Tensor | Sequence[Image.Image], beams: int = 1) -> list[str]:
        """A caption of each picture: the likeliest word after word, or the best of `beams`."""
        self._needs("captioner", "captions")
        captioner, out = self.net.captioner, []
        longest = min(LONGEST, captioner.config.text_config.max_position_embeddings - 1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            for part in self.prepare(pictures).split(PER_PASS):
                ids = captioner.generate(pixel_values=part, max_new_tokens=longest, num_beams=beams, do_sample=False)
                out += [self.tokenizer.decode(row) for row in ids]
        return out

    def notices(self, text: str) -> list[str]:
        """What a user should know about how this model reads the text: words it has never seen."""
        unknown = self._unknown(read_words(text)) if self._unknown else ()
        words = ", ".join(repr(w) for w in unknown)
        return [f"the pocket model has never seen {words}"] if unknown else []

    def _tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        ids, mask = self.tokenizer(texts)
        return ids.to(self.device), mask.to(self.device)

    @staticmethod
    def _checked(texts: list[str]) -> list[str]:
        if isinstance(texts, str) or not texts or any(not t.strip() for t in texts):
            raise ValueError("texts: give a list of texts, each with at least one character")
        return [read_words(t) for t in texts]

    def _needs(self, part: str, does: str) -> None:
        if getattr(self.net, part) is None:
            both = "Salesforce/blip-itm-base-coco+Salesforce/blip-image-captioning-base"
            raise WeightsError(f"blip: '{plain(self.name, 200)}' has no part that {does}; name one that captions and one that "
                               f"matches, as in blip='{both}'")


def load_blip(name: str, device: torch.device | str = "cpu", bf16: bool = False) -> BLIP:
    """The BLIP of "pocket", of safetensors that labkit's training wrote, or of published ones: "Salesforce/blip-…",
    "hf-hub:ORG/REPO", "local-dir:FOLDER", two of them joined by "+". Raises WeightsError and its kin."""
    if name == "pocket" or (name.endswith(".safetensors") and Path(name).is_file()):
        net = load_model("blip", name, device)
        tokenizer = BLIPTokenizer(net.about["tokenizer"], net.config.context_length)
        return BLIP(net, tokenizer, net.config.image_size, MEAN, STD, name, net.sha256, unknown_words, bf16)
    net, tokenizer, about = load_published(name, device)
    return BLIP(net, tokenizer, about["size"], about["mean"], about["std"], name, bf16=bf16)
