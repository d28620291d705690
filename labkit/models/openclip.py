"""Full-size CLIP through open_clip, never with random weights.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020.
open_clip (https://github.com/mlfoundations/open_clip) warns and goes on where weights are missing or where
the activation differs from the one they were trained with; here both end in an error that says what to do.
"""

import os
import pickle
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.factory import load_state_dict
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from safetensors import SafetensorError
from torch import nn

from labkit.zoo import WeightsError, WeightsMismatch, WeightsNotFound, cache_dir, check_state

FILES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
ERRORS = (RuntimeError, OSError, ValueError, KeyError, SafetensorError, pickle.UnpicklingError)
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PREPROCESS = ("mean", "std", "interpolation", "resize_mode")


def load_openclip(spec: str, device: str = "cpu") -> tuple[nn.Module, Callable, dict]:
    """A CLIP model (fp32, eval, frozen), its tokenizer (texts -> int64 (B, context)) and its preprocessing.

    `spec` is "ARCHITECTURE/TAG" ("ViT-B-32/openai"), "ARCHITECTURE/FILE" (safetensors, or a pickle of
    tensors, read with weights_only), "hf-hub:ORG/REPO" or "local-dir:FOLDER" (open_clip_config.json and
    weights). The preprocessing is dict(size=side in pixels, mean, std) for pictures in [0,1], RGB. What is
    cached is loaded without a request. Weights of OpenAI in a file need an architecture that ends in
    "-quickgelu", their activation.

    Raises WeightsNotFound (nothing there, or no network), WeightsMismatch (another architecture),
    WeightsError.
    """
    name, options = _resolve(spec)
    try:
        model = open_clip.create_model(
            name, require_pretrained=True, weights_only=True, device=device, **options
        )
        tokenizer = open_clip.get_tokenizer(name)
    except AssertionError as error:
        # open_clip fits positions to the model before it compares anything, and asserts that they can be
        _compare(spec, name, options)
        raise WeightsMismatch(f"clip: the weights of {spec} do not fit: {error}") from error
    except ERRORS as error:
        raise _explained(spec, error) from error
    wanted = model.visual.preprocess_cfg
    size = wanted["size"]
    side = size if isinstance(size, int) else max(size)
    return (
        model.eval().requires_grad_(False),
        tokenizer,
        {"size": side, "mean": tuple(wanted["mean"]), "std": tuple(wanted["std"])},
    )


def bare(name: str) -> nn.Module:
    """The architecture of "ARCHITECTURE/TAG", without its weights."""
    return open_clip.CLIP(**open_clip.get_model_config(name.partition("/")[0]))


def _resolve(spec: str) -> tuple[str, dict]:
    """open_clip's model name and the options that make it load exactly what `spec` says."""
    if spec.startswith("local-dir:"):
        return spec, {}
    if spec.startswith("hf-hub:"):
        config = try_to_load_from_cache(spec.removeprefix("hf-hub:"), "open_clip_config.json")
        folder = Path(config).parent if isinstance(config, str) else None
        cached = folder and any((folder / name).is_file() for name in HUB_FILES)
        return (f"local-dir:{folder}" if cached else spec), {}
    architecture, _, weights = spec.partition("/")
    if architecture not in open_clip.list_models():
        near = get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.3)
        raise WeightsError(
            f"clip: {architecture!r} is no architecture of open_clip; near ones: {', '.join(near)}"
        )
    tags = list_pretrained_tags_by_model(architecture)
    if not weights:
        example = f"{architecture}/{tags[0] if tags else 'FILE.safetensors'}"
        raise WeightsError(
            f"clip: {spec!r} names no weights; write {example!r} (tags: {', '.join(tags) or 'none'})"
        )
    published = get_pretrained_cfg(architecture, weights)
    if not published:
        if Path(weights).is_file():
            return architecture, {"pretrained": weights}
        if weights.endswith(FILES) or os.sep in weights:
            raise WeightsNotFound(f"clip: {weights}: no such file")
        near = get_close_matches(weights, tags, n=3, cutoff=0.3) or tags
        raise WeightsError(
            f"clip: {architecture} has no tag {weights!r}; it has: {', '.join(near) or 'none'}"
        )
    quick = published.get("quick_gelu", False)
    if open_clip.get_model_config(architecture).get("quick_gelu", False) and not quick:
        raise WeightsMismatch(
            f"clip: {spec} was not trained with QuickGELU; "
            f"use {architecture.removesuffix('-quickgelu')}/{weights}"
        )
    # OpenAI's weights want QuickGELU, which open_clip's plain architectures lack: it would warn and be wrong.
    options = {"pretrained": weights, "force_quick_gelu": quick}
    ours = cache_dir() / "clip" / f"{spec}.safetensors"
    cached = str(ours) if ours.is_file() else _cached(published.get("hf_hub", ""))
    if cached:
        wanted = {key: published[key] for key in PREPROCESS if key in published}
        options |= {"pretrained": cached, "force_preprocess_cfg": wanted}
    return architecture, options


def _cached(hub: str) -> str | None:
    """The file of a hub address "org/repo/" or "org/repo/file" where it is in the local cache."""
    repository, name = os.path.split(hub)
    for file in [name] if name else HUB_FILES:
        found = try_to_load_from_cache(repository, file) if repository else None
        if isinstance(found, str):
            return found
    return None


def _compare(spec: str, name: str, options: dict) -> None:
    """Raise WeightsMismatch with the first differences of a file that open_clip gave up on, if it is one."""
    folder = Path(name.removeprefix("local-dir:"))
    files = [Path(options.get("pretrained", ""))] + [folder / file for file in HUB_FILES]
    file = next((file for file in files if file.is_file()), None)
    config = open_clip.get_model_config(name)
    other_layout = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    if file is not None and not other_layout:
        with torch.device("meta"):
            model = open_clip.CLIP(**config)
        check_state(model, load_state_dict(str(file)), f"clip: {spec}")


def _explained(spec: str, error: Exception) -> WeightsError:
    """open_clip's and torch's errors in our words: which weights, what is wrong, what to do."""
    said = str(error).strip()
    if "loading state_dict" in said:
        return WeightsMismatch("\n  ".join([f"clip: the weights of {spec} do not fit:", *_differences(said)]))
    gone = isinstance(error, FileNotFoundError) or said.startswith(("Required pretrained", "Failed"))
    if not gone:
        return WeightsError(f"clip: {spec} cannot be read ({said.splitlines()[0] if said else error!r})")
    if spec.startswith("local-dir:"):
        return WeightsNotFound(f"clip: {spec} must hold open_clip_config.json and {HUB_FILES[0]} ({said})")
    return WeightsNotFound(
        f"clip: {spec} is not at hand and could not be fetched ({said})\n"
        "  With a network, load it once and it stays in the cache; hf-hub: needs config and weights.\n"
        "  Without, fetch the weights elsewhere (ViT-B-32: about 605 MB) and say ARCHITECTURE/PATH/FILE.\n"
        "  Meanwhile the pocket model stands in: clip='pocket', small, of the picture world."
    )


def _differences(said: str, most: int = 5) -> list[str]:
    """The first differences out of torch's strict-loading error, one a line."""
    found = []
    for line in said.splitlines():
        if listed := re.search(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)", line):
            found += [f"{listed[1].lower()} {key}" for key in re.findall(r'"([^"]+)"', listed[2])[:most]]
        elif line.strip().startswith("size mismatch"):
            found.append(line.strip())
    return found[:most]
