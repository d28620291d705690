"""The project report's fine-tuning made again, and healed: "a word works, a sentence gives blur", in numbers.

The report tuned CLIP on fruit and vegetables and then painted. `NAIVE` is the recipe of the guide that it cites: bare labels,
the pair itself as the only positive, both towers at one rate, the model in train mode. `CURED` is the gentle recipe, and
WiSE-FT's best point on the way to it. The same prompts and seeds are painted with the CLIP as it was and with both; a judge
that neither has met says what is on the pictures.

Trainings go on from their checkpoints and finished paintings stay in the folder: the study can be cut and started again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from labkit import zoo
from labkit.clip.encoder import Encoder
from labkit.evaluation.clinic import BEFORE, examine
from labkit.evaluation.clinic_modes import MODES
from labkit.evaluation.painting import held_out_scenes, prompt_of
from labkit.evaluation.tuning import Tuned, best_alpha, check_up, wise_curve
from labkit.image import contact_sheet, open_upload
from labkit.lab import Lab
from labkit.methods.vqgan_clip import VQGANCLIP, Canvas
from labkit.metrics.intervals import share
from labkit.models.lora import interpolate
from labkit.runs.checkpoint import train_to_disk
from labkit.runs.sweep import sweep
from labkit.runs.workers import run_all
from labkit.training.clip_finetune import FineTuneCLIP, about, tuned_encoder
from labkit.world import read
from labkit.world.looks import GROCERIES

PROMPTS = ("apple", "a picture of an apple", "apple and banana")  # the report's own
NAIVE = FineTuneCLIP(loss="diagonal", templates=("{}",), lr=3e-3, steps=60, batch=32, precision="fp32", preview_every=60,
                     learns={"crops": 1.0}, numbers={"temperature": "free", "statistics": "batch"}, holds={"weight_decay": 0.2})
CURED = FineTuneCLIP(lr=1e-4, steps=60, batch=32, precision="fp32", preview_every=60)
PAINT = VQGANCLIP(prompt="-", steps=36, canvas=Canvas(tries=1), preview_every=1000)
ARMS = (BEFORE, "naive", "cured")
HOME = "out/clinic"  # where trainings and paintings stay


@dataclass(frozen=True)
class Report:
    """`checks`: a row an arm, its numbers. `paintings`: a row a picture. `claims`: what they amount to, a row each. `curve`:
    WiSE-FT's. `sheet`: the report's prompts by the three arms."""

    checks: pd.DataFrame
    paintings: pd.DataFrame
    claims: pd.DataFrame
    curve: pd.DataFrame
    sheet: Image.Image


def report_study(lab, n_jobs: int = -1, prompts: int = 100, seeds: int = 2, folder: str | Path = HOME,
                 naive: FineTuneCLIP = NAIVE, cured: FineTuneCLIP = CURED, template: VQGANCLIP = PAINT,
                 alphas: int = 11) -> Report:
    """Tune both ways, check, paint, count. `prompts` held-out combinations are painted before and after the cure, and the
    domain's words and sentences, and the report's own, by all three."""
    folder, data = Path(folder), cured.data(lab.clip.size)
    files = {"naive": trained(naive, lab, folder / "naive"), "end": trained(cured, lab, folder / "cured")}
    end = on_the_way(lab.clip, files["end"], cured)
    curve = wise_curve(end, data, np.linspace(0, 1, alphas).round(3).tolist())
    files["cured"] = folder / "cured" / f"wise-{best_alpha(curve):g}.safetensors"
    zoo.save_tensors(files["cured"], end.at(best_alpha(curve)).model.state_dict(),
                     about(cured.but(holds__wise=best_alpha(curve)), lab.clip, data, []))
    labs = {BEFORE: lab, **{arm: Lab(**lab.arguments | {"guide": str(files[arm])}) for arm in ARMS[1:]}}
    checks = pd.DataFrame([{"arm": arm, **check_up(one.guide, data, cured.templates)} for arm, one in labs.items()])
    asked = groups(prompts)
    parts = []
    for arm, one in labs.items():
        kinds = {kind: some for kind, some in asked.items() if arm != "naive" or kind != "held-out"}
        parts += [painted(lab, one, some, range(seeds), template, folder / "cells", n_jobs).assign(arm=arm, kind=kind)
                  for kind, some in kinds.items() if some]
    paintings = pd.concat(parts, ignore_index=True)
    return Report(checks, paintings, claims(paintings), curve, report_sheet(paintings))


def groups(prompts: int) -> dict[str, list[str]]:
    """Kind → prompts: the report's own, the domain's bare words and sentences, held-out combinations of the whole world."""
    article = {one: "" if one == "grapes" else "an " if one[0] in "aeiou" else "a " for one in GROCERIES}
    return {"report": list(PROMPTS), "word": list(GROCERIES),
            "sentence": [f"a picture of {article[one]}{one}" for one in GROCERIES],
            "held-out": [prompt_of(scene) for scene in held_out_scenes(prompts)] if prompts else []}


def trained(spec: FineTuneCLIP, lab, folder: Path) -> Path:
    """The weights of a fine-tuning, which goes on where it was cut."""
    for _ in train_to_disk(spec, lab, folder):
        pass
    return folder / "weights.safetensors"


def on_the_way(clip: Encoder, file: Path, spec: FineTuneCLIP) -> Tuned:
    """A finished fine-tuning from its file: at α = 0 the CLIP that it began with, at 1 the file's."""
    start, (end, _) = clip.model.state_dict(), zoo.load_tensors(file)
    end = {key: value.to(start[key].dtype) for key, value in end.items()}
    return Tuned(spec, pd.DataFrame(), lambda alpha: tuned_encoder(clip, interpolate(start, end, alpha)), (end, {}))


