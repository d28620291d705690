"""A run, live in a notebook cell: the picture, how far it is and how its scores go.

One display handle is updated in place from the cell's own loop: no threads, no output widgets, so that it renders in
Jupyter and in Colab, and what stays in the saved notebook is the final picture.
"""

from __future__ import annotations

import base64
import html
import io
import time
from collections.abc import Iterable
from typing import Any

from PIL import Image, ImageDraw

from labkit.runs.result import Result, collect
from labkit.runs.status import POCKET, status
from labkit.spec import Method, Step

COMFORTABLE = 256  # px: smaller pictures are enlarged, pixel by pixel
EVERY_S = 0.3  # a busier cell makes the browser, not the run, the slow part
INK = {"clip": (46, 125, 50)}
INKS = [(21, 101, 192), (198, 40, 40), (106, 27, 154), (239, 108, 0)]


def show(what: Method | Iterable[Step], lab, every_s: float = EVERY_S) -> Result:
    """Run a spec, or the steps of a run, live in the cell, and return its `Result`.

    Interrupting the kernel stops the run, keeps the last picture and returns. Outside a notebook nothing is
    displayed. An error is raised after the display has been brought up to date; its `.result` has the last picture.
    """
    spec, steps = (what, None) if isinstance(what, Method) else (None, what)
    handle = _open_display()
    if handle is None:
        return collect(spec, lab, steps)
    ribbon = POCKET if (lab.draws_with_pocket(spec.needs) if spec else lab.pocket) else ""
    handle.update(page(Result(spec), ribbon, "loading models …"))
    drawn = time.monotonic() - every_s

    def draw(step: Step, result: Result) -> None:
        nonlocal drawn
        if time.monotonic() - drawn >= every_s:
            handle.update(page(result, ribbon))
            drawn = time.monotonic()

    try:
        result = collect(spec, lab, steps, draw)
    except Exception as error:
        handle.update(page(getattr(error, "result", Result(spec)), ribbon, f"stopped by {type(error).__name__}"))
        raise
    handle.update(page(result, ribbon, "" if result.finished else "stopped"))
    return result


class _Handle:
    """A place in the cell's output. Both forms are sent: HTML for browsers, a line for everything else."""

    def __init__(self, display):
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, bundle: dict[str, str]) -> None:
        self._handle.update(bundle, raw=True)


def _open_display() -> _Handle | None:
    """A display of the running kernel; None in plain Python or a terminal."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return _Handle(display) if hasattr(get_ipython(), "kernel") else None


def page(result: Result, ribbon: str = "", ending: str = "") -> dict[str, str]:
    """The display of a run as a MIME bundle: `text/html` and a line of `text/plain`. User strings are escaped."""
    line = status(result, ending)
    parts = []
    if ribbon:
        parts.append(f'<div style="color:#b26a00;font-size:85%">{html.escape(ribbon)}</div>')
    prompt = getattr(result.spec, "prompt", None)
    if prompt:
        parts.append(f"<div><i>{html.escape(str(prompt))}</i></div>")
    if result.image is not None:
        image = enlarged(result.image)
        parts.append(f'<img src="{data_uri(image)}" width="{image.width}" height="{image.height}" alt="the picture">')
    curves = [_curve(name, result.history) for name in result.scores]
    parts.append("".join(f'<div style="font-size:85%">{curve}</div>' for curve in curves if curve))
    if result.n and not result.finished and not ending:
        parts.append(f'<progress value="{result.steps_done}" max="{result.n}" style="width:256px"></progress>')
    parts.append(f"<div>{html.escape(line)}</div>")
    parts += [f'<div style="font-size:85%">{html.escape(notice)}</div>' for notice in result.notices]
    return {"text/html": f'<div class="labkit-run">{"".join(parts)}</div>', "text/plain": line}


def enlarged(image: Image.Image) -> Image.Image:
    """A small picture enlarged by a whole factor without smoothing, until its longer side has 256 px."""
    factor = max(1, COMFORTABLE // max(image.size))
    if factor == 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def data_uri(image: Image.Image) -> str:
    """A picture as a PNG inside an address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _curve(name: str, history: list[dict[str, float]]) -> str:
    """A score's course as a small picture with its range in words; "" before there are two values."""
    values = [step[name] for step in history if name in step]
    if len(values) < 2:
        return ""
    ink = INK.get(name, INKS[sum(name.encode()) % len(INKS)])
    image = curve_image(values, ink)
    low, high = min(values), max(values)
    words = html.escape(f"{name}: {values[0]:.3g} → {values[-1]:.3g} (from {low:.3g} to {high:.3g})")
    # a PNG and not inline SVG: pages that show saved notebooks strip SVG from what they do not trust
    return f'<img src="{data_uri(image)}" width="{image.width // 2}" height="{image.height // 2}" alt=""> {words}'


def curve_image(values: list[float], ink: tuple[int, int, int], width: int = 256, height: int = 72) -> Any:
    """A line through `values`, low to high, on a transparent ground; [height, width] px."""
    if len(values) > width:  # no more points than columns
        values = [values[round(k * (len(values) - 1) / (width - 1))] for k in range(width)]
    low, span = min(values), (max(values) - min(values)) or 1.0
    step = (width - 5) / (len(values) - 1)
    points = [(2 + k * step, height - 3 - (v - low) / span * (height - 6)) for k, v in enumerate(values)]
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    ImageDraw.Draw(image).line(points, fill=(*ink, 255), width=3, joint="curve")
    return image
