"""Flags from specs: a spec's fields become tyro flags, and what was typed becomes the spec again.

A field's type, default, bounds and description are read from the spec and declared nowhere else. What a shell cannot
type stands for itself: a picture is given as a file, a nested spec in a list as `field=value,field=value`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.conf import Positional, arg

from labkit.spec import Spec, SpecError

POSITIONAL = ("prompt",)
DEVICES = "cpu, cuda, cuda:1 or mps; unless given, cuda where there is one"


def maybe(help: str, metavar: str, **options):
    """What tyro shows of an option that may be left out: not `{None}|STR`, not `default: None`."""
    return arg(help=help, metavar=metavar, help_behavior_hint="", **options)


@dataclass
class LabFlags:
    """The models; unless told otherwise the pocket ones."""

    clip: Annotated[str, arg(help="CLIP that measures: pocket, or as in ViT-B-32/openai", metavar="NAME")] = "pocket"
    vqgan: Annotated[str, arg(help="VQGAN: pocket, or as in imagenet-f16-16384", metavar="NAME")] = "pocket"
    diffusion: Annotated[str, arg(help="Diffusion: pocket, or as in imagenet-256", metavar="NAME")] = "pocket"
    guide: Annotated[str | None, maybe("CLIP that paints; the one that measures unless given", "NAME")] = None
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None

    def lab(self):
        """The lab that they ask for."""
        from labkit.lab import Lab

        return Lab(clip=self.clip, vqgan=self.vqgan, guide=self.guide, diffusion=self.diffusion,
                   device=checked_device(self.device))


def checked_device(name: str | None):
    """The torch device of that name, None for None. Raises `SpecError` where there is none here."""
    import torch

    if name is None:
        return None
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"--device: {name!r} is no device; give cpu, cuda, cuda:N or mps") from None
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False):
        raise SpecError(f"--device: there is no {name} here; there is {', '.join(k for k, v in here.items() if v)}")
    return device


def parse(command: str, spec: type[Spec], options: type, args: list[str], skip: tuple[str, ...] = ()) -> tuple[Any, Any]:
    """(`Typed`, options): the flags of a spec and of a dataclass of options, read from `args`.

    `skip` names fields of the spec that get no flag. Ends the process with code 2 where tyro cannot read them.
    """
    both = make_dataclass("Flags", [
        ("spec", Annotated[flags_class(spec, skip=skip), arg(name="")]),
        ("options", Annotated[options, arg(name="")]),
    ], namespace={"__module__": __name__})  # fmt: skip
    about = (spec.__doc__ or spec.__name__).strip()
    found = tyro.cli(both, prog=f"labkit {command}", description=about, args=args)
    return Typed(spec, found.spec), found.options


def read_options(command: str, options: type, args: list[str]):
    """The options of a command that has no spec; the class's docstring is its description."""
    return tyro.cli(options, prog=f"labkit {command}", args=args)


@dataclass
class Typed:
    """What was typed for a spec; `build` makes it."""

    spec: type[Spec]
    flags: Any

    def build(self, **changes: Any):
        """The spec. Raises `SpecError` with the flags' names in its lines."""
        canvas = getattr(self.flags, "canvas", None)
        size = (canvas.width, canvas.height) if canvas else None
        return build(self.spec, self.flags, size, changes=changes)


def flags_class(spec: type[Spec], prefix: str = "", skip: tuple[str, ...] = ()) -> type:
    """A dataclass whose fields tyro turns into the flags of a spec."""
    fields = []
    for name, info in spec.model_fields.items():
        if name in skip:
            continue
        kind, options = _flag(info, name, prefix)
        default = {} if info.is_required() else {"default_factory": _default(info, kind)}
        wrapped = Annotated[kind, arg(**options)]
        wrapped = Positional[wrapped] if name in POSITIONAL and not prefix else wrapped
        fields.append((name, wrapped, field(kw_only=True, **default)))
    # the module's name: tyro looks for the source of a class and must find none
    return make_dataclass(f"{spec.__name__}Flags", fields, namespace={"__module__": __name__})


