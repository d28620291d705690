"""What the suites over every method, measure and training share: labs, and ways to compare what they give."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from labkit.clip.blip import BLIP
from labkit.clip.encoder import Encoder
from labkit.data import data_path
from labkit.kinds import KINDS
from labkit.lab import Lab
from labkit.metrics.judge import Judge
from labkit.models.adain import Decoder, DecoderConfig
from labkit.models.aesthetic import AestheticConfig, AestheticHead
from labkit.models.attention_autoencoder import AttentionAutoencoder, AttentionAutoencoderConfig
from labkit.models.blip import BLIPTokenizer, PocketBLIP, PocketBLIPConfig, train_blip_tokenizer
from labkit.models.bottleneck import BottleneckConfig, BottleneckVAE
from labkit.models.clip import (
    MEAN,
    STD,
    CheckCLIP,
    CheckCLIPConfig,
    PocketCLIP,
    PocketCLIPConfig,
    SubwordTokenizer,
    train_tokenizer,
)
from labkit.models.diffusion import PocketDiffusion, PocketDiffusionConfig
from labkit.models.gan import GANConfig, PocketGAN
from labkit.models.judge import HEADS, VGGClassifier, VGGConfig
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, PixelSNAILConfig
from labkit.models.transform_net import TransformNet, TransformNetConfig
from labkit.models.translator import CycleGAN, Translator, TranslatorConfig
from labkit.models.vqgan import VQGAN, VQGANConfig
from labkit.models.vqvae import VQVAE, VQVAEConfig
from labkit.world import classes, unknown_words, words
from tests.models.tiny_stable import roofed, tiny_parts

CLIP = PocketCLIPConfig(image_size=16, embed_dim=16, widths=(8, 8, 8, 8), blocks=(1, 1, 1), vocab_size=320,
                        context_length=24, text_width=16, text_heads=2, text_layers=1)
CHECK = CheckCLIPConfig(image_size=16, embed_dim=16, widths=(8, 8), blocks=(1, 1), vocab_size=320, context_length=24,
                        text_width=16, text_heads=2, text_layers=1)
VQ = VQGANConfig(ch=32, ch_mult=(1, 1, 1), num_res_blocks=1, attn_resolutions=(), resolution=16, z_channels=8,
                 embed_dim=4, n_embed=24)
DIFFUSION = PocketDiffusionConfig(image_size=16, block=2, widths=(32, 32), timesteps=60)
BLIP_SIZES = {"trunk_widths": CLIP.widths, "trunk_blocks": CLIP.blocks, "width": 16, "heads": 2, "vision_layers": 1,
              "text_layers": 1, "feed_forward": 16, "embed_dim": CLIP.embed_dim}
VQVAE_SIZES = VQVAEConfig(channels=8, residual=1, bottleneck=4, embed_dim=8, n_embed=64, ch_mult=(1, 1, 1), z_channels=8)
PRIOR = PixelSNAILConfig(n_embed=64, grid=(8, 8), condition=CONDITION, embed=CLIP.embed_dim, channels=16, gates=2, heads=2)
BOTTLENECK = BottleneckConfig(widths=(16, 16, 8, 8), latent=4, condition=CLIP.embed_dim)
TRANSLATOR = TranslatorConfig(widths=(8, 8, 8), blocks=1)
ATTENTION = AttentionAutoencoderConfig("relu2_1", (8, 8), 1)
AESTHETIC = AestheticConfig(CLIP.embed_dim, (16,), "relu", 5, 2 * CLIP.widths[1], standard=True)
GAN = GANConfig(noise=16, embed=CLIP.embed_dim, widths=(16, 16, 8, 8))


@cache
def tokenizer_json(train=train_tokenizer) -> str:
    """A tokenizer that has learned from the world's words."""
    tables, rng = words(), np.random.default_rng(0)
    phrases = [[*tables["colours"]], [e["name"] for e in tables["subjects"].values()],
               *([p for options in tables[k].values() for p in options] for k in ("settings", "styles"))]
    return train([" ".join(str(rng.choice(some)) for some in phrases) for _ in range(300)], CLIP.vocab_size)


