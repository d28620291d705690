"""Key phrases of a song: which words of it make a picture, and why.

    score(p) = w_c · concreteness + w_r · repetition + w_p · picturability − w_o · overlap

    concreteness   mean over the phrase's words of (c − 1) / 4, c from 1 (abstract) to 5 (concrete)
    repetition     ln(how often a line that has it is sung): 0 for what is sung once
    picturability  mean over picture templates T of cos(p, T(p)) − mean over abstract sentences A of cos(p, A), by CLIP
    overlap        how much of it is a piece of a longer phrase of the same line: 1 for a fragment

Then maximal marginal relevance (Carbonell & Goldstein 1998) picks, again and again, the phrase of the largest
(1 − d) · score − d · (largest similarity to a picked one). Lyrics have lines instead of sentences, so a repeated line is
read once and counted (`labkit.lyrics.reader`, which knows what is not sung). Candidates come from `.candidates`, terms from
`.scores`, word lists from `.words`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from labkit.clip.figures import Sheet
from labkit.lyrics.candidates import candidates, grammar, single_words
from labkit.lyrics.reader import read_lyrics
from labkit.lyrics.scores import (
    SIGNS,
    TERMS,
    Concreteness,
    Phrase,
    gather,
    likeness,
    measure_picturability,
    mmr,
    overlaps,
    translate,
)
from labkit.lyrics.words import WORD, language_of, load_glossary, normalise, script
from labkit.spec import Measure, Spec

POOL = 300  # candidates that CLIP reads; of a longer text the best by the other terms
COLOURS = {"concreteness": "#4c78a8", "repetition": "#f2a541", "picturability": "#59a14f", "overlap": "#e15759"}
LABEL = 40  # characters of a phrase beside its bar


class Weights(Spec):
    """How much each term of the score counts."""

    concreteness: float = Field(1.0, ge=0, le=10, description="of how concrete the words are")
    repetition: float = Field(0.25, ge=0, le=10, description="of how often it is sung")
    picturability: float = Field(1.0, ge=0, le=10, description="of how much CLIP sees in it")
    overlap: float = Field(0.5, ge=0, le=10, description="against pieces of longer phrases")


class KeyPhrases(Measure):
    """Which phrases of a song make a picture, with reasons."""

    needs: ClassVar[tuple[str, ...]] = ("clip",)
    example: ClassVar[dict[str, Any]] = {"text": "a red apple\nthe sea at night\nthe sea at night"}

    text: str = Field(..., max_length=20_000, description="the lyrics, a line of the song per line")
    language: Literal["auto", "en", "ru"] = Field(
        "auto", validate_default=True, description="of the lyrics; auto: by the script of most words")
    morphology: Literal["auto", "dictionary", "endings"] = Field(
        "auto", description="of Russian: by pymorphy3's dictionary or by endings; auto: the dictionary where it is installed")
    n: int = Field(10, ge=1, le=50, description="phrases to pick")
    most_words: int = Field(4, ge=1, le=4, description="words of a phrase, not counting prepositions and articles")
    diversity: float = Field(0.3, ge=0, le=1, description="0: by score alone; 1: as unlike each other as possible")
    weights: Weights = Field(Weights(), description="how much each term counts")

    @field_validator("text")
    @classmethod
    def _has_words(cls, text: str) -> str:
        lyrics = read_lyrics(text)
        if not any(script(w) != "number" for w in WORD.findall(lyrics.text)):
            besides = f" besides what is not sung ({'; '.join(lyrics.notes)})" if lyrics.notes else ""
            raise ValueError(f"has no words{besides}; give at least one line of a song")
        return text

    @field_validator("language")
    @classmethod
    def _readable(cls, language: str, info: ValidationInfo) -> str:
        if "text" in info.data:  # else text was refused already, which is told
            language_of(read_lyrics(info.data["text"]).text, language)
        return language

    def compute(self, lab, norms: Mapping[str, float] | None = None,
                glossary: Mapping[str, str] | None = None) -> KeyPhrasesResult:
        """The phrases with every term of their score.

        `norms` (word → concreteness from 1 to 5, as `load_norms` reads them) go before our own list, `glossary` (Russian
        → English) is used instead of ours. A text that consists of stop words and exclamations gives an empty table.
        Raises SpecError on norms out of range, ImportError if morphology='dictionary' is not installed, NonFiniteError on NaN.
        """
        lyrics = read_lyrics(self.text)
        code = language_of(lyrics.text, self.language)
        rules, lines = grammar(code, self.morphology), lyrics.distinct()
        notices = [f"phrases: {rules.name}", *lyrics.notes]
        found = gather(lines, lambda text: candidates(text, rules, self.most_words))
        if not found:
            found = gather(lines, lambda text: single_words(text, rules))
            notices.append("no noun phrase was found; single words are offered instead" if found else "all are stop words")
        other = sum(script(w) not in (code, "number") for w in WORD.findall(lyrics.text))
        notices += [f"{other} words in another script were passed over"] if other else []
        rated = Concreteness(code, rules, norms)
        for p in found:
            p.terms["concreteness"] = rated(p)
            p.terms["repetition"] = math.log(p.count)
        shares = overlaps([p.candidate.words for p in found], [p.times for p in found])
        for p, share in zip(found, shares, strict=True):
            p.terms["overlap"] = share
        if len(found) > POOL:
            found = sorted(found, key=lambda p: -p.score(self.weights))[:POOL]
        if code == "ru":
            translate(found, rules, load_glossary() if glossary is None else {normalise(k): v for k, v in glossary.items()})
        else:
            for p in found:
                p.prompt = " ".join(p.candidate.shown.split())
        notices += measure_picturability(lab.clip, found)
        similarity = likeness([p.candidate.words for p in found])
        order = mmr([p.score(self.weights) for p in found], similarity, self.n, self.diversity)
        return KeyPhrasesResult(tuple(found[i] for i in order), self.weights, tuple(notices), code, lab.clip.name)


@dataclass(frozen=True)
class KeyPhrasesResult:
    """The phrases in the order picked. `notices` say what holds for all of them: the rules, what was not measured."""

    phrases: tuple[Phrase, ...] = field(repr=False)
    weights: Weights
    notices: tuple[str, ...]
    language: str
    model: str

    @property
    def table(self) -> pd.DataFrame:
        """A row per phrase, numbered from 1.

        phrase, base (its citation form), score, the four terms (picturability NaN where it was not measured), count (how
        often it is sung), lines (their numbers), line (the first, as written), prompt (English; "" where the reader must
        write it), why (weight × term, summed), note.
        """
        rows = [{
            "phrase": p.candidate.shown, "base": p.candidate.base, "score": p.score(self.weights),
            **{t: p.terms.get(t, math.nan) for t in TERMS},
            "count": p.count, "lines": ", ".join(map(str, p.numbers)), "line": p.line,
            "prompt": p.prompt, "why": self.why(p), "note": "; ".join(p.notes),
        } for p in self.phrases]  # fmt: skip
        columns = ["phrase", "base", "score", *TERMS, "count", "lines", "line", "prompt", "why", "note"]
        return pd.DataFrame(rows, columns=columns, index=range(1, len(rows) + 1))

    @property
    def shares(self) -> pd.DataFrame:
        """What each term adds to a phrase's score, weight and sign included (0 where it was not measured)."""
        rows = [[SIGNS[t] * getattr(self.weights, t) * p.terms.get(t, 0.0) for t in TERMS] for p in self.phrases]
        return pd.DataFrame(rows, columns=list(TERMS), index=[p.candidate.shown for p in self.phrases], dtype=float)

    def why(self, phrase: Phrase) -> str:
        """The sum in words: `1 × 0.88 concreteness + 0.25 × 1.10 repetition`, terms of 0 left out."""
        parts = [f"{'−' if SIGNS[t] < 0 else '+'} {getattr(self.weights, t):g} × {phrase.terms[t]:.2f} {t}"
                 for t in TERMS if phrase.terms.get(t)]
        return " ".join(parts).removeprefix("+ ")

    def prompts(self, own: Mapping[str, str] | None = None) -> list[str]:
        """English prompts, ready for painting, in the order picked: `own` (phrase as in the table → English) goes before the
        table's. Phrases without either are left out. Raises ValueError on a phrase that is not in the table."""
        own = dict(own or {})
        unknown = set(own) - {p.candidate.shown for p in self.phrases}
        if unknown:
            raise ValueError(f"own: {sorted(unknown)[0]!r} is not in the table's column phrase; copy it from there")
        texts = [" ".join(own.get(p.candidate.shown, p.prompt).split()) for p in self.phrases]
        return [t for t in texts if t]

    def figure(self) -> Sheet:
        """Bars of what each term adds to (right) or takes from (left of 0) the score, the score as a mark behind them.
        Phrases whose picturability was not measured bear a star."""
        n = max(len(self.phrases), 1)
        starred = any("picturability" not in p.terms for p in self.phrases)
        star = ["* not measured: CLIP does not know a word of it, or it has no English prompt"] * starred
        notes = [line for text in (*self.notices, *star) for line in textwrap.wrap(text, 110)]
        height = 1.0 + 0.42 * n + 0.17 * len(notes)
        figure = Sheet(figsize=(8.6, height))
        bottom = (0.42 + 0.17 * len(notes)) / height
        ax = figure.add_axes([0.36, bottom, 0.6, 0.42 * n / height])
        shares = self.shares.to_numpy().reshape(-1, len(TERMS))
        y = np.arange(len(shares))
        for sign in (1, -1):
            start = np.zeros(len(shares))
            for column, term in enumerate(TERMS):
                part = np.clip(shares[:, column] * sign, 0, None) * sign
                ax.barh(y, part, left=start, height=0.62, color=COLOURS[term], label=term if sign > 0 else None)
                start += part
        total, reach = shares.sum(1), np.clip(shares, 0, None).sum(1)
        ax.scatter(total, y, marker="D", s=28, color="black", edgecolor="white", linewidth=0.8, zorder=3, label="score")
        for at, value, right in zip(y, total, reach, strict=True):
            ax.annotate(f"{value:.2f}", (max(right, value), at), (8, 0), textcoords="offset points", va="center", fontsize=8.5)
        for at, p in enumerate(self.phrases):
            shown = textwrap.shorten(p.candidate.shown, LABEL, placeholder="…") + " *" * ("picturability" not in p.terms)
            where = f"line {p.numbers[0]}" + (f", {p.count} times" if p.count > 1 else "")
            where += f" · {textwrap.shorten(p.prompt, LABEL, placeholder='…') or 'no English prompt'}" * (self.language == "ru")
            box = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center", "parse_math": False}
            ax.text(-0.02, at - 0.15, shown, fontsize=10, **box)
            ax.text(-0.02, at + 0.22, where, fontsize=7, color="0.45", **box)
        ax.set_ylim(n - 0.5, -0.5)
        low, high = ax.get_xlim()
        ax.set_xlim(min(low, 0), max(high, float(reach.max(initial=0.5))) * 1.08 + 0.1)
        ax.axvline(0, color="0.3", linewidth=0.8)
        ax.set_yticks([])
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right", "left"]].set_visible(False)
        if not len(shares):
            ax.text(0.5, 0.5, "no phrase was found", transform=ax.transAxes, ha="center", va="center", color="0.45")
        figure.legend(*ax.get_legend_handles_labels(), loc="upper right", bbox_to_anchor=(0.97, 1 - 0.3 / height), ncols=5,
                      frameon=False, fontsize=8, handlelength=1.2, columnspacing=1.2, borderaxespad=0)
        figure.text(0.02, 1 - 0.26 / height, f"Key phrases and what makes their score (CLIP: {self.model})", fontsize=11)
        for i, line in enumerate(reversed(notes)):
            figure.text(0.02, (0.1 + 0.17 * i) / height, line, fontsize=7.5, color="0.35", parse_math=False)
        return figure
