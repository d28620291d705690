"""People rate pictures: survey new NAME FOLDER, then open, results, list."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.files import write_atomically
from labkit.spec import SpecError
from labkit.text import plain
from labkit.views.cli.flags import maybe, parse, read_options
from labkit.views.cli.handover import hand_over, in_checkout
from labkit.views.cli.outputs import output_folder, print_table, save_figure, save_table
from labkit.views.cli.terminal import DONE, LONG, MISTAKE, say

STORE = "sqlite:///out/survey.db"  # session.DEFAULT_STORE, whose module takes seconds to import
USAGE = """usage: labkit survey COMMAND …

  new NAME FOLDER|FILE.png …   a survey of the pictures of a sweep, or of PNGs that labkit saved
  list                         the surveys of a store, the newest first
  open NAME …                  the page on which people rate, on 127.0.0.1; --results adds the
                               organiser's, and other flags are the page's own, such as --port
  results NAME                 statistics and intervals; --out DIR writes charts, table and votes

`labkit survey COMMAND --help` lists its flags"""


@dataclass
class StoreFlags:
    """Where surveys are kept."""

    store: Annotated[str, arg(metavar="URL", help="sqlite:///file.db or postgresql://user@host/name")] = STORE


@dataclass
class NewOptions(StoreFlags):
    """Make a survey."""

    name: Positional[Annotated[str, arg(metavar="NAME", help="What it is called")]] = field(kw_only=True)
    pictures: Positional[
        Annotated[tuple[str, ...], arg(metavar="FOLDER|FILE.png", help="A sweep's folder, or PNGs with recipes")]
    ] = ()


@dataclass
class ListOptions(StoreFlags):
    """The surveys of a store, the newest first."""


@dataclass
class ResultsOptions(StoreFlags):
    """What a survey has found so far, of attentive raters."""

    name: Positional[Annotated[str, arg(metavar="NAME", help="Which survey")]] = field(kw_only=True)
    out: Annotated[str | None, maybe("Write charts (PNG), the table and all votes (CSV, JSON) there", "DIR")] = None
    by: Annotated[str | None, maybe("The setting to compare, as in guidance.scale; else the first that varies", "FIELD")] = None
    language: Annotated[Literal["en", "ru"], arg(help="Of the charts")] = "en"


def main(args: list[str]) -> int:
    """`labkit survey new|list|open|results …`."""
    commands: dict[str, Callable[[list[str]], int]] = {"new": new, "list": listed, "open": opened, "results": found}
    if not args or args[0] in ("-h", "--help"):
        print(USAGE)
        return DONE if args else MISTAKE
    if args[0] not in commands:
        raise SpecError(f"survey {args[0]}: is none of {', '.join(commands)}")
    try:
        return commands[args[0]](args[1:])
    except SpecError:
        raise
    except ValueError as error:  # the store's and the statistics' way to refuse: field, value, remedy
        text = str(error)
        raise SpecError(text.replace("url", "--store", 1) if text.startswith("url") else text) from None


def new(args: list[str]) -> int:
    """`labkit survey new NAME FOLDER|FILE.png …`."""
    from labkit.lab import Lab
    from labkit.survey import Plan
    from labkit.survey.plan import items_of_pictures, judged
    from labkit.survey.session import open_store

    typed, options = parse("survey new", Plan, NewOptions, args)
    plan = typed.build()
    files = pictures_of(options.pictures)
    items = items_of_pictures(files)
    plan.fits(len(items))  # before a database is made
    open_store(options.store, make=True).create(options.name, plan, judged(items, Lab().judge))
    print(f"{options.name}: {len(items)} pictures, {plan.repeats} of them twice{', an attention item' * plan.attention}")
    say(f"labkit survey open {options.name}{stored(options.store)}   shows the page on which people rate")
    return DONE


def pictures_of(names: tuple[str, ...]) -> list[Path]:
    """The PNGs that were named, and those with a recipe in folders that were: a sweep's contact sheet has none.

    Raises FileNotFoundError, SpecError.
    """
    from labkit.survey.plan import pictures_of_folder

    if not names:
        raise SpecError("pictures: are missing; give the folder of a sweep, or PNGs that labkit saved")
    found: list[Path] = []
    for path in map(Path, names):
        if not os.path.exists(path):
            raise FileNotFoundError(f"pictures: {path}: no such file or folder; run a sweep, and give its folder")
        if not path.is_dir():
            found.append(path)
            continue
        kept, left = pictures_of_folder(path)
        if not kept:
            raise SpecError(f"pictures: {str(path)!r} holds {len(left)} PNGs, none with a recipe; give the folder of a sweep")
        if left:
            some = ", ".join(picture.name for picture in left[:3])
            say(f"{path}: left out, as without a recipe: {some}{f' and {len(left) - 3} more' * (len(left) > 3)}")
        found += kept
    return found


def listed(args: list[str]) -> int:
    """`labkit survey list`."""
    from labkit.survey.report import progress
    from labkit.survey.session import names_of, open_store

    options = read_options("survey list", ListOptions, args)
    store = open_store(options.store)
    rows = names_of(store) if store else []
    if not rows:
        print("no survey yet")
        say("labkit survey new NAME FOLDER   makes one of a sweep's pictures")
        return DONE
    width = max(len(plain(name)) for name, _, _ in rows)
    print(f"{'name':<{width}}  pictures  raters  finished  votes")
    for name, pictures, _ in rows:
        counts = progress(store, name)
        print(f"{plain(name):<{width}}  {pictures:>8}  {counts['raters']:>6}  {counts['finished']:>8}  {counts['votes']:>5}")
    return DONE


def opened(args: list[str]) -> int:
    """`labkit survey open NAME …`: this process becomes the page; its flags are the page's, which says what is wrong."""
    page = in_checkout("apps/survey.py")
    named = args[:1] and not args[0].startswith("-")
    return hand_over([str(page), *(["--survey", *args] if named else args)])


