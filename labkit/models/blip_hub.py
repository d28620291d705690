"""Published BLIP models, from a folder or the Hugging Face Hub, never with random weights.

"Salesforce/blip-itm-base-coco" embeds and matches, "Salesforce/blip-image-captioning-base" captions; "A+B" takes the parts of
both. transformers builds the model and warns where weights are missing; here the weights are read by `labkit.weights`, compared
first, and loaded strictly. What is cached is loaded without a request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor, nn
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

from labkit.models.blip import BLIPNet
from labkit.text import plain
from labkit.weights import WeightsError, WeightsMismatch, WeightsNotFound, recognise
from labkit.weights.errors import shown
from labkit.weights.tensors import read_checkpoint
from labkit.zoo import check_state

CLASSES = {"BlipForImageTextRetrieval": BlipForImageTextRetrieval, "BlipForConditionalGeneration": BlipForConditionalGeneration}
CONFIG, PREPROCESSOR, VOCABULARY = "config.json", "preprocessor_config.json", "vocab.txt"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
MUST = f"it must hold {CONFIG}, {VOCABULARY}, {PREPROCESSOR} and {WEIGHTS[0]}"
LARGEST_JSON = 1 << 20
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's, which BLIP's processor takes
HEAD, WORDS = "text_decoder.cls.predictions.", "text_decoder.bert.embeddings.word_embeddings.weight"


class PublishedBLIP(BLIPNet):
    """A published model's parts; the captioner has its own vision tower."""

    def __init__(self, retrieval: BlipForImageTextRetrieval | None, captioner: BlipForConditionalGeneration | None):
        super().__init__(retrieval, captioner)
        self.captioning = captioner


