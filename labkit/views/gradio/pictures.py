"""Where a page shows what its run makes: one picture or, of a method that makes several side by side, each of them apart.

Of several, each is a PNG with the recipe that makes it alone, with its own seed; a click chooses the one that goes on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from labkit.runs.result import Result
from labkit.spec import Method, SpecError
from labkit.views.gradio.app import PRIVATE
from labkit.views.gradio.opened import sentence_in
from labkit.views.gradio.page import Page, file_name


class Pictures:
    """The component `shown`; `outputs` of a run; `inputs` and `taken` for `handing.offer`."""

    def __init__(self, page: Page, small: bool):
        """`small`: the pictures have few pixels, each of which is to be seen."""
        self.several = page.method.apart is not Method.apart
        common = {"show_label": False, "type": "filepath", "format": "png", "interactive": False,
                  "elem_id": f"{page.prefix}picture"}
        classes = ["lk-pixels"] * small
        if not self.several:
            self.shown = gr.Image(image_mode=None, height=400, buttons=["fullscreen"],
                                  elem_classes=["lk-picture", *classes], **common)
            self.inputs = self.outputs = [self.shown]
            return
        self.shown = gr.Gallery(columns=2, height="auto", object_fit="contain", buttons=["download", "fullscreen"],
                                elem_classes=["lk-pictures", *classes], **common)
        chosen, quick = gr.State(None), {"queue": False, "show_progress": "hidden", **PRIVATE}
        self.inputs = self.outputs = [self.shown, chosen]
        self.shown.select(self._choose, None, chosen, **quick)
        self.shown.preview_close(lambda: None, None, chosen, **quick)

    def preview(self, result: Result) -> dict:
        """What changes with a run on its way."""
        if not self.several:
            return {self.shown: result.image}
        return self._laid([(picture, f"seed {spec.seed}") for picture, spec in result.spec.apart(result.image)])

    def final(self, result: Result, path: Path) -> dict:
        """What changes when a run has ended, whose picture was saved at `path`."""
        if not self.several:
            return {self.shown: str(path)}
        out = []
        for picture, spec in result.spec.apart(result.image):
            one = result
            if spec != result.spec:
                recipe = result.recipe | {"spec": spec.model_dump(mode="json")}
                one = replace(result, spec=spec, image=picture, recipe=recipe)
            out.append((str(one.save(path.with_name(file_name(spec, one)))), f"seed {spec.seed}"))
        return self._laid(out)

    def _laid(self, some: list[tuple[Any, str]]) -> dict:
        """Side by side, and none chosen."""
        return dict(zip(self.outputs, (gr.update(value=some, columns=min(2, len(some)), selected_index=None), None),
                        strict=True))

    @staticmethod
    def _choose(event: gr.SelectData) -> int | None:
        return event.index if type(event.index) is int else None

    def taken(self, there: Any, chosen: int | None = None) -> tuple[str, str]:
        """The file of the picture that goes on, and the sentence in its recipe. Raises `SpecError` where there is none."""
        files = [file for file, _ in there or ()] if self.several else [there] * bool(there)
        if not files:
            raise SpecError("picture: there is none yet; run first")
        if len(files) > 1 and not (type(chosen) is int and 0 <= chosen < len(files)):
            raise SpecError(f"picture: there are {len(files)}; open the one that is to go on by a click")
        file = files[chosen if len(files) > 1 else 0]
        return file, sentence_in(file)
