"""What the Sketch page has beside the workbench: what strength and guidance do, in words and numbers, as they move; how the
sketch was made fit, step by step; and what the model sees of it at the start.

    Page(ImageToImage, …, live=(FOLLOWED, strength_html), extra=SketchPanel)
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
from PIL import Image

from labkit.image import to_pil
from labkit.models.latent_path import Frame, Sampling, steps_run, steps_to_ask
from labkit.sketches.strength import StrengthShown
from labkit.spec import SpecError, Step
from labkit.views.gradio.markup import notices_html
from labkit.views.gradio.page import THUMB, Part, Site, spec_from
from labkit.views.gradio.runs import wire
from labkit.views.notebook.show import data_uri

FOLLOWED = ("strength", "guidance", "steps", "exact", "count", "sampler__name")
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)  # beside the one that was chosen
STAGES = {"light": "luminance", "polarity": "turned: dark lines on white", "paper": "shadows of the paper taken away",
          "lines": "lines black, paper white", "width": "lines thicker or thinner",
          "frame": "whole and large, in the model's own pixels"}
# Down to how much of the sketch (√ᾱ) the words hold.
LEFT = ((0.7, "The sketch shows clearly: its lines stay, little is made new."),
        (0.35, "The sketch shows through the noise: its shapes stay, colours and surfaces are made new."),
        (0.12, "Of the sketch the rough layout is left: large shapes stay, details are made new."),
        (0.0, "Hardly anything of the sketch is left: the prompt decides, as from text alone."))
NOTHING = "Draw, then press Look first, or run."


def at_hand(lab) -> bool:
    """Whether the model can be asked now: it is there, or small enough to be fetched from the disk for a number."""
    return "stable_diffusion" in lab.loaded or lab.draws_with_pocket(["stable_diffusion"])


def strength_html(lab, flat: dict[str, Any]) -> str:
    """What the controls `FOLLOWED` come to: steps that are run, the first time, how much of the sketch is left there, and how
    far guidance leans. Without a model at hand only what follows without one."""
    if None in flat.values():  # a number that is being typed
        return ""
    try:
        told = strength_told(lab, flat)
    except SpecError as error:
        return f'<div class="lk-notice">{html.escape(str(error))}</div>'
    return f'<div class="lk-told">{told}</div>'


def strength_told(lab, flat: dict[str, Any]) -> str:
    strength, guidance = flat["strength"], flat["guidance"]
    shown = StrengthShown(strengths=(strength,), steps=flat["steps"], exact=flat["exact"],
                          sampler=Sampling(name=flat["sampler__name"]))
    asked = steps_to_ask(shown.steps, strength) if shown.exact else shown.steps
    run = steps_run(asked, strength)
    parts = [f"<b>Strength {strength:g}</b>: the last {run} of {asked} steps are run"]
    if at_hand(lab):
        (one,) = shown.ways(lab)
        told = one.told
        noise = told["noise"] ** 2
        parts[0] += (f', from t = {told["first t"]:g}. There the model sees {told["signal"]:.2f} × the sketch + '
                     f'{told["noise"]:.2f} × noise.')
        parts.append(f'<span class="lk-share" role="img" aria-label="{noise:.0%} of what the model sees is noise">'
                     f'<i style="width:{100 * (1 - noise):.1f}%"></i></span><small>sketch {1 - noise:.0%}, noise {noise:.0%} '
                     "of the variance</small>")
        parts.append(next(words for least, words in LEFT if told["signal"] >= least))
    else:
        parts[0] += ". What is left of the sketch is said here once the model is loaded."
    looks = run * (1 if guidance <= 1 else 2)
    parts.append(f"<b>Guidance {guidance:g}</b>: " + (
        "each step follows the prompt as the model reads it, without leaning on it; a negative prompt is not read."
        if guidance <= 1 else
        f"each step leans {guidance:g} times as far towards the prompt as the model would by itself: "
        + ("gently; the sketch has a say." if guidance < 4 else "clearly; the usual range." if guidance <= 10 else
           "hard; colours grow loud, and the sketch may be left."))
        + f" {looks} looks of the network for each of {flat['count']} picture{'s' * (flat['count'] != 1)}.")
    return "".join(f"<p>{part}</p>" for part in parts)


def stages_html(stages: dict[str, Image.Image], notices: list[str] = ()) -> str:
    """How a sketch was made fit, a picture a step; of a picture that was taken as it is, that word."""
    if not stages:
        return '<div class="lk-note">The picture was taken as it is: its preparation as a sketch is off.</div>'
    words = [STAGES[name] for name in stages]
    return strip_html("How the sketch was made fit", list(stages.values()), words) + notices_html(notices)


def strip_html(title: str, pictures: list[Image.Image], words: list[str], chosen: int | None = None) -> str:
    """Small pictures in a row, which breaks where a screen ends, each with its words; the `chosen` one is framed."""
    cells = ""
    for k, (picture, said) in enumerate(zip(pictures, words, strict=True)):
        small = picture.copy()
        small.thumbnail((THUMB, THUMB))
        cells += (f'<figure{" class=there" * (k == chosen)}><img src="{data_uri(small)}" alt="">'
                  f"<figcaption>{html.escape(said)}</figcaption></figure>")
    return f'<div class="lk-note">{html.escape(title)}</div><div class="lk-strip">{cells}</div>'


class SketchPanel(Part):
    """How the sketch was made fit, and what the model sees of it."""

    def __init__(self, site: Site):
        self.site = site
        at, names = site.page.prefix, list(site.page.controls)
        self.stages = gr.HTML(f'<div class="lk-note">{NOTHING}</div>', elem_id=f"{at}stages")
        self.strip = gr.HTML(elem_id=f"{at}strip", elem_classes="lk-hollow")
        look = gr.Button("Look first: what will the model see?", size="sm", elem_id=f"{at}look")
        self.outputs = [self.stages, self.strip]
        wire(look, self._looked, [site.kept, *(site.made[name] for name in names)], self.outputs, site.line)

    def shown(self, spec, step: Step | None) -> dict[Any, Any]:
        """What the panel shows of a run's first step; nothing new of the others."""
        if step is None or "told" not in step.extras:
            return {}
        out = {self.stages: stages_html(step.extras.get("stages", {}))}
        model = self.site.lab.stable_diffusion
        seen = [to_pil((x + 1) / 2) for x in model.decode(step.extras["seen"]).cpu()]
        words = [f"seed {spec.seed + k}" for k in range(spec.count)]
        return out | {self.strip: strip_html(f"What the model saw at the start, at strength {spec.strength:g}", seen, words)}

    def _looked(self, stopped, kept: dict, *values):
        site = self.site
        spec = spec_from(site.page, dict(zip(site.page.controls, values, strict=True)), kept, site.limits)
        site.lab.require(spec)
        size = spec.frame.size(site.lab.stable_diffusion)
        x, notices, stages = spec.picture_at(size)
        strengths = tuple(sorted({*STRENGTHS, spec.strength}))
        shown = StrengthShown(strengths=strengths, steps=spec.steps, exact=spec.exact, sampler=spec.sampler, seed=spec.seed,
                              frame=Frame(width=size[1], height=size[0])).compute(site.lab, [to_pil((x + 1) / 2)])
        words = [f"{s:g}: {row['steps run']:.0f} steps, {row['signal']:.2f} × sketch" for s, row in shown.table.iterrows()]
        title = "What the model sees at the start, at every strength"
        return {self.stages: stages_html(stages, notices), self.strip: strip_html(title, shown.seen[0], words,
                                                                                strengths.index(spec.strength))}
