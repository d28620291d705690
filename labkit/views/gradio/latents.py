"""What the Latents page has below the map: the explorer, where points are selected by a lasso and seen in a gallery, one of
them is chosen and sent to a method; and the same page as a file that works offline."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context
from PIL import Image

from labkit.latents.projection import ProjectionResult
from labkit.spec import SpecError
from labkit.views.explorer.page import page
from labkit.views.explorer.points import points_of
from labkit.views.gradio import app, handing
from labkit.views.gradio.app import PRIVATE
from labkit.views.gradio.opened import OpenedMap, sentence_in

HEIGHT = 640  # pixels of the explorer
TITLE = "Latent space"
NONE = "Click a picture in the gallery to choose it; it can be sent to a method."
# The explorer shares no origin with this page: what it says is a message, and only its own window is listened to.
HEARD = """window.addEventListener('message', (event) => {
  const frame = element.querySelector('iframe');
  if (frame && event.source === frame.contentWindow && Number.isInteger(event.data?.chosen))
    trigger('select', {chosen: event.data.chosen});
});"""


class ExplorerPanel:
    """Components below a map. The explorer stands in a frame of its own, which may run its own script and reach nothing else:
    neither this page nor its session. It says which picture is chosen, and nothing but its number is taken from it."""

    def __init__(self, at: str):
        with gr.Row():
            gr.HTML('<div class="lk-note">Draw a line around points on the map below: their pictures stand beside it. As a '
                    "file it works offline.</div>")
            self.download = gr.DownloadButton("Download as one HTML file", interactive=False,
                                              elem_id=f"{at}download")
        self.frame = gr.HTML(elem_id=f"{at}explorer", js_on_load=HEARD)
        self.opened = OpenedMap.shown
        self.chosen, self.files = gr.State(None), gr.State(None)
        self.said = gr.HTML(chosen_html("", ""), elem_id=f"{at}chosen")
        self.outputs = [self.frame, self.download, self.chosen, self.files, self.said]
        handing.offer(gr.Column(elem_id=f"{at}shelf"), TITLE, [self.chosen], self._taken)
        self.frame.select(self._choose, self.files, [self.chosen, self.said], show_progress="hidden", **PRIVATE)
        if self.opened:
            Context.root_block.load(lambda: framed(self.opened.text), None, self.frame, show_progress="hidden", **PRIVATE)

    def shown(self, result: ProjectionResult, folder: Path, files: list[str]) -> dict[Any, Any]:
        """The explorer of a map of these files, and its file in `folder`. What a picture's recipe says of its prompt is its
        caption."""
        sentences = [sentence_in(file) for file in files]
        text = page(points_of(result, sentences if any(sentences) else (), note=f"{len(result.names)} pictures"), TITLE)
        path = folder / "map.html"
        path.write_text(text, encoding="utf-8")
        return {self.frame: framed(text), self.download: gr.update(value=str(path), interactive=True), self.chosen: None,
                self.files: [*zip(files, result.names, sentences, strict=True)], self.said: chosen_html("", "")}

    def _choose(self, files: list | None, event: gr.EventData):
        with app.plain_errors():
            if files is None and self.opened:
                k = handing.numbered(event, "chosen", range(len(self.opened.names)))
                return k, chosen_html(self.opened.names[k], self.opened.sentence(k))
            file, name, sentence = handing.numbered(event, "chosen", files or ())
            return (file, sentence), chosen_html(name, sentence)

    def _taken(self, chosen: tuple[str, str] | int | None) -> tuple[str | Image.Image, str]:
        if chosen is None:
            raise SpecError("picture: none is chosen; click one in the gallery beside the map")
        return self.opened.picture(chosen) if isinstance(chosen, int) else chosen


def chosen_html(name: str, sentence: str) -> str:
    """Which picture is chosen, and its sentence."""
    told = f"Chosen: <b>{html.escape(name)}</b>" + (f", “{html.escape(sentence)}”" if sentence else "") if name else NONE
    return f'<div class="lk-note">{told}</div>'


def framed(text: str) -> str:
    """A page of ours in a frame that shares no origin with the page around it."""
    return (f'<iframe title="{TITLE}" sandbox="allow-scripts allow-downloads" srcdoc="{html.escape(text)}" '
            f'style="width:100%;height:{HEIGHT}px;border:1px solid #8884;border-radius:8px"></iframe>')
