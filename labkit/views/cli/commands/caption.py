"""Captions of pictures, and how well a text fits each: caption FILES … --text "a red apple" """

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from labkit.image import ImageError, open_upload
from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, save_figure, save_table
from labkit.views.cli.terminal import COLUMNS, DONE, LONG, say

TOLD = 10  # files that could not be opened, of which the reason is said


@dataclass
class CaptionOptions:
    """Which pictures, and what is written."""

    files: Positional[Annotated[tuple[str, ...], maybe("Pictures, or folders of them", "FILE …", "(required)")]] = ()
    out: Annotated[str | None, maybe("The first 40 pictures with their captions", "FILE.png")] = None
    csv: Annotated[str | None, maybe("The table", "FILE.csv")] = None
    json: Annotated[str | None, maybe("The table, the model, the text and what was left out", "FILE.json")] = None


def main(args: list[str]) -> int:
    """`labkit caption FILES …`: prints the table; a figure, a CSV and a JSON on request."""
    from labkit.clip.captions import DRAWN, Captions, CaptionsResult, thumb
    from labkit.files import write_atomically

    typed, options = parse("caption", Captions, joined(CaptionOptions, lab_flags(Captions.needs)), args)
    spec, files = typed.build(), pictures_in(options.files)
    out, csv = output(options.out, "--out", ".png"), output(options.csv, "--csv", ".csv")
    kept = output(options.json, "--json", ".json")
    lab = lab_of(options)
    lab.require(spec, say)
    names, thumbs, broken = [], [], {}

    def opened() -> Iterator:
        for path in files:
            try:
                picture = open_upload(path)
            except ImageError as error:
                broken[str(path)] = str(error)
                continue
            names.append(str(path))
            if out and len(thumbs) < DRAWN:
                thumbs.append(thumb(picture))
            yield picture
        if not names:
            raise SpecError(f"{plain(files[0], 200)}: {'is' if len(files) == 1 else f'and {len(files) - 1} more: each is'} no "
                            "picture that can be opened; give PNG, JPEG, WebP or GIF, whole")

    table = spec.of_pictures(lab.blip, opened())
    table.index = names
    for why in list(broken.values())[:TOLD]:
        say(f"left out: {plain(why, LONG)}")
    if len(broken) > TOLD:
        say(f"left out: {len(broken) - TOLD} more files")
    for line in spec.notices(lab.blip):
        say(f"note: {plain(line, LONG)}")
    print(report(table))
    if out:
        save_figure(CaptionsResult(table, spec.text.strip(), tuple(thumbs)).figure(), out, dpi=120)
    if csv:
        save_table(table, csv, index_label="file")
    if kept:
        rows = json.loads(table.rename_axis("file").reset_index().to_json(orient="records"))
        whole = {"model": lab.fingerprints(spec.needs), "spec": spec.model_dump(), "pictures": rows, "left out": broken}
        print(write_atomically(kept, (json.dumps(whole, ensure_ascii=False, indent=1) + "\n").encode()))
    return DONE


def pictures_in(given: tuple[str, ...]) -> list[Path]:
    """The files, and the pictures in the folders, that were named; one that was named twice comes once. Raises `SpecError`,
    `FileNotFoundError`."""
    from labkit.latents.folder import PictureFolder

    if not given:
        raise SpecError("FILE: is missing; give pictures, or a folder with some")
    found: dict[Path, None] = {}
    for path in map(Path, given):
        if path.is_dir():
            found |= dict.fromkeys(PictureFolder.of(path).files)
        elif path.is_file():
            found[path] = None
        else:
            raise FileNotFoundError(f"{plain(path, 200)}: no such file; give a picture, or a folder of pictures")
    return list(found)


def report(table) -> str:
    """The table for a terminal: a line of numbers and the file's name per picture, below it the caption."""
    numbers = [name for name in ("match", "cosine") if name in table.columns]
    left = 9 * len(numbers)
    rows = ["".join(f"{name:>7}  " for name in numbers) + "picture, caption"]
    for name, row in table.iterrows():
        rows.append("".join(f"{row[n]:>7.3f}  " for n in numbers) + plain(name, COLUMNS - left))
        rows.append(" " * (left + 2) + plain(row["caption"], 4 * COLUMNS))
    return "\n".join(rows)
