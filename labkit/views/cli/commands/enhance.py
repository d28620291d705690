"""Enhance a picture by a search that says what it has done: enhance photo.jpg --out better.png"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from labkit.files import write_atomically
from labkit.spec import SpecError
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, save_figure
from labkit.views.cli.progress import Progress
from labkit.views.cli.running import slug, told
from labkit.views.cli.terminal import DONE, INTERRUPTED, say

QUALITY = 95  # of a JPEG that is written


@dataclass
class EnhanceOptions:
    """Enhance a picture of any size by a search over recipes; what was done is said, and kept beside or in the picture."""

    file: Positional[Annotated[str, maybe("Picture to enhance", "FILE", "(required)")]] = ""
    out: Annotated[str | None, maybe("The picture; a .jpg has its recipe beside it; in out/ unless given", "FILE")] = None
    recipe: Annotated[str | None, maybe("Do not search: apply this recipe (.json, or a .png that was enhanced)", "FILE")] = None
    tree: Annotated[str | None, maybe("Also the search's tree, drawn", "FILE.png")] = None


def main(args: list[str]) -> int:
    """`labkit enhance FILE`."""
    from labkit.methods.enhance import Enhance, apply
    from labkit.views.cli.values import opened

    options_class = joined(EnhanceOptions, lab_flags(Enhance.needs))
    typed, options = parse("enhance", Enhance, options_class, args, skip=("picture",))
    if not options.file:
        raise SpecError("FILE: is missing; give a picture: labkit enhance photo.jpg")
    out = output(options.out or f"out/{slug(Path(options.file).stem)}-enhanced.png", "--out", ".png", ".jpg", ".jpeg")
    drawn = output(options.tree, "--tree", ".png")
    image = opened(options.file, "FILE")
    if options.recipe:
        recipe = recipe_of(options.recipe)
        write(out, apply(recipe, image), recipe)
        print(f"{out}: {recipe.words()}")
        return DONE
    return _search(typed, options, image, out, drawn)


def _search(typed, options, image, out: Path, drawn: Path | None) -> int:
    from labkit.image import ImageInput
    from labkit.image.adjust import Adjustments
    from labkit.methods.enhance import apply
    from labkit.runs.result import collect

    small = within(image)
    spec = typed.build(picture=ImageInput.of(small, *small.size))
    lab, progress, last = lab_of(options), Progress(), []
    lab.require(spec, progress.note)

    def on_step(step, result) -> None:
        progress(step, result)
        last[:] = [step]

    try:
        result = collect(spec, lab, on_step=on_step)
    finally:
        progress.close()
    if not last:
        say("stopped before the first step; nothing is saved")
        return INTERRUPTED
    found = last[0].extras["found"]
    recipe = Adjustments(**found["adjustments"])
    if small is image and out.suffix == ".png":
        result.save(out)  # its recipe makes the search again
    else:
        write(out, apply(recipe, image), recipe)
    told(out, result, lab)
    print(f"{recipe.words()} ({len(last[0].extras['tree'])} recipes seen"
          f"{', the search was settled' if last[0].extras['settled'] else ''})")
    if drawn:
        from labkit.evaluation.enhance_figures import tree_figure

        save_figure(tree_figure(small, last[0].extras["tree"], last[0].extras["node"]), drawn, dpi=100)
    if result.interrupted:
        say(f"stopped after {result.steps_done} of {result.n} steps; the best so far is kept: {out}")
        return INTERRUPTED
    return DONE


def within(image):
    """The picture itself, or a copy that is small enough for a spec, of the same shape."""
    from PIL import Image

    from labkit.image.inputs import MAX_INPUT_PIXELS

    if image.width * image.height <= MAX_INPUT_PIXELS:
        return image
    scale = (MAX_INPUT_PIXELS / (image.width * image.height)) ** 0.5
    size = [max(1, int(side * scale)) for side in image.size]
    return image.resize(size, Image.Resampling.LANCZOS)


def recipe_of(path: str):
    """The adjustments in a JSON file or in the PNG of an enhanced picture. Raises errors that name the file."""
    from labkit.image import read_recipe
    from labkit.image.adjust import Adjustments
    from labkit.text import plain

    named = f"--recipe: {plain(path, 200)}"
    if Path(path).suffix.lower() == ".png":
        found = read_recipe(path).get("found")
    else:
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpecError(f"{named}: cannot be read as JSON ({plain(error)})") from None
    values = found.get("adjustments", found) if isinstance(found, dict) else None
    if not isinstance(values, dict):
        raise SpecError(f"{named}: holds no adjustments; give what `labkit enhance` wrote")
    try:
        return Adjustments(**values)
    except (SpecError, TypeError) as error:
        raise SpecError(f"{named}: {error}") from None


def write(out: Path, image, recipe) -> None:
    """The picture with its adjustments: in the PNG, or beside the JPEG as JSON."""
    from labkit.data import version
    from labkit.image import ImageError, save_png

    about = {"labkit": version(), "found": {"adjustments": recipe.moved, "words": recipe.words()}}
    if out.suffix == ".png":
        try:
            save_png(image, out, about)
        except ImageError as error:
            raise ImageError(f"--out: {error}, or give a name that ends in .jpg: its recipe then lies beside it") from None
        return
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY)
    write_atomically(out, buffer.getvalue())
    write_atomically(out.with_suffix(".json"), json.dumps(about, indent=1).encode())
