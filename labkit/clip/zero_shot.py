"""Zero-shot: which class's prompt lies nearest to a picture, by templates; and a probe of what a CLIP must not forget.

    w_c = normalise(mean over templates t of CLIP(t(c)))          prompt ensemble, Radford et al. 2021, section 3.1.4
    prediction = argmax_c CLIP(picture) · w_c

The probe is the picture world's: its 64 subjects, which scenes show that no fine-tuning on labelled pictures has learned from;
and whole sentences, each of which has to find its scene among all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.spec import SpecError
from labkit.text import plain
from labkit.world import caption, classes, render, sample_scene, words

TEMPLATES = ("{}", "a {}", "a picture of a {}", "an image of a {}", "a small {}", "a big {}")
WORD, SENTENCE = ("{}",), ("a picture of a {}",)


def worded(template: str, label: str) -> str:
    """The template with the label in it, "an" before a vowel, and no article where the world's word takes none ("grapes").
    Raises `SpecError` on a template without exactly one {}."""
    if template.count("{}") != 1:
        raise SpecError(f"templates: {plain(repr(template))} must have one {{}} in it, where the label is to stand")
    before, after = template.split("{}")
    if label in words()["without_article"]:
        before = re.sub(r"\ban? (?=(\w+ )?$)", "", before)
    else:
        before = re.sub(r"\ban? $", "an " if label[:1].lower() in "aeiou" else "a ", before)
    return f"{before}{label}{after}"


def class_vectors(encoder, labels: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Tensor:
    """(classes, D) unit vectors: the mean of each label's prompts."""
    texts = [worded(template, label) for label in labels for template in templates]
    each = encoder.encode_text(texts).view(len(labels), len(templates), -1)
    return F.normalize(each.mean(1), dim=-1)


@torch.no_grad()
def picture_vectors(encoder, pictures: Tensor, batch: int = 64) -> Tensor:
    """(N, D) unit vectors of pictures (N, 3, S, S), uint8 or in [0, 1], at any side."""
    parts = []
    for some in pictures.split(batch):
        x = some.to(encoder.device)
        parts.append(encoder.encode_image(x.float() / 255 if x.dtype == torch.uint8 else x))
    return torch.cat(parts)


def accuracy(vectors: Tensor, labels: np.ndarray, prompts: Tensor) -> float:
    """Share of pictures whose nearest prompt (classes, D) is their label's."""
    return float(((vectors @ prompts.T).argmax(1).cpu().numpy() == labels).mean())


@dataclass(frozen=True)
class Probe:
    """`pictures` (N, 3, S, S) uint8 of the world, `subjects` and `colours` (N,) indices of their classes (colour −1: none),
    `captions` that name everything."""

    pictures: Tensor
    subjects: np.ndarray
    colours: np.ndarray
    captions: tuple[str, ...]

    def subject_accuracy(self, encoder, vectors: Tensor | None = None) -> float:
        """Zero-shot accuracy among all the subjects of the world."""
        vectors = picture_vectors(encoder, self.pictures) if vectors is None else vectors
        return accuracy(vectors, self.subjects, class_vectors(encoder, names("subject"), ("a {}",)))

    def colour_accuracy(self, encoder, vectors: Tensor | None = None) -> float:
        """Likewise among the colours, where a scene has one: "a red apple" against "a blue apple", of its own subject."""
        vectors = picture_vectors(encoder, self.pictures) if vectors is None else vectors
        shades, nouns, some = classes("colour"), names("subject"), np.flatnonzero(self.colours >= 0)
        if not len(some):
            return float("nan")
        asked = sorted(set(self.subjects[some]))
        prompts = encoder.encode_text([f"a {shade} {nouns[s]}" for s in asked for shade in shades])
        own = prompts.view(len(asked), len(shades), -1)[[asked.index(s) for s in self.subjects[some]]]
        found = torch.einsum("ncd,nd->nc", own, vectors[torch.from_numpy(some)]).argmax(1)
        return float((found.cpu().numpy() == self.colours[some]).mean())

    def sentence_recall(self, encoder, vectors: Tensor | None = None) -> float:
        """R@1: the share of captions whose nearest picture among all is their own."""
        vectors = picture_vectors(encoder, self.pictures) if vectors is None else vectors
        found = (encoder.encode_text(list(self.captions)) @ vectors.T).argmax(1).cpu().numpy()
        return float((found == np.arange(len(found))).mean())


def names(attribute: str) -> list[str]:
    """The plain words of an attribute's classes."""
    table = words()[f"{attribute}s"]
    return [table[name]["name"] if isinstance(table[name], dict) and "name" in table[name] else name for name in table]


@lru_cache(maxsize=4)
def world_probe(n: int = 96, size: int = 64, split: str = "test") -> Probe:
    """The first n one-subject scenes of a split of trained combinations, no two alike by what they show."""
    side = next((side for side in (64, 128, 256) if side >= size), 256)
    seen, scenes, k = set(), [], 0
    while len(scenes) < n:
        scene = sample_scene(k, split, two=False)
        if scene.truth not in seen:
            seen.add(scene.truth)
            scenes.append(scene)
        k += 1
    pixels = torch.from_numpy(np.stack([render(scene, side) for scene in scenes])).permute(0, 3, 1, 2).contiguous()
    first, shades = [scene.subjects[0] for scene in scenes], classes("colour")
    return Probe(pixels, np.array([classes("subject").index(p.subject) for p in first]),
                 np.array([shades.index(p.colour) if p.colour else -1 for p in first]),
                 tuple(caption(scene, np.random.default_rng([5, k]), full=True) for k, scene in enumerate(scenes)))
