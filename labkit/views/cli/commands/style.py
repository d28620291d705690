"""A picture in a style that words name, by CLIPstyler: style photo.png "a watercolour"; or in one that was learnt before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from labkit.spec import SpecError
from labkit.views.cli.flags import maybe, read_options
from labkit.views.cli.outputs import output
from labkit.views.cli.running import POCKET, More, run_method, slug
from labkit.views.cli.terminal import DONE
from labkit.views.cli.values import Typed, opened

LONGEST = 256
HOW = 'give a picture and a style in quotes: labkit style FILE "a watercolour"; or FILE --use STYLE.safetensors'


@dataclass
class Kept:
    """What becomes of the picture before the run, and of the style after it."""

    longest: Annotated[int, arg(help="Longest side in pixels; a larger picture is made smaller")] = LONGEST
    save: Annotated[str | None, maybe("Also keep the style that was learnt, to --use it again", "STYLE.safetensors")] = None


@dataclass
class Applied:
    """Give a picture a style that was learnt before, in one pass; no CLIP is needed."""

    picture: Positional[Annotated[str, arg(metavar="FILE", help="The picture")]]
    use: Annotated[str, arg(metavar="STYLE.safetensors", help="What --save has kept")]
    out: Annotated[str | None, maybe("The picture; unless given, in out/", "FILE.png")] = None
    strength: Annotated[float, arg(help="From the picture as it is (0) to the style (1), and beyond (to 1.5)")] = 1.0
    longest: Annotated[int, arg(help="Longest side in pixels; a larger picture is made smaller")] = LONGEST


def main(args: list[str]) -> int:
    """`labkit style FILE STYLE`, or `labkit style FILE --use STYLE.safetensors`."""
    if any(one == "--use" or one.startswith("--use=") for one in args):
        return apply(read_options("style", Applied, args))
    words = list(takewhile(lambda one: not one.startswith("-"), args))
    given = [*words, *(one for one in args if one == "--styles")]
    if len(words) > 2 or (len(given) < 2 and not {"-h", "--help"} & set(args)):
        raise SpecError(f"style: {HOW}")
    flags = ["--output.strength" + one.removeprefix("--strength") if one.partition("=")[0] == "--strength" else one
             for one in args[len(words):]]
    first = [*["--content", *words[:1]], *["--text", *(words[1:] or [""])]] if words else []
    return run_method([*first, *flags], "clipstyler", "style", More(Kept, before, after))


def before(typed: Typed, options: Any) -> None:
    """The content at its size, before the spec is built; and whether the style can be kept."""
    content = typed.values.get("content")
    if isinstance(content, str):
        typed.values["content"] = fitted(content, options.longest)
    if options.save:
        options.save = output(options.save, "--save", ".safetensors")


def fitted(path: str, longest: int):
    """The picture of a file as `ImageInput`, its longest side at most so long."""
    from labkit.image import ImageInput

    if not 16 <= longest <= 1024:
        raise SpecError(f"--longest: {longest} must be from 16 to 1024")
    image = opened(path, "FILE")
    factor = min(1.0, longest / max(image.size))
    return ImageInput.of(image, *(max(1, round(side * factor)) for side in image.size))


def after(result, options: Any) -> None:
    """Keep the style, where asked to."""
    learnt = result.extras.get("learnt", ())
    if options.save and len(learnt) != 1:
        raise SpecError(f"--save: {len(learnt)} styles were learnt, each for a place of its own; the picture is kept. "
                        "Learn them one by one to keep them")
    if options.save:
        print(learnt[0].save(options.save))


def apply(options: Applied) -> int:
    """One pass of a style that was kept."""
    from labkit.clip.learnt_style import LearntStyle, StyleOutput
    from labkit.image import save_png

    style, strength = LearntStyle.load(options.use), StyleOutput(strength=options.strength)
    content = fitted(options.picture, options.longest)
    out = output(options.out or f"out/{slug(Path(options.picture).stem)}-{slug(style.called)}.png", "--out", ".png")
    save_png(style.apply(content.pil(), strength), out)
    print(f"{out}: {style.called}, in one pass")
    if style.about[0].get("guide", {}).get("name") == "pocket":
        print(POCKET)
    return DONE
