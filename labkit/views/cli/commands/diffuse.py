"""A prompt by CLIP-guided diffusion: diffuse "a red apple in the snow"."""

from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit diffuse PROMPT`."""
    return run_method(args, "guided_diffusion", "diffuse")
