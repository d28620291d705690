"""Where a CLIP lies: a repository of the Hugging Face Hub, or a folder in the layout that open_clip pushes there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from open_clip.pretrained import download_pretrained_from_hf

from labkit.text import plain
from labkit.weights import WeightsError, WeightsNotFound, recognise
from labkit.weights.errors import shown

CONFIG = "open_clip_config.json"
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PATTERNS = ("*.safetensors", "*.bin", "*.pth", "*.pt")
LARGEST_CONFIG = 1 << 20

EXAMPLE = "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
PREFIX = re.compile(r"(hf[-_]?hub|hf|hub|huggingface)\s*:(?!//)\s*", re.I)
ADDRESS = re.compile(r"(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)(?:/+models)?(?:/+(.*))?", re.I)
NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?", re.A)


def repository_of(spec: str) -> str | None:
    """ORG/REPO of "hf-hub:ORG/REPO"; None where `spec` means something else.

    Raises WeightsError, with the right spelling where it can be told, for an address or a name that is none.
    """
    prefix = PREFIX.match(spec)
    rest = spec[prefix.end() :] if prefix else spec
    address = ADDRESS.fullmatch(rest)
    if not prefix and not address:
        return None
    parts = [part for part in re.split(r"[/?#]", address[1] or "") if part][:2] if address else rest.split("/")
    good = len(parts) == 2 and all(_is_name(part) for part in parts)
    if good and spec == f"hf-hub:{'/'.join(parts)}":
        return "/".join(parts)
    tidy = [part.strip() for part in parts if part.strip()]
    if len(tidy) == 2 and all(_is_name(part) for part in tidy):
        raise WeightsError(f"clip: '{plain(spec)}': give ORG/REPO after hf-hub:, so write 'hf-hub:{'/'.join(tidy)}'")
    raise WeightsError(f"clip: '{plain(spec)}' names no repository of the hub; give ORG/REPO, as in {EXAMPLE}")


def _is_name(part: str) -> bool:
    return bool(NAME.fullmatch(part)) and len(part) <= 96 and "--" not in part and ".." not in part and (
        not part.endswith(".git"))


def downloaded(repository: str, spec: str) -> Path:
    """The folder in the hub's cache with config and weights, fetched. Raises WeightsNotFound."""
    try:
        config = download_pretrained_from_hf(repository, filename=CONFIG)
        download_pretrained_from_hf(repository)
    except Exception as error:  # of whatever library fetches it
        raise WeightsNotFound(
            f"clip: {plain(spec)} is not at hand and could not be fetched ({plain(error, 300)})\n"
            f"  With a network, load it once and it stays in the cache; it must hold {CONFIG} and {HUB_FILES[0]}.\n"
            "  Without, fetch both into a folder elsewhere and say local-dir:FOLDER.\n"
            "  Meanwhile the pocket model stands in: clip='pocket', small, of the picture world."
        ) from error
    return Path(config).parent


def read_config(folder: Path, spec: str) -> tuple[dict, dict]:
    """`model_cfg` and `preprocess_cfg` of a folder. Raises WeightsNotFound or WeightsError."""
    path = folder / CONFIG
    must = f"it must hold {CONFIG} and {HUB_FILES[0]}"
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is no folder"
        raise WeightsNotFound(f"clip: {shown(folder)} {what}; {must}")
    if not path.is_file():
        raise WeightsNotFound(f"clip: {shown(folder)} holds no {CONFIG}; {must}")
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"clip: {shown(path)} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"clip: {shown(path)} is no JSON of a config: {recognise(path).words} ({plain(error)})") from error
    model = held.get("model_cfg") if isinstance(held, dict) else None
    towers = isinstance(model, dict) and all(isinstance(model.get(key), dict) for key in ("vision_cfg", "text_cfg"))
    if not towers:
        raise WeightsError(f"clip: {shown(path)} describes no CLIP of open_clip: it needs a model_cfg with vision_cfg and "
                           "text_cfg")
    preprocess = held.get("preprocess_cfg") or {}
    if not isinstance(preprocess, dict):
        raise WeightsError(f"clip: {shown(path)}: preprocess_cfg must be an object")
    return model, preprocess


def weights_in(folder: Path, spec: str) -> Path:
    """The file of weights in a folder. Raises WeightsNotFound where there is none, WeightsError where several may be meant."""
    for name in HUB_FILES:
        if (folder / name).exists() or (folder / name).is_symlink():
            return folder / name
    found = next((paths for pattern in PATTERNS if (paths := sorted(folder.glob(pattern)))), [])
    if not found:
        raise WeightsNotFound(f"clip: {shown(folder)} holds no weights; it must hold {CONFIG} and {HUB_FILES[0]}")
    if len(found) > 1:
        listed = ", ".join(plain(path.name, 40) for path in found[:4])
        raise WeightsError(f"clip: {shown(folder)} holds several files of weights ({listed}); call the one to use "
                           f"{HUB_FILES[0]}")
    return found[0]
