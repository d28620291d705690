"""Stable Diffusion from a folder in diffusers' layout, the Hugging Face Hub or a single file: no pickle, no random weights.

    FOLDER/model_index.json                 which classes the parts are
          /vae /unet /text_encoder          config.json and *.safetensors each; SDXL has text_encoder_2 and tokenizer_2 as well
          /tokenizer /scheduler

diffusers and transformers build the parts; what is missing, of another shape or of no use is told before anything is drawn.
What is cached is loaded without a request. No safety checker is loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import diffusers
import torch
import transformers
from torch import nn

from labkit.data import data_path, note_reading
from labkit.fetch import sha256_of
from labkit.models.stable_diffusion import StableDiffusion
from labkit.models.stable_hub import folder_of
from labkit.models.stable_single import unpacked
from labkit.text import plain
from labkit.weights import PICKLES, WeightsError, WeightsMismatch, WeightsNotFound, open_tensors, recognise
from labkit.weights.errors import shown

POCKET = "stable_diffusion"  # below data/models
INDEX, LARGEST_JSON = "model_index.json", 1 << 20
FAMILIES = {"StableDiffusion": False, "StableDiffusionXL": True}  # of a pipeline's class: whether it has two text towers
CLASSES = {"vae": ("AutoencoderKL",), "unet": ("UNet2DConditionModel",), "text_encoder": ("CLIPTextModel",),
           "text_encoder_2": ("CLIPTextModelWithProjection",),
           "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")}
CLASSES["tokenizer_2"] = CLASSES["tokenizer"]


def load_stable_diffusion(name: str, device: str | torch.device = "cpu", unknown=None) -> StableDiffusion:
    """The model of "pocket", of a folder ("local-dir:FOLDER" or its path), a single .safetensors file, or a repository of the
    Hub ("ORG/REPO"): fp32, eval mode, frozen. `unknown`: see `StableDiffusion`; it is asked about the pocket model only.

    Raises WeightsNotFound (nothing there, a part missing), WeightsMismatch (other keys, shapes or tokens), WeightsError.
    """
    path = Path(name.removeprefix("local-dir:")).expanduser()
    if name == "pocket":
        folder = data_path("models", POCKET)
        if not (folder / INDEX).is_file():
            raise WeightsNotFound(f"stable_diffusion: the pocket model is not there ({shown(folder)} holds no {INDEX}); name "
                                  "another, as in stable_diffusion='stable-diffusion-v1-5/stable-diffusion-v1-5'")
        model = from_folder(folder, name, unknown)
    elif name.startswith("local-dir:") or path.is_dir():
        model = from_folder(path, name)
    elif path.suffix in (".safetensors", *PICKLES) or path.is_file():
        with unpacked(path) as folder:
            try:
                model = from_folder(folder, name)
            except WeightsError as error:
                raise type(error)(str(error).replace(str(folder), shown(path))) from error
        model.sha256 = sha256_of(path)
    else:
        model = from_folder(folder_of(name), name)
    return model.to(device).eval().requires_grad_(False)


def from_folder(folder: Path, name: str, unknown=None) -> StableDiffusion:
    """The model of a folder in diffusers' layout."""
    index = _json(folder / INDEX)
    kind = str(index.get("_class_name"))
    family = kind.removesuffix("Pipeline").removesuffix("Img2Img").removesuffix("Inpaint")
    if family not in FAMILIES:
        raise WeightsError(f"stable_diffusion: {shown(folder / INDEX)} describes a {plain(kind, 80)}; it must be of Stable "
                           f"Diffusion 1, 2 or XL: {', '.join(f'{f}Pipeline' for f in FAMILIES)}")
    large = FAMILIES[family]
    towers = ["text_encoder", "text_encoder_2"][:1 + large]
    missing = [part for part in ("vae", "unet", *towers, *(t.replace("text_encoder", "tokenizer") for t in towers), "scheduler")
               if not (index.get(part) or [None])[0] or not (folder / part).is_dir()]
    if missing:
        raise WeightsNotFound(f"stable_diffusion: {shown(folder)} lacks {', '.join(missing)}; a {kind} has a folder for each, "
                              f"named in {INDEX}")
    used: list[Path] = []
    vae, unet, *texts = (_network(folder, part, _named(index, part), used) for part in ("vae", "unet", *towers))
    tokenizers = [_tokenizer(folder, t.replace("text_encoder", "tokenizer"), index, model)
                  for t, model in zip(towers, texts, strict=True)]
    _agree(folder, vae, unet, texts)
    model = StableDiffusion(vae, unet, texts, tokenizers, _scheduler(folder, index),
                            large and bool(index.get("force_zeros_for_empty_prompt")), name, unknown)
    model.sha256 = digest_of(used)
    return model


