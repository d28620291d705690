"""The models: zoo list shows them, zoo get NAME fetches one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.progress import Progress
from labkit.views.cli.terminal import DONE, say


@dataclass
class ZooOptions:
    """The models: `zoo list` shows them, `zoo get NAME` fetches one (and converts it into safetensors)."""

    action: Positional[Annotated[Literal["list", "get"], arg(help="What to do")]] = "list"
    name: Positional[Annotated[str | None, maybe("Of the model to get", "NAME")]] = None


def main(args: list[str]) -> int:
    """`labkit zoo list`, `labkit zoo get NAME`."""
    options = read_options("zoo", ZooOptions, args)
    from labkit import zoo as registry

    if options.action == "list":
        rows = [("name", "kind", "size", "licence", "here")]
        for e in registry.entries():
            kind = f"{e.kind} (pocket)" if e.pocket else e.kind
            rows.append((e.name, kind, f"{e.size / 1e6:.1f} MB", plain(e.licence, 24), "yes" if e.at_hand else "no"))
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        for row in rows:
            print("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]))
        say("zoo get NAME fetches one that is not here")
        return DONE
    if not options.name:
        raise SpecError("zoo get: give a NAME; `zoo list` shows them")
    progress = Progress()
    try:
        path = registry.get(options.name, progress=progress.bytes)
    finally:
        progress.close()
    print(path)
    return DONE
