"""A part of a picture anew by Stable Diffusion: inpaint "a blue door" --picture house.png --mask door.png"""

from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit inpaint PROMPT --picture FILE --mask FILE`."""
    return run_method(args, "inpainting", "inpaint")
