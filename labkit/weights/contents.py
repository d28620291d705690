"""Finding a model's tensors in what a checkpoint holds: nothing about its structure is taken for granted.

Trainers wrap state dicts (Lightning: "state_dict"; others: "model", "net", "ema", "params_ema", one in another) and frameworks
wrap modules, which shows in the keys ("module." by DistributedDataParallel, "_orig_mod." by torch.compile, "first_stage_model."
by a latent model). A layout is known by a few keys that every model of it has: where these end keys, what stands before them is
the prefix of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from labkit.text import plain
from labkit.weights.errors import WeightsError, WeightsMismatch, shown

DEEPEST, MOST = 5, 20_000  # levels and entries of a checkpoint's structure that are looked at
COMPILED = "_orig_mod."  # torch.compile puts it wherever it was called


@dataclass(frozen=True)
class Layout:
    """How a kind of model is known: `title` ("a taming VQGAN"), `marks`, of which each is one key or several alternatives, the
    `ignored` beginnings of keys that are no part of it (a loss's networks), and the prefix that is `preferred` where there are
    several. `alone`: a model of it is all that its dictionary holds; so few marks would be found in many a larger one."""

    title: str
    marks: tuple[tuple[str, ...], ...]
    ignored: tuple[str, ...] = ()
    preferred: str = ""
    alone: bool = False


def find_state(held: object, path: Path, layout: Layout, part: str | None = None) -> dict[str, Tensor]:
    """The one state dict of `layout` in `held`, its wrappings undone; `part` names the entry to take where several fit.

    Raises WeightsMismatch, which says what is held, where none or several fit; WeightsError where a tensor claims more than
    the file has.
    """
    found = fits(held, layout)
    if part is not None:
        chosen = [fit for fit in found if part in (fit.entry, fit.name)]
        if not chosen:
            there = ", ".join(plain(fit.name) for fit in found) or "none"
            raise WeightsMismatch(f"part: '{plain(part)}' is not {layout.title} in {shown(path)}; there are: {there}")
        found = chosen
    if not found:
        raise WeightsMismatch("\n  ".join([f"{shown(path)}: not {layout.title}: no key of it ends in "
                                          f"{', nor any in '.join(lacking(held, layout))}. It holds", *described(held)]))
    found = [fit for fit in found if layout.preferred and fit.prefix.endswith(layout.preferred)] or found
    if any(not _equal(found[0].state, other.state) for other in found[1:]):
        raise WeightsMismatch("\n  ".join([f"{shown(path)}: holds {len(found)} that differ, each {layout.title}; say which by "
                                          "--part NAME:", *(plain(fit.name) for fit in found[:8])]))
    return checked(found[0].state, path)


@dataclass(frozen=True)
class Fit:
    """A state dict of a layout: the entry that it lies in, the prefix of its keys there, and its tensors without it."""

    entry: str
    prefix: str
    state: dict[str, Tensor]

    @property
    def name(self) -> str:
        return ".".join(filter(None, [self.entry, self.prefix.rstrip(".")])) or "(the whole file)"


def fits(held: object, layout: Layout) -> list[Fit]:
    """Every state dict of `layout` in what `held` holds, outermost first."""
    return [Fit(entry, prefix, _unwrapped(tensors, prefix, layout))
            for entry, tensors in _state_dicts(held) for prefix in _prefixes(tensors, layout)]


def _state_dicts(held: object) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary in `held` that has tensors under words, outermost first, with the way to it ("model.state_dict")."""
    queue, looked, known = [("", held, 0)], 0, set()
    while queue:
        name, value, depth = queue.pop(0)
        if id(value) in known or not isinstance(value, dict | list | tuple):
            continue
        known.add(id(value))
        pairs = list(islice(value.items() if isinstance(value, dict) else enumerate(value), MOST * 50))
        tensors = {key.replace(COMPILED, ""): item for key, item in pairs if isinstance(key, str) and isinstance(item, Tensor)}
        if tensors and isinstance(value, dict):
            yield name, tensors
        inner = [(key, item) for key, item in pairs if isinstance(item, dict | list | tuple)]
        looked += len(inner)
        if depth < DEEPEST and looked < MOST:
            queue += [(f"{name}.{key}" if name else str(key), item, depth + 1) for key, item in inner
                      if isinstance(key, str | int)]


def tensors_in(held: object) -> bool:
    """Whether any tensor with a name is held."""
    return any(True for _ in _state_dicts(held))


def lacking(held: object, layout: Layout) -> list[str]:
    """The marks of the layout that are missing where most of them are found."""
    best = [" or ".join(mark) for mark in layout.marks]
    for _, tensors in _state_dicts(held):
        found = _found(tensors, layout)
        if layout.alone and not _prefixes(tensors, layout):
            continue
        for prefix in {prefix for prefixes in found for prefix in prefixes}:
            missing = [" or ".join(mark) for mark, prefixes in zip(layout.marks, found, strict=True) if prefix not in prefixes]
            best = min(best, missing, key=len)
    return best


def _found(tensors: dict[str, Tensor], layout: Layout) -> list[set[str]]:
    """Per mark of the layout, the prefixes under which it stands."""
    return [{key[: -len(end)] for key in tensors for end in mark
             if key.endswith(end) and (len(key) == len(end) or key[-len(end) - 1] == ".")} for mark in layout.marks]


def _prefixes(tensors: dict[str, Tensor], layout: Layout) -> list[str]:
    """The prefixes under which all marks of the layout stand."""
    found = sorted(set.intersection(*_found(tensors, layout)))
    return [prefix for prefix in found if all(key.startswith(prefix) for key in tensors)] if layout.alone else found


def _unwrapped(tensors: dict[str, Tensor], prefix: str, layout: Layout) -> dict[str, Tensor]:
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return {key: value for key, value in state.items() if not key.startswith(layout.ignored)} if layout.ignored else state


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[key] is b[key] or (a[key].shape == b[key].shape and a[key].dtype == b[key].dtype and _plain_tensor(a[key])
                             and _plain_tensor(b[key]) and torch.equal(a[key], b[key])) for key in a)


