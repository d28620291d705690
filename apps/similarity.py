"""Similarity: how near texts and pictures are to CLIP, and which part of a picture a text is about.

    python apps/similarity.py [--share --auth USER:PASSWORD] [--help]
"""

from __future__ import annotations

import html
import io
import secrets
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

import gradio as gr
import numpy as np
from PIL import Image

from labkit.clip.patches import patch_map
from labkit.clip.similarity import SimilarityMatrix, SimilarityResult
from labkit.image import open_upload
from labkit.spec import SpecError
from labkit.views.controls import fields
from labkit.views.gradio.app import COMPUTE, LOCAL, PRIVATE, Limits, blocks, component, header, main, notices_html, plain_errors
from labkit.world import caption, classes, render, sample_scene

MOST = 24  # texts, and pictures: more cannot be read in a figure this wide
SHOWN = 6  # pictures to begin with
LONGEST = 300  # characters of a text
CONTROLS = {control.name: control for control in fields(SimilarityMatrix)}


def lines_of(texts: str) -> list[str]:
    """The texts, one per line. Raises `SpecError` on none, too many or too long ones."""
    lines = [line.strip() for line in texts.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MOST:
        raise SpecError(f"texts: give 1 to {MOST}, one per line; got {len(lines)}")
    if (longest := max(map(len, lines))) > LONGEST:
        raise SpecError(f"texts: at most {LONGEST} characters a line; got {longest}")
    return lines


def pictures_of(gallery: list | None) -> list[Image.Image]:
    """The pictures of a gallery (path, caption). Raises `SpecError` on none or too many, `ImageError` on a bad one."""
    paths = [item[0] if isinstance(item, tuple | list) else item for item in gallery or []]
    if not 1 <= len(paths) <= MOST:
        raise SpecError(f"pictures: upload 1 to {MOST}, or take some of the picture world; got {len(paths)}")
    return [open_upload(path) for path in paths]


def scenes(n: int, seed: int) -> tuple[list[Image.Image], list[str]]:
    """n scenes of the picture world and a caption of each; no subject comes twice."""
    rng = np.random.default_rng(seed)
    subjects = rng.choice(classes("subject"), n, replace=False)
    drawn = [sample_scene(int(rng.integers(2**31)), "test", subject=str(s), two=False) for s in subjects]
    return [Image.fromarray(render(scene, 128)) for scene in drawn], [caption(scene, rng) for scene in drawn]


def drawn(figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return Image.open(file)


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
    said = [f"{text}: {line}" for text, lines in result.notices.items() for line in lines]
    return f'<div class="lk-verdict"><b>Nearest picture of each text</b><ul>{items}</ul>{pairs}</div>' + notices_html(said)


def panel(lab, limits: Limits) -> None:
    """The page's components and events, in the surrounding layout."""
    start, words = scenes(SHOWN, 3)
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
                number = gr.Number(1, label="Picture", info="Its number; or click on it above", precision=0, minimum=1,
                                   maximum=MOST, elem_id="pair-number")
                look = gr.Button("Cover it patch by patch", elem_id="look")
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
        with plain_errors():
            spec = SimilarityMatrix(texts=tuple(lines_of(texts)), mode=mode, templates=templates)
            images = pictures_of(pictures)
            lab.require(spec)
            result = spec.compute(lab, images, [str(k + 1) for k in range(len(images))])
            shown = result.shown.round(3).reset_index(names="text")
            return drawn(result.figure()), shown, summary(result)

    def occlusion(text: str, picture: str) -> Image.Image:
        """Show which patches of a picture a text is near: how much the cosine falls when a patch is covered.

        Args:
            text: What to look for.
            picture: The picture.
        """
        with plain_errors():
            (line,) = lines_of(text.replace("\n", " "))
            image, size = open_upload(picture), lab.clip.size
            return drawn(patch_map(lab, line, image, patch=size // 8, stride=size // 16).figure())

    def look_at(text: str, number: int, gallery: list | None) -> Image.Image:
        with plain_errors():
            paths = [item[0] for item in gallery or []]
            if number is None or not 1 <= number <= len(paths):
                raise SpecError(f"picture: there are {len(paths)}, so give 1 to {len(paths)}; got {number}")
            return occlusion(text, paths[number - 1])

    def others():
        pictures, texts = scenes(SHOWN, secrets.randbelow(2**31))
        return [(p, str(k + 1)) for k, p in enumerate(pictures)], "\n".join(texts), texts[0], 1

    def chosen(event: gr.SelectData) -> int:
        return event.index + 1

    inputs, outputs = [texts, gallery, mode, templates], [heat, table, said]
    compare.click(similarity, inputs, outputs, api_name="similarity", show_progress_on=[heat], **COMPUTE)
    gr.on([mode.input, templates.input], similarity, inputs, outputs, show_progress_on=[heat], **COMPUTE, **PRIVATE)
    world.click(others, None, [gallery, texts, text, number], show_progress="hidden", **PRIVATE)
    gallery.select(chosen, None, number, show_progress="hidden", **PRIVATE)
    look.click(look_at, [text, number, gallery], patches, **COMPUTE, **PRIVATE)
    api, one = gr.Button(visible=False), gr.Image(visible=False, type="filepath", image_mode=None, label="picture")
    answer = gr.Image(visible=False, format="png")
    api.click(occlusion, [text, one], answer, api_name="occlusion_map", **COMPUTE)


def build(lab, limits: Limits = LOCAL) -> gr.Blocks:
    """The page alone."""
    with blocks("labkit: similarity") as demo:
        header(lab, "Similarity", "Texts against pictures, as CLIP sees them.")
        panel(lab, limits)
    return demo


if __name__ == "__main__":
    main(build)
