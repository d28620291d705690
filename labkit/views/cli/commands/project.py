"""A folder of pictures as a map to explore in a browser: project FOLDER --space clip --out map.html"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, save_figure, save_table
from labkit.views.cli.terminal import DONE, LONG, say

EVERY = 500  # pictures between two lines of progress
TOLD = 10  # files that could not be opened, of which the reason is said


@dataclass
class ProjectOptions:
    """Which pictures, and what is written."""

    folder: Positional[Annotated[str, maybe("Pictures, in subfolders too", "FOLDER", "(required)")]] = ""
    captions: Annotated[str | None, maybe("Texts of the pictures: columns file_name and text; others become labels",
                                          "FILE.csv|FILE.jsonl")] = None
    beside: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], maybe(
        "More maps of the same pictures, linked with the first: a space, or a space and a way, as in vqgan-mean/pca",
        "SPACE[/WAY] …")] = ()
    out: Annotated[str, arg(metavar="FILE.html", help="The map: one file, for any browser, needs no network")] = "out/map.html"
    png: Annotated[str | None, maybe("The first map as a figure", "FILE.png")] = None
    csv: Annotated[str | None, maybe("Names, captions, labels and places", "FILE.csv")] = None
    jobs: Annotated[int, arg(help="Threads of t-SNE; with more than one the map differs a little from run to run")] = 1


def main(args: list[str]) -> int:
    """`labkit project FOLDER`."""
    from labkit.image import to_rgb
    from labkit.latents.folder import PictureFolder
    from labkit.latents.maps import enough
    from labkit.latents.projection import Projection
    from labkit.latents.sources import SOURCES, embed_all
    from labkit.views.explorer.page import write_page
    from labkit.views.explorer.points import points_of, side_of, thumbnail

    typed, options = parse("project", Projection, joined(ProjectOptions, lab_flags(Projection.needs)), args)
    if not options.folder:
        raise SpecError("FOLDER: is missing; give one with pictures")
    first = typed.build()
    specs = [first, *(beside(first, one) for some in options.beside for one in some)]
    out = output(options.out, "--out", ".html", ".htm")
    png, csv = output(options.png, "--png", ".png"), output(options.csv, "--csv", ".csv")
    folder = PictureFolder.of(options.folder, options.captions)
    n = len(folder.files)

    def fits() -> None:  # before the work, and again when it is known which pictures can be opened
        for spec in specs:
            try:
                enough(len(folder.files), spec.way, spec.perplexity)
            except SpecError as error:
                raise SpecError(f"{plain(options.folder, 200)}: {error}") from None

    fits()
    lab = lab_of(options)
    for spec in specs:
        lab.require(spec, say)
    thumbs, side = [], side_of(n)

    def seen(picture) -> None:
        thumbs.append(thumbnail(to_rgb(picture), side))
        if len(thumbs) % EVERY == 0:
            say(f"{len(thumbs)} of {n} pictures")

    vectors = embed_all(lab, [spec.space for spec in specs], counted(folder.pictures(seen), options.folder))
    for name, why in list(folder.skipped.items())[:TOLD]:
        say(f"left out: {plain(why, LONG)}" if name in why else f"left out: {plain(name)}: {plain(why, LONG)}")
    if len(folder.skipped) > TOLD:
        say(f"left out: {len(folder.skipped) - TOLD} more files")
    fits()
    results = [spec.of_vectors(vectors[spec.space], folder.names, thumbs=thumbs, jobs=options.jobs) for spec in specs]
    for result in results:
        for line in result.notices:
            say(f"{result.space}: {line}")
    models = ", ".join(f"{SOURCES[s].kind} {lab.names[SOURCES[s].kind]}" for s in vectors)
    note = f"{len(folder.names)} pictures of {Path(options.folder).resolve().name}; models: {models}"
    points = points_of(results, folder.captions, folder.labels, note)
    write_page(points, out, f"Map of {Path(options.folder).resolve().name}")
    print(out)
    say(f"to send its pictures to methods: python -m labkit apps --map {shlex.quote(str(out))} --folder "
        f"{shlex.quote(options.folder)}")
    if png:
        save_figure(results[0].figure(), png, dpi=120)
    if csv:
        save_table(points.frame, csv, index=False)
    return DONE


def beside(first, text: str):
    """The spec of one more map: `SPACE` or `SPACE/WAY`. Raises `SpecError`."""
    space, _, way = text.partition("/")
    try:
        return first.but(space=space, **({"way": way} if way else {}))
    except SpecError as error:
        raise SpecError(f"--beside: {plain(text)}: {error}") from None


def counted(pictures, folder: str):
    """The pictures. Raises `SpecError` after the last where there was none."""
    k = 0
    for k, picture in enumerate(pictures, 1):  # noqa: B007
        yield picture
    if not k:
        raise SpecError(f"{plain(folder, 200)}: none of its pictures can be opened; give PNG, JPEG, WebP or GIF, whole")