def pocket_files() -> list[Path]:
    """The weights' files of the pocket model, in the order in which their sums make its `sha256`; [] where it is not there."""
    folder = data_path("models", POCKET)
    if not (folder / INDEX).is_file():
        return []
    return [file for part in ("vae", "unet", "text_encoder") for file in _weights(folder, part)[0]]


def digest_of(files: list[Path]) -> str:
    """The `sha256` of a model of several files."""
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def _named(index: dict, part: str) -> str:
    """The class of a part. Raises WeightsError for one that is not taken."""
    cls = str(index[part][1])
    if cls not in CLASSES[part]:
        raise WeightsError(f"stable_diffusion: {INDEX} says that {part} is a {plain(cls, 80)}; it must be {CLASSES[part][0]}")
    return cls


def _weights(folder: Path, part: str) -> tuple[list[Path], str | None]:
    """The files of a part's weights, and diffusers' name of their variant."""
    stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
    place = folder / part
    for variant in (None, "fp16"):
        dot = f".{variant}" if variant else ""
        if (whole := place / f"{stem}{dot}.safetensors").exists():
            return [whole], variant
        for listed in (f"{stem}.safetensors.index{dot}.json", f"{stem}{dot}.safetensors.index.json"):
            if (place / listed).exists():
                shards = sorted({str(name) for name in (_json(place / listed).get("weight_map") or {}).values()})
                if absent := [s for s in shards if Path(s).name != s or not (place / s).is_file()] or [listed] * (not shards):
                    raise WeightsNotFound(f"stable_diffusion: {shown(place)} lacks {plain(', '.join(absent), 200)}, which "
                                          f"{listed} names; fetch it again")
                return [place / s for s in shards], variant
    pickles = sorted(p.name for suffix in PICKLES for p in place.glob(f"*{suffix}"))
    held = f"only {plain(pickles[0], 80)}, a pickle, which may run code and is not loaded" if pickles else "no weights"
    raise WeightsNotFound(f"stable_diffusion: {shown(place)} holds {held}; it must hold {stem}.safetensors (most repositories "
                          "have one, or a revision that has)")


def _network(folder: Path, part: str, cls: str, used: list[Path]) -> nn.Module:
    """A part's network, fp32, with all of its weights and no others."""
    files, variant = _weights(folder, part)
    for file in files:
        note_reading(file)
        with open_tensors(file):  # what is no whole safetensors file is told in our words
            used.append(file)
    _json(folder / part / "config.json")
    library = transformers if part.startswith("text") else diffusers
    try:
        with quiet():
            model, info = getattr(library, cls).from_pretrained(
                folder, subfolder=part, use_safetensors=True, local_files_only=True, variant=variant, output_loading_info=True)
    except Exception as error:  # whatever the libraries make of a config or weights that are wrong
        raise WeightsMismatch(f"stable_diffusion: {shown(folder / part)}: its config.json and weights make no {cls} "
                              f"({type(error).__name__}: {plain(error, 400)})") from error
    found = [f"{word} {plain(key, 120)}" for word in ("missing", "unexpected", "mismatched")
             for key in sorted(info.get(f"{word}_keys") or (), key=str)]
    if found:
        said = f"stable_diffusion: {shown(folder / part)} does not fit its config.json, {len(found)} differences:"
        raise WeightsMismatch("\n  ".join([said, *found[:5]]))
    return model.float()


