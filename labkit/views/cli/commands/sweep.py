"""A method over a grid of values; finished cells are kept: sweep "a dog" --over seed 0 1 2"""

from labkit.views.cli.terminal import say


def main(args: list[str]) -> int:
    """`labkit sweep PROMPT --over FIELD VALUE …`."""
    if not {"-h", "--help"} & set(args):
        say("sweep: getting ready")  # what follows takes seconds to import
    from labkit.views.cli.sweeping import run_sweep

    return run_sweep(args)
