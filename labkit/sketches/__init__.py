"""Sketches: made fit for a model step by step, spoiled on purpose to see what holds, and read from the published sets."""

from labkit.sketches.prepare import Prepared, SketchError, drawing, prepare

__all__ = ["Prepared", "SketchError", "drawing", "prepare"]
