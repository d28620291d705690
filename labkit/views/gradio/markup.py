"""What the apps write as HTML: status lines, curves, notices, verdicts, headers. Every word from elsewhere is escaped."""

from __future__ import annotations

import html
import io
import math
from typing import Any

import gradio as gr
from PIL import Image

from labkit.image import open_upload
from labkit.runs.result import Result
from labkit.runs.status import POCKET, status


def line_html(words: str, state: str = "going", share: float = 0, note: str = "") -> str:
    """The status line of a page: a bar (`share` in [0, 1]) and words. `state` is going, done, ended or refused."""
    role = ' role="alert"' * (state == "refused")
    return (f'<div class="lk-progress {state}"{role}><div class="lk-bar"><div style="width:{100 * share:.1f}%"></div></div>'
            f'<div class="lk-line"><span>{html.escape(words)}</span><span>{html.escape(note)}</span></div></div>')


def progress_html(result: Result, ending: str = "", note: str = "") -> str:
    """The status line of a run: how far it is, the time left, its scores."""
    state = "done" if result.finished else "ended" if ending and result.n else "going"
    share = result.steps_done / result.n if result.n else 0
    return line_html(status(result, ending) if result.n else ending, state, share, note)


def curve_html(history: list[dict[str, float]], name: str | None) -> str:
    """A score's course as a drawing; "" before there are two values."""
    values = [step[name] for step in history if name in step]
    if len(values) < 2:
        return ""
    every = max(1, len(values) // 200)
    points = values[::every] if (len(values) - 1) % every == 0 else [*values[::every], values[-1]]
    low, span = min(points), (max(points) - min(points)) or 1.0
    path = " ".join(f"{400 * k / (len(points) - 1):.1f},{62 - 56 * (v - low) / span:.1f}" for k, v in enumerate(points))
    title = html.escape(str(name))
    return (f'<div class="lk-curve"><div><b>{title}</b> score {values[0]:.3f} → {values[-1]:.3f}</div>'
            f'<svg viewBox="0 0 400 68" preserveAspectRatio="none" role="img" aria-label="{title} score by step">'
            f'<polygon points="0,68 {path} 400,68"/><polyline points="{path}"/></svg></div>')


def notices_html(lines: tuple[str, ...] | list[str]) -> str:
    """Notices as a list; "" where there are none."""
    return "".join(f'<div class="lk-notice">{html.escape(line)}</div>' for line in dict.fromkeys(lines))


def verdict_html(checked: list[tuple[Any, dict[str, bool]]]) -> str:
    """What the judge sees, and of each claim of the prompt whether it finds it: (verdict, claim → found) a picture."""
    each = [", ".join(html.escape(v.replace("_", " ")) for v in (one.subject, one.colour, one.setting, one.style))
            for one, _ in checked]
    several, chips = len(checked) > 1, ""
    seen = "".join(f"<div>{k}: {words}</div>" for k, words in enumerate(each, 1)) if several else each[0]
    for claim in checked[0][1]:
        n = sum(finds[claim] for _, finds in checked)
        found = f"found in {n} of {len(checked)}" if several else "found" if n else "not found"
        chips += f'<span class="lk-chip {"yes" if 2 * n >= len(checked) else "no"}">{found}: {html.escape(claim)}</span>'
    claims = chips or "The prompt names nothing that the judge knows."
    return (f'<div class="lk-verdict"><div><b>The judge sees</b> {seen}</div><div>{claims}</div>'
            "<small>A small classifier of drawn scenes that never guides the painting. It can be wrong.</small></div>")


def header(lab, title: str, words: str) -> gr.HTML:
    """The top of a page: its name, a sentence, and where pictures come from pocket models, the word that they do."""
    ribbon = f'<div class="lk-ribbon">Made by pocket models. {html.escape(POCKET.partition(": ")[2].capitalize())}</div>'
    return gr.HTML(f'<header class="lk-header"><h1>{html.escape(title)}</h1><p>{html.escape(words)}</p></header>'
                   + (ribbon if getattr(lab, "pocket", False) else ""))


def lacking_html(lab, kinds) -> str:
    """Which weights a page lacks and how to get them; "" where it lacks none."""
    return "".join(
        f'<div class="lk-notice">This page needs {html.escape(kind.name.replace("_", " "))}, and no pocket weights of it are '
        f"shipped yet. Start the app with <code>--{kind.flag} …</code>; {html.escape(kind.help)}. "
        f"<code>python -m labkit train {kind.name}</code> makes pocket ones.</div>" for kind in lab.lacking(kinds))


def shown(value: Any) -> Any:
    """Numbers as they are shown: three decimals, or three digits of what is smaller than 1; tables and lists likewise."""
    if hasattr(value, "map"):  # a data frame
        return value.map(shown).rename(index=shown, columns=shown)
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # of numpy or torch
        value = value.item()
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    return float(f"{value:.3g}") if abs(value) < 1 else round(value, 3)


def drawn(figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return open_upload(file.getvalue())


def code_html(cell: dict[str, Any] | None, forced: int = 0) -> str:
    """What is known of a chosen cell of a grid of codes (None: none is chosen), and how many codes are forced."""
    many = f" {forced} code{' is' if forced == 1 else 's are'} forced (orange frames)." * bool(forced)
    if cell is None:
        return ('<div class="lk-note">Dark cells are where the model was unsure (entropy). Click a cell, or the picture, to '
                "see the code there and to force another; the picture is drawn again, and what was drawn before that cell "
                f"stays.{many}</div>")
    there = "no code is drawn yet" if cell["codes"] < 0 else (
        f"code <b>{cell['codes']}</b>, " + ("forced; " if cell["forced"] else "drawn; ")
        + f"it cost {cell['bits']:.1f} bits, entropy {cell['entropy']:.1f} bits")
    return (f'<div class="lk-note">{html.escape(cell["level"].capitalize())} grid, row {cell["row"]}, column {cell["column"]}: '
            f"{there}.{many}</div>")
