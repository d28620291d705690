"""The command `phrases`: the key phrases of a song, with every term of their score and the line they stand in."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.files import write_atomically
from labkit.spec import SpecError
from labkit.text import TextError, read_words
from labkit.views.cli import COLUMNS, DONE, say
from labkit.views.cli.flags import DEVICES, checked_device, maybe, output, parse


@dataclass
class PhrasesOptions:
    """What is read and what is kept."""

    file: Positional[Annotated[str, arg(metavar="FILE", help="The lyrics in UTF-8, a line per line; -: standard input")]] = "-"
    norms: Annotated[str | None, maybe("Your concreteness norms: word and concreteness, or Word and Conc.M", "FILE.csv")] = None
    glossary: Annotated[str | None, maybe("Your own glossary instead of ours: russian and english", "FILE.csv")] = None
    out: Annotated[str | None, maybe("The bars of every score", "FILE.png")] = None
    csv: Annotated[str | None, maybe("The whole table", "FILE.csv")] = None
    clip: Annotated[str, arg(help="CLIP: pocket, or as in ViT-B-32/openai", metavar="NAME")] = "pocket"
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def phrases(args: list[str]) -> int:
    """`labkit phrases FILE`: prints the table; a figure and a CSV on request."""
    from labkit.lab import Lab
    from labkit.lyrics import KeyPhrases, load_glossary, load_norms
    from labkit.tables import csv_text

    typed, options = parse("phrases", KeyPhrases, PhrasesOptions, args, skip=("text",))
    try:
        measure = typed.build(text=read_text(options.file))
    except SpecError as error:
        raise SpecError(str(error).replace("--text:", f"{options.file}:")) from None
    out = output(options.out, ".png") if options.out else None
    csv = output(options.csv, ".csv") if options.csv else None
    for flag, path in (("--norms", options.norms), ("--glossary", options.glossary)):
        if path and not Path(path).is_file():
            raise FileNotFoundError(f"{flag}: {path}: no such file")
    norms = load_norms(options.norms) if options.norms else None
    glossary = load_glossary(options.glossary) if options.glossary else None
    lab = Lab(clip=options.clip, device=checked_device(options.device))
    lab.require(measure, say)
    try:
        result = measure.compute(lab, norms, glossary)
    except ImportError as error:  # a package that was asked for by name and is not installed
        raise SpecError(f"--morphology: {error}") from None
    for line in result.notices:
        say(f"note: {line}")
    print(report(result))
    if out:
        result.figure().savefig(out, dpi=120)
        print(out)
    if csv:
        write_atomically(csv, csv_text(result.table, index_label="rank").encode())
        print(csv)
    return DONE


def read_text(file: str) -> str:
    """The text of a file, or of standard input for '-'. Raises FileNotFoundError, IsADirectoryError, SpecError."""
    if file == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise SpecError("FILE: is missing; give a file with lyrics, or pipe them in")
        data = sys.stdin.buffer.read()
    elif not Path(file).exists():
        raise FileNotFoundError(f"{file}: no such file; give a file with lyrics, or - for standard input")
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
        phrase = shorten(row["phrase"], width, placeholder="…")
        rows.append(f"{rank:>3}  " + " ".join([f"{phrase:<{width}}", f"{row['score']:>6.2f}", *numbers]))
        rows += [f"     {text}" for text in _below(row, result.language)]
    weights = ", ".join(f"{t} {SIGNS[t] * getattr(result.weights, t):g}" for t in terms)
    return "\n".join([*rows, f"weights: {weights}", "— is not measured and adds 0"])


def _below(row, language: str) -> list[str]:
    lines = [shorten(f"line {row['lines']}: {row['line']}", COLUMNS - 5, placeholder=" …")]
    if language == "ru":
        lines.append(f"prompt: {row['prompt'] or '(none)'}")
    return lines + ([shorten(row["note"], COLUMNS - 5, placeholder=" …")] if row["note"] else [])
