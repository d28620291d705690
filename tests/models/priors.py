"""What the tests of the priors share: a two-level code of mean colours, and a lab that holds it under small priors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance import TinyLab


class BlockCodes(nn.Module):
    """A two-level code without training: the mean colours of 8 × 8 and of 4 × 4 pixels in four levels a channel, 64 codes
    each; the picture of codes is the mean of both. It answers as `labkit.models.vqvae.VQVAE` does."""

    n_embed, sha256, multiple = 64, "blocks", 8

    def __init__(self):
        super().__init__()
        self.register_parameter("colours", nn.Parameter(torch.cartesian_prod(*[torch.tensor([-0.75, -0.25, 0.25, 0.75])] * 3),
                                                        requires_grad=False))

    def codebook(self, level: int) -> Tensor:
        return self.colours

    def grids(self, height: int, width: int):
        return (height // 8, width // 8), (height // 4, width // 4)

    def encode_codes(self, x: Tensor):
        def level(side):
            steps = ((F.avg_pool2d(x, side) + 1) * 2).long().clamp(0, 3)
            return steps[:, 0] * 16 + steps[:, 1] * 4 + steps[:, 2]
        return level(8), level(4)

    def decode_codes(self, top: Tensor, bottom: Tensor | None, condition: Tensor | None = None) -> Tensor:
        def paint(codes, side):
            return F.interpolate(self.colours[codes].movedim(-1, 1), scale_factor=side)
        return paint(top, 8) if bottom is None else (paint(top, 8) + paint(bottom, 4)) / 2


class PriorLab(TinyLab):
    """A tiny lab whose codes are the mean colours: a picture shows its codes."""

    def __init__(self):
        super().__init__()
        self._models["vqvae"] = BlockCodes().eval()
