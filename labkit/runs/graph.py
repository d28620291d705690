"""The graph of a pipeline, drawn: in the characters of a terminal, and as Mermaid, which many pages and editors show.

    pictures    ■
    blip        ├─■           blip needs pictures, which something below needs, too
    vqvae       └───■         vqvae needs pictures, and nothing below does
"""

from __future__ import annotations

from labkit.runs.pipeline import Pipeline

MARKS = {"done": "■", "begun": "◧", "damaged": "◇", "stale": "◇", "to do": "□"}
COLOURS = {"done": "#b7e1cd", "begun": "#fff2cc", "damaged": "#f4cccc", "stale": "#f9cb9c", "to do": "#eeeeee"}


def drawn(pipeline: Pipeline) -> list[str]:
    """A line a stage: its mark under its own column, joined to the columns of what it needs.
    A column that a line only passes shows `│`."""
    names, stages = list(pipeline.stages), pipeline.stages
    last = {name: max([k for k, other in enumerate(names) if name in stages[other].needs], default=-1) for name in names}
    lines = []
    for k, name in enumerate(names):
        needs, line = {names.index(n) for n in stages[name].needs}, ""
        leftmost = min(needs, default=k)
        for j in range(k):
            alive = last[names[j]] > k
            if j in needs:
                sign = ("├" if alive else "└") if j == leftmost else ("┼" if alive else "┴")
            else:
                sign = "│" if alive else "─" if j > leftmost else " "
            line += sign + ("─" if j >= leftmost else " ")
        lines.append(line + MARKS[pipeline.state(name)])
    return lines


def mermaid(pipeline: Pipeline) -> str:
    """The graph as Mermaid text, a stage coloured by its state."""
    lines = ["flowchart LR"]
    for name, stage in pipeline.stages.items():
        state = pipeline.state(name)
        lines += [f'  {name}["{name}<br/><small>{stage.what}<br/>{state}</small>"]',
                  *(f"  {need} --> {name}" for need in stage.needs), f"  style {name} fill:{COLOURS[state]}"]
    return "\n".join(lines) + "\n"
