"""A contact sheet of the picture world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from labkit.spec import SpecError
from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.outputs import output, save_sheet
from labkit.views.cli.terminal import DONE


@dataclass
class WorldOptions:
    """A contact sheet of the picture world."""

    out: Annotated[str, arg(metavar="FILE.png", help="The sheet")] = "out/world.png"
    n: Annotated[int, arg(help="Scenes")] = 48
    seed: Annotated[int, arg(help="Seed of the first scene")] = 0
    split: Annotated[str, arg(help="train, val, test, held (held-out combinations) or judge")] = "train"
    subject: Annotated[str | None, maybe("Only this subject, as in vase_of_flowers", "NAME")] = None
    colour: Annotated[str | None, maybe("Only this colour", "NAME")] = None
    setting: Annotated[str | None, maybe("Only this setting, as in dark_corner", "NAME")] = None
    style: Annotated[str | None, maybe("Only this style, as in watercolour", "NAME")] = None
    two: Annotated[bool | None, maybe("True: two subjects each; False: one; else one scene in five has two", "BOOL")] = None
    sketch: Annotated[bool, arg(help="The scenes' line art")] = False
    captions: Annotated[bool, arg(help="A caption under each picture")] = False


def main(args: list[str]) -> int:
    """`labkit world --out FILE.png`."""
    options = read_options("world", WorldOptions, args)
    out = output(options.out, "--out", ".png")
    from labkit.world.sheet import world_sheet

    fixed = {name: getattr(options, name) for name in ("subject", "colour", "setting", "style", "two")}
    try:
        sheet = world_sheet(options.n, options.seed, options.split, sketch=options.sketch, captions=options.captions, **fixed)
    except ValueError as error:  # names and counts; whatever else is wrong has its own kind of error
        raise SpecError(f"--{error}") from None
    save_sheet(sheet, out)
    print(f"{out}: {options.n} scenes, {sheet.width} × {sheet.height} px")
    return DONE
