"""The zoo: which models there are, where their weights come from, and how weights are read without surprises.

Pocket models lie in `data/models/NAME.safetensors` and describe themselves: the header's "labkit" key holds
JSON with the kind, the config and how they were trained. Full-size models are fetched on request into the
cache ($LABKIT_CACHE, else ~/.cache/labkit). Weights are safetensors; a pickle becomes one only by an explicit
`convert`. Keys and shapes are compared before anything is loaded, so nothing is ever silently random or
silently wrong.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from labkit.data import data_path
from labkit.fetch import DownloadError, Progress, download
from labkit.kinds import KINDS, named
from labkit.weights import (
    WeightsError,
    WeightsMismatch,
    WeightsNotFound,
    load_tensors,
    open_tensors,
    read_metadata,
    save_tensors,
)

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Entry", "WeightsError", "WeightsMismatch", "WeightsNotFound", "cache_dir", "check_state", "convert",
    "entries", "entry", "fetch", "fitting", "get", "load_state", "load_tensors", "models", "not_found",
    "published_path", "read_metadata", "save_tensors",
]  # fmt: skip

@dataclass(frozen=True)
class Entry:
    """One model: `sources` are https addresses or a path below `data/`, `size` is in bytes (about, where no
    sha256 is known), `preprocessing` says what pictures it expects.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    sha256: str | None
    size: int
    licence: str
    preprocessing: str
    pocket: bool = False

    @property
    def path(self) -> Path:
        """Where its safetensors lie, or would lie."""
        if self.pocket:
            return data_path(self.sources[0])
        return cache_dir() / self.kind / f"{self.name}.safetensors"

    @property
    def at_hand(self) -> bool:
        """Whether it can be loaded now, without a request."""
        return self.path.is_file()


def cache_dir() -> Path:
    """The folder of fetched weights: $LABKIT_CACHE, or ~/.cache/labkit."""
    return Path(os.environ.get("LABKIT_CACHE") or Path.home() / ".cache" / "labkit")


def entries() -> list[Entry]:
    """Every model of the registry: the pocket models found in `data/models`, then the full-size ones."""
    full = [Entry(f.name, kind.name, (f.source,), f.sha256, f.size, f.licence, kind.expects)
            for kind in KINDS.values() for f in kind.full]
    placed = {data_path("models", kind.place): kind.name for kind in KINDS.values() if kind.place}
    shipped = {path: path.stem for path in sorted(data_path("models").glob("*.safetensors"))}
    return [_pocket_entry(*found) for found in {**shipped, **placed}.items() if found[0].is_file()] + full


def _pocket_entry(path: Path, name: str) -> Entry:
    try:
        about = read_metadata(path)
    except WeightsError:
        about = {}  # listed all the same: whoever loads it gets the error, others are not in its way
    return Entry(
        name=name,
        kind=about.get("kind", name),
        sources=(path.relative_to(data_path()).as_posix(),),
        sha256=None,
        size=path.stat().st_size,
        licence=about.get("licence", "MIT"),
        preprocessing=about.get("preprocessing", "RGB in [-1, 1]"),
        pocket=True,
    )


def entry(kind: str | None, name: str) -> Entry:
    """The entry of that kind (None: any) and name; "pocket" is the name of a kind's own pocket model.

    Raises WeightsError, which lists near names.
    """
    of_kind = {e.name: e for e in entries() if kind in (None, e.kind)}
    wanted = kind if name == "pocket" and kind else name
    if wanted in of_kind:
        return of_kind[wanted]
    if name == "pocket" and kind:
        missing = data_path("models", KINDS[kind].home if kind in KINDS else f"{kind}.safetensors")
        raise WeightsNotFound(
            f"the pocket model {kind!r} is missing: {missing} does not exist; "
            f"`python -m labkit train {kind}` makes it"
        )
    near = get_close_matches(name, of_kind, n=3, cutoff=0.4)
    hint = "near names" if near else "there are"
    raise WeightsError(
        f"no {kind or 'model'} is called {name!r}; {hint}: {', '.join(near or of_kind) or 'none'}"
    )


def models() -> "pandas.DataFrame":
    """The registry as a table: name, kind, pocket, size_mb (10^6), licence, at_hand, source (its first)."""
    import pandas

    return pandas.DataFrame(
        [
            (e.name, e.kind, e.pocket, round(e.size / 1e6, 1), e.licence, e.at_hand, e.sources[0])
            for e in entries()
        ],
        columns=["name", "kind", "pocket", "size_mb", "licence", "at_hand", "source"],
    )


