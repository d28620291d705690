"""`python -m labkit COMMAND …`: see `labkit.views.cli`."""

import os
import sys


def main() -> int:
    """Run the command line; where the locale knows ASCII only, in Python's UTF-8 mode, so that every prompt and name can be
    typed."""
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    from labkit.views.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
