"""Paint a prompt by VQGAN+CLIP: paint "a red apple in the snow" --out apple.png"""

from labkit.views.cli.running import run_method


def main(args: list[str]) -> int:
    """`labkit paint PROMPT`."""
    return run_method(args, "vqgan_clip", "paint")
