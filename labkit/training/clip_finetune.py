"""Fine-tune a CLIP, pocket or full-size, on labelled pictures: the naive way, and what keeps it whole.

    contrastive   multi-positive InfoNCE over pictures and label prompts, as in pretraining (FLYP, Goyal et al. 2023, CVPR):
                  all prompts of a picture's label are its positives           ∂L/∂logits = (softmax − target) / B, both ways
    diagonal      the same with the pair itself as the only positive: of two apples in a batch each is the other's negative
    head          cross-entropy of a fresh linear layer on the picture's vector: the text tower is never asked

    LoRA  W₀ + (α/√r) B A (`labkit.models.lora`)          L2-SP  θ ← θ − η λ (θ − θ₀) (Li et al. 2018)
    WiSE-FT  θ = (1 − α) θ₀ + α θ₁ of what was learnt (Wortsman et al. 2022)

What comes out is a CLIP like another: `Lab(guide=FILE)` paints with it. Its file keeps the history of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from labkit.clip.encoder import Encoder
from labkit.clip.zero_shot import TEMPLATES, Probe, accuracy, class_vectors, picture_vectors, worded, world_probe
from labkit.loop import Made, Rng, Step, Values, loop
from labkit.models.clip import PocketCLIP
from labkit.models.load import config_of, fingerprint
from labkit.models.lora import add_lora, interpolate, plain_state
from labkit.pairs.groceries import world_set
from labkit.pairs.labelled import LabelledSet, read_labelled
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Seed, Spec, SpecError, Steps, Training
from labkit.training.augment import random_crops
from labkit.training.finetune_parts import HalfWeights, Pulled, groups_of, sheet
from labkit.training.matching import itc_loss
from labkit.training.optim import cosine
from labkit.world import world_hash

LARGEST_SCALE = 100.0  # 1/temperature, as in CLIP's own training
PROBED = 96  # scenes of the retained probe


class Learns(Spec):
    """What learns, and how fast."""

    frozen: Literal["none", "text", "image"] = Field("none", description="A tower that stays as it is: text keeps what "
                                                     "sentences mean, image keeps what pictures are")
    rank: int = Field(0, ge=0, le=64, description="Rank of LoRA's differences; 0: all weights learn")
    alpha: float = Field(1.0, gt=0, le=64, description="Of LoRA's scale α/√rank")
    layer_decay: float = Field(1.0, gt=0, le=1, description="Learning rate of each layer as a share of the next one's: what is "
                               "near the pixels or the words is general and needs least change")
    crops: float = Field(0.8, gt=0, le=1, description="Least side of the random crops; 1: none, pictures are learned by heart")


class Holds(Spec):
    """What holds the model near its start."""

    weight_decay: float = Field(0.0, ge=0, le=1, description="Pull of all weights to zero, which is not where CLIP was")
    to_start: float = Field(0.0, ge=0, le=100, description="Pull of all weights to where they began (L2-SP)")
    wise: float = Field(1.0, ge=0, le=1, description="WiSE-FT's α: how far to go from the start to what was learnt")
    floor: float = Field(1.0, ge=0, le=1, description="Share of the retained probe that may be lost before it stops; 1: never")
    probe_every: int = Field(0, ge=0, le=10_000, description="Steps between looks at validation and retained probe; 0: at the "
                             "end only, unless the floor asks for them")


class Numbers(Spec):
    """How it reckons."""

    temperature: Literal["fixed", "clamped", "free"] = Field("fixed", description=(
        "The logit scale: as it is; learnt up to 100, as in CLIP's own training; learnt without a bound"))
    scale_rate: float = Field(1.0, ge=0.01, le=1000, description="Learning rate of the logit scale, in multiples of the rest's")
    statistics: Literal["kept", "batch"] = Field("kept", description=(
        "Batch norm and dropout as in use, or as in training: there some hundred pictures replace what millions have told"))
    weights: Literal["fp32", "fp16"] = Field("fp32", description="What the optimiser keeps numbers in; Adam's ε is 0 in fp16")


class FineTuneCLIP(Training):
    """Fine-tune the lab's CLIP on labelled pictures."""

    needs: ClassVar[tuple[str, ...]] = ("clip",)
    example: ClassVar[dict[str, Any]] = {"pictures": 2, "batch": 8, "steps": 4}

    folder: str = Field("", max_length=1000, description="train|validation|test/CLASS/*, or pictures with captions; empty: the "
                        "picture world's fruit and vegetables in a look that CLIP has not seen")
    loss: Literal["contrastive", "diagonal", "head"] = Field("contrastive", description="Multi-positive as in pretraining; one "
                                                             "positive a picture; a classifier on the picture's vector")
    templates: tuple[str, ...] = Field(TEMPLATES, min_length=1, max_length=32, description="Prompts of a label; {} alone "
                                       "teaches bare words, and forgets sentences")
    learns: Learns = Field(Learns(), description="What learns")
    holds: Holds = Field(Holds(), description="What holds it")
    numbers: Numbers = Field(Numbers(), description="How it reckons")
    pictures: int = Field(40, ge=1, le=10_000, description="Of the world's set: pictures a class to learn from")
    steps: Steps = 60
    batch: Batch = 32
    lr: Rate = 1e-4
    scenes: ClassVar[int] = 0  # pictures are not scenes of a bank
    warm: ClassVar[bool] = True  # fine-tuning starts from the lab's weights
    seed: Seed = 91
    preview_every: PreviewEvery = 30

    @field_validator("templates")
    @classmethod
    def _templates_have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            worded(template, "label")
        return templates

    def data(self, size: int, done: Callable[[int, int], None] = lambda made, of: None) -> LabelledSet:
        """The pictures that the spec names, at `size` × `size`. Raises `PairsError`."""
        return read_labelled(self.folder, size, done=done) if self.folder else world_set(self.pictures, size)

    def prompts_of(self, data: LabelledSet) -> tuple[str, ...]:
        """The templates that this set takes: a caption is its own prompt."""
        return ("{}",) if data.captioned else self.templates

    def run(self, lab, resume: dict | None = None, data: LabelledSet | None = None) -> Iterator[Step]:
        """`data` stands in for what the spec names. Steps' `extras`: `weights` (what saves), `tuned` (a function of WiSE-FT's α
        that gives the encoder so far), `notices`."""
        device, cast, rng, clip = lab.device, autocast(lab.device, self.precision), Rng(self.seed), lab.clip
        data = data or self.data(clip.size)
        templates = self.prompts_of(data)
        net = lab.fresh_copy("clip").eval()
        start = {key: value.clone() for key, value in net.state_dict().items()}
        learning = self.learning(net, rng)
        tuned, probe = clip.over(net, self.precision), world_probe(PROBED, clip.size)
        width = clip.encode_text(["a"]).shape[1]
        head = nn.utils.skip_init(nn.Linear, width, len(data.classes))  # drawn below, from the run's own generator
        with torch.no_grad():
            head.weight.normal_(0, width**-0.5, generator=rng.torch), head.bias.zero_()
        head = head.to(device)
        named = learning + ([(f"head.{k}", p) for k, p in head.named_parameters()] if self.loss == "head" else [])
        optimiser = torch.optim.AdamW(self._groups(named), betas=(0.9, 0.98))
        pulled, half = Pulled(learning, self.holds.to_start), HalfWeights(optimiser) if self.numbers.weights == "fp16" else None
        now = Values(history=[], stopped=-1, best=0.0, kept={})
        notices = tuple(data.notices() + unknown_labels(clip, data))
        every = self.holds.probe_every or (max(1, self.steps // 6) if self.holds.floor < 1 else 0)

        def step(i: int) -> Made:
            if now.stopped >= 0:  # what is left of the run changes nothing
                return made(now.history[-1]["scores"])
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * cosine(i, self.steps, self.lr, min(10, self.steps // 10 + 1))
            index = rng.np.choice(len(data.train), min(self.batch, len(data.train)), replace=False)
            labels = data.train.labels[index]
            x = data.train.pictures[torch.from_numpy(index)].float() / 127.5 - 1
            if self.learns.crops < 1:
                x = random_crops(x, rng.torch, self.learns.crops, 2 - self.learns.crops)
            x = ((x + 1) / 2).to(device)
            net.train(self.numbers.statistics == "batch")
            image = tuned.encode_image(x)
            if self.loss == "head":
                target = torch.from_numpy(labels).to(device)
                logits = head(image) * tuned.model.logit_scale.detach().exp().clamp(max=LARGEST_SCALE) / 4
                loss, hit = F.cross_entropy(logits, target), logits.argmax(1) == target
            else:
                texts = [worded(templates[int(rng.np.integers(len(templates)))], data.classes[k]) for k in labels]
                with cast:
                    words = net.encode_text(clip.tokenizer(texts).to(device)).float()
                words = F.normalize(words, dim=-1)
                fits = torch.from_numpy(labels[:, None] == labels[None]).to(device)
                if self.loss == "diagonal":
                    fits = torch.eye(len(labels), dtype=torch.bool, device=device)
                loss = itc_loss(image, words, fits, (-net.logit_scale).exp())
                hit = fits.gather(1, (image @ words.T).argmax(1, keepdim=True)).squeeze(1)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
            lost = half.step() if half else optimiser.step() or 0.0
            pulled.step(optimiser)
            if self.numbers.temperature == "clamped":
                net.logit_scale.data.clamp_(max=float(np.log(LARGEST_SCALE)))
            scores = {"loss": float(loss.detach()), "hit": float(hit.float().mean()), "gradient": float(norm),
                      "scale": float(net.logit_scale.detach().exp())}
            scores |= {"lost in fp16": float(lost)} if half else {}
            if i == 0:
                now.best = probe.subject_accuracy(clip)
            if i == self.steps - 1 or every and (i + 1) % every == 0:
                looked = look(encoder(1.0), data, templates, probe)
                scores |= looked
                now.history = [*now.history, {"step": i + 1, "scores": dict(scores)}]
                if now.best - looked["retained"] > self.holds.floor:
                    now.stopped = i  # with what it was when it last looked and all was well
                elif self.holds.floor < 1:
                    now.kept = plain_state(net)
            return made(scores)

        def made(scores: dict[str, float]) -> Made:
            extras = {"weights": weights, "tuned": encoder, "notices": notices, "stopped": now.stopped}
            return Made(scores, lambda: sheet(encoder(self.holds.wise), data, templates), extras)

        def state(alpha: float) -> dict[str, Tensor]:
            return interpolate(start, plain_state(net) if now.stopped < 0 else now.kept or start, alpha)

        def encoder(alpha: float) -> Encoder:
            return tuned_encoder(clip, state(alpha))

        def weights() -> tuple[dict, dict]:
            return state(self.holds.wise), about(self, clip, data, now.history)

        parts = {"model": net, "head": head, "optimiser": optimiser, "rng": rng, "now": now}
        if half:
            parts["half"] = half
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def _groups(self, named: list[tuple[str, nn.Parameter]]) -> list[dict]:
        """Groups of the optimiser, each with its share of the learning rate."""
        rest = [(name, p) for name, p in named if name != "logit_scale"]
        groups = groups_of(rest, self.lr, self.learns.layer_decay, self.holds.weight_decay)
        scale = [p for name, p in named if name == "logit_scale"]
        return groups + [{"params": scale, "lr": self.lr, "share": self.numbers.scale_rate, "weight_decay": 0.0}] * bool(scale)

    def learning(self, net: nn.Module, rng: Rng) -> list[tuple[str, nn.Parameter]]:
        """The parameters that learn, by name; everything else is frozen."""
        if self.learns.rank:
            add_lora(net, self.learns.rank, self.learns.alpha, rng.torch)
            net.requires_grad_(False)
            for name, p in net.named_parameters():
                p.requires_grad_(name.endswith((".a", ".b")))
        for name, p in net.named_parameters():
            tower = "image" if name.startswith("visual.") else "text"
            if tower == self.learns.frozen and name not in ("logit_scale", "logit_bias"):
                p.requires_grad_(False)
        net.logit_scale.requires_grad_(self.numbers.temperature != "fixed")
        if self.loss == "head":
            for name, p in net.named_parameters():
                p.requires_grad_(p.requires_grad and name.startswith("visual."))
        learning = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
        if not learning and self.loss != "head":
            raise SpecError("learns: nothing is left that could learn")
        return learning


def tuned_encoder(clip: Encoder, state: dict[str, Tensor]) -> Encoder:
    """The encoder `clip` with other weights, apart from it and frozen."""
    net = deepcopy(clip.model)
    net.load_state_dict(state)
    found = clip.over(net.eval().requires_grad_(False))
    found.name = f"{clip.name}, tuned"
    return found


@torch.no_grad()
def look(encoder: Encoder, data: LabelledSet, templates: tuple[str, ...], probe: Probe) -> dict[str, float]:
    """`validation`, the set's own zero-shot accuracy, and `retained`, that of the world's subjects."""
    vectors = picture_vectors(encoder, data.validation.pictures)
    return {"validation": accuracy(vectors, data.validation.labels, class_vectors(encoder, data.classes, templates)),
            "retained": probe.subject_accuracy(encoder)}


def unknown_labels(clip: Encoder, data: LabelledSet) -> list[str]:
    """A notice of the labels that this CLIP has words of that it has never seen, or cuts."""
    odd = {label: told for label in data.classes if (told := clip.notices(label))}
    if not odd:
        return []
    label, told = next(iter(odd.items()))
    more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
    return [f"labels that this CLIP does not know: {label}{more} ({told[0]}); it starts from chance on them"]


def about(spec: FineTuneCLIP, clip: Encoder, data: LabelledSet, history: list[dict]) -> dict:
    """What the file says of itself: where it comes from, what it was tuned on, and how that went."""
    tuned = {"from": clip.name, "sha256": clip.sha256 or fingerprint(clip.model), "set": data.name,
             "classes": list(data.classes)[:1000], "history": [{"step": h["step"], **h["scores"]} for h in history]}
    common = {"kind": "clip", "world": world_hash(), "trained": spec.model_dump(), "tuned": tuned}
    if isinstance(clip.model, PocketCLIP):
        return common | {"config": config_of(clip.model), "tokenizer": clip.tokenizer.json}
    return common | {"of": clip.of}
