"""The commands that open or show something: demo, world, lab, apps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

import labkit
from labkit.spec import SpecError
from labkit.views.cli import DONE, FAILED, say
from labkit.views.cli.flags import maybe, output, read_options

ROOT = Path(labkit.__file__).resolve().parents[1]


@dataclass
class DemoOptions:
    """Paint a few prompts; one page shows them with what the judge saw and did not find."""

    out: Annotated[str, arg(metavar="DIR", help="Where pictures and page go")] = "out/demo"
    steps: Annotated[int | None, maybe("Optimiser steps a picture; 200, or 20 with --quick", "INT")] = None
    seed: Annotated[int, arg(help="Seed of every picture")] = 0
    quick: Annotated[bool, arg(help="Two pictures and few steps: does it run at all?")] = False
    jobs: Annotated[int | None, maybe("Processes; one per core unless given", "INT")] = None


def demo(args: list[str]) -> int:
    """`labkit demo`: exit code 1 if a picture is missing."""
    from labkit.views.demo import paint as view

    options = read_options("demo", DemoOptions, args)
    out = Path(options.out)
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out: {out} is a file; give a folder")
    setup = os.environ.get("LABKIT_SETUP_SECONDS", "")
    prompts = view.PROMPTS[:2] if options.quick else view.PROMPTS
    steps = (20 if options.quick else 200) if options.steps is None else options.steps
    made = view.demo(out, prompts, steps, options.seed, n_jobs=options.jobs, progress=say,
                     setup_seconds=float(setup) if setup.isdigit() else None)
    print(view.report(made))
    return FAILED if made.missing else DONE


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


def world(args: list[str]) -> int:
    """`labkit world --out FILE.png`."""
    options = read_options("world", WorldOptions, args)
    out = output(options.out, ".png")
    from labkit.world.sheet import world_sheet

    fixed = {name: getattr(options, name) for name in ("subject", "colour", "setting", "style", "two")}
    try:
        sheet = world_sheet(options.n, options.seed, options.split, sketch=options.sketch, captions=options.captions, **fixed)
    except ValueError as error:  # names and counts; whatever else is wrong has its own kind of error
        raise SpecError(f"--{error}") from None
    sheet.save(out)
    print(f"{out}: {options.n} scenes, {sheet.width} × {sheet.height} px")
    return DONE


def lab(args: list[str]) -> int:
    """`labkit lab …`: JupyterLab on the notebooks, bound to this machine; further arguments are JupyterLab's own."""
    notebooks = _in_checkout("notebooks")
    return _hand_over(["-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={notebooks}", *args], None)


def apps(args: list[str]) -> int:
    """`labkit apps …`: the studio; further arguments are its own."""
    _in_checkout("apps/studio.py")
    return _hand_over(["-m", "apps.studio", *args], ROOT)


def _in_checkout(name: str) -> Path:
    path = ROOT / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is not here: an installed labkit carries neither notebooks nor apps. Run this "
                                "command in a checkout of labkit, after `pip install -e . --no-deps`")
    return path


def _hand_over(command: list[str], cwd: Path | None) -> int:
    """Run Python with these arguments until it ends; Ctrl-C reaches it too, and it is waited for."""
    process = subprocess.Popen([sys.executable, *command], cwd=cwd)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
