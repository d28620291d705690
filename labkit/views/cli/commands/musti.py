"""MUSTI's lists of captioned pictures: musti world makes one, musti fetch FILE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.spec import SpecError
from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.outputs import output, output_folder, print_table, save_table
from labkit.views.cli.progress import Progress
from labkit.views.cli.terminal import DONE, say


@dataclass
class MustiOptions:
    """Captioned pictures in MUSTI's format.

    `musti world` draws such a set of the picture world, with texts that match and that do not.
    `musti fetch FILE.json` counts a list's labels, gets its pictures and reports dead links.
    """

    action: Positional[Annotated[Literal["world", "fetch"], arg(help="What to do")]]
    file: Positional[Annotated[str | None, maybe("The list to fetch", "FILE.json")]] = None
    out: Annotated[str | None, maybe("Where the set, or the fetched pictures, go; out/musti-world, out/pictures", "DIR")] = None
    n: Annotated[int, arg(help="world: scenes; each has four texts")] = 200
    split: Annotated[str, arg(help="world: train, val, test or held (held-out combinations)")] = "train"
    seed: Annotated[int, arg(help="world: seed of the first scene")] = 0
    base_url: Annotated[str, arg(metavar="URL", help="world: where the folder will be served; else pictures are files")] = ""
    language: Annotated[str | None, maybe("fetch: only this language, as in en", "CODE")] = None
    report: Annotated[str | None, maybe("fetch: the report of dead links; DIR/dead-links.csv", "FILE.csv")] = None
    again: Annotated[bool, arg(help="fetch: ask again for what was dead or broken for certain")] = False


def main(args: list[str]) -> int:
    """`labkit musti world`, `labkit musti fetch FILE.json`."""
    options = read_options("musti", MustiOptions, args)
    return make(options) if options.action == "world" else fetch(options)


def make(options: MustiOptions) -> int:
    """Draw a set of the picture world."""
    folder = output_folder(options.out or "out/musti-world", "--out")
    from labkit.pairs.pair import label_table
    from labkit.pairs.world import write_world

    progress = Progress()
    try:
        pairs = write_world(folder, options.n, options.split, options.seed, options.base_url, progress.counting("scenes"))
    except ValueError as error:  # of the split and the count
        raise SpecError(f"--{error}") from None
    finally:
        progress.close()
    print_table(label_table(pairs))
    print(folder / "musti.json")
    return DONE


def fetch(options: MustiOptions) -> int:
    """Get the pictures of a list."""
    if not options.file:
        raise SpecError("musti fetch: give the list, a JSON file")
    folder = output_folder(options.out or "out/pictures", "--out")
    to = output(options.report or folder / "dead-links.csv", "--report", ".csv")
    from labkit.pairs.musti import read_musti
    from labkit.pairs.pair import label_table
    from labkit.pairs.pictures import fetch_pictures

    pairs = read_musti(Path(options.file), [options.language] if options.language else [])
    print_table(label_table(pairs))
    progress = Progress()
    try:
        found = fetch_pictures(pairs, folder, again=options.again, done=progress.counting("pictures"))
    finally:
        progress.close()
    save_table(found.report, to, index=False)
    states = found.report["state"].value_counts()
    told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none dead, none broken"
    say(f"pictures left out: {told}")
    print(f"{len(found.pairs)} of {len(pairs)} pairs have their picture at hand")
    return DONE
