"""Scores of what came out, in the layout of the codes report's tables: captions of sampled pictures, distances to drawn ones.

    python -m labkit study generation

A picture is sampled for each of n sentences of held-out combinations and read by somebody, and what was read is compared with
the sentence. Who reads decides what a score means. The judge's verdict, worded as the world's grammar words it, is a reader
that had no part in the sampling. BLIP's caption is the report's way and circular: BLIP's vector of the sentence is what the
priors were told. Beside each figure stand the same pictures held against other sentences (what chance gives) and drawn scenes
of the same combinations (as good as it gets).

A pair of the perceptual distance is a sampled picture and the drawn scene of its sentence; the report does not say what its
pairs are. KID and FID are between the sampled pictures and those scenes, in the judge's features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.clip.pull import clip_scores, targets_of
from labkit.evaluation.gan import paint
from labkit.evaluation.painting import held_out_scenes, plain_caption, prompt_of
from labkit.image import contact_sheet, to_pil
from labkit.methods.prior_sampling import PriorSampling, pictures_of, sentence_of
from labkit.metrics.captions import bleu, caption_scores, meteor
from labkit.metrics.fid import fid, kid_score
from labkit.metrics.perceptual import MissingNetwork, lpips, pocket_distance, trunk_of
from labkit.metrics.score import Score, score_table
from labkit.models.drawing import Draw, sample_codes
from labkit.prompt import Prompt, parse
from labkit.world import Scene, render, render_sketch, sample_scene
from labkit.world.sprites import natural_colour

SAMPLING = PriorSampling(prompt="-", preview_every=10_000)
BATCH = 50  # pictures at once
SHOWN = 60  # pictures on the sheet
REPORT = {"BLEU-1": "0.471", "BLEU-4": "0.471", "METEOR-ES": "0.136", "ROUGE-1": "0.431", "ROUGE-L": "0.156",
          "pocket perceptual distance": "LPIPS: 0.124; DSVIB 0.129; CycleGAN 0.134"}
REPORT_PROMPTS = ("Bouquet of flowers in a vase on a marble table", "Still-life of melons, mango's and a grasshopper",
                  "Whistling boy in pigpen", "Ship in a storm")  # of the pictures that the report shows
ITS_PAIR = ("Ship in ocean", "Ship in a storm")  # the one caption that the report prints, and its prompt

Reader = Callable[[object, Tensor], list[str]]


def worded(verdict) -> str:
    """The judge's verdict as a caption. A colour is named where the subject has a colourable part."""
    colour = verdict.colour if natural_colour(verdict.subject) else None
    return plain_caption(verdict.subject, colour, verdict.setting, verdict.style)


def read_by_judge(lab, x: Tensor) -> list[str]:
    """Captions of pictures (N, 3, H, W) in [0, 1] by a reader that had no part in making them."""
    return [worded(verdict) for verdict in lab.judge.all(x)]


def read_by_blip(lab, x: Tensor) -> list[str]:
    """BLIP's captions: circular where BLIP's vectors were what pictures were made from."""
    return lab.blip.caption(x)


READERS: dict[str, Reader] = {"judge": read_by_judge, "BLIP (circular)": read_by_blip}


