"""Flags from specs: tyro reads a spec's fields as flags, and what was typed becomes the spec again.

A field's type, default, bounds and description are read from the spec and declared nowhere else. tyro asks `_read` for the
fields of every spec, nested ones too, and gets back what was typed (`Typed`) instead of the spec: a picture is brought to the
size of its canvas, which is known once all is typed, and a refusal names the flag. Lists add up: `--texts a b --texts c`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import make_dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_origin

import tyro
from pydantic.fields import FieldInfo
from tyro.conf import Positional, UseAppendAction, arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from labkit.image import ImageInput
from labkit.spec import Spec
from labkit.views.cli.values import Typed, is_picture, item_of, nested_of

POSITIONAL = ("prompt",)
FILE = PrimitiveConstructorSpec(nargs=1, metavar="FILE", instance_from_str=lambda typed: typed[0],
                                is_instance=lambda value: value is None or isinstance(value, str | ImageInput),
                                str_from_instance=lambda value: [str(value)])


def maybe(help: str, metavar: str, hint: str = ""):
    """What tyro shows of an option that may be left out: not `{None}|STR`, not `default: None`, but `hint`."""
    return arg(help=help, metavar=metavar, help_behavior_hint=hint)


def joined(*parts: type) -> type:
    """One dataclass of options with the fields of several; the first one's docstring is its description."""
    space = {"__module__": __name__, "__doc__": parts[0].__doc__}  # not a part's module, where tyro would look for its source
    return make_dataclass("Options", [], bases=parts, namespace=space)


def parse(command: str, spec: type[Spec], options: type, args: list[str], skip: tuple[str, ...] = (),
          optional: tuple[str, ...] = ()) -> tuple[Typed, Any]:
    """(`Typed`, options): the flags of a spec and of a dataclass of options, read from `args`.

    `skip` names fields of the spec that get no flag, `optional` fields that need not be typed though they are required. Ends
    the process with code 2 where tyro cannot read them.
    """
    both = make_dataclass("Flags", [
        ("spec", Annotated[spec, arg(name="")]), ("options", Annotated[options, arg(name="")]),
    ], namespace={"__module__": __name__})  # fmt: skip  (tyro looks for the source of a class and must find none)
    registry = ConstructorRegistry()
    short = _short_names(spec, {*spec.model_fields, *options.__dataclass_fields__})
    optional = tuple(name for name in optional if name in spec.model_fields and spec.model_fields[name].is_required())
    registry.struct_rule(partial(_read, root=spec, skip=skip, optional=optional, short=short))
    with registry:
        found = tyro.cli(both, prog=f"labkit {command}", description=(spec.__doc__ or spec.__name__).strip(), args=args)
    return found.spec, found.options


def read_options(command: str, options: type, args: list[str]):
    """The options of a command that has no spec; the class's docstring is its description."""
    return tyro.cli(options, prog=f"labkit {command}", args=args)


def _read(info: StructTypeInfo, root: type[Spec], skip: tuple[str, ...], optional: tuple[str, ...],
          short: dict) -> StructConstructorSpec | None:
    """What tyro makes of a spec: a flag a field, and `Typed` of what was typed. None for what is no spec."""
    spec = info.type
    if not (isinstance(spec, type) and issubclass(spec, Spec)):
        return None
    fields = []
    for name, field in spec.model_fields.items():
        if spec is root and name in skip:
            continue
        default = getattr(info.default, name) if isinstance(info.default, Spec) else _default(field)
        kind, shown = _flag(field, name, default)
        if alias := short.get((spec, name)):
            shown["aliases"] = [alias]
        if item_of(field.annotation):  # what was not typed keeps the spec's own default, which a list would add to
            default = ()
        if nested_of(field.annotation) and default is None:
            default = tyro.MISSING  # its flags have its fields' defaults
        if spec is root and name in optional:
            kind, default, shown["help_behavior_hint"] = kind | None, None, ""
        kind = Annotated[kind, arg(**shown)]
        kind = Positional[kind] if spec is root and name in POSITIONAL else kind
        fields.append(StructFieldSpec(name=name, type=kind, default=default, helptext=described(field)))

    def typed(**values: Any) -> Typed:
        names = {name: short[spec, name] for name in values if (spec, name) in short}
        return Typed(spec, values, names, optional if spec is root else ())

    typed.__doc__ = spec.__doc__
    return StructConstructorSpec(instantiate=typed, fields=tuple(fields))


def _default(field: FieldInfo) -> Any:
    return tyro.MISSING if field.is_required() else field.get_default(call_default_factory=True)


def _flag(field: FieldInfo, name: str, default: Any) -> tuple[Any, dict]:
    """The type that tyro reads, and how it shows it."""
    kind, item, help_ = field.annotation, item_of(field.annotation), described(field)
    hint = "(required)" if default is tyro.MISSING else ""
    if is_picture(kind):
        return Annotated[str | None, FILE], {"help": help_, "metavar": "FILE", "help_behavior_hint": hint}
    if item:
        if nested_of(item):
            parts = item.model_fields.items()
            shape = ",".join(f"{n}={'FILE' if is_picture(f.annotation) else 'VALUE'}" for n, f in parts)
            help_ = f"{help_}; each {shape} (those after the first may be left out)"
        plain = str if nested_of(item) or is_picture(item) else item
        metavar = "ITEM" if nested_of(item) else "FILE" if is_picture(item) else name.upper().rstrip("S")
        many = UseAppendAction[tuple[tuple[plain, ...], ...]]
        hint = hint or (f"(default: {' '.join(map(str, default))})" if default else "")
        return many, {"help": help_, "metavar": f"{metavar} …", "help_behavior_hint": hint}
    if inner := nested_of(kind):
        return inner, {"help": help_}
    return kind, {"help": help_, **({"metavar": name.upper()} if name in POSITIONAL else {})}


def _short_names(spec: type[Spec], taken: set[str]) -> dict[tuple[type[Spec], str], str]:
    """`--init` for the picture at `--canvas.init`, where nothing else is called so."""
    found = [(inner, name) for inner, name, top in _pictures(spec) if not top]
    count = Counter(name for _, name in found)
    return {(inner, name): f"--{name.replace('_', '-')}" for inner, name in found if count[name] == 1 and name not in taken}


def _pictures(spec: type[Spec], top: bool = True) -> Iterator[tuple[type[Spec], str, bool]]:
    for name, field in spec.model_fields.items():
        if is_picture(field.annotation):
            yield spec, name, top
        elif inner := nested_of(field.annotation):
            yield from _pictures(inner, False)


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
