"""Train the attention auto-encoder on scenes of every style (Yao et al. 2019, arXiv:1901.05127, section 3.1).

    L = 10 mean (x̂ − x)² + mean over layers of mean (φ(x̂) − φ(x))² + smooth · TV(x̂) + sparsity · mean |A|

TV is the sum of the mean absolute differences of neighbours, across and down. As published, the weights are 10, 1, 10, 6, for
pixels of 0 … 255: to pixels of [-1, 1] the last two would be far too much, so that the picture turns grey and attention dies
out (A = 0 everywhere). With `noise` the normalised features that are decoded are noisy. Then what is amplified is better told
than what is not, and attention has something to gain, at a price: without it nothing but chance says where it is high. What
the decoder meets in styling, features put together of patches, is not clean either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import Tensor

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.attention_autoencoder import AttentionAutoencoder, AttentionAutoencoderConfig, as_map, moments
from labkit.models.load import config_of, fingerprint
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Seed, SpecError, Steps, Training
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

RECONSTRUCTION = 10.0


class TrainAttentionAutoencoder(Training):
    """Attention auto-encoder."""

    example: ClassVar[dict[str, Any]] = {"batch": 2, "layer": "relu2_1"}

    steps: Steps = 4000
    batch: Batch = 8
    lr: Rate = 1e-3
    layer: str = Field("relu3_2", pattern="^relu[2-9]_[1-9]$", description="Layer of the perceptual net that is attended to")
    perceptual: float = Field(1.0, ge=0, le=100, description="Weight of the features' squared error")
    smooth: float = Field(0.08, ge=0, le=10, description="Weight of total variation; 10 for pixels of 0 … 255")
    sparsity: float = Field(0.05, ge=0, le=10, description="Weight of mean |A|: less where attention dies out")
    noise: float = Field(0.4, ge=0, le=5, description="Deviation of the noise on normalised features; 0 as published")
    seed: Seed = 131
    preview_every: PreviewEvery = 250

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), scene_bank("train", self.scenes)
        model = self._begin(lab).to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        net = lab.fresh_copy("perceptual").eval().requires_grad_(False).to(memory_format=torch.channels_last)
        averaged = average(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            x = bank.images(rng.np.integers(len(bank), size=self.batch)).to(device, memory_format=torch.channels_last)
            with cast:
                with torch.no_grad():
                    layers = model.read(net, x)
                *finer, features = layers
                mine = moments(features)
                a, attended = model.attend(features)
                noise = self.noise * torch.randn(features.shape, generator=rng.torch).to(device)
                y = model.decode((attended + noise) * mine.deviation + mine.mean, [moments(layer) for layer in finer])
                error = F.mse_loss(y.float(), x)
                total = RECONSTRUCTION * error + self.smooth * variation(y) + self.sparsity * a.float().abs().mean()
                if self.perceptual:
                    again = model.read(net, y)
                    seen = torch.stack([F.mse_loss(p.float(), q.float()) for p, q in zip(again, layers, strict=True)]).mean()
                    total = total + self.perceptual * seen
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            scores = {"loss": float(total.detach()), "psnr": float(-10 * (error.detach() / 4).log10()),
                      "attention": float(a.detach().float().abs().mean())}
            if self.perceptual:
                scores["perceptual"] = float(seen.detach())
            return Made(scores, lambda: sheet(averaged.module, net, bank), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "attention_autoencoder", "config": config_of(model),
                                                  "world": world_hash(), "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def _begin(self, lab) -> AttentionAutoencoder:
        if self.warm:
            return lab.fresh_copy("attention_autoencoder")
        names = (*(f"relu{stage}_1" for stage in range(1, int(self.layer[4]))), self.layer)
        try:
            found = lab.perceptual.layers(torch.zeros(1, 3, 64, 64, device=lab.device), names)
        except ValueError as error:
            raise SpecError(f"layer: {self.layer} is no layer of perceptual ({lab.names['perceptual']}): {error}") from None
        channels = tuple(found[name].shape[1] for name in names)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return AttentionAutoencoder(AttentionAutoencoderConfig(self.layer, channels, encoder=fingerprint(lab.perceptual)))


def variation(x: Tensor) -> Tensor:
    """Mean |difference| of neighbours across, and the same down, summed."""
    x = x.float()
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


@torch.no_grad()
def sheet(model: AttentionAutoencoder, net, bank: SceneBank, n: int = 12) -> Image.Image:
    """The bank's last scenes, made again, and where attention is high."""
    x = bank.images(range(len(bank) - n, len(bank))).to(next(model.parameters()).device)
    y, a = model(model.read(net, x))
    seen = F.interpolate(as_map(a)[:, None], x.shape[2:], mode="bilinear").expand_as(x) * 2 - 1
    return grid([to_pil(((p + 1) / 2).clamp(0, 1)) for p in torch.cat([x, y, seen])], columns=n, pad=0)
