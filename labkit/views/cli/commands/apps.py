"""The Gradio studio."""

from __future__ import annotations

from labkit.views.cli.handover import ROOT, hand_over, in_checkout


def main(args: list[str]) -> int:
    """`labkit apps …`: the studio; further arguments are its own."""
    in_checkout("apps/studio.py")
    return hand_over(["-m", "apps.studio", *args], ROOT)