def _tokenizer(folder: Path, part: str, index: dict, tower: nn.Module):
    """A tokenizer whose tokens are those of the text tower. transformers makes one of nothing where files are missing."""
    place, cls = folder / part, _named(index, part)
    if not any((place / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise WeightsNotFound(f"stable_diffusion: {shown(place)} holds no words; it must hold tokenizer.json, or vocab.json "
                              "and merges.txt")
    try:
        with quiet():
            tokenizer = getattr(transformers, cls).from_pretrained(place, local_files_only=True)
    except Exception as error:  # whatever transformers meets
        raise WeightsError(f"stable_diffusion: {shown(place)} makes no {cls} ({plain(error, 300)}); fetch it again") from error
    size, length = tower.config.vocab_size, tower.config.max_position_embeddings
    if len(tokenizer) != size:
        raise WeightsMismatch(f"stable_diffusion: {shown(place)} has {len(tokenizer):,} tokens, the text encoder {size:,}: it "
                              "is of another model; take the tokenizer that was published with the text encoder")
    if tokenizer.model_max_length > length:  # also where its config names no length: then it is a huge number
        tokenizer.model_max_length = length
    return tokenizer


def _scheduler(folder: Path, index: dict):
    """The noise schedule."""
    place, cls = folder / "scheduler", getattr(diffusers, str(index["scheduler"][1]), None)
    try:
        with quiet():
            scheduler = cls.from_pretrained(place, local_files_only=True)
        if len(scheduler.alphas_cumprod) == scheduler.config.num_train_timesteps and scheduler.config.prediction_type:
            return scheduler
        error = ValueError("it names no prediction type")
    except Exception as met:  # whatever diffusers meets; a scheduler of flow matching has no ᾱ
        error = met
    raise WeightsError(f"stable_diffusion: {shown(place)}: {plain(index['scheduler'][1], 80)} is no noise schedule of Stable "
                       f"Diffusion ({plain(error, 200)})") from error


def _agree(folder: Path, vae: nn.Module, unet: nn.Module, texts: list[nn.Module]) -> None:
    """Raises WeightsMismatch where parts are of different models."""
    width, told = sum(t.config.hidden_size for t in texts), unet.config.cross_attention_dim
    if set(told if isinstance(told, list | tuple) else [told]) != {width}:
        raise WeightsMismatch(f"stable_diffusion: {shown(folder)}: its U-Net reads text of width {told}, its text encoder "
                              f"writes {width}: they are of different models")
    if unet.config.out_channels != vae.config.latent_channels:
        raise WeightsMismatch(f"stable_diffusion: {shown(folder)}: its U-Net makes {unet.config.out_channels} channels, its "
                              f"autoencoder has {vae.config.latent_channels}: they are of different models")
    if unet.config.time_cond_proj_dim or getattr(vae.config, "latents_mean", None):
        raise WeightsError(f"stable_diffusion: {shown(folder)} is of a kind that needs a loop of its own (latent consistency, "
                           "or latents with a mean); take Stable Diffusion 1, 2, XL or Turbo")


def _json(path: Path) -> dict:
    """A table from a file of a published model."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        held = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WeightsNotFound(f"stable_diffusion: {shown(path.parent)} holds no {path.name}; a model in diffusers' layout has "
                              "one") from None
    except OSError as error:
        raise WeightsError(f"stable_diffusion: {shown(path)} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"stable_diffusion: {shown(path)} is no JSON of a model: {recognise(path).words} "
                           f"({plain(error)})") from error
    if not isinstance(held, dict):
        raise WeightsError(f"stable_diffusion: {shown(path)} holds no table of values")
    return held


@contextmanager
def quiet() -> Iterator[None]:
    """What the libraries log of loading is told by our errors or is of no use; a progress bar is a view's affair."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels, bars = [log.level for log in loggers], transformers.utils.logging.is_progress_bar_enabled()
    for log in loggers:
        log.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
