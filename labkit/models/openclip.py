"""Full-size CLIP through open_clip, never with random weights.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020.
open_clip (https://github.com/mlfoundations/open_clip) builds the model and its tokenizer. The weights are read by
`labkit.weights` and compared first: open_clip warns and goes on where weights are missing or where the activation differs from
the one they were trained with; here both end in an error that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model
from torch import Tensor, nn

from labkit.models.hub import CONFIG, HUB_FILES, downloaded, read_config, repository_of, weights_in
from labkit.text import plain
from labkit.weights import Layout, WeightsError, WeightsMismatch, WeightsNotFound, find_state, read_checkpoint
from labkit.weights.errors import shown
from labkit.zoo import cache_dir, check_state

FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
LAYOUT = Layout("a CLIP of open_clip's layout", (("logit_scale",),))
LONGEST_CONTEXT = 10_000  # tokens; the longest that were published are 256


@dataclass(frozen=True)
class Source:
    """What a name stands for: open_clip's config, its tokenizer's name, the file of weights, and what pictures it takes."""

    config: dict
    tokenizer: str
    file: Path
    preprocess: dict


def load_openclip(spec: str, device: str = "cpu", weights: Path | None = None) -> tuple[nn.Module, Callable, dict]:
    """A CLIP model (fp32, eval, frozen), its tokenizer (texts -> int64 (B, context)) and its preprocessing.

    `spec` is "ARCHITECTURE/TAG" ("ViT-B-32/openai"), "ARCHITECTURE/FILE" (safetensors, or a pickle of
    tensors, read with weights_only), "hf-hub:ORG/REPO" or "local-dir:FOLDER" (open_clip_config.json and
    weights). The preprocessing is dict(size=side in pixels, mean, std) for pictures in [0,1], RGB. What is
    cached is loaded without a request. Weights of OpenAI in a file need an architecture that ends in
    "-quickgelu", their activation. `weights`, a file that fine-tuning made of `spec`, stand in for its own,
    which are then not asked for.

    Raises WeightsNotFound (nothing there, or no network), WeightsMismatch (another architecture),
    WeightsError.
    """
    spec = spec.strip()
    source = _resolve(spec, weights)
    called = f"clip: {plain(spec, 200)}"
    state = find_state(read_checkpoint(source.file)[0], source.file, LAYOUT)
    _plausible(source.config, len(state), called)
    with torch.device("meta"):
        bare = _build(source.config, called)
    wanted, held = (sum(t.numel() for t in s.values()) for s in (bare.state_dict(), state))
    if wanted > 4 * held + 1_000_000:
        check_state(bare, state, called)
        raise WeightsMismatch(f"{called}: its config asks for {wanted:,} numbers, the file has {held:,}")
    state = _fitted(state, bare)
    check_state(bare, state, called)
    model = _build(source.config, called)
    model.load_state_dict(state, strict=True)
    try:
        tokenizer = open_clip.get_tokenizer(source.tokenizer)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise WeightsNotFound(f"{called}: its tokenizer is not at hand ({plain(error)})") from error
    size = model.visual.image_size
    return (
        model.to(device).eval().requires_grad_(False),
        tokenizer,
        {"size": size if isinstance(size, int) else max(size), **source.preprocess},
    )


def bare(name: str) -> nn.Module:
    """The architecture of "ARCHITECTURE/TAG", without its weights."""
    return open_clip.CLIP(**open_clip.get_model_config(name.partition("/")[0]))


def _resolve(spec: str, weights: Path | None = None) -> Source:
    """What `spec` stands for, fetched if need be; with other `weights`, where some are given."""
    if weights is not None:
        return replace(_resolve_tuned(spec, weights), file=weights)
    if spec.startswith("local-dir:"):
        return _folder(spec.removeprefix("local-dir:"), spec)
    if (repository := repository_of(spec)) is not None:
        found = try_to_load_from_cache(repository, CONFIG)
        folder = Path(found).parent if isinstance(found, str) else None
        if folder and any((folder / name).is_file() for name in HUB_FILES):
            return _folder(str(folder), spec)
        return _folder(str(downloaded(repository, spec)), spec, tokenizer=f"hf-hub:{repository}")
    architecture, _, weights = spec.partition("/")
    if architecture not in open_clip.list_models():
        raise WeightsError(_unknown(spec, architecture))
    tags = list_pretrained_tags_by_model(architecture)
    if not weights:
        example = f"{architecture}/{tags[0] if tags else 'FILE.safetensors'}"
        raise WeightsError(
            f"clip: {spec!r} names no weights; write {example!r} (tags: {', '.join(tags) or 'none'})"
        )
    config = open_clip.get_model_config(architecture)
    published = get_pretrained_cfg(architecture, weights)
    if "://" in weights:
        raise WeightsError(_unknown(weights, ""))
    if not published:
        path = Path(weights).expanduser()
        if path.exists() or path.is_symlink() or weights.endswith(FILES) or os.sep in weights:
            return Source(config, architecture, path, _preprocess({}, spec))
        near = get_close_matches(weights, tags, n=3, cutoff=0.3) or tags
        raise WeightsError(
            f"clip: {architecture} has no tag '{plain(weights)}'; it has: {', '.join(near) or 'none'}"
        )
    quick = published.get("quick_gelu", False)
    if config.get("quick_gelu", False) and not quick:
        raise WeightsMismatch(
            f"clip: {spec} was not trained with QuickGELU; "
            f"use {architecture.removesuffix('-quickgelu')}/{weights}"
        )
    # OpenAI's weights want QuickGELU, which open_clip's plain architectures lack: it would warn and be wrong.
    config["quick_gelu"] = quick
    ours = cache_dir() / "clip" / f"{spec}.safetensors"
    file = ours if ours.is_file() else _cached(published.get("hf_hub", "")) or _fetched(published, spec)
    return Source(config, architecture, Path(file), _preprocess(published, spec))


def _resolve_tuned(spec: str, weights: Path) -> Source:
    """What `spec` stands for but its file: what was tuned is at hand, what it began as need not be."""
    architecture, _, tag = spec.partition("/")
    published = get_pretrained_cfg(architecture, tag) if architecture in open_clip.list_models() else None
    if not published:
        return _resolve(spec)
    config = open_clip.get_model_config(architecture) | {"quick_gelu": published.get("quick_gelu", False)}
    return Source(config, architecture, weights, _preprocess(published, spec))


def _unknown(spec: str, architecture: str) -> str:
    """What to say of a name that begins with no architecture."""
    if not spec:
        return "clip: '' names no model; 'pocket' is one, ViT-B-32/openai another"
    if "://" in spec:
        return f"clip: '{plain(spec, 200)}' is an address; fetch the file and write ARCHITECTURE/FILE, such as ViT-B-32/FILE"
    if Path(spec).expanduser().is_file():
        return f"clip: '{plain(spec, 200)}' names no architecture; write ARCHITECTURE/FILE, such as 'ViT-B-32/{shown(spec)}'"
    if Path(spec).expanduser().is_dir():
        return f"clip: '{plain(spec, 200)}' is a folder; write 'local-dir:{shown(spec)}'"
    near = get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.3)
    said = f"clip: '{plain(architecture)}' is no architecture of open_clip"
    said += f"; near ones: {', '.join(near)}" if near else "; ViT-B-32 is one, as in ViT-B-32/openai"
    return said + (f". A repository of the hub is written 'hf-hub:{plain(spec)}'" if spec.count("/") == 1 and not near else "")


def _folder(folder: str, spec: str, tokenizer: str = "") -> Source:
    """A folder with open_clip's config and weights."""
    path = Path(folder).expanduser()
    if not folder.strip():
        raise WeightsError(f"clip: '{plain(spec)}' names no folder; write local-dir:FOLDER, which holds {CONFIG} and "
                           f"{HUB_FILES[0]}")
    config, preprocess = read_config(path, spec)
    return Source(config, tokenizer or f"local-dir:{path}", weights_in(path, spec), _preprocess(preprocess, spec))


