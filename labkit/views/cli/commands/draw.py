"""A prompt into a picture by Stable Diffusion: draw "a red apple in the snow"."""

from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit draw PROMPT`."""
    return run_method(args, "text_to_image", "draw")