@torch.no_grad()
def sample_pictures(lab, sentences: Sequence[str], seed: int = 0, how: PriorSampling = SAMPLING,
                    done: Callable[[int], None] = lambda n: None) -> Tensor:
    """A picture of each sentence from the lab's priors, drawn as `how` says: (N, 3, H, W) in [0, 1]. `done` is told how many
    there are after each batch. Raises `SpecError` where the lab's models do not belong together."""
    vqvae, priors, rng, parts = lab.vqvae, (lab.prior_top, lab.prior_bottom), torch.Generator().manual_seed(seed), []
    how._fits(vqvae, priors)
    at_once = max(1, BATCH // how.candidates)
    for k in range(0, len(sentences), at_once):
        asked = [parse(text) for text in sentences[k:k + at_once]]
        codes: list[Tensor] = []
        for prior, draw in zip(priors, (how.top, how.bottom), strict=True):
            e = torch.cat([sentence_of(lab, prompts, prior.config.condition) for prompts in asked])
            codes.append(_drawn(prior, draw, rng, e.repeat_interleave(how.candidates, 0), codes))
        parts.append(_favourites(lab, asked, pictures_of(vqvae, codes)).cpu())
        done(k + len(asked))
    return torch.cat(parts)


def _favourites(lab, asked: list[tuple[Prompt, ...]], x: Tensor) -> Tensor:
    """Of as many pictures of each prompt the one that CLIP likes best, of x (prompts · candidates, 3, H, W)."""
    if len(x) == len(asked):
        return x
    each = zip(asked, x.split(len(x) // len(asked)), strict=True)
    return torch.stack([some[clip_scores(some, lab.clip, targets_of(lab.clip, list(said))).argmax()] for said, some in each])


def _drawn(prior, draw: Draw, rng: torch.Generator, e: Tensor, above: list[Tensor]) -> Tensor:
    return sample_codes(prior, draw, rng, e, *above).codes


@dataclass(frozen=True)
class GenerationReport:
    """`table`: the report's rows, its figures and ours as words with intervals. `scores`: every figure with name, variant,
    range, n and interval, a row each, with whose `pictures` it is of and who `read` them. `captions`: sentence, and what each
    reader read of the first system's picture. `notes`: what could not be reckoned, and why. `sheet`: the first of that system's
    pictures.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    captions: pd.DataFrame
    notes: list[str]
    sheet: Image.Image


def report_on_pictures(lab, sentences: Sequence[str], pictures: dict[str, Tensor], drawn: Tensor, others: Tensor | None = None,
                       readers: dict[str, Reader] | None = None, draws: int = 1000) -> GenerationReport:
    """Scores of pictures (N, 3, 64, 64) in [0, 1] of N sentences, by the name of what made them: the first is the system that
    the table is about. `drawn`: a true picture of each sentence; `others`: another of each, which shows what could be reached.
    """
    readers, notes, found = READERS if readers is None else readers, [], []
    (main, ours), *_ = pictures.items()
    systems = pictures | ({"drawn scenes": others} if others is not None else {})
    told = {(name, reader): read(lab, x) for name, x in systems.items() for reader, read in readers.items()}
    references = [[text] for text in sentences]
    for (name, reader), captions in told.items():
        found += [(name, reader, s) for s in caption_scores(captions, references, draws)]
        if name == main:
            found += [("other sentences", reader, s) for s in caption_scores(captions, references[1:] + references[:1], draws)]
    for name, x in {**systems, "other sentences": ours.roll(1, 0)}.items():
        found += [(name, "", s) for s in _distances(lab, x, drawn, draws)]
        if name != "other sentences":
            found += [(name, "", s) for s in _between_sets(lab, x, drawn, notes)]
    try:
        trunk_of("alex")
    except MissingNetwork as error:
        notes.append(str(error))
    scores = pd.DataFrame({"pictures": [n for n, _, _ in found], "read by": [r for _, r, _ in found]})
    scores = pd.concat([scores, score_table(s for *_, s in found).reset_index(names="score")], axis=1)
    captions = pd.DataFrame({"sentence": list(sentences), **{r: told[main, r] for r in readers}})
    labels = [f"{text} : {read}" for text, read in zip(sentences, captions.iloc[:, 1], strict=True)]
    sheet = contact_sheet([to_pil(p) for p in ours[:SHOWN]], labels[:SHOWN], columns=10, tile=128)
    return GenerationReport(_layout(found, main, list(readers)), scores, captions, list(dict.fromkeys(notes)), sheet)


def _distances(lab, x: Tensor, drawn: Tensor, draws: int) -> list[Score]:
    """Distances of pairs: LPIPS where its network is on this disk, and the pocket one."""
    found = [pocket_distance(lab.perceptual, x, drawn, draws)]
    try:
        return [*found, lpips(x, drawn, draws=draws)]
    except MissingNetwork:
        return found


def _between_sets(lab, x: Tensor, drawn: Tensor, notes: list[str]) -> list[Score]:
    """KID and FID, where there are pictures enough for each."""
    found = []
    for measure in (kid_score, fid):
        try:
            found.append(measure(lab.judge, x, drawn))
        except ValueError as error:
            notes.append(f"{'FID' if measure is fid else 'KID'}: {error}")
    return found


def _layout(found: list[tuple[str, str, Score]], main: str, readers: list[str]) -> pd.DataFrame:
    """The report's table with ours beside it: a row a metric; what is read is read by the first reader unless a column says
    otherwise."""
    cells: dict[str, dict[str, str]] = {}
    for name, reader, score in found:
        column = "ours" if name == main else name
        if reader and reader != readers[0]:
            if name != main:
                continue
            column = f"ours, {reader}"
        row = cells.setdefault(score.name, {"report": REPORT.get(score.name, "not given")})
        said = f"{score.value:.3f}" + (f" ({score.low:.3f}–{score.high:.3f})" if score.low == score.low else "")
        row[column] = said.replace("-", "−")  # a spreadsheet takes a cell that begins with a hyphen for a formula
        row |= {"n": str(score.n)}
    table = pd.DataFrame(cells).T.fillna("–")
    first = ["report", "ours", *(f"ours, {r}" for r in readers[1:])]
    return table[[*first, *(c for c in table.columns if c not in (*first, "n")), "n"]]


def measure_generation(lab, n: int = 400, seed: int = 0, draws: int = 1000) -> GenerationReport:
    """Sample a picture for each of `n` held-out combinations, paint one by the bottleneck VAE, let the CycleGAN make one of the
    scene's sketch, and score them."""
    scenes = held_out_scenes(n)
    sentences = [prompt_of(s) for s in scenes]
    pictures = {"priors": sample_pictures(lab, sentences, seed), "bottleneck VAE": paint(lab, scenes, seed, "bottleneck"),
                "CycleGAN (of sketches)": of_sketches(lab, scenes)}
    return report_on_pictures(lab, sentences, pictures, _stack(scenes), _stack([again(s) for s in scenes]), draws=draws)


@torch.no_grad()
def of_sketches(lab, scenes: Sequence[Scene]) -> Tensor:
    """What the CycleGAN makes of the line art of scenes' subjects: (N, 3, H, W) in [0, 1]. It reads no sentence."""
    lines = np.stack([render_sketch(s, alone=True) for s in scenes])
    x = torch.from_numpy(lines)[:, None].expand(-1, 3, -1, -1).float() / 127.5 - 1
    return torch.cat([(lab.cyclegan(part.to(lab.device)).cpu() + 1) / 2 for part in x.split(BATCH)]).clamp(0, 1)


def again(scene: Scene) -> Scene:
    """Another scene of the same combination of subject, colour and setting."""
    placed = scene.subjects[0]
    return sample_scene(scene.seed + 1_000_000, "held", subject=placed.subject, colour=placed.colour, setting=scene.setting,
                        style=scene.style, two=False)


def _stack(scenes: list[Scene]) -> Tensor:
    return torch.from_numpy(np.stack([render(s) for s in scenes])).permute(0, 3, 1, 2).float() / 255


def oddities() -> list[str]:
    """What is odd in the report's two tables, each with what can be reckoned from what it prints."""
    said, asked = ITS_PAIR
    pair = ([said], [[asked]])
    one, four, ours = bleu(*pair, 1, draws=20).value, bleu(*pair, 4, draws=20).value, meteor(*pair, draws=20).value
    return [
        f"BLEU 0.471: of which order, with which smoothing, is not said. The one caption that it prints, “{said}” for "
        f"“{asked}”, has BLEU-1 {one:.3f} and BLEU-4 {four:.3f}, as it is of three words: the figure looks like BLEU-1.",
        f"METEOR 0.136 beside it: on that same caption it is {ours:.3f}. METEOR takes away at most half of its F-mean for the "
        "order of words, so that a caption with a ROUGE-1 of F = 0.431 has 0.148 at least (precision 1, recall 0.27, no two "
        "words in a row). The report's reason, order and stemming, does not suffice: stemming can only raise METEOR.",
        "ROUGE-1 is explained by unigram precision; ROUGE is recall, or since 2004 mostly F. Ours is F with β = 1, with its "
        "precision and recall in its parts.",
        "ROUGE-L 0.156 beside ROUGE-1 0.431: captions of three or four words that share words in the same order, as the one "
        "that is printed does, have nearly the same of both.",
        "Its captions are BLIP's, whose vectors the pictures were made from: such a score is circular.",
        "The LPIPS table stands under “expected outcome”: whether it was measured is not said, nor the pairs, the network, n "
        "or a spread. 0.124 and 0.134 are no different without one. A CycleGAN reads no sentence: what its pairs would be is "
        "open. Ours is given the sketch of each sentence's scene.",
    ]  # fmt: skip
