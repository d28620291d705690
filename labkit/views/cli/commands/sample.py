"""A prompt by sampling a picture's codes from the priors: sample "a red apple in the snow"."""

from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit sample PROMPT`."""
    return run_method(args, "prior_sampling", "sample")
