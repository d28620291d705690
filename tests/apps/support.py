"""A lab whose models are as small as they come and untrained, of the real classes: pages work, pictures mean nothing."""

from __future__ import annotations

import time

import torch

from labkit.clip.encoder import Encoder
from labkit.lab import Lab
from labkit.metrics.judge import Judge
from labkit.models.clip import MEAN, STD, PocketCLIP, PocketCLIPConfig, SubwordTokenizer, train_tokenizer
from labkit.models.diffusion import PocketDiffusion, PocketDiffusionConfig
from labkit.models.judge import HEADS, VGGClassifier, VGGConfig
from labkit.models.vqgan import VQGAN, VQGANConfig
from labkit.world import classes, unknown_words


def tiny_lab() -> Lab:
    """The lab; it loads nothing from disk."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = PocketCLIPConfig(32, 16, (8, 8, 8, 8), (1, 1, 1), 320, 24, 16, 2, 1)
        tokenizer = SubwordTokenizer(train_tokenizer(["a red apple in the snow"], config.vocab_size), 24)
        clip = Encoder(PocketCLIP(config), tokenizer, 32, MEAN, STD, "pocket", "c" * 64, unknown_words)
        vqgan = VQGAN(VQGANConfig(32, (1, 1, 1), 1, (), 64, 8, 8, 16)).eval().requires_grad_(False)
        diffusion = PocketDiffusion(PocketDiffusionConfig(block=4, widths=(32, 32))).eval().requires_grad_(False)
        judge, other = (VGGClassifier(VGGConfig([[8], [8]], {a: len(classes(a)) for a in HEADS})) for _ in range(2))
    lab = Lab(device="cpu")
    lab._models.update(clip=clip, guide=clip, vqgan=vqgan, diffusion=diffusion, judge=Judge(judge),
                       perceptual=other.eval().requires_grad_(False))
    return lab


class Slow:
    """A lab whose painting CLIP waits before every look, so that a run lasts long enough to be watched; it counts."""

    def __init__(self, lab: Lab, seconds: float):
        self._lab, self.guide = lab, SlowGuide(lab.guide, seconds)

    def __getattr__(self, name: str):
        return getattr(self._lab, name)


class SlowGuide:
    """Waits, counts its `looks`, and otherwise is the encoder that it was given."""

    def __init__(self, guide: Encoder, seconds: float):
        self._guide, self._seconds, self.looks = guide, seconds, 0

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        self.looks += 1
        time.sleep(self._seconds)
        return self._guide.encode_image(x)

    def __getattr__(self, name: str):
        return getattr(self._guide, name)
