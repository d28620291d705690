"""Controls from a spec: what a notebook's widgets and an app's components are made of.

A spec's fields are the only place where a bound or a default is declared; `fields` reads them, `build` makes the spec
of the values that came back. Nested specs lie flat: `canvas__width` is the field width of the field canvas. What a measure
looks at besides its fields are arguments of `compute`; `pictures_argument` says which one takes pictures.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from PIL import Image
from pydantic.fields import FieldInfo

from labkit.image import ImageInput
from labkit.spec import Measure, Spec, SpecError

KINDS = {str: "text", int: "int", float: "float", bool: "bool", ImageInput: "image", tuple[str, ...]: "texts",
         tuple[ImageInput, ...]: "images"}
SLIDER_STOPS = 1000  # a slider with more stops cannot be set exactly


@dataclass(frozen=True)
class Control:
    """One field, as something to set.

    name     flat, `canvas__width`.  label  `canvas: width`.
    kind     text, int, float, bool, choice, image, or several of a kind: texts (typed a line each), images.
    default  None where the field has none (`required`) or where None is the default (`optional`).
    minimum, maximum  the smallest and largest value that the spec takes (of a text its length, of several their number);
             None: no bound.
    step     what a slider moves by; one step beyond a bound is refused.  choices  of a choice, in order.
    """

    name: str
    label: str
    kind: str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple = ()
    description: str = ""
    optional: bool = False
    required: bool = False


def fields(spec_cls: type[Spec]) -> list[Control]:
    """The controls of a spec, in the order of its fields. Fields that no control holds (lists of nested specs, say) are
    left out and keep their defaults."""
    return list(_fields(spec_cls, "", None))


def _fields(spec_cls: type[Spec], prefix: str, values: Spec | None) -> Iterable[Control]:
    for name, info in spec_cls.model_fields.items():
        kind, optional, metadata = _unwrap(info)
        missing = values is None and info.is_required()
        default = getattr(values, name) if values is not None else None if missing else _default(info)
        if _nested(kind):
            yield from _fields(kind, f"{prefix}{name}__", default)
            continue
        literal = typing.get_origin(kind) is Literal
        if not literal and kind not in KINDS:
            continue
        shape = {"kind": "choice" if literal else KINDS[kind], "optional": optional, "required": missing}
        if literal:
            shape["choices"] = (None,) * optional + typing.get_args(kind)
        elif kind is not bool and kind is not ImageInput:
            shape |= _bounds(kind, metadata, default)
        label = f"{prefix}{name}".replace("__", ": ").replace("_", " ")
        yield Control(f"{prefix}{name}", label, default=default, description=info.description or "", **shape)


def _default(info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True)


def _nested(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Spec) and kind is not ImageInput


def _unwrap(info: FieldInfo) -> tuple[Any, bool, list]:
    """A field's type without `Optional` and `Annotated`, whether it takes None, and all of its constraints."""
    kind, optional, metadata = info.annotation, False, list(info.metadata)
    while True:
        if typing.get_origin(kind) is Annotated:
            kind, *more = typing.get_args(kind)
            for constraint in more:
                metadata += constraint.metadata if isinstance(constraint, FieldInfo) else [constraint]
        elif typing.get_origin(kind) in (typing.Union, types.UnionType):
            others = [k for k in typing.get_args(kind) if k is not type(None)]
            optional = optional or len(others) < len(typing.get_args(kind))
            if len(others) != 1:
                return kind, optional, metadata
            kind = others[0]
        else:
            return kind, optional, metadata


def _bounds(kind: type, metadata: list, default: Any) -> dict[str, Any]:
    """minimum, maximum and step; an open bound (gt, lt) becomes the last value inside it, one step away."""

    def first(constraint: type, name: str) -> Any:
        return next((getattr(m, name) for m in metadata if isinstance(m, constraint)), None)

    if kind not in (int, float):
        return {"minimum": first(MinLen, "min_length"), "maximum": first(MaxLen, "max_length")}
    low, high = first(Ge, "ge"), first(Le, "le")
    above, below = first(Gt, "gt"), first(Lt, "lt")
    step = first(MultipleOf, "multiple_of")
    ends = [bound for bound in (low, above, high, below) if bound is not None]
    if step is None:
        gaps = [abs(default - end) for end in (above, below) if end is not None] if default is not None else []
        step = 1 if kind is int else _step(ends, default, gaps)
    elif low is not None or high is not None:
        low = low if low is None else math.ceil(low / step) * step
        high = high if high is None else math.floor(high / step) * step
    low = above + step if low is None and above is not None else low
    high = below - step if high is None and below is not None else high
    return {"minimum": low, "maximum": high, "step": step}