def found(args: list[str]) -> int:
    """`labkit survey results NAME`."""
    from labkit.survey.report import export
    from labkit.survey.results import results

    options = read_options("survey results", ResultsOptions, args)
    out = output_folder(options.out, "--out") if options.out else None
    store = store_of(options.store, options.name)
    by = options.by.replace(".", "__").replace("-", "_") if options.by else None
    result = results(store, options.name, by, options.language)
    print(f"{options.name}: " + ", ".join(f"{n} {what}" for what, n in result.progress.items()))
    shown = result.table.assign(prompt=[plain(prompt, 40) for prompt in result.table["prompt"]])
    print_table(shown, 2, na_rep="")
    print(*(plain(line, LONG) for line in result.lines), sep="\n")
    if out:
        for kind, figure in result.figures.items():
            save_figure(figure, out / f"{kind}.png", dpi=130)
        save_table(result.table, out / "statistics.csv")
        whole = {"survey": options.name, "by": result.by, "progress": result.progress, "lines": result.lines,
                 "pictures": json.loads(result.table.reset_index().to_json(orient="records"))}
        print(write_atomically(out / "statistics.json", json.dumps(whole, ensure_ascii=False, indent=1).encode()))
        print(export(store, options.name, out / "votes.csv"), export(store, options.name, out / "votes.json"), sep="\n")
    return DONE


def store_of(url: str, name: str):
    """The store that holds the survey. Raises SpecError where there is none of this name."""
    from labkit.survey.session import names_of, open_store

    store = open_store(url)
    there = [row[0] for row in names_of(store)] if store else []
    if name not in there:
        from labkit.survey.session import bare_url

        raise SpecError(f"NAME: {name!r} is no survey in {bare_url(url)}; there is {', '.join(there) or 'none'}. "
                        "`labkit survey new NAME FOLDER` makes one")
    return store


def stored(url: str) -> str:
    """How a command names a store that is not the default one; without a password."""
    from labkit.survey.session import bare_url

    return "" if url == STORE else f" --store {bare_url(url)}"