def tiny_blip() -> BLIP:
    """A small random BLIP."""
    tokenizer = BLIPTokenizer(tokenizer_json(train_blip_tokenizer), PocketBLIPConfig.context_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        net = PocketBLIP(PocketBLIPConfig(vocab_size=tokenizer.vocab_size, end=tokenizer.end, **BLIP_SIZES))
    return BLIP(net.eval().requires_grad_(False), tokenizer, net.config.image_size, name="tiny", unknown=unknown_words)


def tiny_vqvae() -> VQVAE:
    """A small random VQ-VAE whose codes lie apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = VQVAE(VQVAE_SIZES)
        with torch.no_grad():  # at the scale of fresh layers the quantiser's distances in fp32 are rounding
            model.to_top.weight *= 100
        model.train()(torch.rand(4, 3, 64, 64) * 2 - 1)  # k-means: from here on there are codes
    return model.eval().requires_grad_(False)


def tiny_prior(seed: int = 3, **changes) -> PixelSNAIL:
    """A small random prior, whose logits differ enough for its codes to differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PixelSNAIL(replace(PRIOR, **changes))
        model.head.weight.data.mul_(4)
        model.null.data.normal_()
    return model.eval().requires_grad_(False)


class TinyLab(Lab):
    """A lab of small random models: for what must hold whatever the weights are, never for what pictures show."""

    def __init__(self):
        super().__init__(device="cpu", precision="fp32")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            clip = PocketCLIP(CLIP)
            vqgan = VQGAN(VQ).eval().requires_grad_(False)
            vqgan.codebook.normal_(generator=torch.Generator().manual_seed(5))
            diffusion = PocketDiffusion(DIFFUSION).eval().requires_grad_(False)
            nets = [VGGClassifier(VGGConfig(stages, {a: len(classes(a)) for a in HEADS}))
                    for stages in ([[8], [8]], [[8], [8], [8, 8]])]
            # Statistics of its own activations: otherwise every picture would look the same to it.
            clip.visual.proj.bias.data.zero_()
            for _ in range(30):
                clip.visual(torch.nn.functional.interpolate(torch.rand(16, 3, 4, 4) * 2 - 1, (16, 16)))
            gan = PocketGAN(GAN).eval().requires_grad_(False)
            bottleneck = BottleneckVAE(BOTTLENECK).eval().requires_grad_(False)
            pix2pix = Translator(replace(TRANSLATOR, condition=CLIP.embed_dim)).eval().requires_grad_(False)
            cyclegan = CycleGAN(TRANSLATOR).eval().requires_grad_(False)
            attention = AttentionAutoencoder(ATTENTION).eval().requires_grad_(False)
            adain = Decoder(DecoderConfig(channels=8, widths=(8, 8, 8))).eval().requires_grad_(False)
            transform_net = TransformNet(TransformNetConfig((8, 8, 8), 1)).eval().requires_grad_(False)
            aesthetic = AestheticHead(AESTHETIC).eval().requires_grad_(False)
            check = CheckCLIP(CHECK)
        encoder, checker = (Encoder(net, SubwordTokenizer(tokenizer_json(), CLIP.context_length), CLIP.image_size, MEAN, STD,
                                    "tiny", unknown=unknown_words) for net in (clip, check))
        stable = roofed(tiny_parts(tokenizer_json()))
        self._models |= {"clip": encoder, "guide": encoder, "clip_check": checker,
                         "aesthetic": aesthetic,
                         "vqgan": vqgan, "diffusion": diffusion, "gan": gan,
                         "bottleneck": bottleneck, "pix2pix": pix2pix, "cyclegan": cyclegan, "blip": tiny_blip(),
                         "adain": adain, "transform_net": transform_net,
                         "judge": Judge(nets[0]),
                         "attention_autoencoder": attention,
                         "perceptual": nets[1].eval().requires_grad_(False), "vqvae": tiny_vqvae(),
                         "stable_diffusion": stable, "autoencoder": stable.vae,
                         "prior_top": tiny_prior(), "prior_bottom": tiny_prior(4, grid=(16, 16), coarser=64, heads=0)}
        for kind in ("prior_top", "prior_bottom"):
            self._models[kind].spread.fill_(0.02)  # a random BLIP's sentences all point about the same way


def pocket_lab(missing, kinds) -> Lab:
    """The lab of the shipped models of these kinds; the test skips (CI=true: fails) where one is not there."""
    if full := [k for k in kinds if not KINDS[k].pocket]:
        pytest.skip(f"no pocket weights of {', '.join(full)} are shipped")
    files = {KINDS[k].role_of or k for k in kinds}
    gone = sorted(name for name in files if not data_path("models", KINDS[name].home).is_file())
    if gone:
        missing(f"data/models has no {', '.join(KINDS[name].home for name in gone)}; `python -m labkit train NAME` makes it")
    lab = _pocket()
    for kind in kinds:  # a run is to meet loaded models only
        lab.model(kind)
    return lab


@cache
def _pocket() -> Lab:
    return Lab(device="cpu")


def pixels(steps) -> list[bytes | None]:
    """The pictures of a run, as bytes."""
    return [None if s.image is None else s.image.tobytes() for s in steps]


def modules(lab) -> dict[str, torch.nn.Module]:
    """The networks that a lab has loaded."""
    return {kind: KINDS[kind].module(lab.model(kind)) for kind in lab.loaded}


def condition(lab) -> dict:
    """Everything about a lab's models that a run could leave changed: weights, gradients, mode, dtype, place, hooks."""
    return {kind: {"state": {k: v.clone() for k, v in net.state_dict().items()},
                   "parameters": [(p.requires_grad, p.grad, p.dtype, p.device) for p in net.parameters()],
                   "modes": [m.training for m in net.modules()],
                   "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()],
                   "forward": "forward" in vars(net)}
            for kind, net in modules(lab).items()}


def assert_same(a, b, where: str = "") -> None:
    """Nested dicts, lists and tensors are equal, bit for bit."""
    assert type(a) is type(b), f"{where}: {type(a)} and {type(b)}"
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), where
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{k}]")
    else:
        assert a == b, f"{where}: {a} and {b}"


def through_disk(state: dict) -> dict:
    """A state as a checkpoint gives it back: written, and read without running anything."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def global_randomness() -> tuple:
    """The state of the generators that nothing of labkit may draw from."""
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
