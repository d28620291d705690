"""Make a picture again from the recipe in its PNG, and compare."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.text import plain
from labkit.views.cli.flags import joined, maybe, read_options
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output
from labkit.views.cli.terminal import DONE, INTERRUPTED, LONG, say


@dataclass
class ReplayOptions:
    """Make a picture again from the recipe in its PNG, as far as it had gone, and compare the two."""

    file: Positional[Annotated[str, arg(metavar="FILE.png", help="A PNG that labkit saved")]] = field(kw_only=True)
    out: Annotated[str | None, maybe("The new picture, with its recipe", "FILE.png")] = None


def main(args: list[str]) -> int:
    """`labkit replay FILE.png --out FILE.png`."""
    options = read_options("replay", joined(ReplayOptions, lab_flags()), args)
    out, file = output(options.out, "--out", ".png"), Path(options.file)
    if os.path.isdir(file):
        raise IsADirectoryError(f"{plain(file)}: is a folder; give a PNG that labkit saved")
    if not os.path.isfile(file):
        raise FileNotFoundError(f"{plain(file)}: no such file")
    from labkit.runs.replay import replay as again

    say(f"replaying {plain(file)}")
    made = again(file, lab_of(options))
    if out and made.result.image is not None:
        made.result.save(out)
        print(out)
    if made.result.interrupted:
        say("stopped before the end")
        return INTERRUPTED
    if made.identical:
        print("the same picture, bit for bit")
    elif math.isnan(made.psnr):
        print("another picture, not comparable")
    else:
        print(f"not the same picture: PSNR {made.psnr:.1f} dB")
    for line in made.differences:
        print(f"  {plain(line, LONG)}")
    return DONE
