"""Where labkit is published: the one place from which badges and set-up cells are made.

When the repository moves, change `REPOSITORY` and run `python -m labkit notebooks --stamp`; a test finds what was
forgotten.
"""

from __future__ import annotations

# A placeholder until the repository is public. No account can have this name (an underscore is not allowed in one),
# so that a set-up cell never fetches a stranger's code.
REPOSITORY = "https://github.com/YOUR_ACCOUNT/labkit"
BRANCH = "main"
PUBLIC = "YOUR_ACCOUNT" not in REPOSITORY

_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
_COLAB = "https://colab.research.google.com/github"


def colab_link(notebook: str) -> str:
    """The address that opens a notebook of the repository in Colab: '02_vqgan_clip.ipynb' → https://colab…"""
    return f"{_COLAB}/{REPOSITORY.removeprefix('https://github.com/')}/blob/{BRANCH}/notebooks/{notebook}"


def badge(notebook: str) -> str:
    """Markdown of a notebook's Colab badge."""
    line = f"[![Open in Colab]({_BADGE})]({colab_link(notebook)})"
    return line if PUBLIC else f"{line} *(works once the repository is public)*"


def setup_cell() -> str:
    """The source of every notebook's set-up cell."""
    return f'''\
# On Colab: fetches labkit and what it lacks there, and leaves torch alone. Elsewhere: installs nothing.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("labkit") is None and "COLAB_RELEASE_TAG" in os.environ:
    address = "{REPOSITORY}"
    if not os.path.isdir("labkit-repository"):
        subprocess.run(["git", "clone", "--depth", "1", address, "labkit-repository"], check=True)
    sys.path.insert(0, os.path.abspath("labkit-repository"))
from labkit.views.notebook.colab import set_up

set_up()'''
