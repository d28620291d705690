"""What the Latents page has below the map: the explorer, where points are selected by a lasso and seen in a gallery, and the
same page as a file that works offline."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import gradio as gr

from labkit.latents.projection import ProjectionResult
from labkit.views.explorer.page import page
from labkit.views.explorer.points import points_of

HEIGHT = 640  # pixels of the explorer
TITLE = "Latent space"


class ExplorerPanel:
    """Components below a map. The explorer stands in a frame of its own, which may run its own script and reach nothing else:
    neither this page nor its session."""

    def __init__(self, at: str):
        with gr.Row():
            gr.HTML('<div class="lk-note">Draw a line around points on the map below: their pictures stand beside it.</div>')
            self.download = gr.DownloadButton("Download as one HTML file, works offline", interactive=False,
                                              elem_id=f"{at}download")
        self.frame = gr.HTML(elem_id=f"{at}explorer")
        self.outputs = [self.frame, self.download]

    def shown(self, result: ProjectionResult, folder: Path) -> dict[Any, Any]:
        """The explorer of a map, and its file in `folder`."""
        text = page(points_of(result, note=f"{len(result.names)} pictures"), TITLE)
        path = folder / "map.html"
        path.write_text(text, encoding="utf-8")
        return {self.frame: framed(text), self.download: gr.update(value=str(path), interactive=True)}


def framed(text: str) -> str:
    """A page of ours in a frame that shares no origin with the page around it."""
    return (f'<iframe title="{TITLE}" sandbox="allow-scripts allow-downloads" srcdoc="{html.escape(text)}" '
            f'style="width:100%;height:{HEIGHT}px;border:1px solid #8884;border-radius:8px"></iframe>')
