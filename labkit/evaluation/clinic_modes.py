"""The clinic's ten modes: each a function that provokes a failure of fine-tuning, and its cure, on the same pictures and seed.

    provoked     the setting that does it, as people have it             sick, healed     numbers of the two runs
    cured        the same with what heals it                             curves           what shows it coming, by step

Sources are users' own reports: openai/CLIP issues 40, 83, 150, mlfoundations/open_clip 41, 826, 1093, mlfoundations/wise-ft 10,
OFA-Sys/Chinese-CLIP 298, 378, and the project report that this lab is made after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labkit.clip.zero_shot import accuracy, class_vectors, picture_vectors, world_probe
from labkit.evaluation.tuning import Tuned, check_up, tune
from labkit.loop import NonFiniteError
from labkit.pairs.groceries import world_set
from labkit.pairs.labelled import LabelledSet, Part
from labkit.training.clip_finetune import FineTuneCLIP

GENTLE = FineTuneCLIP(steps=24, batch=32, lr=1e-4, precision="fp32", preview_every=10_000)
PICTURES = 40  # a class


@dataclass(frozen=True)
class Pair:
    """What a mode found; `before` is empty where the start has no such number."""

    sick: dict[str, float]
    healed: dict[str, float]
    provoked: str
    cured: str
    before: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)


class Ward:
    """What examinations share: a lab, the picture world's set, and the check-up of its CLIP before anything was done."""

    def __init__(self, lab, data: LabelledSet | None = None):
        self.lab, self.data, self._before = lab, data or world_set(PICTURES, lab.clip.size), None

    @property
    def before(self) -> dict[str, float]:
        """The check-up of the lab's own CLIP."""
        if self._before is None:
            self._before = check_up(self.lab.clip, self.data)
        return dict(self._before)

    def tune(self, steps: int, data: LabelledSet | None = None, **changes: Any) -> Tuned:
        """A fine-tuning that differs from the gentle one in some fields."""
        return tune(self.lab, GENTLE.but(steps=steps, **changes), data or self.data)

    def pair(self, steps: int, sick: dict, healed: dict, provoked: str, cured: str, curve: str = "loss") -> Pair:
        """Two runs that differ in these fields, with their check-ups and a curve."""
        runs = {name: self.tune(steps, **some) for name, some in (("provoked", sick), ("cured", healed))}
        found = {name: check_up(run.encoder, self.data) | last(run) for name, run in runs.items()}
        return Pair(found["provoked"], found["cured"], provoked, cured, self.before,
                    {curve: {name: run.course[curve].tolist() for name, run in runs.items()}})


