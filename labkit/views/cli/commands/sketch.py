"""A sketch and a prompt into a picture by Stable Diffusion: sketch house.png "a red house in the snow"."""

from itertools import takewhile

from labkit.spec import SpecError
from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit sketch FILE PROMPT`: picture → picture from a sketch that is made fit first (`--frame.fit crop`: as it is)."""
    words = list(takewhile(lambda arg: not arg.startswith("-"), args))
    if len(words) == 1 or (not words and args and not {"-h", "--help"} & set(args)):
        raise SpecError('sketch: give a file and a prompt in quotes: labkit sketch FILE "a red house in the snow"')
    if words:
        args = [*words[1:], "--picture", words[0], *args[len(words):]]
    fit = [] if "--frame.fit" in args else ["--frame.fit", "sketch"]
    return run_method([*args, *fit], "img2img", "sketch")
