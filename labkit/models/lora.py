"""LoRA: a layer learns a difference of low rank instead of a new weight; and straight lines between two sets of weights.

    W = W₀ + (α / √r) · B A        A (r, inputs) drawn, B (outputs, r) zero at first: the model begins as it was

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685; the scale α/√r instead of α/r keeps the
step's size the same whatever the rank (Kalajdzievski 2023, "A Rank Stabilization Scaling Factor", arXiv:2312.03732). It rides
on torch's parametrisations, so that the model's own code runs unchanged; a fused q, k, v weight gets a difference for each of
the three, and a convolution's kernel is a matrix of (outputs, inputs × height × width).

    adapted = add_lora(model, rank=4, alpha=1.0, rng)     # what learns: adapted.parameters()
    kept = merge(model)                                   # plain weights again, and what to go back with
    unmerge(model, kept)                                  # the very bits from before

    interpolate(start, end, alpha)                        # WiSE-FT: θ = (1 − α) θ₀ + α θ₁ (Wortsman et al. 2022)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """The difference of one weight, as a parametrisation: given W₀ it is W. `parts` split the rows (3 for q, k, v)."""

    def __init__(self, weight: Tensor, rank: int, alpha: float, rng: torch.Generator, parts: int = 1):
        super().__init__()
        rows, columns = weight.shape[0] // parts, weight[0].numel()
        rank = min(rank, rows, columns)
        a = torch.randn(parts, rank, columns, generator=rng) / columns**0.5
        self.a = nn.Parameter(a.to(weight.device, weight.dtype))
        self.b = nn.Parameter(weight.new_zeros(parts, rows, rank))
        self.scale = alpha / rank**0.5

    def difference(self, weight: Tensor) -> Tensor:
        """(α / √r) · B A in the weight's shape."""
        return (self.scale * (self.b @ self.a)).reshape(weight.shape)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.difference(weight)


@dataclass(frozen=True)
class Kept:
    """What `unmerge` needs: (module, name of its weight) → W₀ and its difference."""

    weights: dict[tuple[nn.Module, str], tuple[Tensor, LowRank]]


def places(model: nn.Module) -> Iterator[tuple[nn.Module, str, int]]:
    """(module, name of the weight, parts) of every weight that gets a difference: linear layers, convolutions that are not
    depthwise, and the fused weights of attention."""
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            yield module, "in_proj_weight", 3
        elif isinstance(module, nn.Linear) or isinstance(module, nn.Conv2d) and module.groups == 1:
            yield module, "weight", 1


def add_lora(model: nn.Module, rank: int, alpha: float, rng: torch.Generator) -> nn.ModuleList:
    """Give every such weight of a model its difference, in place, and freeze everything else; returns the differences. Draws
    from `rng`, a CPU generator. Raises ValueError on a rank below 1 and on a model that has no such weight."""
    if rank < 1:
        raise ValueError(f"rank={rank}: must be at least 1")
    model.requires_grad_(False)
    found, of = [], list(places(model))
    for module, name, parts in of:
        difference = LowRank(getattr(module, name).detach(), rank, alpha, rng, parts)
        # Not with torch's check, which would call the difference once more and is meant for those that change a shape.
        parametrize.register_parametrization(module, name, difference, unsafe=True)
        found.append(difference)
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer or convolution to adapt")
    return nn.ModuleList(found)


def _adapted(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in model.modules():
        for name, chain in dict(getattr(module, "parametrizations", {})).items():
            if isinstance(chain[0], LowRank):
                yield module, name


def merge(model: nn.Module) -> Kept:
    """Put every W = W₀ + difference in place of its parts: the model computes the same numbers, bit for bit, and has its usual
    keys. Returns what goes back."""
    kept = {}
    for module, name in list(_adapted(model)):
        chain = module.parametrizations[name]
        # A copy: torch writes the merged numbers into the original.
        kept[module, name] = chain.original.detach().clone(), chain[0]
        parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return Kept(kept)


def unmerge(model: nn.Module, kept: Kept) -> None:
    """Take the differences out again. W₀ was kept, not reckoned back: W − difference would be off by a rounding."""
    for (module, name), (original, difference) in kept.weights.items():
        setattr(module, name, nn.Parameter(original.clone(), requires_grad=False))
        parametrize.register_parametrization(module, name, difference, unsafe=True)


@torch.no_grad()
def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's state with every difference merged, under its usual keys; the model stays as it is."""
    state = {}
    for key, value in model.state_dict().items():
        if ".parametrizations." not in key and not key.startswith("parametrizations."):
            state[key] = value.detach().clone()
        elif key.endswith(".original"):
            plain = key.removesuffix(".original").replace("parametrizations.", "", 1)
            owner, _, name = plain.rpartition(".")
            state[plain] = getattr(model.get_submodule(owner), name).detach().clone()
    return state


def interpolate(start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """θ = (1 − α) θ₀ + α θ₁ of every tensor of numbers: α = 0 is `start` and α = 1 is `end`, bit for bit. What counts
    (integers) is of the nearer end. Raises ValueError where the two are not of one architecture or α is outside of [0, 1]."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: must lie in [0, 1]")
    if start.keys() != end.keys() or any(start[k].shape != end[k].shape for k in start):
        odd = next(k for k in [*start, *end] if k not in start or k not in end or start[k].shape != end[k].shape)
        raise ValueError(f"start, end: are of two architectures; {odd} differs")
    mixed = {}
    for key, a in start.items():
        b = end[key].to(a.device)
        mixed[key] = torch.lerp(a, b, alpha) if a.is_floating_point() else (b if alpha >= 0.5 else a).clone()
    return mixed
