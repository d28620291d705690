"""The kinds of models: one record each. Whatever else knows kinds reads them here.

`Lab(kind=…)` and its flags, the zoo, `train`, `evaluate`, cards, worker arguments and the conformance suites read `KINDS`. A
new kind is a model, its training and one record. What a record names as "module:name" is imported when it is asked for: this
table is at the bottom of the house, and help and the zoo stay quick.

A model of ours is an `nn.Module` with `config`, a dataclass, and `from_config(dict)`, so that one path loads all of them
(`labkit.models.load`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Full:
    """A full-size model of a kind: an https address, its sha256 where one is known, or how that begins where only so much is
    published, its size in bytes (about, without one), its licence."""

    name: str
    source: str
    size: int
    sha256: str | None = None
    licence: str = "MIT"


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    name        as in `Lab(name=…)` and `data/models/NAME.safetensors`.  title, what, note  of its card.
    megabytes   the pocket weights' budget, as fp16.  draws  whether pictures come from it (else it looks at them).
    models      architecture ("" unless the weights name one) → "module:class".
    load        "module:function" of (name or path, device, bf16): what a lab serves.  net  its attribute that is the module.
    training    "module:class", or "".  evaluation  "module:function" of (lab, n) → {heading: table or shares}, and `n` of it.
    role_of     another kind whose weights and loader serve: then `Lab` gives this one the other's name unless told otherwise.
    help        of its flag; "" where a lab takes no name but "pocket".
    convert     "module:name" of the published layout that becomes ours (a `labkit.models.convert.Original`), or "".
    full        full-size models; `build` "module:function" of such a name → the bare model, for comparing keys and shapes.
    expects     the pictures that the full-size ones take.
    pocket      whether pocket weights are shipped; without, a lab has to be given a name.
    place       of the pocket weights below data/models, where it is not NAME.safetensors: in a model's folder.  completes
                "module:function" of that model's folder, called when weights were put there.
    """

    name: str
    title: str
    what: str
    note: str
    megabytes: float
    load: str
    models: tuple[tuple[str, str], ...] = ()
    draws: bool = False
    net: str = ""
    training: str = ""
    evaluation: str = ""
    n: int = 2000
    role_of: str = ""
    help: str = ""
    convert: str = ""
    full: tuple[Full, ...] = ()
    build: str = ""
    expects: str = "RGB in [-1, 1]"
    pocket: bool = True
    place: str = ""
    completes: str = ""

    @property
    def flag(self) -> str:
        """The name of its flag, as the commands spell names: with hyphens."""
        return self.name.replace("_", "-")

    @property
    def home(self) -> str:
        """Where its pocket weights lie, or would lie, below data/models."""
        return self.place or f"{self.name}.safetensors"

    def loaded(self, name: str, device: Any = "cpu", bf16: bool = False) -> Any:
        """The model of a name or file, as a lab serves it."""
        return named(self.load)(name, device, bf16)

    def module(self, model: Any) -> Any:
        """The `nn.Module` in what a lab serves."""
        return getattr(model, self.net) if self.net else model


