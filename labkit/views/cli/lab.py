"""The lab's flags: the models, by kind, the device and the precision."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import Annotated, Any, Literal, get_args

from tyro.conf import arg

from labkit.kinds import KINDS
from labkit.spec import Precision, SpecError
from labkit.views.cli.flags import maybe

DEVICES = "cpu, cuda, cuda:1 or mps; unless given, cuda where there is one"

def lab_flags(needs: tuple[str, ...] | None = None) -> type:
    """A dataclass of flags: a name per kind of model in `needs` (None: every kind that takes one), device, precision. A kind
    that has another's model unless told otherwise comes with that one's flag."""
    wanted = set(KINDS) if needs is None else {*needs, *(KINDS[kind].role_of for kind in needs)}
    fields = [(name, Annotated[str | None, maybe(kind.help, "NAME")], field(default=None))
              for name, kind in KINDS.items() if kind.help and name in wanted]
    fields += [("device", Annotated[str | None, maybe(DEVICES, "NAME")], field(default=None)),
               ("precision", Annotated[Literal[get_args(Precision)], arg(
                   help="Of CLIP's image tower; auto: bf16 where the processor gains by it")], field(default="auto"))]
    return make_dataclass("LabFlags", fields, namespace={"__module__": __name__, "__doc__": "The models."})


def lab_of(options: Any):
    """The lab that the flags ask for. Raises `SpecError` where there is no such device here."""
    from labkit.lab import Lab

    taken = [name for name, kind in KINDS.items() if kind.help]
    names = {kind: name for kind in taken if (name := getattr(options, kind, None)) is not None}
    return Lab(**names, device=checked_device(options.device), precision=options.precision)


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
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SpecError(f"--device: there is no {name} here; there are {torch.cuda.device_count()} of them, counted from 0")
    return device