@dataclass(frozen=True)
class PublishedTokenizer:
    """BERT's word pieces as `__call__(texts)` → ids, mask (N, T), and `decode(ids)`."""

    bert: BertTokenizer
    context_length: int

    def __call__(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        out = self.bert(texts, padding=True, truncation=True, max_length=self.context_length, return_tensors="pt")
        return out["input_ids"], out["attention_mask"]

    def decode(self, ids: Tensor) -> str:
        """The text of a caption's tokens; the first, [DEC], has no word piece."""
        return self.bert.decode(ids.tolist()[1:], skip_special_tokens=True).strip()


def load_published(name: str, device: torch.device | str = "cpu") -> tuple[PublishedBLIP, PublishedTokenizer, dict]:
    """The model of a name (fp32, eval, frozen), its tokenizer and its preprocessing dict(size, mean, std).

    `name` is "ORG/REPO", "hf-hub:ORG/REPO" or "local-dir:FOLDER", or two of these joined by "+": one that matches, one that
    captions. Raises WeightsNotFound (nothing there, or no network), WeightsMismatch (other keys or shapes), WeightsError.
    """
    parts: dict[type, nn.Module] = {}
    tokenizer = about = None
    for one in name.split("+"):
        folder = _folder(one.strip())
        model = _model(folder)
        if type(model) in parts:
            raise WeightsError(f"blip: '{plain(name, 200)}' names two of a kind, {type(model).__name__}; name one that "
                               "matches and one that captions")
        parts[type(model)] = model
        seen = _preprocessing(folder, model.config)
        if about not in (None, seen):
            raise WeightsError(f"blip: '{plain(name, 200)}': the two read pictures differently, {about} and {seen}; load each "
                               "in a lab of its own")
        about, tokenizer = seen, tokenizer or _tokenizer(folder, model.config)
    net = PublishedBLIP(*(parts.get(cls) for cls in CLASSES.values()))
    return net.to(device).eval().requires_grad_(False), tokenizer, about


def _folder(name: str) -> Path:
    """Where the files of a name lie, fetched if need be."""
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if not folder.is_dir():
            raise WeightsNotFound(f"blip: {shown(folder)} is no folder; {MUST}")
        return folder
    repository = name.removeprefix("hf-hub:").strip("/")
    if repository.count("/") != 1 or any(c.isspace() or c in ":\\" for c in repository) or not all(repository.split("/")):
        raise WeightsError(f"blip: '{plain(name, 200)}' names no model; 'pocket' is one, 'Salesforce/blip-itm-base-coco' and "
                           "'local-dir:FOLDER' are others")
    cached = try_to_load_from_cache(repository, CONFIG)
    if isinstance(cached, str) and any((Path(cached).parent / file).is_file() for file in WEIGHTS):
        return Path(cached).parent
    try:
        for file in (PREPROCESSOR, VOCABULARY):
            hf_hub_download(repository, file)
        try:
            hf_hub_download(repository, WEIGHTS[0])
        except EntryNotFoundError:
            hf_hub_download(repository, WEIGHTS[1])
        return Path(hf_hub_download(repository, CONFIG)).parent
    except Exception as error:  # of whatever library fetches it
        raise WeightsNotFound(
            f"blip: {plain(name, 200)} is not at hand and could not be fetched ({plain(error, 300)})\n"
            "  With a network, load it once and it stays in the cache (the base models have about 0.9 to 1.0 GB).\n"
            f"  Without, fetch it into a folder elsewhere and say local-dir:FOLDER; {MUST}.\n"
            "  Meanwhile the pocket model stands in: blip='pocket', small, of the picture world."
        ) from error


def _json(path: Path) -> dict:
    """A table from a file of a published model."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsNotFound(f"blip: {shown(path.parent)} holds no {path.name}; {MUST}") from None
    except OSError as error:
        raise WeightsError(f"blip: {shown(path)} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"blip: {shown(path)} is no JSON of a model: {recognise(path).words} ({plain(error)})") from error
    if not isinstance(held, dict):
        raise WeightsError(f"blip: {shown(path)} holds no table of values")
    return held


def _model(folder: Path) -> nn.Module:
    """The model of a folder, its weights compared before anything of its size is built."""
    held, path = _json(folder / CONFIG), folder / CONFIG
    named = [n for n in held.get("architectures") or [] if isinstance(n, str)]
    cls = next((CLASSES[n] for n in named if n in CLASSES), None)
    if cls is None:
        raise WeightsError(f"blip: {shown(path)} describes {plain(', '.join(named) or 'nothing known')}; it must be one of "
                           f"{', '.join(CLASSES)}")
    file = next((folder / name for name in WEIGHTS if (folder / name).exists()), None)
    if file is None:
        raise WeightsNotFound(f"blip: {shown(folder)} holds no weights; {MUST}")
    state = read_checkpoint(file)[0]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"blip: {shown(file)} holds no table of tensors")
    layers = [(held.get(f"{part}_config") or {}).get("num_hidden_layers", 12) for part in ("vision", "text")]
    if any(not isinstance(n, int) or not 1 <= n <= len(state) for n in layers):
        raise WeightsMismatch(f"blip: {shown(path)}: num_hidden_layers is {plain(layers)}, the file has {len(state):,} tensors")
    try:
        config = BlipConfig.from_dict(held)
        with torch.device("meta"):
            empty = cls(config)
    except Exception as error:  # whatever transformers makes of a config that is wrong
        raise WeightsError(f"blip: {shown(path)} does not describe a BLIP that can be built ({type(error).__name__}: "
                           f"{plain(error)})") from error
    if config.text_config.bos_token_id != config.text_config.vocab_size - 2:
        raise WeightsError(f"blip: {shown(path)}: bos_token_id is {config.text_config.bos_token_id} of a vocabulary of "
                           f"{config.text_config.vocab_size}; the last two must be [DEC] and [ENC]")
    state = _fitted(state)
    check_state(empty, state, f"blip: {shown(file)}")
    model = cls(config)
    model.load_state_dict(state, strict=True)
    return model


def _fitted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state in today's layout: without the counters that older files hold, with the head's weights that are the words'."""
    state = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    for ours, theirs in ((f"{HEAD}decoder.weight", WORDS), (f"{HEAD}decoder.bias", f"{HEAD}bias")):
        if theirs in state:
            state.setdefault(ours, state[theirs])
    return state


def _preprocessing(folder: Path, config: BlipConfig) -> dict:
    """Side of the pictures, their mean and standard deviation."""
    held, path = _json(folder / PREPROCESSOR), folder / PREPROCESSOR
    try:
        out = {"size": int(config.vision_config.image_size), "mean": tuple(map(float, held.get("image_mean") or MEAN)),
               "std": tuple(map(float, held.get("image_std") or STD))}
    except (TypeError, ValueError) as error:
        raise WeightsError(f"blip: {shown(path)}: image_mean or image_std is wrong ({plain(error)})") from error
    if len(out["mean"]) != 3 or len(out["std"]) != 3 or min(out["std"]) <= 0:
        raise WeightsError(f"blip: {shown(path)}: image_mean and image_std must be three numbers each, std above 0")
    return out


def _tokenizer(folder: Path, config: BlipConfig) -> PublishedTokenizer:
    """BERT's tokenizer of the folder. transformers makes one of nothing, without a word, where the files are missing."""
    try:
        if not any((folder / name).is_file() for name in (VOCABULARY, "tokenizer.json")):
            raise FileNotFoundError(f"there is no {VOCABULARY}")
        bert = BertTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever transformers meets
        raise WeightsNotFound(f"blip: {shown(folder)}: its tokenizer is not at hand ({plain(error)}); {MUST}") from error
    if len(bert) > config.text_config.vocab_size:
        raise WeightsMismatch(f"blip: {shown(folder)}: its tokenizer has {len(bert):,} tokens, the model "
                              f"{config.text_config.vocab_size:,}")
    return PublishedTokenizer(bert, config.text_config.max_position_embeddings)
