"""The stage of the rating page: one picture, its words, eleven buttons; and the little script that makes keys work.

Everything a vote needs is in one piece of HTML, so that a vote names the picture that was on the screen when it was
given. The picture comes as data, not as a file: no address of it is left for others, and no metadata with it. The script
keeps a vote that comes too soon until it counts, the last one if there are several; the store measures by itself.
"""

from __future__ import annotations

import base64
import html
import secrets

from PIL import Image

from labkit.survey.plan import HIGH, LOW, png_without_metadata
from labkit.survey.session import Screen
from labkit.survey.words import WORDS

SMALL = 160  # pixels; a picture up to this side is enlarged pixel by pixel
LARGE = 1024  # pixels; a larger picture is sent smaller
PATIENCE_MS = 15_000  # of the script with the server

CSS = """
.lk-survey { max-width: 680px; margin: 0 auto !important; }
.lk-survey h2 { font-size: 1.35rem; font-weight: 700; margin: .2rem 0 .6rem; }
.lk-consent p { margin: 0 0 .7rem; line-height: 1.5; }
.lk-said { padding: .45rem .75rem; border-radius: 6px; background: color-mix(in srgb, #d98b14 13%, transparent); }
.lk-stage { outline: none; }
.lk-stage figure { margin: .7rem auto .5rem; max-width: min(100%, 46vh, 420px); min-width: min(100%, 240px); }
.lk-stage figure img { display: block; width: 100%; height: auto; border-radius: 8px; margin: 0; }
.lk-stage figure.small img { image-rendering: pixelated; }
.lk-words { text-align: center; font-size: 1.2rem; font-weight: 600; margin: .2rem 0; overflow-wrap: anywhere; }
.lk-words small { display: block; font-weight: 400; font-size: .8rem; color: var(--body-text-color-subdued); }
.lk-ask-line { text-align: center; margin: .2rem 0 .5rem; }
.lk-scale { display: grid; grid-template-columns: repeat(11, 1fr); gap: .35rem; }
.lk-stage button { cursor: pointer; margin: 0 !important; font: inherit; color: inherit;
  border: 1px solid var(--border-color-primary); border-radius: 8px; background: var(--button-secondary-background-fill); }
.lk-stage button:hover { border-color: var(--primary-500); }
.lk-stage button:focus-visible { outline: 3px solid var(--primary-400); outline-offset: 1px; }
.lk-stage button:disabled { opacity: .4; cursor: default; }
.lk-scale button { min-height: 2.9rem; padding: 0; font-size: 1.1rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.lk-stage .lk-scale button.on { background: var(--primary-600); border-color: var(--primary-600); color: white; }
.lk-ends, .lk-move { display: flex; justify-content: space-between; gap: .6rem; font-size: .85rem; }
.lk-ends { color: var(--body-text-color-subdued); margin: .25rem 0; }
.lk-move { margin: .2rem 0; }
.lk-told { min-height: 1.5rem; text-align: center; font-size: .95rem; font-variant-numeric: tabular-nums; }
.lk-stage .lk-move button { padding: .4rem .9rem; font-size: .9rem; font-weight: 500; }
#survey-said:not(:has(.lk-said)) { display: none; }
.lk-keys { font-size: .82rem; color: var(--body-text-color-subdued); margin: .8rem 0 .2rem; line-height: 1.7; }
.lk-keys kbd { padding: 0 .35rem; border: 1px solid var(--border-color-primary); border-radius: 4px; font-size: .78rem; }
@media (max-width: 560px) {
  .lk-scale { grid-template-columns: repeat(6, 1fr); } .lk-stage figure { max-width: min(100%, 40vh); }
}
@media (pointer: coarse) { .lk-keys { display: none; } }
"""

