"""A pad to draw on, with mouse, finger or pen, where a page takes a picture that may be drawn: brush, eraser, undo, upload.

    made = pad(label="Sketch", elem_id="sketch-control-picture")      # a component; its value is the drawing

Gradio's own editor needs WebGL, opens with no tool in hand, has buttons of 20 px that lie over the paper on a phone, an eraser
that spares what was uploaded, and a door on the server that takes any number of bytes. This is one canvas: white paper, so that
what leaves it is composited already; an upload is drawn on it with its proportions, and erased like any other line.

The browser sends a PNG as text. It is never taken for a path, and is opened by `labkit.sketches.drawing` like any stranger's
picture.
"""

from __future__ import annotations

import base64
import html
from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from labkit.image import open_upload
from labkit.image.convert import png_bytes
from labkit.views.gradio.app import MAX_FILE

SIDE = 512  # pixels of the paper's longer side: what a Stable Diffusion sees, and eight times what a pocket model does
HEAD = "data:image/png;base64,"
UNDOS = 20  # drawings that are kept, of a megabyte each

TEMPLATE = """<div class="lk-pad" data-over="{over}"><div class="lk-pad-title">{title}</div>
<div class="lk-pad-paper"><canvas width="{side}" height="{side}" tabindex="0" role="img"
  aria-label="{title}: draw here"></canvas><span class="lk-pad-hint">Draw here</span></div>
<div class="lk-pad-tools"><button type="button" data-tool="brush" aria-pressed="true">Brush</button>
<button type="button" data-tool="eraser" aria-pressed="false">Eraser</button>
<button type="button" data-do="undo" disabled>Undo</button><button type="button" data-do="clear" disabled>Clear</button>
<button type="button" data-do="upload">Upload</button><input type="file" accept="image/*" hidden>
<label>Width <input type="range" min="2" max="{widest}" value="{width}" aria-label="Width of a line"></label></div>
<div class="lk-pad-said" role="status"></div></div>"""

