"""What torch.save wrote, read without running what a pickle can run: tensors and plain values, nothing else.

torch.load(weights_only=True) runs a small set of pickle's instructions. It trusts the file's sizes, though, and a few bytes can
ask for hours: keys of tuples in tuples take 2ⁿ steps to hash. So the instructions are counted first, on a stack of weights,
without building anything. What trainers note beside the weights (Lightning's classes in taming's files, a NumPy number, a
Namespace of options) is replaced by inert stand-ins and never imported; any other class or function is refused by name.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path

import torch

from labkit.text import plain
from labkit.weights.errors import WeightsError, shown
from labkit.weights.recognise import LONGEST_HEADER, FileKind, zip_entries

LIGHTNING = ("pytorch_lightning.", "lightning.", "omegaconf.")
RECORDS = {"argparse.Namespace", "pathlib.PosixPath", "pathlib.WindowsPath", "numpy.dtype", "numpy.ndarray"} | {
    f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")}
MOST_WORK = 10**8  # parts looked at; a checkpoint of 10⁴ tensors with its optimiser takes about 10⁶
DEEPEST = 200
MAKERS = {"builtins.bytearray"} | {  # they take as much memory as a number says
    f"torch.{kind}Tensor"
    for kind in ("", "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")}


class _Inert:
    """Stands in for a class named in a pickle: takes whatever it is given and does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


def read_pickle(path: Path, kind: FileKind) -> object:
    """What a file of the kind "torch" or "torch-legacy" holds, tensors on the CPU (a zip's are mapped, not read).

    Raises WeightsError where it is not whole, not safe or claims more than a checkpoint can need.
    """
    zipped = kind.name == "torch"
    named = _named(path, _instructions(path, zipped), 1 if zipped else 5)
    records = {name for name in named if name.startswith(LIGHTNING) or name in RECORDS}
    if unsafe := sorted(named - records - (_allowed() - MAKERS)):
        listed = ", ".join(plain(name, 60) for name in unsafe[:5]) + (" …" if len(unsafe) > 5 else "")
        raise WeightsError(f"{shown(path)}: refused, for reading it would run {listed}; only tensors and plain values are "
                           "read. Get the file from its publisher again, or as safetensors")
    stand_ins = [(type("Inert", (_Inert,), {}), name) for name in records]
    try:
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about pickles of other versions
            if path.suffix != ".safetensors":
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
            with open(path, "rb") as file:  # by such a name torch would not read a pickle
                return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise WeightsError(f"{shown(path)}: does not fit into memory") from error
    except Exception as error:  # its reader raises whatever a damaged pickle leads it to; its words advise unsafe loading
        raise WeightsError(f"{shown(path)}: not a whole checkpoint, torch cannot read it; fetch it again") from error


def _allowed() -> set[str]:
    return set(torch._weights_only_unpickler._get_allowed_globals())


def _instructions(path: Path, zipped: bool) -> bytes:
    """The bytes with pickle's instructions: a zip's data.pkl, or the beginning of an older file, before its numbers."""
    size = path.stat().st_size
    if not zipped:
        with open(path, "rb") as file:
            return file.read(LONGEST_HEADER)
    try:
        entries = zip_entries(path, size)
    except ValueError as error:
        raise WeightsError(f"{shown(path)}: not a whole checkpoint ({error}); fetch it again") from error
    if packed := next((entry for entry in entries if entry.compress_type or entry.flag_bits & 1), None):
        raise WeightsError(f"{shown(path)}: its entry {plain(packed.filename, 40)} is compressed or encrypted, which torch "
                           "never does; unpack the zip and pack it again by `zip -0 -r`")
    if (claimed := sum(entry.file_size for entry in entries)) > size:
        raise WeightsError(f"{shown(path)}: its entries claim {claimed:,} bytes, the whole file has {size:,}; fetch it again")
    found = [entry for entry in entries if entry.filename.count("/") == 1 and entry.filename.endswith("/data.pkl")]
    if len(found) != 1 or found[0].file_size > LONGEST_HEADER:
        raise WeightsError(f"{shown(path)}: holds {len(found)} lists of contents (data.pkl) of "
                           f"{sum(entry.file_size for entry in found):,} bytes; labkit reads one of at most {LONGEST_HEADER:,}")
    with open(path, "rb") as file:
        file.seek(found[0].header_offset)
        head = file.read(30)
        if len(head) < 30:
            raise WeightsError(f"{shown(path)}: not a whole checkpoint; fetch it again")
        file.seek(sum(struct.unpack("<HH", head[26:30])), 1)
        return file.read(found[0].file_size)  # not by zipfile: torch may be told to leave out the checksums


def _named(path: Path, data: bytes, pickles: int) -> set[str]:
    """The classes and functions that the first `pickles` pickles in `data` name, once their work is found to be bounded."""
    stream, names, work = io.BytesIO(data), set(), 0
    try:
        for _ in range(pickles):
            found, cost = _walk(stream, path)
            names |= found
            work += cost
    except WeightsError:
        raise
    except Exception as error:  # pickletools raises whatever a damaged pickle leads it to
        raise WeightsError(f"{shown(path)}: not a whole checkpoint, its list of contents is damaged; fetch it again") from error
    return names


def _walk(stream: io.BytesIO, path: Path) -> tuple[set[str], int]:
    """Globals and work of one pickle. A node is [parts in all, depth]: what a value would weigh if it were written out."""
    stack, memo, names, work, mark = [], {}, set(), 0, None
    for op, arg, _ in pickletools.genops(stream):
        if op.name == "GLOBAL":
            names.add(_modern(*arg.split(" ", 1)))
        elif op.name in ("STACK_GLOBAL", "FRAME", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
            raise WeightsError(f"{shown(path)}: its pickle is of another protocol than torch.save's own, 2; it cannot be read "
                               "safely. Whoever made it can save it by torch.save without a pickle_protocol, or as safetensors")
        before, popped = list(op.stack_before), []
        if pickletools.markobject in before:
            before = before[: before.index(pickletools.markobject)]
            while (node := stack.pop()) is not mark:
                popped.append(node)
        popped.extend(stack.pop() for _ in before)
        if op.name.endswith("GET"):
            stack.append(memo[arg])
        elif op.name.endswith("PUT"):
            memo[arg] = popped[-1] if popped else stack[-1]
            stack.extend(reversed(popped))
        elif op.name == "MARK":
            stack.append(mark)
        elif op.stack_after:
            grows = op.name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
            node, parts = (popped[-1], popped[:-1]) if grows else ([1, 0], popped)
            added = sum(part[0] for part in parts)
            node[0], node[1] = node[0] + added, max([node[1], *(part[1] + 1 for part in parts)])
            work += 1 + added
            stack.append(node)
            if work > MOST_WORK or node[1] > DEEPEST:
                raise WeightsError(f"{shown(path)}: its contents are nested so that reading them would take hours; no "
                                   "checkpoint is. Get the file from its publisher again, or as safetensors")
    return names, work


def _modern(module: str, name: str) -> str:
    """A global's name in Python 3, as torch reads it."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