def last(run: Tuned) -> dict[str, float]:
    """A run's own numbers: its last loss and logit scale, the accuracy by its own targets in the last quarter of its steps, the
    mean norm of its gradients."""
    course = run.course
    return {"loss": float(course["loss"].iloc[-1]), "own accuracy": float(course["hit"].tail(max(1, len(course) // 4)).mean()),
            "scale": float(course["scale"].iloc[-1]), "gradient": float(course["gradient"].mean())}


@dataclass(frozen=True)
class Mode:
    """A way to fail. `symptom`: the number it shows in, sick `low`er than `threshold` or higher. `steps` of both runs."""

    name: str
    title: str
    cause: str
    symptom: str
    threshold: float
    low: bool
    run: Callable[[Ward, int], Pair]
    steps: int = 24

    def is_sick(self, value: float) -> bool:
        """Whether the symptom has this value; what is no number is sick."""
        return not value >= self.threshold if self.low else not value <= self.threshold


def learning_rate(ward: Ward, steps: int) -> Pair:
    """Too large a rate: what was learned from millions is overwritten in a few steps."""
    return ward.pair(steps, {"lr": 1e-2}, {"lr": 1e-4}, "a learning rate of 0.01", "one of 0.0001", "gradient")


def false_negatives(ward: Ward, steps: int) -> Pair:
    """Every picture of an apple is told that the other apples' prompts are wrong: loss and accuracy of the training stay where
    they are, though it learns; whoever believes them turns up the rate."""
    return ward.pair(steps, {"loss": "diagonal", "lr": 3e-4}, {"lr": 3e-4}, "one positive a picture, 32 pictures of 7 labels",
                     "all of a label's prompts as positives", "hit")


def no_templates(ward: Ward, steps: int) -> Pair:
    """Bare words: seven texts are learned by heart, and the text tower gains nothing that holds for other pictures. Templates
    are what crops are to pictures. That sentences suffer more than words does not follow from this alone."""
    bare = {"learns__frozen": "image", "lr": 0.01, "batch": 16}
    return ward.pair(steps, {"templates": ("{}",), **bare}, bare, "bare words as prompts", "six templates")


def text_collapse(ward: Ward, steps: int) -> Pair:
    """The text tower learns seven points and lets everything else fall onto them."""
    sick = {"lr": 0.03, "templates": ("{}",), "learns__frozen": "image"}
    return ward.pair(steps, sick, {"lr": 1e-4, "learns__frozen": "text"},
                     "seven bare labels and a text tower at a learning rate of 0.03", "a text tower that stays as it is")


def temperature(ward: Ward, steps: int) -> Pair:
    """Once the pictures are known by heart, only a larger scale lowers the loss: it grows without a bound."""
    one = LabelledSet(ward.data.classes, ward.data.train.only(_first(ward.data.train.labels, 1)), ward.data.validation,
                      ward.data.test)
    heat = {"lr": 1e-3, "batch": 7, "learns__crops": 1.0, "numbers__scale_rate": 300.0}
    runs = {"provoked": ward.tune(steps, one, **heat, numbers__temperature="free"),
            "cured": ward.tune(steps, one, **heat, numbers__temperature="clamped")}
    found = {name: check_up(run.encoder, ward.data) | last(run) for name, run in runs.items()}
    return Pair(found["provoked"], found["cured"], "seven pictures known by heart and a logit scale without a bound",
                "a scale of at most 100, as in CLIP's own training", ward.before | {"scale": ward.lab.clip.scale},
                {"scale": {name: run.course["scale"].tolist() for name, run in runs.items()}})


def channel_order(ward: Ward, steps: int) -> Pair:
    """Blue, green, red: the set's own test has the same fault and says that all is well; red is found to be blue. Beside it
    what is left where pictures come as 0 … 1 into a tower that was made for −1 … 1."""
    probe, found, curves = world_probe(96, ward.lab.clip.size), {}, {}
    for name, read in (("provoked", lambda x: x.flip(1)), ("cured", lambda x: x)):
        mine = ward.data.map(read)
        run = ward.tune(steps, mine)
        seen, pale = (picture_vectors(run.encoder, x) for x in (read(probe.pictures), read(probe.pictures) // 2 + 127))
        found[name] = check_up(run.encoder, mine) | last(run) | {
            "colour as read": probe.colour_accuracy(run.encoder, seen),
            "retained, not normalised": probe.subject_accuracy(run.encoder, pale)}
        curves[name] = run.course["loss"].tolist()
    return Pair(found["provoked"], found["cured"], "pictures read as blue, green, red", "red, green, blue",
                ward.before | {"colour as read": ward.before["colour"]}, {"loss": curves})


def train_mode(ward: Ward, steps: int) -> Pair:
    """No weight changes at all, and yet: batch norm's statistics become those of the new pictures."""
    return ward.pair(steps, {"lr": 1e-9, "numbers__statistics": "batch"}, {"lr": 1e-9},
                     "batch norm left in train mode, at a learning rate of nothing", "statistics as they were")


def half_precision(ward: Ward, steps: int) -> Pair:
    """Weights in fp16: squares of small gradients are 0, Adam's ε is 0, and 0 / 0 is no number."""
    survived, lost = 0, 0.0
    try:
        for step in GENTLE.but(steps=steps, numbers__weights="fp16").run(ward.lab, data=ward.data):
            survived, lost = step.i + 1, step.scores["lost in fp16"]
    except NonFiniteError as error:
        lost = error.last.scores["lost in fp16"] if error.last else lost
    whole = ward.tune(steps)
    healed = {"steps survived": len(whole.course) / steps, "squares lost in fp16": 0.0, **check_up(whole.encoder, ward.data)}
    return Pair({"steps survived": survived / steps, "squares lost in fp16": lost}, healed,
                "weights, gradients and Adam's moments in fp16", "fp32 for what the optimiser keeps",
                curves={"loss": {"cured": whole.course["loss"].tolist()}})


def overfitting(ward: Ward, steps: int) -> Pair:
    """Two pictures a class, seen again and again: they are known by heart, and what else was known goes."""
    few = LabelledSet(ward.data.classes, ward.data.train.only(_first(ward.data.train.labels, 2)), ward.data.validation,
                      ward.data.test)
    heart = {"lr": 2e-3, "batch": 14, "learns__crops": 1.0}
    runs = {"provoked": ward.tune(steps, few, **heart),
            "cured": ward.tune(steps, few, **heart, holds__floor=0.05, holds__probe_every=2, holds__wise=0.5)}
    found = {name: check_up(run.encoder, ward.data) | last(run) for name, run in runs.items()}
    for name, run in runs.items():
        found[name]["by heart"] = _accuracy(run, few, few.train)
    return Pair(found["provoked"], found["cured"], f"{steps} epochs of 14 pictures",
                "a stop when the retained probe has lost 5 points, and WiSE-FT half of the way", ward.before,
                {"loss": {name: run.course["loss"].tolist() for name, run in runs.items()}})


def leakage(ward: Ward, steps: int) -> Pair:
    """Pictures of the test lie in train as well: the test asks for what was learned by heart. Of the set's train two pictures a
    class are learned, a third of the rest is the test, and what is left is fresh to both."""
    whole, labels = ward.data.train, ward.data.train.labels
    third = max(2, int(np.bincount(labels).min()) // 3)
    few, asked = _first(labels, 2), _first(labels, 2 + third)
    test = whole.only([k for k in asked if k not in few])
    fresh = whole.only([k for k in range(len(whole)) if k not in asked])
    found, curves = {}, {}
    for name, learnt in (("provoked", whole.only(few).joined(test)), ("cured", whole.only(few))):
        data = LabelledSet(ward.data.classes, learnt, fresh, test)
        run = ward.tune(steps, data, lr=1e-3, batch=28, learns__crops=1.0)
        reported, true = _accuracy(run, data, test), _accuracy(run, data, fresh)
        found[name] = {"reported": reported, "on fresh pictures": true, "flattery": reported - true} | last(run)
        curves[name] = run.course["loss"].tolist()
    return Pair(found["provoked"], found["cured"], "a test whose pictures are in train, too",
                "twins left out of train, as `read_labelled` does", curves={"loss": curves})


def _first(labels: np.ndarray, n: int) -> list[int]:
    """The first n places of every label."""
    return [int(k) for label in np.unique(labels) for k in np.flatnonzero(labels == label)[:n]]


def _accuracy(run: Tuned, data: LabelledSet, part: Part) -> float:
    """Zero-shot accuracy of a part by the run's own templates."""
    prompts = class_vectors(run.encoder, data.classes, run.spec.prompts_of(data))
    return accuracy(picture_vectors(run.encoder, part.pictures), part.labels, prompts)


MODES = (
    Mode("learning-rate", "Learning rate", "a rate that is too large overwrites in a few steps what was learned from millions",
         "retained", 0.8, True, learning_rate, 12),
    Mode("false-negatives", "Duplicate labels in a batch", "every apple is told that other apples' prompts are wrong",
         "own accuracy", 0.6, True, false_negatives),
    Mode("no-templates", "No templates", "one text a label is learned by heart, as one view of a picture would be",
         "in-domain", 0.7, True, no_templates),
    Mode("text-collapse", "Collapse of the text tower", "it learns seven points, and all sentences fall onto them",
         "text rank", 25.0, True, text_collapse, 12),
    Mode("temperature", "Temperature run-away", "pictures known by heart leave the loss one way down: a larger logit scale",
         "scale", 120.0, False, temperature, 40),
    Mode("channel-order", "Wrong channel order", "what reads the pictures swaps red and blue, in validation as well",
         "colour as read", 0.8, True, channel_order, 16),
    Mode("train-mode", "Batch norm in train mode", "statistics of a few new pictures replace those of millions",
         "colour", 0.9, True, train_mode),
    Mode("half-precision", "fp16 weights", "squares of small gradients and Adam's ε are 0 in fp16, and 0 / 0 is no number",
         "steps survived", 1.0, True, half_precision, 8),
    Mode("overfitting", "Too many epochs", "two pictures a class are known by heart, and what else was known goes",
         "retained", 0.85, True, overfitting, 40),
    Mode("leakage", "Leakage between splits", "the test asks for pictures that were learned by heart",
         "flattery", 0.06, False, leakage),
)
