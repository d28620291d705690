"""The judge's verdict on pictures, and what of a prompt it finds in them. Never used for guidance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from labkit.metrics.undefined import quotient
from labkit.models.judge import HEADS, VGGClassifier
from labkit.models.load import load_model
from labkit.world import Reading, classes, read


@dataclass(frozen=True)
class Verdict:
    """What the judge sees: the likeliest class per attribute, and every class's probability, likeliest first."""

    subject: str
    colour: str
    setting: str
    style: str
    probabilities: dict[str, dict[str, float]]

    def top(self, attribute: str, k: int = 2) -> list[str]:
        """The k likeliest classes of an attribute."""
        return list(self.probabilities[attribute])[:k]

    def finds(self, wanted: Reading) -> dict[str, bool]:
        """Which of a prompt's claims the judge finds: 'subject', 'colour', 'setting', 'style', those that were made. Two
        subjects both have to be among the two likeliest; a colour counts where the subject has a colourable part."""
        return {attribute: names <= set(self.top(attribute, len(names))) for attribute, names in claims(wanted).items()}

    def score(self, wanted: Reading) -> float:
        """How much of a prompt the judge sees, in [0, 1]: the mean over its claims (as in `finds`) of the probability given to
        what is claimed, of two subjects to both together. `NotDefined` where nothing is claimed."""
        shares = [sum(self.probabilities[attribute][name] for name in names) for attribute, names in claims(wanted).items()]
        return quotient(sum(shares), len(shares), 0, 1, "the prompt names nothing that the judge knows")


def claims(wanted: Reading) -> dict[str, set[str]]:
    """Attribute → the classes that a prompt names, of at most two subjects; attributes that it leaves open are left out."""
    from labkit.world.sprites import natural_colour

    subjects = wanted.subjects[:2]
    colours = {c for s, c in zip(subjects, wanted.colours, strict=False) if c and natural_colour(s)}
    named = {"subject": subjects, "colour": colours, "setting": (wanted.setting,), "style": (wanted.style,)}
    return {attribute: found for attribute, names in named.items() if (found := {name for name in names if name})}


class Judge:
    """`judge(picture)` → `Verdict`; `judge.all(x)` for a batch. Pictures of any side are box-averaged to 64."""

    def __init__(self, net: VGGClassifier):
        self.net, self.sha256 = net.eval().requires_grad_(False), getattr(net, "sha256", None)
        self.classes = {a: classes(a) for a in HEADS}

    def __call__(self, picture: Image.Image | np.ndarray) -> Verdict:
        pixels = np.array(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        return self.all(x)[0]

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, 64, 64) in [-1, 1] on the net's device."""
        x = x.to(next(self.net.parameters()).device).float()
        if x.shape[-2:] != (64, 64):
            x = torch.nn.functional.interpolate(x, (64, 64), mode="area")
        return x * 2 - 1

    @torch.no_grad()
    def all(self, x: torch.Tensor, batch: int = 256) -> list[Verdict]:
        """Verdicts on pictures (B, 3, H, W) in [0, 1]."""
        out = []
        for k in range(0, len(x), batch):
            logits = self.net(self.prepare(x[k:k + batch]))
            shares = {a: v.softmax(1).cpu().numpy() for a, v in logits.items()}
            for row in range(len(x[k:k + batch])):
                table = {}
                for a, names in self.classes.items():
                    order = np.argsort(-shares[a][row])
                    table[a] = {names[j]: float(shares[a][row, j]) for j in order}
                out.append(Verdict(*(next(iter(table[a])) for a in HEADS), table))
        return out

    def check(self, picture: Image.Image, prompt: str) -> tuple[Verdict, dict[str, bool]]:
        """The verdict on a picture and which of the prompt's claims it finds."""
        verdict = self(picture)
        return verdict, verdict.finds(read(prompt))


def load_judge(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> Judge:
    """The judge with its weights: "pocket" or a file. Raises WeightsError and its kin."""
    return Judge(load_model("judge", name, device))