# `sent` is what the server has been told last; a value that differs came from it: a picture sent here, or a restored one.
SCRIPT = """
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d', {willReadFrequently: true});
const file = element.querySelector('input[type=file]'), wide = element.querySelector('input[type=range]');
const button = (name) => element.querySelector(`[data-do=${name}]`), said = element.querySelector('.lk-pad-said');
const hint = element.querySelector('.lk-pad-hint');
const past = [];
let tool = 'brush', sent = null, drawn = false, finger = null, last = null;
const show = () => { button('undo').disabled = !past.length; button('clear').disabled = !(hint.hidden = drawn); };
const paper = (width, height) => {
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  pen.fillStyle = 'white'; pen.fillRect(0, 0, width, height);
};
const keep = () => {
  past.push([drawn, pen.getImageData(0, 0, canvas.width, canvas.height)]);
  if (past.length > UNDOS) past.shift();
};
const send = () => { said.textContent = ''; show(); sent = drawn ? canvas.toDataURL('image/png') : null; props.value = sent; };
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
const line = (to) => {
  pen.strokeStyle = tool === 'brush' ? 'black' : 'white';
  pen.lineWidth = wide.value * (tool === 'brush' ? 1 : 2); pen.lineCap = pen.lineJoin = 'round';
  pen.beginPath(); pen.moveTo(...last); pen.lineTo(...to); pen.stroke(); last = to;
};
canvas.addEventListener('pointerdown', (event) => {
  if (finger !== null || event.button) return;
  event.preventDefault(); canvas.focus({preventScroll: true}); canvas.setPointerCapture(event.pointerId);
  finger = event.pointerId; keep(); drawn = hint.hidden = true; last = at(event); line(last);
});
canvas.addEventListener('pointermove', (event) => {
  if (event.pointerId !== finger) return;
  const way = event.getCoalescedEvents?.() ?? [];
  for (const one of way.length ? way : [event]) line(at(one));
});
for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, (event) => {
  if (event.pointerId === finger) { finger = null; send(); }
});
const undo = () => {
  if (!past.length) return;
  const [was, pixels] = past.pop();
  paper(pixels.width, pixels.height); pen.putImageData(pixels, 0, 0); drawn = was; send();
};
canvas.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'z') { event.preventDefault(); undo(); }
});
const place = async (blob) => {
  const picture = await createImageBitmap(blob), longest = Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((n) => Math.max(1, Math.round(n * SIDE / longest)));
  keep(); paper(width, height); pen.imageSmoothingQuality = 'high';
  pen.imageSmoothingEnabled = longest > SIDE; pen.drawImage(picture, 0, 0, width, height); drawn = true; show();
};
const take = async (some) => {
  if (!some) return;
  if (some.size > MAX_FILE) {
    said.textContent = `${some.name} has more than ${MAX_FILE / 1e6} MB; give a smaller one`;
    return;
  }
  try { await place(some); send(); } catch { said.textContent = `${some.name} is no picture that this browser can read`; }
};
file.addEventListener('change', () => { take(file.files[0]); file.value = ''; });
element.addEventListener('dragover', (event) => event.preventDefault());
element.addEventListener('drop', (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('button'), what = pressed?.dataset.do;
  if (pressed?.dataset.tool) {
    tool = pressed.dataset.tool;
    for (const one of element.querySelectorAll('[data-tool]')) one.ariaPressed = String(one === pressed);
  }
  if (what === 'undo') undo();
  if (what === 'clear') { keep(); paper(SIDE, SIDE); drawn = false; send(); }
  if (what === 'upload') file.click();
});
const receive = async () => {
  const value = props.value || null;
  if (value === sent) return;
  sent = value; said.textContent = '';
  if (value) return place(await (await fetch(value)).blob());
  keep(); paper(SIDE, SIDE); drawn = false; show();
};
// Over a picture of the page, which shows through: what is drawn is a place in it.
const over = document.getElementById(element.querySelector('.lk-pad').dataset.over);
const lay = () => {
  const seen = over.querySelector('img')?.src;
  element.querySelector('.lk-pad-paper').style.backgroundImage = seen ? `url("${seen}")` : 'none';
};
if (over) { new MutationObserver(lay).observe(over, {subtree: true, childList: true, attributes: true}); lay(); }
paper(SIDE, SIDE); watch('value', receive); receive(); past.length = 0; show();
""".replace("UNDOS", str(UNDOS)).replace("SIDE", str(SIDE)).replace("MAX_FILE", str(MAX_FILE))


def pad(label: str, over: str = "", width: int = 8, **options: Any) -> gr.HTML:
    """The component. A run gets its drawing as the PNG's bytes, `labkit.sketches.drawing` opens them; what it is given is a
    picture, or the file of one. `over` is the element id of an image that shows through the paper, `width` of the brush at
    first in the paper's pixels. `options` are those of `gr.HTML`."""
    template = TEMPLATE.format(title=html.escape(label), side=SIDE, over=over, width=width, widest=max(40, 2 * width))
    made = gr.HTML(None, html_template=template, js_on_load=SCRIPT, **options)
    made.__class__ = Pad
    return made


def _received(self, payload: Any) -> bytes:
    """The bytes of what the browser sent, whatever it is; none of a pad that nothing was drawn on."""
    try:
        return base64.b64decode(str(payload or "").removeprefix(HEAD), validate=True)
    except ValueError:
        return str(payload).encode(errors="replace")  # no picture, which `open_upload` says


def _given(self, value: Image.Image | str | Path | None) -> str | None:
    """A picture, or its file, as the browser reads it: no larger than the paper."""
    if value is None:
        return None
    picture = value.copy() if isinstance(value, Image.Image) else open_upload(value)
    picture.thumbnail((SIDE, SIDE))
    return HEAD + base64.b64encode(png_bytes(picture)).decode()


# Of the same name, by which the browser knows it; past Gradio's metaclass, which writes a .pyi beside a class's source.
Pad = ABCMeta.__new__(type(gr.HTML), "HTML", (gr.HTML,),
                      {"preprocess": _received, "postprocess": _given, "__module__": __name__})
