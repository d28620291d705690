"""The key phrases of a song, with reasons: phrases song.txt --out bars.png"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.spec import SpecError
from labkit.text import TextError, plain, read_words
from labkit.views.cli.flags import joined, maybe, parse
from labkit.views.cli.lab import lab_flags, lab_of
from labkit.views.cli.outputs import output, save_figure, save_table
from labkit.views.cli.terminal import COLUMNS, DONE, LONG, say


@dataclass
class PhrasesOptions:
    """What is read and what is kept."""

    file: Positional[Annotated[str, arg(metavar="FILE", help="The lyrics in UTF-8, a line per line; -: standard input")]] = "-"
    norms: Annotated[str | None, maybe("Your concreteness norms: word and concreteness, or Word and Conc.M", "FILE.csv")] = None
    glossary: Annotated[str | None, maybe("Your own glossary instead of ours: russian and english", "FILE.csv")] = None
    out: Annotated[str | None, maybe("The bars of every score", "FILE.png")] = None
    csv: Annotated[str | None, maybe("The whole table", "FILE.csv")] = None


def main(args: list[str]) -> int:
    """`labkit phrases FILE`: prints the table; a figure and a CSV on request."""
    from labkit.lyrics import KeyPhrases, load_glossary, load_norms

    flags = joined(PhrasesOptions, lab_flags(KeyPhrases.needs))
    typed, options = parse("phrases", KeyPhrases, flags, args, skip=("text",))
    try:
        measure = typed.build(text=read_text(options.file))
    except SpecError as error:
        raise SpecError(str(error).replace("--text:", f"{options.file}:")) from None
    out, csv = output(options.out, "--out", ".png"), output(options.csv, "--csv", ".csv")
    for flag, path in (("--norms", options.norms), ("--glossary", options.glossary)):
        if path and not os.path.isfile(path):
            raise FileNotFoundError(f"{flag}: {path}: no such file")
    norms = load_norms(options.norms) if options.norms else None
    glossary = load_glossary(options.glossary) if options.glossary else None
    lab = lab_of(options)
    lab.require(measure, say)
    try:
        result = measure.compute(lab, norms, glossary)
    except ImportError as error:  # a package that was asked for by name and is not installed
        raise SpecError(f"--morphology: {error}") from None
    for line in result.notices:
        say(f"note: {plain(line, LONG)}")
    print(report(result))
    if out:
        save_figure(result.figure(), out, dpi=120)
    if csv:
        save_table(result.table, csv, index_label="rank")
    return DONE


def read_text(file: str) -> str:
    """The text of a file, or of standard input for '-'. Raises FileNotFoundError, IsADirectoryError, SpecError."""
    if file == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise SpecError("FILE: is missing; give a file with lyrics, or pipe them in")
        data = sys.stdin.buffer.read()
    elif os.path.isdir(file):
        raise IsADirectoryError(f"{plain(file, LONG)}: is a folder; give a file with lyrics")
    elif not os.path.exists(file):
        raise FileNotFoundError(f"{plain(file, LONG)}: no such file; give a file with lyrics, or - for standard input")
    else:
        data = Path(file).read_bytes()
    try:
        return read_words(data, file)
    except TextError as error:
        raise SpecError(str(error)) from None


def report(result) -> str:
    """The table for a terminal: a line of numbers per phrase, below it the line of the song, the prompt and the notes."""
    from labkit.lyrics.scores import SIGNS

    table = result.table
    if table.empty:
        return "no phrase was found"
    width = min(34, max(len(p) for p in table["phrase"]))
    terms = list(result.shares.columns)
    rows = ["     " + " ".join([f"{'phrase':<{width}}", f"{'score':>6}", *(f"{t:>13}" for t in terms)])]
    for rank, row in table.iterrows():
        numbers = [f"{row[t]:>13.2f}" if row[t] == row[t] else f"{'—':>13}" for t in terms]  # NaN differs from itself
        phrase = plain(row["phrase"], width)
        rows.append(f"{rank:>3}  " + " ".join([f"{phrase:<{width}}", f"{row['score']:>6.2f}", *numbers]))
        rows += [f"     {text}" for text in _below(row, result.language)]
    weights = ", ".join(f"{t} {SIGNS[t] * getattr(result.weights, t):g}" for t in terms)
    return "\n".join([*rows, f"weights: {weights}", "— is not measured and adds 0"])


def _below(row, language: str) -> list[str]:
    lines = [plain(f"line {row['lines']}: {row['line']}", COLUMNS - 5)]
    if language == "ru":
        lines.append(plain(f"prompt: {row['prompt'] or '(none)'}", COLUMNS - 5))
    return lines + ([plain(row["note"], COLUMNS - 5)] if row["note"] else [])
