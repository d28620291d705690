"""Which files of a Stable Diffusion repository are fetched from the Hugging Face Hub.

The parts, as safetensors, in half precision where there is a choice; no whole checkpoints, no pickles.
"""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from labkit.text import plain
from labkit.weights import WeightsError, WeightsNotFound

PARTS = ("vae", "unet", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.A)
# About what is fetched (half precision where there is a choice), and under which licence.
KNOWN = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (2.1, "CreativeML OpenRAIL-M"),
    "stabilityai/sd-turbo": (2.6, "Stability AI Community Licence"),
    "stabilityai/stable-diffusion-xl-base-1.0": (6.9, "CreativeML OpenRAIL++-M"),
    "stabilityai/sdxl-turbo": (6.9, "Stability AI Community Licence"),
}


def folder_of(name: str) -> Path:
    """The folder in the Hub's cache of "ORG/REPO", fetched if need be; without a request where it is whole there. Raises
    WeightsNotFound, which says how large it is and under which licence, where that is known."""
    repository = name.removeprefix("hf-hub:").strip("/")
    if not NAME.fullmatch(repository) or ".." in repository:
        raise WeightsError(f"stable_diffusion: '{plain(name, 200)}' names no model; give a folder in diffusers' layout "
                           "(local-dir:FOLDER), a .safetensors file, or ORG/REPO of the Hub, as in "
                           "stable-diffusion-v1-5/stable-diffusion-v1-5")
    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
        if all(list((folder / part).glob("*.safetensors")) for part in ("vae", "unet", "text_encoder")):
            return folder
    except LocalEntryNotFoundError:
        pass  # it is fetched
    try:
        files = wanted(HfApi().list_repo_files(repository))
        return Path(snapshot_download(repository, allow_patterns=files))
    except Exception as error:  # of whatever library fetches it
        size, licence = KNOWN.get(repository, (None, None))
        about = f" (about {size} GB, {licence})" if size else ""
        raise WeightsNotFound(
            f"stable_diffusion: {plain(name, 200)}{about} is not at hand and could not be fetched ({plain(error, 300)})\n"
            "  With a network, load it once and it stays in the cache.\n"
            "  Without, fetch it into a folder elsewhere and say local-dir:FOLDER; it must hold model_index.json and a folder "
            f"for each of {', '.join(PARTS)} (those with _2 in SDXL only), weights as .safetensors."
        ) from error


def wanted(files: list[str]) -> list[str]:
    """Of a repository's files those that are fetched: what describes the parts, and of each part's safetensors one set."""
    inside = [file for file in files if file.partition("/")[0] in PARTS and file.count("/") == 1]
    out = [file for file in files if file == "model_index.json"]
    out += [file for file in inside if file.endswith((".json", ".txt")) and ".safetensors.index" not in file]
    for part in PARTS:
        tensors = [f for f in inside if re.match(rf"{part}/(diffusion_pytorch_)?model.*\.safetensors", f)]
        half = [f for f in tensors if ".fp16" in f]
        out += half or [f for f in tensors if not re.search(r"\.(non_ema|ema)\b", f)]
    return out
