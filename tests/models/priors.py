"""What the tests of the priors share: their records, a two-level code of mean colours, and a lab that holds small ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.kinds import Kind
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, PixelSNAILConfig
from tests.conformance import CLIP, TinyLab

PRIOR = {"draws": True, "models": (("", "labkit.models.pixelsnail:PixelSNAIL"),)}
RECORDS = {
    "prior_top": Kind("prior_top", "Prior of top codes", "a PixelSNAIL", "note", megabytes=5,
                      load="labkit.models.pixelsnail:load_prior_top",
                      training="labkit.training.pixelsnail:TrainPriorTop", **PRIOR),
    "prior_bottom": Kind("prior_bottom", "Prior of bottom codes", "a PixelSNAIL", "note", megabytes=3,
                         load="labkit.models.pixelsnail:load_prior_bottom",
                         training="labkit.training.pixelsnail:TrainPriorBottom", **PRIOR),
    "vqvae": Kind("vqvae", "Codes", "mean colours", "note", megabytes=2, load="tests.models.priors:load_blocks", draws=True),
}


class BlockCodes(nn.Module):
    """A two-level code without training: the mean colours of 8 × 8 and of 4 × 4 pixels in four levels a channel, 64 codes
    each; the picture of codes is the mean of both. It answers as `labkit.models.vqvae.VQVAE` does."""

    n_embed, sha256 = 64, "blocks"

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

    def decode_codes(self, top: Tensor, bottom: Tensor, condition: Tensor | None = None) -> Tensor:
        def paint(codes, side):
            return F.interpolate(self.colours[codes].movedim(-1, 1), scale_factor=side)
        return (paint(top, 8) + paint(bottom, 4)) / 2


def load_blocks(name: str, device="cpu", bf16: bool = False) -> BlockCodes:
    return BlockCodes().eval()


def prior(seed: int = 3, **changes) -> PixelSNAIL:
    """A small prior, not trained, whose logits differ enough for their codes to differ."""
    values = {"n_embed": 64, "grid": (8, 8), "embed": CLIP.embed_dim, "channels": 16, "blocks": 2, "gates": 2, "heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PixelSNAIL(PixelSNAILConfig(**values | changes))
        model.head.weight.data.mul_(4)
        model.null.data.normal_()
    return model.eval().requires_grad_(False)


class PriorLab(TinyLab):
    """A tiny lab that also has codes and priors; to be made while RECORDS are in KINDS."""

    def __init__(self):
        super().__init__()
        self._models |= {"vqvae": BlockCodes().eval(), "prior_top": prior(),
                         "prior_bottom": prior(4, grid=(16, 16), coarser=64, heads=0)}
        assert CONDITION in self._models or CONDITION in self.names