def painted(lab, guided: Lab, prompts: Sequence[str], seeds: Sequence[int], template: VQGANCLIP,
            folder: Path, n_jobs: int) -> pd.DataFrame:
    """A row a picture: prompt, seed, `found` (share of the prompt's claims that the judge finds), `subject` (1 or 0), `p`
    (the judge's probability of its subjects), what it sees, the path. Raises ValueError where a painting failed."""
    table = sweep(template, {"prompt": list(prompts), "seed": list(seeds)}, guided, folder, n_jobs).table
    if len(failed := table[table["error"] != ""]):
        raise ValueError(f"{len(failed)} paintings failed, the first: {failed['error'].iloc[0]}. The others are kept")
    rows = []
    for _, cell in table.iterrows():
        wanted, seen = read(cell["prompt"]), lab.judge(open_upload(cell["path"]))
        finds, p = seen.finds(wanted), sum(seen.probabilities["subject"][s] for s in wanted.subjects[:2])
        rows.append({"prompt": cell["prompt"], "seed": cell["seed"], "found": float(np.mean(list(finds.values()))),
                     "subject": float(finds["subject"]), "p": p, "judge sees": f"{seen.colour} {seen.subject}",
                     "path": cell["path"]})
    return pd.DataFrame(rows)


def claims(paintings: pd.DataFrame) -> pd.DataFrame:
    """A row for each kind of prompt and each arm after the first: the share whose subject is found before and after, the
    mean share of claims found, and `loses`: the one-sided p of McNemar's exact test that the arm finds fewer subjects."""
    rows = []
    for (kind, arm), after in paintings[paintings["arm"] != BEFORE].groupby(["kind", "arm"], sort=False):
        before = paintings[(paintings["arm"] == BEFORE) & (paintings["kind"] == kind)]
        both = before.merge(after, on=["prompt", "seed"], suffixes=(" before", " after"))
        lost = int(((both["subject before"] == 1) & (both["subject after"] == 0)).sum())
        won = int(((both["subject before"] == 0) & (both["subject after"] == 1)).sum())
        n = len(both)
        rows.append({"kind": kind, "arm": arm, "n": n, "before": share(int(both["subject before"].sum()), n),
                     "after": share(int(both["subject after"].sum()), n), "found before": both["found before"].mean(),
                     "found after": both["found after"].mean(), "lost": lost, "won": won, "loses": sign_test(lost, won)})
    return pd.DataFrame(rows)


def sign_test(lost: int, won: int) -> float:
    """P(at least `lost` of lost + won | each as likely): small where losses are too many for chance; 1 where none changed."""
    n = lost + won
    return sum(math.comb(n, k) for k in range(lost, n + 1)) / 2**n


def report_sheet(paintings: pd.DataFrame) -> Image.Image:
    """The report's prompts, a row an arm, first seed."""
    part = paintings[(paintings["kind"] == "report") & (paintings["seed"] == paintings["seed"].min())]
    pictures = [open_upload(path) for path in part["path"]]
    labels = [f"{row['arm']}: {row['prompt']} | sees {row['judge sees']}, p {row['p']:.2f}" for _, row in part.iterrows()]
    return contact_sheet(pictures, labels, columns=len(PROMPTS), tile=160)


def modes_table(lab, n_jobs: int = -1, n: int = 10) -> pd.DataFrame:
    """The first n of the ten modes: the symptom's number in each run, its threshold, whether it shows and is cured."""
    return pd.DataFrame(run_all(_examined, [mode.name for mode in MODES][:n], lab, n_jobs))


def _examined(name: str, lab) -> dict:
    made = examine(lab, name)
    return {"mode": name, "symptom": made.mode.symptom, **made.symptom, "threshold": made.mode.threshold,
            "sick": "below" if made.mode.low else "above", "shows": made.shows, "heals": made.heals,
            "provoked by": made.notes["provoked"], "cured by": made.notes["cured"]}