def named(place: str) -> Any:
    """What "module:name" names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


HEIBOX = "https://heibox.uni-heidelberg.de/d/{}/files/?p=%2Fckpts%2Flast.ckpt&dl=1"
HUB = "https://huggingface.co/{}/resolve/main/open_clip_model.safetensors"
TORCHVISION = "https://download.pytorch.org/models/{}.pth"
ADM_256 = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/256x256_diffusion_uncond.pt"
AESTHETIC = "https://github.com/{}/raw/main/{}.pth"
LAION_V1, LAION_V2 = "LAION-AI/aesthetic-predictor", "christophschuhmann/improved-aesthetic-predictor"
ADM_512 = ("https://huggingface.co/lowlevelware/512x512_diffusion_unconditional_ImageNet/resolve/main/"
           "512x512_diffusion_uncond_finetune_008100.pt")

_CLIP = Kind(
    "clip", "Pocket CLIP", "open_clip's `CLIP` with a residual convolutional image tower (`labkit/models/clip.py`)",
    "It knows the words of the picture world and nothing else: other words are reported and move the embedding at random. It "
    "was trained partly on adversarially moved pictures so that its gradient paints; what is known of the trade-off is in the "
    "README.",
    megabytes=6.2, load="labkit.clip.encoder:load_encoder", net="model", models=(("", "labkit.models.clip:PocketCLIP"),),
    training="labkit.training.clip:TrainCLIP", evaluation="labkit.evaluation.models:clip_figures",
    help="CLIP that measures: pocket, or as in ViT-B-32/openai", build="labkit.models.openclip:bare",
    expects="RGB in [0, 1], 224 px, CLIP's mean and std",
    full=(  # `load_openclip` also takes every other name of open_clip
        Full("ViT-B-32/openai", HUB.format("timm/vit_base_patch32_clip_224.openai"), 605_000_000),
        Full("ViT-B-16/openai", HUB.format("timm/vit_base_patch16_clip_224.openai"), 598_000_000),
        Full("ViT-B-32/laion2b_s34b_b79k", HUB.format("laion/CLIP-ViT-B-32-laion2B-s34B-b79K"), 605_000_000)))

_ALL = (
    _CLIP,
    Kind("guide", "Guide", "the CLIP that paints", "", megabytes=0, load=_CLIP.load, net=_CLIP.net, draws=True, role_of="clip",
         help="CLIP that paints; the one that measures unless given"),
    Kind("clip_check", "Pocket CLIP that checks", "open_clip's `CLIP` with torchvision's ConvNeXt as image tower "
         "(`labkit/models/clip.py`)",
         "It guides nothing: it looks at what another CLIP has guided, whose blind spots it does not share by architecture or "
         "seed. Both have read the captions of the same picture world. The judge is independent of either.",
         megabytes=1.8, load="labkit.clip.encoder:load_check", net="model", models=(("", "labkit.models.clip:CheckCLIP"),),
         training="labkit.training.clip:TrainCheck", evaluation="labkit.evaluation.models:check_figures",
         help="CLIP that checks what the other has guided: pocket, or as in RN50/openai", build="labkit.models.openclip:bare",
         expects=_CLIP.expects, pocket=False),
    Kind("aesthetic", "Pocket aesthetic predictor",
         "a small head on the pocket CLIP's vector and on an early stage of its tower (`labkit/models/aesthetic.py`)",
         "It learned which of two degradations of the same scene is the stronger: that is all it means by beautiful. No person "
         "was asked. It knows nothing of composition, and of a picture in no style of the picture world its score is a guess.",
         megabytes=0.2, load="labkit.models.aesthetic:load_aesthetic",
         models=(("", "labkit.models.aesthetic:AestheticHead"),), training="labkit.training.aesthetic:TrainAesthetic",
         evaluation="labkit.evaluation.aesthetic:aesthetic_figures", n=500,
         help="aesthetic predictor: pocket, or as in laion-v2-vit-l-14, with the CLIP that it belongs to",
         convert="labkit.models.convert:LAION", build="labkit.models.aesthetic:bare",
         expects="unit vectors of the CLIP that it belongs to", pocket=False,
         full=(Full("laion-v1-vit-b-32", AESTHETIC.format(LAION_V1, "sa_0_4_vit_b_32_linear"), 3_000),
               Full("laion-v1-vit-l-14", AESTHETIC.format(LAION_V1, "sa_0_4_vit_l_14_linear"), 4_000),
               Full("laion-v2-vit-l-14", AESTHETIC.format(LAION_V2, "sac%2Blogos%2Bava1-l14-linearMSE"), 3_700_000),
               Full("laion-v2-ava-vit-l-14", AESTHETIC.format(LAION_V2, "ava%2Blogos-l14-linearMSE"), 3_700_000))),
    Kind("vqgan", "Pocket VQGAN", "taming's encoder, decoder and quantiser at f = 4 (`labkit/models/vqgan.py`)",
         "It has seen the picture world's 64-pixel scenes only; photographs come back as what its codes can say.",
         megabytes=2.4, draws=True, load="labkit.models.vqgan:load_vqgan", models=(("", "labkit.models.vqgan:VQGAN"),),
         training="labkit.training.vqgan:TrainVQGAN", evaluation="labkit.evaluation.models:vqgan_figures",
         help="VQGAN: pocket, pixels, or as in imagenet-f16-16384", convert="labkit.models.convert:TAMING",
         build="labkit.models.vqgan:bare",
         full=(Full("imagenet-f16-1024", HEIBOX.format("8088892a516d4e3baf92"), 958_000_000),  # no checksum is published
               Full("imagenet-f16-16384", HEIBOX.format("a7530b09fed84f80a887"), 980_000_000),
               Full("gumbel-f8", HEIBOX.format("2e5662443a6b4307b470"), 376_000_000))),
    Kind("diffusion", "Pocket diffusion model",
         "diffusers' `UNet2DModel` on space-to-depth pixels (`labkit/models/diffusion.py`)",
         "It draws scenes of no particular subject: what is in a picture comes from the CLIP that guides it.",
         megabytes=9.5, draws=True, load="labkit.models.diffusion:load_diffusion", n=500,
         models=(("", "labkit.models.diffusion:PocketDiffusion"), ("adm", "labkit.models.adm:ADM")),
         training="labkit.training.diffusion:TrainDiffusion", evaluation="labkit.evaluation.models:diffusion_figures",
         help="Diffusion: pocket, or as in imagenet-256", convert="labkit.models.convert:GUIDED_DIFFUSION",
         build="labkit.models.adm:bare",
         full=(  # sha256 as mirrors and users found it; their publishers give none
             Full("imagenet-256", ADM_256, 2_211_383_297, "a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1"),
             Full("imagenet-512", ADM_512, 2_232_000_000, "9c111ab89e214862b76e1fa6a1b3f1d329b1a88281885943d2cdbe357ad57648"))),
    Kind("gan", "Pocket GAN", "The generator of the GAN that the lyrics report first proposed (`labkit/models/gan.py`); its "
         "discriminator is not shipped",
         "It draws flat scenes with one subject, as far as about an hour on the CPU took it, and is here to be compared: the "
         "report that proposed it set it aside for lack of hardware. CLIP had a part in its training, the judge had none.",
         megabytes=2.7, draws=True, load="labkit.models.gan:load_gan", models=(("", "labkit.models.gan:PocketGAN"),),
         training="labkit.training.gan:TrainGAN", evaluation="labkit.evaluation.gan:gan_figures"),
    Kind("bottleneck", "Pocket bottleneck VAE",
         "a conditional VAE with an information bottleneck (`labkit/models/bottleneck.py`)",
         "The simple baseline in the score table of the codes report, which names it DSVIB and does not describe it. It draws "
         "flat scenes with one subject, blurred, as squared error asks for the mean of all that may be. CLIP's sentences were "
         "its condition; the judge had no part in its training.",
         megabytes=2, draws=True, load="labkit.models.bottleneck:load_bottleneck",
         models=(("", "labkit.models.bottleneck:BottleneckVAE"),), training="labkit.training.bottleneck:TrainBottleneck",
         evaluation="labkit.evaluation.gan:bottleneck_figures", help="bottleneck VAE: pocket, or a file of its weights"),
    Kind("pix2pix", "Pocket pix2pix",
         "a U-Net that makes a sketch and a sentence into a picture in one pass (`labkit/models/translator.py`); its critic is "
         "not shipped",
         "Here to be compared with diffusion on the same sketches. It has met the line art of the picture world, on an empty "
         "sheet, and flat scenes with one subject.",
         megabytes=2.2, draws=True, load="labkit.models.translator:load_pix2pix",
         models=(("", "labkit.models.translator:Translator"),), training="labkit.training.translator:TrainPix2Pix",
         evaluation="labkit.evaluation.generators:pix2pix_figures", n=200, help="pix2pix: pocket, or a file of its weights"),
    Kind("cyclegan", "Pocket CycleGAN",
         "two such nets without a sentence, sketch → picture and back (`labkit/models/translator.py`); critics are not shipped",
         "Here to be compared with diffusion on the same sketches. It has met no pairs and no words: colour and setting are a "
         "guess.",
         megabytes=3.8, draws=True, load="labkit.models.translator:load_cyclegan",
         models=(("", "labkit.models.translator:CycleGAN"),), training="labkit.training.translator:TrainCycleGAN",
         evaluation="labkit.evaluation.generators:cyclegan_figures", n=200, help="CycleGAN: pocket, or a file of its weights"),
    Kind("judge", "Judge", "a VGG-shaped classifier (`labkit/models/judge.py`), never used for guidance",
         "It reads the picture world's attributes at 64 pixels and has an answer for every picture, a photograph included. It "
         "is a measure, never a guide.",
         megabytes=1.4, load="labkit.metrics.judge:load_judge", net="net", models=(("", "labkit.models.judge:VGGClassifier"),),
         training="labkit.training.classifier:TrainJudge", evaluation="labkit.evaluation.models:judge_figures"),
    Kind("perceptual", "Perceptual net", "a VGG-shaped classifier (`labkit/models/judge.py`) whose features serve as a loss",
         "Its features stand in for LPIPS inside the picture world; they are not calibrated on human judgements.",
         megabytes=1, load="labkit.models.judge:load_perceptual",
         models=(("", "labkit.models.judge:VGGClassifier"), ("vgg", "labkit.models.vgg:VGG")),
         training="labkit.training.classifier:TrainPerceptual", evaluation="labkit.evaluation.models:perceptual_figures",
         help="Perceptual net: pocket, or as in vgg19", convert="labkit.models.convert:TORCHVISION_VGG",
         build="labkit.models.vgg:bare", expects="RGB in [-1, 1], any side of 16 or more",
         full=(  # the names of torchvision's files end in the first digits of their sha256
             Full("vgg16", TORCHVISION.format("vgg16-397923af"), 553_433_881, "397923af", "BSD-3-Clause"),
             Full("vgg19", TORCHVISION.format("vgg19-dcbb9e9d"), 574_673_361, "dcbb9e9d", "BSD-3-Clause"))),
    Kind("adain", "Pocket AdaIN", "a decoder of the pocket perceptual net's features (`labkit/models/adain.py`)",
         "It decodes features of the pocket perceptual net that shipped when it was trained, of the picture world's scenes: "
         "another perceptual net needs another decoder. The judge had no part in its training.",
         megabytes=0.9, draws=True, load="labkit.models.adain:load_adain", models=(("", "labkit.models.adain:Decoder"),),
         training="labkit.training.adain:TrainAdaIN", evaluation="labkit.evaluation.style_pairs:adain_figures", n=40,
         pocket=False, help="AdaIN's decoder: pocket, or a file of its weights"),
    Kind("transform_net", "Pocket transform net", "Johnson's transform network, narrow (`labkit/models/transform_net.py`)",
         "It knows one style, the one it was trained on, and puts it on any picture in one pass. The judge had no part in its "
         "training.",
         megabytes=0.6, draws=True, load="labkit.models.transform_net:load_transform_net",
         models=(("", "labkit.models.transform_net:TransformNet"),), training="labkit.training.transform_net:TrainTransformNet",
         evaluation="labkit.evaluation.style_pairs:transform_figures", n=40, pocket=False,
         help="Transform net of a style: pocket, or a file of its weights"),
    Kind("blip", "Pocket BLIP",
         "transformers' BLIP classes over the pocket CLIP's convolutional trunk (`labkit/models/blip.py`)",
         "It reads and writes the captions of the picture world and no others. Its trunk began as the pocket CLIP's, so the "
         "two are not independent; the judge is of both. Its match probability is that of a world where every other pair fits.",
         megabytes=8, load="labkit.clip.blip:load_blip", net="net", models=(("", "labkit.models.blip:PocketBLIP"),),
         training="labkit.training.blip:TrainBLIP", evaluation="labkit.evaluation.blip:blip_figures",
         help="BLIP: pocket, or as in Salesforce/blip-itm-base-coco+Salesforce/blip-image-captioning-base"),
    Kind("vqvae", "Pocket VQ-VAE",
         "VQ-VAE-2's encoder, decoder and two codebooks, on `vector-quantize-pytorch`'s quantiser (`labkit/models/vqvae.py`)",
         "It has seen the picture world's 64-pixel scenes only. Its codes are what the priors learn: new weights, new priors.",
         megabytes=3, draws=True, load="labkit.models.vqvae:load_vqvae", models=(("", "labkit.models.vqvae:VQVAE"),),
         training="labkit.training.vqvae:TrainVQVAE", evaluation="labkit.evaluation.vqvae:vqvae_figures",
         help="VQ-VAE of two levels: pocket, or a file of its weights"),
    Kind("attention_autoencoder", "Pocket attention auto-encoder",
         "self-attention over a layer of the perceptual net, and a decoder with AdaIN "
         "(`labkit/models/attention_autoencoder.py`)",
         "It makes pictures of the pocket perceptual net's features, and has seen the picture world's 64-pixel scenes only. "
         "Where attention is high was never labelled: it is where the decoder gains by it.",
         megabytes=0.9, draws=True, load="labkit.models.attention_autoencoder:load_attention_autoencoder", n=500,
         models=(("", "labkit.models.attention_autoencoder:AttentionAutoencoder"),),
         training="labkit.training.attention_autoencoder:TrainAttentionAutoencoder",
         evaluation="labkit.evaluation.attention:attention_figures",
         help="attention auto-encoder: pocket, or a file of its weights"),
    Kind("prior_top", "Pocket prior of top codes", "PixelSNAIL over 8 × 8 codes (`labkit/models/pixelsnail.py`)",
         "It knows posed flat scenes (one subject upright in the middle, of one size), the codes of the pocket VQ-VAE and the "
         "sentences of the model named in its `condition`.",
         megabytes=6.7, draws=True, load="labkit.models.pixelsnail:load_prior_top", n=2000,
         models=(("", "labkit.models.pixelsnail:PixelSNAIL"),), training="labkit.training.pixelsnail:TrainPriorTop",
         evaluation="labkit.evaluation.priors:top_figures", help="prior of the VQ-VAE's top codes: pocket, or a file"),
    Kind("prior_bottom", "Pocket prior of bottom codes",
         "PixelSNAIL over 16 × 16 codes, given the top ones (`labkit/models/pixelsnail.py`)",
         "It knows posed flat scenes (one subject upright in the middle, of one size), the codes of the pocket VQ-VAE and the "
         "sentences of the model named in its `condition`.",
         megabytes=5.7, draws=True, load="labkit.models.pixelsnail:load_prior_bottom",
         models=(("", "labkit.models.pixelsnail:PixelSNAIL"),), training="labkit.training.pixelsnail:TrainPriorBottom",
         evaluation="labkit.evaluation.priors:bottom_figures", help="prior of the VQ-VAE's bottom codes: pocket, or a file"),
    Kind("autoencoder", "Pocket autoencoder of Stable Diffusion",
         "diffusers' `AutoencoderKL`, which began as the pocket VQGAN (`labkit/models/autoencoder.py`)",
         "It has seen the picture world's 64-pixel scenes only. Its latents are what the U-Net beside it learned: new weights, "
         "a new U-Net.", megabytes=2, draws=True, load="labkit.models.autoencoder:load_autoencoder",
         models=(("", "diffusers:AutoencoderKL"),), training="labkit.training.autoencoder:TrainAutoencoder",
         evaluation="labkit.evaluation.stable_diffusion:autoencoder_figures",
         place="stable_diffusion/vae/diffusion_pytorch_model.safetensors",
         completes="labkit.training.pocket_pipeline:complete"),
    Kind("stable_diffusion", "Pocket Stable Diffusion",
         "diffusers' and transformers' own parts: `AutoencoderKL`, `UNet2DConditionModel`, `CLIPTextModel` "
         "(`labkit/models/stable_diffusion.py`)",
         "It reads the words of the picture world and no others. Its training had runs that start from line drawings, at half "
         "of the time or later, as no released model's had. No safety checker is loaded: nobody looks at what is drawn.",
         megabytes=16, draws=True, load="labkit.clip.stable_diffusion:load_stable_diffusion",
         models=(("", "diffusers:UNet2DConditionModel"),), training="labkit.training.stable_diffusion:TrainStableDiffusion",
         evaluation="labkit.evaluation.stable_diffusion:stable_figures", n=100,
         place="stable_diffusion/unet/diffusion_pytorch_model.safetensors",
         completes="labkit.training.pocket_pipeline:complete",
         help="Stable Diffusion: a folder in diffusers' layout, a .safetensors file, or as in stabilityai/sd-turbo"),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def kind_of(name: str) -> Kind:
    """The record of that name. Raises ValueError, which names those there are."""
    if name not in KINDS:
        raise ValueError(f"kind: {name!r} is none of {', '.join(KINDS)}")
    return KINDS[name]


def trainings() -> dict[str, Callable[[], type]]:
    """Name → a function that gives the `Training` class, of every kind that has one."""
    return {name: (lambda kind=kind: named(kind.training)) for name, kind in KINDS.items() if kind.training}


def evaluations() -> list[str]:
    """The kinds that have figures."""
    return [name for name, kind in KINDS.items() if kind.evaluation]
