"""Hand this process over to another Python program: what is killed by its pid is the program itself, with its port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import labkit

ROOT = Path(labkit.__file__).resolve().parents[1]


def in_checkout(name: str) -> Path:
    """A file or folder beside the package. Raises FileNotFoundError for an installed labkit, which has none."""
    path = ROOT / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is not here: an installed labkit carries neither notebooks nor apps. Run this "
                                "command in a checkout of labkit, after `pip install -e . --no-deps`")
    return path


def hand_over(command: list[str], folder: Path | None = None) -> int:
    """Become Python with these arguments, in `folder` (None: here). It never returns, except on Windows, which has no such
    thing: there the program is waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        return subprocess.run([sys.executable, *command], cwd=folder).returncode
    if folder is not None:
        os.chdir(folder)
    os.execv(sys.executable, [sys.executable, *command])
