"""Aesthetic predictors: a small head on CLIP's unit vector of a picture gives one number.

LAION 2022: v1 is one linear map, `score = w·e + b` (github.com/LAION-AI/aesthetic-predictor); v2 is five of them, one after
another with nothing but dropout in between, 768 → 1024 → 128 → 64 → 16 → 1 (github.com/christophschuhmann/
improved-aesthetic-predictor). Affine maps of affine maps are one:

    W₅(W₄(W₃(W₂(W₁e + b₁) + b₂) + b₃) + b₄) + b₅ = w·e + b,   w = W₅W₄W₃W₂W₁

so either is a direction in CLIP's space (`affine`). Only the variant with ReLU is more. All expect e of length 1: of a vector
as CLIP's tower gives it, some ten times as long, they make a number that means nothing (`normalised=False` shows it).

The pocket head also reads what an early stage of the pocket CLIP's tower sees (`stage`): its last vector was trained to stay
the same when a picture is blurred, noised and recoloured, which is what has to be told here.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.models.load import load_model, tuples
from labkit.weights import Layout, WeightsMismatch
from labkit.zoo import check_state

V2 = (1024, 128, 64, 16)
BETWEEN = {"none": 1, "relu": 2}  # modules between two linear layers of v2: dropout, or ReLU and dropout
OPENAI = {512: "ViT-B-32/openai", 768: "ViT-L-14/openai"}  # the CLIPs of the published heads, by their vectors' width


LAYOUT = Layout("an aesthetic head of LAION", (("weight", "layers.0.weight"), ("bias", "layers.0.bias")), alone=True)


class WidthError(ValueError):
    """A head and a CLIP whose vectors it cannot read."""


@dataclass(frozen=True)
class AestheticConfig:
    """Numbers of a CLIP vector, widths of the layers in between, what stands between them ("none" or "relu"); of a pocket head
    also the module of the tower's trunk whose pooled features it reads, how many they are (0: none), and whether all that it
    reads is brought to mean 0 and spread 1 first."""

    width: int
    hidden: tuple[int, ...] = ()
    between: str = "none"
    stage: int = 0
    features: int = 0
    standard: bool = False


class AestheticHead(nn.Module):
    """(B, width [+ features]) → (B,). The keys are those of the published files: layers.0, layers.2, …"""

    def __init__(self, config: AestheticConfig):
        super().__init__()
        if config.between not in BETWEEN or config.width < 1 or any(width < 1 for width in config.hidden):
            raise ValueError(f"an aesthetic head cannot be built from {config}")
        self.config, layers = config, {}
        widths = (config.width + config.features, *config.hidden, 1)
        for key, before, after in zip(places(config), widths, widths[1:], strict=False):
            layers[str(key)] = nn.Linear(before, after)
        self.layers = nn.ModuleDict(layers)
        if config.standard:
            self.register_buffer("centre", torch.zeros(widths[0]))
            self.register_buffer("spread", torch.ones(widths[0]))

    @classmethod
    def from_config(cls, config: dict) -> AestheticHead:
        """Build from the JSON of its config."""
        return cls(AestheticConfig(**tuples(config)))

    def forward(self, e: Tensor) -> Tensor:
        """Scores (B,) of what the head reads, see `inputs`."""
        if self.config.standard:
            e = (e - self.centre) / self.spread
        for k, layer in enumerate(self.layers.values()):
            e = layer(torch.relu(e) if k and self.config.between == "relu" else e)
        return e.squeeze(1)

    def inputs(self, encoder, x: Tensor, normalised: bool = True) -> Tensor:
        """What the head reads of pictures (B, 3, H, W) in [0, 1], (B, width + features): the encoder's unit vectors and, of a
        pocket head, the mean and spread of its stage. `normalised=False` is the mistake of taking the vectors as long as they
        come. Raises `WidthError` where they are not of the head's width."""
        if not self.config.features:
            e, seen = encoder.raw_image(x), []
        else:
            e, seen = self._both(encoder, x)
        if e.shape[1] != self.config.width or (seen and seen[0].shape[1] != self.config.features):
            raise WidthError(self._misfit(encoder, e.shape[1]))
        return torch.cat([F.normalize(e, dim=1) if normalised else e, *seen], dim=1)

    def _both(self, encoder, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The tower's vectors and its stage's pooled features, in one pass."""
        visual, k = getattr(encoder.model, "visual", None), self.config.stage + 1
        trunk = getattr(visual, "trunk", None)
        if not isinstance(trunk, nn.Sequential) or len(trunk) < k:
            raise WidthError("aesthetic: this head also reads the tower of the pocket CLIP, which the lab's CLIP "
                             f"({encoder.name}) does not have; give --clip pocket, or a head of its width")
        z = encoder.prepared(x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=encoder.bf16):
            early = trunk[:k](z)
            e = visual.proj(trunk[k:](early).mean((2, 3)))
        return e.float(), [pooled(early)]

    def score(self, encoder, x: Tensor, normalised: bool = True) -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1], as `inputs` has them."""
        return self(self.inputs(encoder, x, normalised))

    def _misfit(self, encoder, width: int) -> str:
        fitting = OPENAI.get(self.config.width)
        remedy = f"give --clip {fitting}" if fitting else "give the pair that belongs together"
        return (f"aesthetic: this head reads CLIP vectors of {self.config.width} numbers, the lab's CLIP ({encoder.name}) "
                f"makes {width}; {remedy}")


def pooled(features: Tensor) -> Tensor:
    """Mean and spread over positions (B, 2C) of (B, C, H, W), fp32."""
    features = features.float()
    return torch.cat([features.mean((2, 3)), features.var((2, 3), unbiased=False).add(1e-8).sqrt()], dim=1)


def places(config: AestheticConfig) -> list[int]:
    """The numbers of the linear layers among v2's modules; the last follows upon the one before at once."""
    first = [k * (1 + BETWEEN[config.between]) for k in range(len(config.hidden))]
    return [*first, first[-1] + BETWEEN[config.between]] if first else [0]


def affine(head: AestheticHead) -> tuple[Tensor, Tensor]:
    """(w, b) with `score = w·e + b` for every e: what the layers of a head without activations come to, in float64. Raises
    ValueError for one with activations, and for a pocket head that reads more than e."""
    if head.config.between != "none" or head.config.features or head.config.standard:
        raise ValueError("affine: this head is no affine map of CLIP's vector: it has activations, or reads more than that")
    w, b = torch.eye(head.config.width, dtype=torch.float64), torch.zeros(head.config.width, dtype=torch.float64)
    for layer in head.layers.values():
        weight = layer.weight.detach().double().cpu()
        w, b = weight @ w, weight @ b + layer.bias.detach().double().cpu()
    return w[0], b[0]


def from_published(state: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a published head under our keys, and what the new file says of itself: v1's `weight` and `bias` are its
    one layer. Raises WeightsMismatch where the shapes are of no such head."""
    state = {f"layers.0.{key}" if key in ("weight", "bias") else key: value for key, value in state.items()}
    numbers = sorted(int(found[1]) for key in state if (found := re.fullmatch(r"layers\.(\d{1,3})\.weight", key)))
    weights = [state[f"layers.{k}.weight"] for k in numbers]
    if not weights or any(w.ndim != 2 or 0 in w.shape for w in weights) or len(weights[-1]) != 1:
        raise WeightsMismatch(f"{name}: not an aesthetic head: its layers must be matrices, the last of which makes one number")
    between = "relu" if len(numbers) > 1 and numbers[1] == 1 + BETWEEN["relu"] else "none"
    config = AestheticConfig(weights[0].shape[1], tuple(len(w) for w in weights[:-1]), between)
    with torch.device("meta"):
        model = AestheticHead(config)
    check_state(model, state, name)
    return state, {"kind": "aesthetic", "config": asdict(config)}


def load_aesthetic(name: str, device: str | torch.device = "cpu", bf16: bool = False) -> AestheticHead:
    """The predictor with its weights, frozen: "pocket", a name of the zoo, or a file that `convert` or a training made. Raises
    WeightsError and its kin."""
    return load_model("aesthetic", name, device)


def bare(name: str) -> AestheticHead:
    """The head of a published name, without its weights."""
    return AestheticHead(PUBLISHED[name])


PUBLISHED = {
    "laion-v1-vit-b-32": AestheticConfig(512), "laion-v1-vit-l-14": AestheticConfig(768),
    "laion-v2-vit-l-14": AestheticConfig(768, V2), "laion-v2-ava-vit-l-14": AestheticConfig(768, V2),
}  # fmt: skip