def _preprocess(found: dict, spec: str) -> dict:
    """Mean and standard deviation of the pictures, open_clip's unless `found` says others."""
    usual = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    try:
        values = {key: tuple(map(float, found.get(key) or usual[key])) for key in usual}
    except (TypeError, ValueError) as error:
        raise WeightsError(f"clip: {plain(spec)}: its preprocess_cfg is wrong ({plain(error)})") from error
    if any(len(value) != 3 for value in values.values()) or min(values["std"]) <= 0:
        raise WeightsError(f"clip: {plain(spec)}: mean and std in its preprocess_cfg must be three numbers each, std above 0")
    return values


def _cached(hub: str) -> str | None:
    """The file of a hub address "org/repo/" or "org/repo/file" where it is in the local cache."""
    repository, name = os.path.split(hub)
    for file in [name] if name else HUB_FILES:
        found = try_to_load_from_cache(repository, file) if repository else None
        if isinstance(found, str):
            return found
    return None


def _fetched(published: dict, spec: str) -> str:
    """The file of a tag, fetched."""
    try:
        return download_pretrained(published)
    except Exception as error:  # of whatever library fetches it
        raise WeightsNotFound(
            f"clip: {spec} is not at hand and could not be fetched ({plain(error, 300)})\n"
            "  With a network, load it once and it stays in the cache.\n"
            "  Without, fetch the weights elsewhere (ViT-B-32: about 605 MB) and say ARCHITECTURE/PATH/FILE.\n"
            "  Meanwhile the pocket model stands in: clip='pocket', small, of the picture world."
        ) from error


