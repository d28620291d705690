"""Similarity: how near texts and pictures are to CLIP, and which part of a picture a text is about.

    python apps/similarity.py [--share --auth USER:PASSWORD] [--help]
"""

from __future__ import annotations

import html
import secrets
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr
import numpy as np
from PIL import Image

from labkit.clip.patches import patch_map
from labkit.clip.similarity import SimilarityMatrix, SimilarityResult
from labkit.spec import SpecError
from labkit.views.controls import Control, fields
from labkit.views.gradio.app import COMPUTE, LOCAL, PRIVATE, Limits, blocks, component, main, plain_errors
from labkit.views.gradio.markup import drawn, header, notices_html
from labkit.views.gradio.markup import shown as rounded
from labkit.views.gradio.measure import MOST, notices_of
from labkit.views.gradio.page import pictures_of as opened
from labkit.views.gradio.page import received
from labkit.views.gradio.runs import line_here, wire
from labkit.world import caption, classes, render, sample_scene

TITLE, PLACE, SHOWS = "Similarity", 8, (SimilarityMatrix,)
SHOWN = 6  # pictures to begin with
LONGEST = 300  # characters of a text
NUMBER = Control("picture", "Picture", "int", 1, step=1, description="Its number; or click on it above")
CONTROLS = {control.name: control for control in fields(SimilarityMatrix)}


def lines_of(texts: str) -> list[str]:
    """The texts, one per line. Raises `SpecError` on none, too many or too long ones."""
    lines = [line.strip() for line in (texts or "").splitlines() if line.strip()]
    if not 1 <= len(lines) <= MOST:
        raise SpecError(f"texts: give 1 to {MOST}, one per line; got {len(lines)}")
    if (longest := max(map(len, lines))) > LONGEST:
        raise SpecError(f"texts: at most {LONGEST} characters a line; got {longest}")
    return lines


def pictures_of(gallery: list | None) -> list[Image.Image]:
    """The pictures of a gallery (path, caption). Raises `SpecError` on none or too many, `ImageError` on a bad one."""
    if not 1 <= (n := len(gallery or [])) <= MOST:
        raise SpecError(f"pictures: upload 1 to {MOST}, or take some of the picture world; got {n}")
    return opened(gallery)


def scenes(n: int, seed: int) -> tuple[list[Image.Image], list[str]]:
    """n scenes of the picture world and a caption of each; no subject comes twice."""
    rng = np.random.default_rng(seed)
    subjects = rng.choice(classes("subject"), n, replace=False)
    drawn = [sample_scene(int(rng.integers(2**31)), "test", subject=str(s), two=False) for s in subjects]
    return [Image.fromarray(render(scene, 128)) for scene in drawn], [caption(scene, rng) for scene in drawn]


def tabled(result: SimilarityResult):
    """What the heat map shows, a row per text, in numbers as one reads them."""
    return rounded(result.shown).reset_index(names="text")


def summary(result: SimilarityResult) -> str:
    """What the matrix says in words: the best picture of each text; in pairs, how often it is the text's own."""
    best = result.cosine.argmax(1).tolist()
    items = "".join(f"<li>{html.escape(text)} → <b>picture {j + 1}</b> (cosine {result.cosine[i, j]:.2f})</li>"
                    for i, (text, j) in enumerate(zip(result.texts, best, strict=True)))
    pairs = ""
    if len(result.texts) == len(result.names) > 1:
        recall = result.recall(1)
        pairs = (f"<p>If text k belongs to picture k: R@1 {recall['text_to_image']:.0%} from text to picture, "
                 f"{recall['image_to_text']:.0%} back.</p>")
    said = notices_html(notices_of(result))
    return f'<div class="lk-verdict"><b>Nearest picture of each text</b><ul>{items}</ul>{pairs}</div>' + said


