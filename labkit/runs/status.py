"""How far a run is, and how long things take, in words: the same ones in a terminal, a notebook and an app."""

from __future__ import annotations

from labkit.runs.result import Result

POCKET = "Pocket models: small ones trained on drawn 64-pixel scenes, so expect sketches of what is asked for."


def status(result: Result, ending: str = "") -> str:
    """How far a run is, in words: `step 30 of 150, 12 s left, clip 0.31`."""
    if result.finished:
        words = [f"{result.n} step{'s' if result.n > 1 else ''} in {duration(result.seconds)}"]
    elif ending:
        words = [f"{ending} after {result.steps_done} of {result.n} steps" if result.n else ending]
        if 0 < result.image_step < result.steps_done:
            words.append(f"picture of step {result.image_step}")
    else:
        per_step = result.seconds / max(1, len(result.history))
        left = duration(per_step * (result.n - result.steps_done))
        words = [f"step {result.steps_done} of {result.n}", f"{left} left"]
    return ", ".join(words + [f"{name} {value:.3g}" for name, value in result.scores.items()])


def duration(seconds: float) -> str:
    """Seconds as one reads them: `8 s`, `2 min 05 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
