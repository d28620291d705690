"""The command `evaluate`: what the pocket models can do, measured on unseen scenes; and their cards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from labkit.models.kinds import KINDS, evaluations, named
from labkit.spec import SpecError
from labkit.views.cli import DONE
from labkit.views.cli.flags import read_options


@dataclass
class EvaluateOptions:
    """Measure a pocket model on unseen scenes, or painting on held-out combinations."""

    name: Positional[Annotated[str, arg(metavar="NAME", help=f"What to measure: {', '.join(evaluations())} or painting")]]
    n: Annotated[int, arg(help="Scenes of the test and of the held-out stream (painting: prompts)")] = 0
    seeds: Annotated[int, arg(help="Painting: seeds per prompt")] = 2
    method: Annotated[Literal["vqgan_clip", "guided_diffusion"], arg(help="Painting: by which method")] = "vqgan_clip"
    steps: Annotated[int, arg(help="Painting: steps; 0: as many as the method has by default")] = 0
    tuning: Annotated[bool, arg(help="Painting: the tuning list of prompts instead of the measured one")] = False
    jobs: Annotated[int, arg(help="Painting: pictures at once; -1: as many as there are cores")] = -1
    card: Annotated[bool, arg(help="Write the model card data/models/NAME.md")] = False
    out: Annotated[str, arg(help="Painting: folder of table, summary and contact sheet", metavar="DIR")] = "out/painting"


def evaluate(args: list[str]) -> int:
    """`labkit evaluate NAME`."""
    options = read_options("evaluate", EvaluateOptions, args)
    if options.name == "painting":
        return _painting(options)
    from labkit.evaluation.cards import markdown, write_card
    from labkit.lab import Lab

    if options.name not in evaluations():
        raise SpecError(f"evaluate {options.name}: is none of {', '.join(evaluations())}, painting")
    kind = KINDS[options.name]
    measured = named(kind.evaluation)(Lab(), options.n or kind.n)
    for heading, value in measured.items():
        print(heading)
        print(markdown(value) if hasattr(value, "columns") else "\n".join(f"{k}: {v:.1%}" for k, v in value.items()))
    if options.card:
        command = " ".join(["python -m labkit evaluate", *args])
        print(f"wrote {write_card(options.name, measured, command)}")
    return DONE


def _painting(options: EvaluateOptions) -> int:
    from labkit import methods
    from labkit.evaluation.painting import measure_painting, save_report
    from labkit.lab import Lab

    template = methods.load(options.method)(prompt="-")
    template = template.but(steps=options.steps) if options.steps else template
    report = measure_painting(Lab(), options.n or 100, options.seeds, template, options.tuning, options.jobs)
    save_report(report, Path(options.out))
    rises = (report.table["clip after"] > report.table["clip before"]).sum()
    print(report.summary.to_string())
    print(f"CLIP score rises on {rises} of {len(report.table)}, "
          f"from {report.table['clip before'].mean():.3f} to {report.table['clip after'].mean():.3f} on average")
    print(f"{options.out}: table.csv, summary.txt, sheet.png")
    return DONE
