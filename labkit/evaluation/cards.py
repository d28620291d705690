"""Model cards: what a pocket model is, how it was made, and what a command measured.

`python -m labkit evaluate NAME --card` writes `data/models/NAME.md` from the weights' own metadata, the measured tables and the
training history kept in `data/models/history.json` (a line per run: command, minutes, what changed).
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import torch

from labkit import zoo
from labkit.data import data_path
from labkit.fetch import sha256_of
from labkit.kinds import KINDS


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table; shares as percentages, columns named psnr in dB, counts and words as they are."""
    def cell(column: str, value: float) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return "–"
        if column == "n":
            return f"{value:.0f}"
        if column in ("KID", "spread", "Spearman"):
            return f"{value:.4f}"
        return f"{value:.2f}" if column == "psnr" else f"{value * 100:.1f} %"

    head = ["", *map(str, table.columns)]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    lines += [" | ".join([str(name), *(cell(c, row[c]) for c in table.columns)]) for name, row in table.iterrows()]
    return "\n".join(f"| {line} |" for line in lines)


def history(name: str) -> list[dict]:
    """The training runs of a pocket model, oldest first."""
    path = data_path("models", "history.json")
    return json.loads(path.read_text(encoding="utf-8")).get(name, []) if path.is_file() else []


def course(log: str | Path, points: int = 40) -> list[list[float]]:
    """A training's losses, of its `log.jsonl`, thinned to what a curve shows: [[step, mean loss since the point before], …], at
    most `points` of them, evenly apart. It goes as "curve" into a run of `history.json`, and notebooks draw it."""
    lines = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines() if line.strip()]
    losses = {line["i"]: line["loss"] for line in lines}  # a step that was made again after a cut counts as it was last
    steps = sorted(losses)
    parts = [steps[k * len(steps) // points:(k + 1) * len(steps) // points] for k in range(points)]
    return [[part[-1] + 1, round(sum(losses[i] for i in part) / len(part), 4)] for part in parts if part]


def write_card(name: str, measured: dict[str, pd.DataFrame | dict[str, float]], command: str) -> Path:
    """Write `data/models/NAME.md`; `measured` maps headings to tables or single figures."""
    kind = KINDS[name]
    path = data_path("models", kind.home)
    tensors, about = zoo.load_tensors(path)
    size = sum(t.numel() for t in tensors.values())
    lines = [f"# {kind.title}", "", f"{kind.what}.", "",
             f"- **Parameters and buffers**: {size:,}, stored as fp16 safetensors, {path.stat().st_size / 1e6:.1f} MB, "
             f"sha256 `{sha256_of(path)[:16]}…`",
             f"- **Architecture**: `{json.dumps(about['config'])}`",
             f"- **World**: `{about['world']}` (picture world; held-out combinations "
             + ("included, on a stream of its own" if name == "judge" else "never seen") + ")",
             "- **Licence**: MIT, like the code; trained on drawings of this repository alone", "", "## Training", ""]
    lines += [f"- `{run['command']}` — {run['what']}; {run['minutes']} minutes on {run['on']}" for run in history(name)]
    lines += ["", "## Measured", "", f"By `{command}`, on unseen scenes of the test and held-out streams (torch "
              f"{torch.__version__.split('+')[0]}):", ""]
    for heading, value in measured.items():
        lines += [f"### {heading}", ""]
        if isinstance(value, pd.DataFrame):
            lines += [markdown(value), ""]
        else:
            lines += [*(f"- {k}: {v * 100:.1f} %" for k, v in value.items()), ""]
    lines += ["## What it is not", "", kind.note, ""]
    out = data_path("models", f"{name}.md")
    out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return out