def panel(lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    (start, words), queue = scenes(SHOWN, 3), line_here()
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            texts = gr.Textbox("\n".join(words), label="Texts", info="One per line", lines=6, max_lines=12, elem_id="texts")
            gallery = gr.Gallery([(picture, str(k + 1)) for k, picture in enumerate(start)], label="Pictures", format="png",
                                 type="filepath", columns=3, height=390, object_fit="contain", interactive=True,
                                 elem_id="pictures", buttons=["fullscreen"])
            world = gr.Button("Other pictures of the picture world", size="sm")
            with gr.Row(equal_height=True):
                mode = component(CONTROLS["mode"], limits, label="Show", min_width=150)
                templates = component(CONTROLS["templates"], limits, label="Average over sentences", min_width=180)
            compare = gr.Button("Compare", variant="primary", elem_id="compare")
            compared = gr.HTML(elem_id="compare-status", elem_classes="lk-hollow")
        with gr.Column(scale=6, min_width=340):
            heat = gr.Image(show_label=False, format="png", interactive=False, elem_id="heat",
                            buttons=["download", "fullscreen"])
            said = gr.HTML(elem_id="said")
            with gr.Accordion("Table", open=False):
                table = gr.Dataframe(interactive=False, show_label=False, wrap=True, elem_id="table")
    with gr.Accordion("Which part of a picture is a text about?", open=True):
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=280):
                text = gr.Textbox(words[0], label="Text", max_length=LONGEST, elem_id="pair-text")
                number = component(NUMBER, limits, elem_id="pair-number")
                look = gr.Button("Cover it patch by patch", elem_id="look")
                looked = gr.HTML(elem_id="look-status", elem_classes="lk-hollow")
            with gr.Column(scale=5, min_width=340):
                patches = gr.Image(show_label=False, format="png", interactive=False, elem_id="patches",
                                   buttons=["download", "fullscreen"])

    def similarity(texts: str, pictures: list, mode: str, templates: bool):
        """Compare texts with pictures by CLIP: a heat map, a table (a row per text) and a summary in HTML.

        Args:
            texts: The texts, one per line.
            pictures: The pictures.
            mode: cosine, softmax (over the texts, at the model's temperature) or zscore (per text).
            templates: Average each text over sentences such as 'a picture of …'.
        """
        with plain_errors(), queue.turn():
            result = compared_by(texts, pictures, mode, templates)
            return drawn(result.figure()), tabled(result), summary(result)

    def compared_by(texts, pictures, mode, templates) -> SimilarityResult:
        spec, images = SimilarityMatrix(texts=tuple(lines_of(texts)), mode=mode, templates=templates), pictures_of(pictures)
        lab.require(spec)
        return spec.compute(lab, images, [str(k + 1) for k in range(len(images))])

    def show(stopped, *values) -> dict:
        result = compared_by(*values)
        return {heat: drawn(result.figure()), table: tabled(result), said: summary(result)}

    def occlusion(text: str, picture: str) -> Image.Image:
        """Show which patches of a picture a text is near: how much the cosine falls when a patch is covered.

        Args:
            text: What to look for.
            picture: The picture.
        """
        with plain_errors(), queue.turn():
            return covered(text, picture)

    def covered(text: str, picture: str | None) -> Image.Image:
        if picture is None:
            raise SpecError("picture: is missing; give one")
        (line,) = lines_of((text or "").replace("\n", " "))
        image, size = received(picture), lab.clip.size
        return drawn(patch_map(lab, line, image, patch=size // 8, stride=size // 16).figure())

    def look_at(stopped, text: str, number: float | None, gallery: list | None) -> dict:
        paths = [item[0] for item in gallery or []]
        if not paths:
            raise SpecError("picture: there are none; upload some, or take some of the picture world")
        if number not in range(1, len(paths) + 1):
            raise SpecError(f"picture: there are {len(paths)}, so give a whole number from 1 to {len(paths)}; got {number}")
        return {patches: covered(text, paths[int(number) - 1])}

    def others():
        pictures, texts = scenes(SHOWN, secrets.randbelow(2**31))
        return [(p, str(k + 1)) for k, p in enumerate(pictures)], "\n".join(texts), texts[0], 1

    def chosen(event: gr.SelectData) -> int:
        return event.index + 1

    inputs = [texts, gallery, mode, templates]
    wire(compare, show, inputs, [heat, table, said], compared, also=(mode.input, templates.input), trigger_mode="always_last",
         show_progress="full", show_progress_on=[heat])
    world.click(others, None, [gallery, texts, text, number], show_progress="hidden", **PRIVATE)
    gallery.select(chosen, None, number, show_progress="hidden", **PRIVATE)
    wire(look, look_at, [text, number, gallery], [patches], looked, show_progress="full", show_progress_on=[patches])
    api, rows, lines = gr.Button(visible=False), gr.Dataframe(visible=False), gr.HTML(visible=False)
    picture = Control("picture", "picture", "image")
    one, answer = component(picture, limits, visible=False, elem_id="pair-sent"), gr.Image(visible=False, format="png")
    api.click(similarity, inputs, [answer, rows, lines], api_name="similarity", **COMPUTE)
    api.click(occlusion, [text, one], answer, api_name="occlusion_map", **COMPUTE)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with blocks("labkit: similarity") as demo:
        header(lab, "Similarity", "Texts against pictures, as CLIP sees them.")
        panel(lab, limits)
    return demo


if __name__ == "__main__":
    main(build)