def _step(ends: list[float], default: float | None, gaps: list[float]) -> float:
    """A power of ten: a hundredth of the range or less, and fine enough to show the default and reach inside an
    open bound."""
    sizes = [(max(ends) - min(ends)) / 100] if len(ends) > 1 else [0.1]
    sizes += [size for size in [abs(default or 0.0), *gaps] if size]
    return 10.0 ** math.floor(math.log10(min(sizes)) + 1e-9)


def value(control: Control, raw: Any) -> Any:
    """What a control gave, as the spec wants it: an empty optional one is None, 50.0 of an int is 50, texts are the lines
    that are not empty.

    Raises `SpecError` for what is no number, and for a picture that is missing.
    """
    if control.kind == "image":
        if raw is None and control.required:
            raise SpecError(f"{control.name}: is missing; give a picture")
        return raw
    if control.optional and (raw is None or raw == ""):
        return None
    if control.kind == "texts":
        lines = raw.splitlines() if isinstance(raw, str) else raw or ()
        return tuple(line.strip() for line in lines if line.strip())
    if control.kind == "images":
        return tuple(raw or ())
    if control.kind in ("int", "float"):
        try:
            number = float(raw)
        except (TypeError, ValueError):
            raise SpecError(f"{control.name}: give a number; got {raw!r}") from None
        return int(raw) if control.kind == "int" and number.is_integer() else number
    return raw


def build(spec_cls: type[Spec], values: dict[str, Any], others: dict[str, Any] | None = None) -> Spec:
    """The spec of flat values, `{"prompt": …, "canvas__width": 64}`; what is not given keeps its default. `others` are whole
    fields that no control holds.

    A picture (PIL) becomes an `ImageInput` at the width and height beside it, or at its own size.
    """
    controls = chosen(spec_cls, values)
    return _build(spec_cls, {name: value(controls[name], raw) for name, raw in values.items()} | (others or {}), None)


def _build(spec_cls: type[Spec], flat: dict[str, Any], base: Spec | None) -> Spec:
    given = {name: getattr(base, name) for name in spec_cls.model_fields} if base is not None else {}
    inner: dict[str, dict[str, Any]] = {}
    for name, raw in flat.items():
        outer, _, rest = name.partition("__")
        if rest:
            inner.setdefault(outer, {})[rest] = raw
        else:
            given[outer] = raw
    for name, values in inner.items():
        info = spec_cls.model_fields[name]
        start = given.get(name) if base is not None or info.is_required() else _default(info)
        kind = _unwrap(info)[0]
        unchanged = {c.name: c.default for c in fields(kind)} if start is None else {}
        if start is None and not info.is_required() and all(unchanged[k] == v for k, v in values.items()):
            continue
        given[name] = _build(kind, values, start)

    def fitted(picture: Image.Image) -> ImageInput:
        width, height = (given.get(side) or _side(spec_cls, side, picture) for side in ("width", "height"))
        return ImageInput.of(picture, width, height)

    for name, raw in given.items():
        if isinstance(raw, Image.Image):
            given[name] = fitted(raw)
        elif isinstance(raw, tuple) and any(isinstance(item, Image.Image) for item in raw):
            given[name] = tuple(fitted(item) if isinstance(item, Image.Image) else item for item in raw)
    return spec_cls(**given)


def _side(spec_cls: type[Spec], side: str, picture: Image.Image) -> int:
    info = spec_cls.model_fields.get(side)
    return _default(info) if info and not info.is_required() else getattr(picture, side)


def chosen(spec_cls: type[Spec], names: Iterable[str] | None = None) -> dict[str, Control]:
    """Controls by name: those of `names`, in that order (None: all). Raises `SpecError` on a name that none has."""
    controls = {control.name: control for control in fields(spec_cls)}
    if unknown := [name for name in names or () if name not in controls]:
        raise SpecError(f"{', '.join(unknown)}: {spec_cls.__name__} has no such control; it has {', '.join(controls)}")
    return controls if names is None else {name: controls[name] for name in names}


def pictures_argument(measure: type[Measure]) -> str | None:
    """The argument of a measure's `compute` that takes pictures, annotated `list[Image.Image]`; None where there is none."""
    hints = typing.get_type_hints(measure.compute)
    return next((name for name, hint in hints.items() if list[Image.Image] in (hint, *typing.get_args(hint))), None)


def other_arguments(measure: type[Measure]) -> list[str]:
    """What else `compute` cannot do without, besides the lab and pictures: no form can ask for it."""
    _, _, *rest = inspect.signature(measure.compute).parameters.values()
    return [p.name for p in rest if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and p.name != pictures_argument(measure)]  # fmt: skip
