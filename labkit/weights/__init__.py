"""Weights on the disk: one opener for every file that may be a checkpoint, and safetensors written whole or not at all.

`recognise` says what a file is by its first bytes; `tensors` reads and writes safetensors; `pickles` reads what torch.save
wrote, tensors and plain values only; `contents` finds a model's tensors in what a pickle holds. All of them do a bounded amount
of work whatever a file claims, and every error is a WeightsError that names the file, the cause and the remedy.
"""

from labkit.weights.contents import Layout, described, find_state, fits, lacking
from labkit.weights.errors import WeightsError, WeightsMismatch, WeightsNotFound
from labkit.weights.pickles import read_pickle
from labkit.weights.recognise import FileKind, recognise
from labkit.weights.tensors import load_tensors, open_tensors, read_checkpoint, read_metadata, save_tensors

PICKLES = (".ckpt", ".pt", ".pth", ".bin")

__all__ = [
    "PICKLES", "FileKind", "Layout", "WeightsError", "WeightsMismatch", "WeightsNotFound", "described", "find_state", "fits",
    "lacking", "load_tensors", "open_tensors", "read_checkpoint", "read_metadata", "read_pickle", "recognise", "save_tensors",
]  # fmt: skip
