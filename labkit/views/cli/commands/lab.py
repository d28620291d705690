"""JupyterLab with the notebooks."""

from __future__ import annotations

from labkit.views.cli.handover import hand_over, in_checkout


def main(args: list[str]) -> int:
    """`labkit lab …`: JupyterLab on the notebooks, bound to this machine; further arguments are JupyterLab's own."""
    notebooks = in_checkout("notebooks")
    return hand_over(["-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={notebooks}", *args])
