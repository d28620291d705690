"""A published checkpoint (a pickle) into safetensors, safely: convert last.ckpt vqgan.safetensors"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.outputs import output
from labkit.views.cli.terminal import DONE


@dataclass
class ConvertOptions:
    """A published checkpoint into safetensors that describe themselves. No code in it is run."""

    src: Positional[Annotated[str, arg(metavar="SRC", help="The checkpoint, such as last.ckpt")]] = field(kw_only=True)
    dst: Positional[Annotated[str, arg(metavar="DST", help="The safetensors to write")]] = field(kw_only=True)
    kind: Annotated[str | None, maybe("vqgan or diffusion; unless given, what the file holds", "KIND")] = None
    part: Annotated[str | None, maybe("Of a file that holds several models: the entry to take", "NAME")] = None


def main(args: list[str]) -> int:
    """`labkit convert SRC DST`."""
    options = read_options("convert", ConvertOptions, args)
    out = output(options.dst, "DST", ".safetensors")
    from labkit.models.convert import convert as convert_checkpoint

    print(convert_checkpoint(options.src, out, options.kind, options.part))
    return DONE
