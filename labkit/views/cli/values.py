"""What was typed becomes a spec: pictures from files, items of lists, and refusals that name the flag."""

from __future__ import annotations

import json
import os
import re
import types
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from labkit.image import ImageError, ImageInput, open_upload
from labkit.prompt import PromptError
from labkit.spec import Spec, SpecError
from labkit.text import plain

Size = tuple[int, int]  # width, height


@dataclass
class Typed:
    """What was typed for a spec: field → value, a nested spec's as `Typed`, a picture's as its file; `build` makes the spec.

    `short` names the flags of fields that have a shorter one: {"init": "--init"} of a canvas. A required field of `optional`
    may be None: `build` is given it.
    """

    spec: type[Spec]
    values: dict[str, Any]
    short: dict[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def build(self, **changes: Any):
        """The spec, with fields that got no flag in `changes`. Raises `SpecError` with the flags' names in its lines."""
        return self._build("", self.canvas, changes)

    @property
    def canvas(self) -> Size | None:
        """The size of the one part that has a size. Where the default is 0, the model's own, pictures stay as they are: the run
        brings them to it."""
        sizes = [size for inner in self.values.values() if isinstance(inner, Typed) and (size := _size(inner.values))
                 and inner.spec.model_fields["width"].default != 0]
        return sizes[0] if len(sizes) == 1 else None

    def value(self, path: list[str], text: str, flag: str) -> Any:
        """A text as the field at the path takes it: a text as it is, a picture from its file, numbers, true and None as what
        they are; as it is, too, where there is no such field."""
        holder, info, size = self, None, self.canvas
        for name in path:
            if not isinstance(holder, Typed) or name not in holder.spec.model_fields:
                return text
            info, size = holder.spec.model_fields[name], _size(holder.values) or size
            holder = holder.values.get(name)
        kind = _bare(info.annotation)
        if kind is ImageInput:
            return picture(text, size, flag)
        if text == "None" and type(None) in get_args(info.annotation):
            return None
        if kind is str:
            return text
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, int | float) else text

    @property
    def untouched(self) -> bool:
        """Whether every value is its field's default."""
        fields = self.spec.model_fields
        return all(value.untouched if isinstance(value, Typed) else value in (fields[name].default, ())
                   for name, value in self.values.items())

    def _build(self, prefix: str, around: Size | None, changes: dict[str, Any]):
        size = _size(self.values) or around  # a picture has the size that stands beside it, or that of the canvas
        values = dict(changes)
        for name, value in self.values.items():
            info, flag = self.spec.model_fields[name], self._flag(prefix, name)
            if value is None and name in self.optional:
                continue
            if isinstance(value, Typed):
                left = info.default is None and value.untouched  # a part that need not be there
                values[name] = None if left else value._build(f"{prefix}{name}.", size, {})
            elif item := item_of(info.annotation):
                if value:  # else the spec's own default
                    values[name] = tuple(_item(item, one, size, flag) for some in value for one in some)
            elif is_picture(info.annotation) and isinstance(value, str):
                values[name] = picture(value, size, flag)
            else:
                values[name] = value
        try:
            return self.spec(**values)
        except SpecError as error:
            raise SpecError("\n".join(self._told(line, prefix) for line in str(error).splitlines())) from None

    def _flag(self, prefix: str, name: str) -> str:
        return self.short.get(name) or f"--{prefix}{name.replace('_', '-')}"

    def _told(self, line: str, prefix: str) -> str:
        """A line of a refusal, `width: …`, with the flag in place of the field."""
        name, colon, rest = line.partition(":")
        first, dot, inner = name.partition(".")
        if first not in self.spec.model_fields or (not prefix and first == "prompt"):
            return line
        return f"{self._flag(prefix, first)}{dot}{inner.replace('_', '-')}{colon}{rest}"


def _size(values: dict[str, Any]) -> Size | None:
    width, height = values.get("width"), values.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def picture(path: str, size: Size | None, flag: str) -> ImageInput:
    """The `ImageInput` of a file, cut to `size` (width, height) or as large as it is. Raises errors that name flag and file."""
    image = opened(path, flag)
    try:
        return ImageInput.of(image, *(size or image.size))
    except (ImageError, SpecError) as error:
        raise ImageError(f"{flag}: {plain(path)}: {error}") from None


def opened(path: str, flag: str):
    """The picture (RGB) in a file, looked at as a stranger's. Raises errors that name flag and file."""
    named = f"{flag}: {plain(path)}"
    if os.path.isdir(path):
        raise IsADirectoryError(f"{named}: is a folder; give a picture")
    if not os.path.isfile(path):  # pathlib's raises for a name that no file can have
        raise FileNotFoundError(f"{named}: no such file; give a picture")
    try:
        return open_upload(path)
    except ImageError as error:
        raise ImageError(f"{flag}: {error}") from None


def _item(kind: Any, value: Any, size: Size | None, flag: str) -> Any:
    """One item of a list: a picture's file, a spec as text, or what tyro has read already."""
    if is_picture(kind):
        return picture(value, size, flag)
    return parse_item(kind, value, size, flag) if nested_of(kind) else value


def parse_item(spec: type[Spec], text: str, size: Size | None, flag: str):
    """`image=a.png,weight=0.5` → the spec. A comma that no field's name follows belongs to the value."""
    names = list(spec.model_fields)
    found = re.split(rf"(?:^|,)({'|'.join(names)})=", text)
    if found[0] or len(found) < 3:
        raise SpecError(f"{flag}: {text!r} must read {','.join(f'{n}=…' for n in names)}")
    given = found[1::2]
    if twice := [name for name in given if given.count(name) > 1]:
        raise SpecError(f"{flag}: {text!r} gives {twice[0]} twice; give it once")
    values = dict(zip(given, found[2::2], strict=True))
    for name, info in spec.model_fields.items():
        if name in values and is_picture(info.annotation):
            values[name] = picture(values[name], size, flag)
    try:
        return spec(**values)
    except (SpecError, PromptError) as error:
        raise SpecError(f"{flag}: {error}") from None


def is_picture(kind: Any) -> bool:
    """Whether a field takes a picture (or none)."""
    return _bare(kind) is ImageInput


def nested_of(kind: Any) -> type[Spec] | None:
    """The spec that a field is (or None beside it), None for every other type and for pictures."""
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, Spec) and kind is not ImageInput else None


def item_of(kind: Any) -> Any:
    """The X of a `tuple[X, ...]` or `list[X]`; None for every other type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list or (origin is tuple and len(inner) == 2 and inner[1] is Ellipsis):
        return _bare(inner[0])
    return None


def _bare(kind: Any) -> Any:
    """A type without `Annotated` and without None beside it."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        others = [k for k in get_args(kind) if k is not type(None)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind
