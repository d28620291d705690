"""Layers of a VGG-shaped net by name, so that a loss can say where it reads: "conv3_1", "relu3_1".

`convS_K` is the K-th convolution of stage S as it enters its ReLU (with its batch norm, where there is one), `reluS_K` the same
after it, as VGG's layers are called everywhere (Simonyan & Zisserman 2014; Gatys et al. 2016). Stages are parted by pools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from torch import Tensor, nn


class NamedLayers:
    """Of a net whose `parts` are in line: its activations by name. It takes pictures (B, 3, H, W) in [-1, 1].

    style_layers    where the style of a picture is read, finest first.  content_layers  where its content is.
    title           what it is, in a few words.
    """

    title: ClassVar[str] = ""
    style_layers: ClassVar[tuple[str, ...]] = ()
    content_layers: ClassVar[tuple[str, ...]] = ()

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Every module in the order of its turn, with the name of what comes out of it, or "" where that has none. None of
        them may work in place: what was read would change afterwards."""
        raise NotImplementedError

    def enter(self, x: Tensor) -> Tensor:
        """Pictures in [-1, 1] as the first part takes them."""
        return x

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names that `layers` knows, finest first."""
        return tuple(name for name, _ in self.parts() if name)

    def least_side(self, names: Iterable[str]) -> int:
        """The smallest side that a picture may have for these layers to be read: every pool before them halves it."""
        wanted, pools, least = set(names), 0, 1
        for name, part in self.parts():
            pools += isinstance(part, nn.MaxPool2d)
            if name in wanted:
                least = 2**pools
        return least

    def layers(self, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """The activations (B, C, H', W') of these names; nothing beyond the deepest of them is computed. Raises ValueError on
        a name that there is not."""
        wanted, found = set(names), {}
        if unknown := sorted(wanted - set(self.layer_names)):
            raise ValueError(f"layers: {', '.join(unknown)} is none of {', '.join(self.layer_names)}")
        x = self.enter(x)
        for name, part in self.parts():
            if len(found) == len(wanted):
                break
            x = part(x)
            if name in wanted:
                found[name] = x
        return found