def _plausible(config: dict, tensors: int, called: str) -> None:
    """A config may come from a stranger: layers are built one by one, and a mask has the context's length squared."""
    for tower, values in config.items():
        if not isinstance(values, dict):
            continue
        layers = values.get("layers") or 0
        n = sum(layers) if isinstance(layers, list) and all(isinstance(k, int) for k in layers) else layers
        if not isinstance(n, int) or not 0 <= n <= tensors:
            raise WeightsMismatch(f"{called}: does not fit: {plain(tower)}.layers is {plain(layers)}, the file has "
                                  f"{tensors:,} tensors")
        length = values.get("context_length") or 1
        if not isinstance(length, int) or not 1 <= length <= LONGEST_CONTEXT:
            raise WeightsError(f"{called}: {plain(tower)}.context_length is {plain(length)}; it must be 1 to {LONGEST_CONTEXT}")


def _build(config: dict, called: str) -> nn.Module:
    """open_clip's model of a config, with random weights, on the default device."""
    parts = {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}
    try:
        text, vision = parts["text_cfg"], parts["vision_cfg"]
        text |= {"hf_model_pretrained": False} if "hf_model_name" in text else {}
        vision |= {"timm_model_pretrained": False} if "timm_model_name" in vision else {}
        if not parts.pop("custom_text", False) and "hf_model_name" not in text:
            return open_clip.CLIP(**parts)
        return (open_clip.CoCa if "multimodal_cfg" in parts else open_clip.CustomTextCLIP)(**parts)
    except Exception as error:  # whatever open_clip, timm or transformers make of a config that is wrong
        raise WeightsError(f"{called}: its config does not describe a CLIP that can be built ({type(error).__name__}: "
                           f"{plain(error)})") from error


def _fitted(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The state as open_clip's own loading makes it fit: other layouts of keys, positions of another grid."""
    try:
        state = dict(convert_state_dict(model, state))
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
        for key in ("logit_scale", "logit_bias"):
            if key in state and getattr(model, key, None) is not None:
                state[key] = state[key].reshape(getattr(model, key).shape)
        if "text.transformer.embeddings.position_ids" not in model.state_dict():
            state.pop("text.transformer.embeddings.position_ids", None)
        fitted = dict(state)
        resize_pos_embed(fitted, model)
        resize_text_pos_embed(fitted, model)
        return fitted
    except (AssertionError, RuntimeError, IndexError, ValueError, KeyError, AttributeError):
        return state  # of another architecture: the comparison that follows says where