def _flag(info: FieldInfo, name: str, prefix: str) -> tuple[Any, dict]:
    kind, item = info.annotation, _item(info.annotation)
    help_ = described(info)
    if _is_picture(kind):
        aliases = {"aliases": [f"--{name}"]} if prefix else {}
        return str | None, {"help": help_, "metavar": "FILE", "help_behavior_hint": "", **aliases}
    if item:
        shape = ",".join(f"{n}={'FILE' if _is_picture(f.annotation) else 'VALUE'}" for n, f in item.model_fields.items())
        return tuple[str, ...], {"help": f"{help_}; each {shape} (those after the first may be left out)", "metavar": "ITEM",
                                 "help_behavior_hint": ""}
    if isinstance(kind, type) and issubclass(kind, Spec):
        return flags_class(kind, f"{prefix}{name}."), {"help": help_}
    return kind, {"help": help_, **({"metavar": name.upper()} if name in POSITIONAL else {})}


def _default(info: FieldInfo, kind: Any):
    value = info.get_default(call_default_factory=True)
    if isinstance(value, Spec):
        return lambda: kind(**{n: getattr(value, n) for n in type(value).model_fields})
    return lambda: value


def _is_picture(kind: Any) -> bool:
    named = {getattr(k, "__name__", "") for k in (get_args(kind) if _is_union(kind) else (kind,))}
    return "ImageInput" in named


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _item(kind: Any) -> type[Spec] | None:
    """The spec in a `tuple[Spec, ...]`; None for every other type."""
    first = get_args(kind)[0] if get_origin(kind) is tuple and get_args(kind) else None
    return first if isinstance(first, type) and issubclass(first, Spec) else None


def described(info: FieldInfo) -> str:
    """A field's description and bounds: `Pixels across; a multiple of the VQGAN's f (16 to 2048)`."""
    text, words = info.description or "", bounds(info)
    return f"{text} ({words})" if words and get_origin(info.annotation) is not Literal else text


def bounds(info: FieldInfo) -> str:
    """A number's bounds in words; "" where there are none."""
    found = {key: getattr(m, key) for m in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(m, key)}
    low = f"{found['ge']}" if "ge" in found else f"above {found['gt']}" if "gt" in found else ""
    high = f"{found['le']}" if "le" in found else f"below {found['lt']}" if "lt" in found else ""
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if "ge" in found else low or (f"at most {high}" if "le" in found else high)


def build(spec: type[Spec], flags: Any, size: tuple[int, int] | None, prefix: str = "", changes: dict | None = None):
    """The spec of what was typed; pictures are brought to `size`."""
    values = dict(changes or {})
    for name, info in spec.model_fields.items():
        value = getattr(flags, name, None)
        if name in values or not hasattr(flags, name):
            continue
        item = _item(info.annotation)
        if _is_picture(info.annotation):
            values[name] = None if value is None else picture(value, size)
        elif item:
            values[name] = tuple(parse_item(item, text, size, f"--{prefix}{name.replace('_', '-')}") for text in value)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, Spec):
            values[name] = build(info.annotation, value, size, f"{prefix}{name}.")
        else:
            values[name] = value
    try:
        return spec(**values)
    except SpecError as error:
        raise SpecError("\n".join(_flagged(spec, error, prefix))) from None


def _flagged(spec: type[Spec], error: SpecError, prefix: str) -> Iterator[str]:
    for line in str(error).splitlines():
        name, colon, rest = line.partition(":")
        flag = name in spec.model_fields and (prefix or name not in POSITIONAL)
        yield f"--{prefix}{name.replace('_', '-')}{colon}{rest}" if flag else line


def picture(path: str, size: tuple[int, int] | None):
    """The `ImageInput` of a file, cut to `size` (width, height) or as large as it is."""
    from labkit.image import ImageInput, open_upload

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; give a picture")
    image = open_upload(path)
    return ImageInput.of(image, *(size or image.size))


def parse_item(spec: type[Spec], text: str, size: tuple[int, int] | None, flag: str):
    """`image=a.png,weight=0.5` → the spec. A comma that no field's name follows belongs to the value."""
    names = list(spec.model_fields)
    found = re.split(rf"(?:^|,)({'|'.join(names)})=", text)
    if found[0] or len(found) < 3:
        raise SpecError(f"{flag}: {text!r} must read {','.join(f'{n}=…' for n in names)}")
    values = dict(zip(found[1::2], found[2::2], strict=True))
    for name, info in spec.model_fields.items():
        if name in values and _is_picture(info.annotation):
            values[name] = picture(values[name], size)
    try:
        return spec(**values)
    except SpecError as error:
        raise SpecError(f"{flag}: {error}") from None


def output(path: str | Path, *suffixes: str) -> Path:
    """A path to write to, looked at before the work begins. Raises `SpecError`, `IsADirectoryError`, `PermissionError`."""
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise SpecError(f"{path}: must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{path}: {path.parent} is no folder") from None
    return path