def _plain_tensor(tensor: Tensor) -> bool:
    """Whether a tensor has its own numbers in the file, one for each place."""
    return (tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
            and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size())


def checked(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The state, detached, if its tensors are plain and no larger than the file. Raises WeightsError."""
    strange = next((key for key, tensor in state.items() if not _plain_tensor(tensor)), None)
    if strange is not None:
        raise WeightsError(f"{shown(path)}: {plain(strange)} {tuple(state[strange].shape)} is no plain tensor with its numbers "
                           "in the file (sparse, quantised, or larger than what is stored); get the model as safetensors")
    claimed, size = sum(t.numel() * t.element_size() for t in state.values()), path.stat().st_size
    if claimed > 4 * size + (1 << 20):
        raise WeightsError(f"{shown(path)}: its tensors would take {claimed:,} bytes, the file has {size:,}; get it from its "
                           "publisher again")
    return {key: tensor.detach() for key, tensor in state.items()}


def described(held: object, most: int = 6) -> list[str]:
    """What a checkpoint holds, in a few lines that are fit for a terminal."""
    if not isinstance(held, dict):
        return [_kind_of(held)]
    lines = [f"{_key(key)}: {_kind_of(value)}" for key, value in islice(held.items(), most)]
    if not lines:
        return ["nothing (an empty dictionary)"]
    return lines + ([f"… and {len(held) - most:,} more"] if len(held) > most else [])


def _key(key: object) -> str:
    return plain(key, 60) if isinstance(key, str) else f"{plain(key, 20)} (a number for a name)" if isinstance(key, int) else (
        f"(a {type(key).__name__}, not a name)")


def _kind_of(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, dict):
        tensors = {key: item for key, item in islice(value.items(), MOST) if isinstance(item, Tensor)}
        of = f"{len(value):,}" if len(tensors) < len(value) else _count(len(tensors), "tensor")
        also = f", among them {_count(len(tensors), 'tensor')}" if 0 < len(tensors) < len(value) else ""
        return f"a dictionary of {of}{also}{': ' if value else ''}{_some(tensors or value)}"
    if isinstance(value, list | tuple | set):
        first = next(iter(value), None)
        return f"a {type(value).__name__} of {len(value):,}" + (f", the first a tensor {tuple(first.shape)}"
                                                                if isinstance(first, Tensor) else "")
    if isinstance(value, str):
        return f"the text '{plain(value, 40)}'"
    if value is None:
        return "nothing (None)"
    return f"a number ({plain(value, 20)})" if isinstance(value, int | float) else f"a {type(value).__name__}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _some(held: dict) -> str:
    listed = [f"{_key(key)} {tuple(item.shape)}" if isinstance(item, Tensor) else _key(key)
              for key, item in islice(held.items(), 4)]
    return ", ".join(listed[:3]) + (" …" if len(listed) > 3 else "")
