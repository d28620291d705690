"""The demo's page: plain HTML with relative links, readable without a network. Every string of a user is escaped."""

from __future__ import annotations

import html
import math

from labkit.runs.status import duration
from labkit.views.demo.made import Demo, Painted

STYLE = """
:root { --ink: #22252b; --soft: #687080; --line: #e3e1da; --paper: #faf9f6; --card: #fff; --good: #2e7d32; --bad: #b3412e;
        --pocket: #8a5a00; --pocket-bg: #fff3d6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #9aa0ac; --line: #383b42; --paper: #1b1d21;
        --card: #24272d; --good: #7cc47f; --bad: #f08a74; --pocket: #ffd98a; --pocket-bg: #4a3a12 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 48px; background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 28px; margin: 0 0 4px } h2 { font-size: 20px; margin: 40px 0 8px }
p { margin: 0 0 8px } .soft { color: var(--soft); font-size: 14px }
.ribbon { display: inline-block; background: var(--pocket-bg); color: var(--pocket); border-radius: 999px;
          padding: 2px 14px; font-size: 14px; margin: 6px 0 20px }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 20px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden }
.card .big { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated }
.card .text { padding: 14px 16px 16px } .prompt { font-weight: 600; margin-bottom: 8px; overflow-wrap: anywhere }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 10px; padding: 0; list-style: none; font-size: 14px }
.chips li { border: 1px solid var(--line); border-radius: 999px; padding: 1px 10px }
.chips .yes { color: var(--good); border-color: currentColor } .chips .no { color: var(--bad); border-color: currentColor }
.strip { overflow-x: auto; margin-top: 10px; display: flex; gap: 8px }
.strip img { height: 148px; max-width: none; display: block; border-radius: 6px }
.wide img { max-width: 100%; border: 1px solid var(--line); border-radius: 12px; background: #fff }
code { font-size: 13px; overflow-wrap: anywhere }
"""
POCKET = "Made by pocket models: small ones, trained on drawn 64-pixel scenes"


def page(made: Demo) -> str:
    """The whole page."""
    found = [ok for p in made.painted for ok in p.found.values()]
    there = len(made.painted) - len(made.missing)
    ribbon = f'<div class="ribbon">{POCKET}</div>' if made.pocket else ""
    ways = "".join(f'<h2>{html.escape(way)}</h2><div class="cards">' +
                   "".join(card(p, p in made.missing) for p in made.painted if p.by == way) + "</div>"
                   for way in dict.fromkeys(p.by for p in made.painted))
    setup = f" Set-up took {duration(made.setup_seconds)}." if made.setup_seconds is not None else ""
    matrix = ""
    if (made.folder / "matrix.png").exists():
        matrix = ('<h2>How near each picture is to each prompt</h2><p class="soft">Cosines of CLIP. Where it read the pictures '
                  "well, each row is highest on the diagonal. The numbers: "
                  '<a href="matrix.csv">matrix.csv</a></p><div class="wide"><img src="matrix.png" '
                  'alt="Heat map of the cosines of prompts (rows) and pictures (columns)"></div>')
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>labkit: prompts become pictures</title><style>{STYLE}</style></head><body>
<h1>Prompts become pictures</h1>
<p class="soft">{there} of {len(made.painted)} pictures in {duration(made.seconds)}.{setup}
A judge that had no part in making them found {sum(found)} of the {len(found)} things that the prompts name.</p>
{ribbon}
{ways}
{matrix}
<h2>Again</h2>
<p class="soft">Each PNG holds its recipe. <code>python -m labkit replay picture-1.png --out again.png</code> makes it again and
compares; <code>python -m labkit paint "a pink heart on a plain background"</code> paints something of your own, and
<code>python -m labkit sketch drawing.png "a red house in the snow"</code> makes a picture of your drawing.</p>
</body></html>
"""


def saw_words(saw: dict[str, str]) -> str:
    """What the judge saw, in words: `apple, red; setting snow; style flat`."""
    if not saw:
        return "nothing"
    s = {k: v.replace("_", " ") for k, v in saw.items()}
    return f"{s['subject']}, {s['colour']}; setting {s['setting']}; style {s['style']}"


def how_made(p: Painted) -> str:
    """How a picture came about, in words: `CLIP score 0.100 → 0.400, 60 steps in 12 s`."""
    clip = "" if math.isnan(p.after) else f"CLIP score {p.before:.3f} → {p.after:.3f}, "
    return f"{clip}{p.steps} steps in {duration(p.seconds)}"


def card(p: Painted, missing: bool) -> str:
    """One prompt with its picture, what the judge saw and how the picture came about."""
    prompt = html.escape(p.prompt)
    if missing:
        return (f'<div class="card"><div class="text"><p class="prompt">{prompt}</p><ul class="chips"><li class="no">'
                f"no picture</li></ul><p>{html.escape(p.error)}</p></div></div>")
    saw = saw_words(p.saw)
    chips = "".join(f'<li class="{"yes" if ok else "no"}">{"✓" if ok else "✗"} {html.escape(p.claims[claim])}</li>'
                    for claim, ok in p.found.items()) or "<li>the prompt names nothing that the judge knows</li>"
    sketch = "" if p.sketch is None else f'<img src="{p.sketch.name}" alt="The sketch that it started from">'
    notes = "".join(f'<p class="soft">{html.escape(n)}</p>' for n in [*p.notices, *filter(None, [p.error])])
    return f"""<div class="card"><a href="{p.picture.name}"><img class="big" src="{p.picture.name}" alt="{prompt}"></a>
<div class="text"><p class="prompt">{prompt}</p><ul class="chips">{chips}</ul>
<p class="soft">The judge saw: {html.escape(saw)}</p>
<p class="soft">{how_made(p)}</p>{notes}
<div class="strip">{sketch}<a href="{p.strip.name}"><img src="{p.strip.name}" alt="How the picture came about"></a></div>
</div></div>
"""
