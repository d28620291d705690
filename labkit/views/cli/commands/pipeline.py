"""From words to pictures in stages that go on where they were cut: pipeline --quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from labkit.spec import NonFiniteError
from labkit.text import plain
from labkit.views.cli.flags import maybe, parse
from labkit.views.cli.lab import DEVICES, checked_device
from labkit.views.cli.outputs import output, output_folder
from labkit.views.cli.terminal import DONE, FAILED, INTERRUPTED, say

QUALITY = "quick: 795 scenes, a few hundred steps: every part works, pictures are coarse and hardly heed their sentence"


@dataclass
class PipelineOptions:
    """Which stages, and where they lie."""

    stages: Positional[Annotated[tuple[str, ...], arg(metavar="STAGE", help="Only these and what they need; none: all",
                                                          help_behavior_hint="")]] = ()
    quick: Annotated[bool, arg(help="A small one, in minutes; flags that are given count all the same")] = False
    folder: Annotated[str, arg(metavar="DIR", help="Where the stages lie")] = "runs/pipeline"
    plan: Annotated[bool, arg(help="Only show the graph, the states and the cost")] = False
    graph: Annotated[str | None, maybe("Write the graph as Mermaid, too", "FILE.mmd")] = None
    device: Annotated[str | None, maybe(DEVICES, "NAME")] = None


def main(args: list[str]) -> int:
    """`labkit pipeline [STAGE …]`."""
    from labkit.evaluation.words_to_pictures import WordsToPictures, pipeline, quick

    typed, options = parse("pipeline", quick() if "--quick" in args else WordsToPictures, PipelineOptions, args)
    spec = typed.build()
    folder = output_folder(options.folder, "--folder")
    graph = output(options.graph, "--graph", ".mmd")
    line, cost = pipeline(spec, folder, checked_device(options.device))
    wanted = line.wanted(*options.stages)
    show(line, cost, wanted, options.quick)
    if graph:
        from labkit.files import write_atomically
        from labkit.runs.graph import mermaid

        print(write_atomically(graph, mermaid(line).encode()))
    return DONE if options.plan else run(line, options.stages, wanted)


def show(line, cost: dict, wanted: list[str], quick: bool) -> None:
    """The graph with each stage's state and cost, and what is to come in all."""
    from labkit.evaluation.pipeline_cost import Cost
    from labkit.runs.graph import MARKS, drawn

    width, rows = max(map(len, line.stages)), line.table()
    lines = drawn(line)
    for (name, state, _, took), art in zip(rows, lines, strict=True):
        print(f"{name:<{width}}  {art:<{2 * len(lines)}} {state:<8} {took}")
    print(" ".join(f"{mark} {state}" for state, mark in MARKS.items()))
    todo = [cost[name] for name in wanted if line.state(name) != "done"]
    if todo:
        flop, seconds, megabytes = (sum(getattr(c, part) for c in todo) for part in ("flop", "seconds", "megabytes"))
        print(f"to come: {Cost(f'{len(todo)} stages', flop, seconds, megabytes)}, at 30 GFLOP/s a core")
        if quick:
            print(QUALITY)


def run(line, stages: tuple[str, ...], wanted: list[str]) -> int:
    """Do what is not done; the exit code."""
    from labkit.views.cli.progress import Progress

    progress = Progress()
    try:
        for name, words in line.run(*stages):
            if words.startswith(("done", "note: ")):
                progress.note(f"{name}: {plain(words.removeprefix('note: '), 300)}")
            else:
                progress.now_and_then(f"{name}: {words}", wanted.index(name) / len(wanted))
    except KeyboardInterrupt:
        progress.close()
        say(f"stopped; the same command goes on from the last checkpoint in {line.folder}")
        return INTERRUPTED
    except NonFiniteError as error:
        progress.close()
        say(f"labkit: {name}: {error}")
        return FAILED
    finally:
        progress.close()
    told(line, wanted)
    return DONE


def told(line, wanted: list[str]) -> None:
    """Where things lie, and the score table."""
    for name in wanted:
        place = line.place(name)
        print(f"{name}: {', '.join(str(place / product) for product in line.stages[name].products)}")
    if "scores" in wanted:
        import pandas as pd

        from labkit.views.cli.outputs import print_table

        print_table(pd.read_csv(line.place("scores") / "table.csv", index_col="metric", dtype=str))