def fetch(wanted: Entry, progress: Progress | None = None) -> Path:
    """The entry's file: safetensors if they are at hand, else the published file, fetched into the cache.

    No request is made for what is there. A published pickle is returned as it is; `get` also converts it.
    Raises WeightsNotFound, which names each source with its error, what to get, its size and where to put it.
    """
    if wanted.at_hand:
        return wanted.path
    if wanted.pocket:
        raise not_found(wanted, [(wanted.sources[0], "no such file")])
    try:
        return download(wanted.sources, published_path(wanted), wanted.sha256, progress)
    except DownloadError as error:
        raise not_found(wanted, error.tried) from error


def get(name: str, kind: str | None = None, progress: Progress | None = None) -> Path:
    """Fetch a model and convert it in one explicit go; returns the safetensors that loading then finds."""
    wanted = entry(kind, name)
    path = fetch(wanted, progress)
    return path if path == wanted.path else convert(path, wanted.path, wanted.kind)


def convert(src: str | os.PathLike, dst: str | os.PathLike, kind: str | None = None) -> Path:
    """A published checkpoint -> safetensors that describe themselves; see `labkit.models.convert`."""
    return named("labkit.models.convert:convert")(src, dst, kind)


def published_path(wanted: Entry) -> Path:
    """Where a full-size entry's published file is kept in the cache: a pickle beside its safetensors."""
    suffix = Path(wanted.sources[0].partition("?")[0]).suffix
    return wanted.path if suffix == ".safetensors" else wanted.path.with_suffix(".ckpt")


def not_found(wanted: Entry, tried: Iterable[tuple[str, str]] = ()) -> WeightsNotFound:
    """The error for an entry that is not at hand, saying what to get, where to put it and what stands in."""
    size = f"{'' if wanted.sha256 else 'about '}{wanted.size / 1e6:.0f} MB"
    lines = [f"{wanted.name} ({wanted.kind}, {size}, licence {wanted.licence}) is not at hand."]
    lines += [f"  tried {source}: {error}" for source, error in tried]
    if wanted.pocket:
        return WeightsNotFound("\n".join([*lines, f"`python -m labkit train {wanted.name}` makes it."]))
    checksum = "" if wanted.sha256 else " (not verified: no checksum is published)"
    lines += [
        f"With a network: python -m labkit zoo get {wanted.name}",
        f"Without: fetch {wanted.sources[0]}{checksum} elsewhere, put it at {published_path(wanted)} "
        "and run the same command, which converts a pickle into safetensors.",
        f"Meanwhile the pocket model stands in: {wanted.kind}='pocket', small, of the picture world.",
    ]
    return WeightsNotFound("\n".join(lines))


def check_state(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Compare keys, shapes and float-ness; raise WeightsMismatch with the first five differences.

    `name` is what the error calls the weights; it also names the registry entry that they do fit, if any.
    """
    ours = model.state_dict()
    found = [f"missing {key} {tuple(ours[key].shape)}" for key in ours if key not in tensors]
    found += [f"unexpected {key} {tuple(tensors[key].shape)}" for key in tensors if key not in ours]
    for key in (key for key in ours if key in tensors):
        if ours[key].shape != tensors[key].shape:
            found.append(f"{key} is {tuple(tensors[key].shape)}, the model has {tuple(ours[key].shape)}")
        elif ours[key].is_floating_point() != tensors[key].is_floating_point():
            found.append(f"{key} is {tensors[key].dtype}, the model has {ours[key].dtype}")
    if found:
        fits = fitting({key: tuple(tensor.shape) for key, tensor in tensors.items()})
        lines = [f"{name}: does not fit {type(model).__name__}, {len(found)} differences:", *found[:5]]
        lines += [f"these weights look like {fits.name} ({fits.kind})"] if fits else []
        raise WeightsMismatch("\n  ".join(lines))


def load_state(model: nn.Module, tensors: dict[str, Tensor], name: str = "weights") -> nn.Module:
    """Load strictly after `check_state`, floats cast to the model's dtype and device; returns the model.

    A model built on the meta device gets copies of the tensors as its own, on the CPU: nothing is drawn only
    to be overwritten.
    """
    check_state(model, tensors, name)
    ours = model.state_dict()
    if any(tensor.is_meta for tensor in ours.values()):
        tensors = {key: tensor.to(ours[key].dtype, copy=True) for key, tensor in tensors.items()}
        model.load_state_dict(tensors, strict=True, assign=True)
    else:
        model.load_state_dict(tensors, strict=True)
    return model


def fitting(shapes: dict[str, tuple[int, ...]]) -> Entry | None:
    """The registry entry whose keys and shapes are exactly these, if one's are."""
    return next((e for e in entries() if _signature(e) == shapes), None)


def _signature(wanted: Entry) -> dict[str, tuple[int, ...]]:
    if wanted.pocket:
        with open_tensors(wanted.path) as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
    with torch.device("meta"):
        model = named(KINDS[wanted.kind].build)(wanted.name)
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
