"""The pocket Stable Diffusion's folder: what stands around the weights that trainings ship, so that stock diffusers loads it.

    complete(folder)        FOLDER/vae and FOLDER/unet hold weights of ours, which say what they are: the rest is written

The text encoder is the pocket CLIP's, the tokenizer its words; everything is stored in half precision.
"""

from __future__ import annotations

import json
from pathlib import Path

import diffusers

from labkit.clip.encoder import load_encoder
from labkit.files import write_atomically
from labkit.models.stable_load import INDEX, quiet
from labkit.models.stable_text import text_model, text_tokenizer
from labkit.weights import WeightsError, read_metadata

WEIGHTS = "diffusion_pytorch_model.safetensors"
CLASSES = {"vae": "AutoencoderKL", "unet": "UNet2DConditionModel"}
NAMED = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__,
         "feature_extractor": [None, None], "image_encoder": [None, None], "requires_safety_checker": False,
         "safety_checker": [None, None], "scheduler": ["diffusers", "DDIMScheduler"],
         "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
         **{part: ["diffusers", cls] for part, cls in CLASSES.items()}}


def complete(folder: Path, clip: str = "pocket") -> list[str]:
    """Write what is missing around the weights that are there, and return the parts that still lack theirs ("vae", "unet").

    Raises WeightsError where the U-Net was trained on latents or on texts of other weights than those beside it.
    """
    about = {part: read_metadata(folder / part / WEIGHTS) for part in CLASSES if (folder / part / WEIGHTS).is_file()}
    for part, known in about.items():
        _write(folder / part / "config.json", {"_class_name": CLASSES[part], **known["config"]})
    if lacking := [part for part in CLASSES if part not in about]:
        return lacking
    guide = load_encoder(clip)
    trained = about["unet"]["of"]
    for kind, found in (("autoencoder", about["vae"]["fingerprint"]), ("clip", guide.sha256)):
        if trained[kind] != found:
            raise WeightsError(f"stable_diffusion: its U-Net was trained with another {kind} ({str(trained[kind])[:12]}…, here "
                               f"is {str(found)[:12]}…); train it again, or ship the {kind} that it knows")
    tokenizer = text_tokenizer(guide.tokenizer.json, guide.tokenizer.context_length)
    with quiet():
        text_model(guide.model, tokenizer).half().save_pretrained(folder / "text_encoder", safe_serialization=True)
        tokenizer.save_pretrained(folder / "tokenizer")
    path = folder / "text_encoder/config.json"  # transformers takes the precision that it names, diffusers' parts are fp32
    _write(path, {**json.loads(path.read_text(encoding="utf-8")), "dtype": "float32"})
    _write(folder / "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler", **about["unet"]["scheduler"]})
    _write(folder / INDEX, NAMED)
    return []


def _write(path: Path, held: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(held, indent=1, sort_keys=True) + "\n").encode())