# `element` is this component, `trigger` sends an event with its data to Python.
SCRIPT = """
let nonce = null, ready = 0, kept = null, timer = null, sent = false;
const stage = () => element.querySelector('.lk-stage');
const scale = () => [...element.querySelectorAll('[data-rating]')];
const tell = text => { element.querySelector('.lk-told').textContent = text; };
const mark = rating => scale().forEach(b => {
  b.classList.toggle('on', b.dataset.rating === String(rating));
  b.setAttribute('aria-pressed', b.dataset.rating === String(rating));
});
function send(detail) {
  if (sent) return;
  sent = true;
  const of = nonce;
  trigger('click', {...detail, position: Number(stage().dataset.position)});
  setTimeout(() => { if (nonce === of && stage()) { sent = false; tell(stage().dataset.lost); } }, PATIENCE);
}
function look() {
  const left = (ready - performance.now()) / 1000;
  if (left > 0) { tell(stage().dataset.soon.replace('{rating}', kept).replace('{seconds}', left.toFixed(1))); return; }
  clearInterval(timer); timer = null; tell('');
  send({act: 'vote', rating: kept});
}
function choose(rating) {
  if (sent) return;
  kept = rating; mark(rating);
  if (timer === null) { timer = setInterval(() => stage() ? look() : clearInterval(timer), 100); look(); }
}
function renew() {
  const s = stage();
  if (!s || s.dataset.nonce === nonce) return;
  nonce = s.dataset.nonce; sent = false; kept = null;
  clearInterval(timer); timer = null;
  ready = performance.now() + 1000 * Number(s.dataset.wait) + 50;
  if (s.dataset.pending !== '') choose(Number(s.dataset.pending));
}
function pressed(event) {
  if (!element.isConnected) { document.removeEventListener('keydown', pressed); return; }
  const s = stage(), at = event.target;
  if (!s || element.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const field = at.closest && at.closest('input, textarea, select, [contenteditable=true]');
  if (field && !['radio', 'checkbox'].includes(field.type)) return;
  const arrow = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (/^[0-9]$/.test(event.key)) choose(Number(event.key));
  else if (event.key === '-' || event.code === 'Minus') choose(10);
  else if (event.key === 'Backspace') send({act: 'back'});
  else if (arrow && !field) {
    const all = scale(), from = all.indexOf(document.activeElement);
    const to = from < 0 ? (arrow > 0 ? 0 : all.length - 1) : Math.min(Math.max(from + arrow, 0), all.length - 1);
    all[to].focus();
  } else return;
  event.preventDefault();
}
element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button || button.disabled) return;
  if (button.dataset.rating !== undefined) choose(Number(button.dataset.rating));
  else if (button.dataset.act) send({act: button.dataset.act});
});
document.addEventListener('keydown', pressed);
new MutationObserver(renew).observe(element, {childList: true, subtree: true, attributes: true});
renew();
""".replace("PATIENCE", str(PATIENCE_MS))


def stage_html(screen: Screen, language: str) -> str:
    """The HTML of a picture to rate, in "en" or "ru"; "" where none is to be rated."""
    view, words = screen.view, WORDS[language]
    if view is None:
        return ""
    at = {"number": view.position + 1, "total": view.total, "rating": view.rating}
    share = 100 * view.done / view.total
    on = view.rating if screen.pending is None else screen.pending
    buttons = "".join(
        f'<button type="button" data-rating="{k}" aria-pressed="{str(k == on).lower()}"{" class=on" * (k == on)}>{k}</button>'
        for k in range(LOW, HIGH + 1)
    )
    known = view.rating is not None
    so_far = html.escape(words["so_far"].format(**at)) if known else ""
    onward = f'<button type="button" data-act="onward">{words["onward"].format(**at)} →</button>' if known else ""
    asked = f'<p class="lk-words"><small>{words["words"]}</small>{_plain(view.prompt)}</p>' if view.prompt else ""
    question = words["question"] if view.prompt else words["look"]
    small = " class=small" * (max(view.picture.size) <= SMALL)
    data = {"nonce": secrets.token_hex(6), "position": view.position, "wait": f"{screen.wait:.3f}", "soon": words["soon"],
            "pending": "" if screen.pending is None else screen.pending, "lost": words["lost"]}  # fmt: skip
    attributes = " ".join(f'data-{name}="{html.escape(str(value))}"' for name, value in data.items())
    return (
        f'<div class="lk-stage" {attributes}>'
        f'<div class="lk-bar"><div style="width:{share:.1f}%"></div></div>'
        f'<div class="lk-line"><span class="lk-number">{words["progress"].format(**at)}</span><span>{so_far}</span></div>'
        f'<figure{small}><img src="{data_url(view.picture)}" alt="{words["picture"].format(**at)}"></figure>'
        f'{asked}<p class="lk-ask-line">{question}</p>'
        f'<div class="lk-scale" role="group" aria-label="{question}">{buttons}</div>'
        f'<div class="lk-ends"><span>{words["low"]}</span><span>{words["high"]}</span></div>'
        '<div class="lk-told" role="status"></div>'
        f'<div class="lk-move"><button type="button" data-act="back"{" disabled" * (view.position == 0)}>'
        f'← {words["back"]}</button>{onward}</div><p class="lk-keys">{words["keys"]}</p></div>'
    )


def data_url(picture: Image.Image) -> str:
    """A picture as a data URL of a PNG that holds pixels and nothing else, at most LARGE pixels a side."""
    if max(picture.size) > LARGE:
        picture = picture.copy()
        picture.thumbnail((LARGE, LARGE))
    return "data:image/png;base64," + base64.b64encode(png_without_metadata(picture)).decode()


def consent_html(text: str) -> str:
    """A consent text, a paragraph per blank line."""
    return '<div class="lk-consent">' + "".join(f"<p>{_plain(part)}</p>" for part in text.split("\n\n")) + "</div>"


def _plain(text: str) -> str:
    # the page's templates know ${…} and {{…}}; neither may begin in what somebody wrote
    return html.escape(text).replace("$", "&#36;").replace("{", "&#123;")
