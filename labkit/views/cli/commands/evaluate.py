"""What the pocket models can do, measured on unseen scenes; model cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.data import data_path
from labkit.kinds import KINDS, evaluations, named
from labkit.spec import SpecError
from labkit.views.cli.flags import read_options
from labkit.views.cli.outputs import output, output_folder
from labkit.views.cli.terminal import DONE


@dataclass
class EvaluateOptions:
    """Measure a pocket model on unseen scenes, or painting on held-out combinations."""

    name: Positional[Annotated[str, arg(metavar="NAME", help=f"What to measure: {', '.join(evaluations())} or painting")]]
    n: Annotated[int, arg(help="Scenes of the test and of the held-out stream (painting: prompts)")] = 0
    seeds: Annotated[int, arg(help="Painting: seeds per prompt")] = 2
    method: Annotated[str, arg(metavar="NAME", help="Painting: by which method with a prompt and a seed")] = "vqgan_clip"
    steps: Annotated[int, arg(help="Painting: steps; 0: as many as the method has by default")] = 0
    tuning: Annotated[bool, arg(help="Painting: the tuning list of prompts instead of the measured one")] = False
    jobs: Annotated[int, arg(help="Painting: pictures at once; -1: as many as there are cores")] = -1
    card: Annotated[bool, arg(help="Write the model card data/models/NAME.md")] = False
    out: Annotated[str, arg(help="Painting: folder of table, summary and contact sheet", metavar="DIR")] = "out/painting"


def main(args: list[str]) -> int:
    """`labkit evaluate NAME`."""
    options = read_options("evaluate", EvaluateOptions, args)
    if options.name == "painting":
        return _painting(options)
    if options.name not in evaluations():
        raise SpecError(f"evaluate {options.name}: is none of {', '.join(evaluations())}, painting")
    if options.card:
        output(data_path("models", f"{options.name}.md"), "--card")
    from labkit.evaluation.cards import markdown, write_card
    from labkit.lab import Lab

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
    out = output_folder(options.out, "--out")
    from labkit import methods
    from labkit.evaluation.painting import measure_painting, save_report
    from labkit.lab import Lab

    method = methods.load(options.method.replace("-", "_"))
    if lacking := [name for name in ("prompt", "seed") if not method.has(name)]:
        raise SpecError(f"--method: {options.method} has no {' and no '.join(lacking)}; give one that has both")
    if options.steps and not method.has("steps"):
        raise SpecError(f"--steps: {options.method} has no steps; leave it out")
    template = method(prompt="-")
    template = template.but(steps=options.steps) if options.steps else template
    report = measure_painting(Lab(), options.n or 100, options.seeds, template, options.tuning, options.jobs)
    save_report(report, out)
    rises = (report.table["clip after"] > report.table["clip before"]).sum()
    print(report.summary.to_string())
    print(f"CLIP score rises on {rises} of {len(report.table)}, "
          f"from {report.table['clip before'].mean():.3f} to {report.table['clip after'].mean():.3f} on average")
    print(f"{options.out}: table.csv, summary.txt, sheet.png")
    return DONE
