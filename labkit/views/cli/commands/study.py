"""The long studies that notebooks show: make them anew, or list what is stale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.views.cli.flags import read_options
from labkit.views.cli.terminal import DONE, say


@dataclass
class StudyOptions:
    """Make long studies anew and keep them in data/studies; without a name: list them, and what is stale."""

    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME", help="Studies, or all; none: list them")]] = ()
    jobs: Annotated[int, arg(help="Pictures at once; -1: as many as there are cores")] = -1


def main(args: list[str]) -> int:
    """`labkit study [NAME …]`."""
    options = read_options("study", StudyOptions, args)
    from labkit.evaluation.catalogue import STUDIES, make_study, study_of
    from labkit.lab import Lab

    names = [study_of(name).name for name in options.names] if options.names != ("all",) else []
    if options.names == ("all",):
        lab = Lab()
        names = [name for name, study in STUDIES.items() if all(lab.serves(spec.needs) for spec in study.templates)]
        if others := [name for name in STUDIES if name not in names]:
            say(f"left out, as their models are not shipped: {', '.join(others)}")
    for name in names:
        say(f"{name}: {STUDIES[name].about}")
        print(make_study(name, n_jobs=options.jobs))
    if not options.names:
        print("\n".join(f"{name:<14} {_state(name)}\n{'':<14} {one.about}" for name, one in STUDIES.items()))
    return DONE


def _state(name: str) -> str:
    from labkit.evaluation.catalogue import load_study

    try:
        stored = load_study(name)
    except FileNotFoundError:
        return "not made yet"
    return f"stale: {'; '.join(stored.stale)}" if stored.stale else f"made on {stored.made['date']}"
