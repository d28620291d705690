"""A published checkpoint (a pickle) into safetensors, safely: convert last.ckpt vqgan.safetensors"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.text import plain
from labkit.views.cli import DONE
from labkit.views.cli.flags import read_options
from labkit.views.cli.outputs import output


@dataclass
class ConvertOptions:
    """A published checkpoint into safetensors that describe themselves. No code in it is run."""

    src: Positional[Annotated[str, arg(metavar="SRC", help="The checkpoint, such as last.ckpt")]] = field(kw_only=True)
    dst: Positional[Annotated[str, arg(metavar="DST", help="The safetensors to write")]] = field(kw_only=True)
    kind: Annotated[str, arg(help="What it is of: vqgan or diffusion", metavar="KIND")] = "vqgan"


def main(args: list[str]) -> int:
    """`labkit convert SRC DST`."""
    options = read_options("convert", ConvertOptions, args)
    if Path(options.src).is_dir():
        raise IsADirectoryError(f"SRC: {plain(options.src)}: is a folder; give a checkpoint")
    if not Path(options.src).is_file():
        raise FileNotFoundError(f"SRC: {plain(options.src)}: no such file")
    out = output(options.dst, "DST", ".safetensors")
    from labkit import zoo

    print(zoo.convert(options.src, out, options.kind))
    return DONE
