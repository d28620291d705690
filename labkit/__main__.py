"""`python -m labkit COMMAND …`: see `labkit.views.cli`."""

import sys

from labkit.views.cli import main

if __name__ == "__main__":
    sys.exit(main())
