"""Train Johnson's transform network: one style, put on any picture in one pass.

    L = content · ‖F(x̂) − F(c)‖² / ‖F(c)‖² + style · mean over layers of ‖G(x̂) − G*‖² / ‖G*‖² + tv · roughness(x̂),   x̂ = net(c)

Johnson et al. 2016, eq. 3–6, in the lab's perceptual net; each term is relative to its target, so that the weights need no new
tuning for another style. G* is of one picture, or of many scenes of one of the world's styles: raw moments of many pictures are
their mean, which a Gram matrix may be blended by. Of a picture that is one of many its accidents are left out.

Contents are flat scenes of the world, or crops of the pictures in a folder. Held-out combinations never occur; the judge has no
part. Shipped is the moving average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from pydantic import Field, field_validator
from torch import Tensor

from labkit.image import ImageInput, grid, to_pil, to_rgb
from labkit.latents.folder import PictureFolder
from labkit.loop import Made, Rng, Step, loop
from labkit.methods.vqgan_clip import roughness
from labkit.models.load import config_of
from labkit.models.style_losses import Moments, blended, content_loss, gram_loss, moments
from labkit.models.transform_net import TransformNet, TransformNetConfig
from labkit.precision import autocast
from labkit.spec import Batch, PreviewEvery, Rate, Scenes, Seed, SpecError, Steps, Training
from labkit.text import plain
from labkit.training.bank import FLAT, SceneBank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import classes, world_hash

POCKET = TransformNetConfig((16, 32, 64), 3)
SHOWN = 64  # scenes of a style whose moments are taken
SIDE = 64  # pixels of a crop of somebody's own picture


class TrainTransformNet(Training):
    """Pocket transform net: the look of one style, or of one picture."""

    example: ClassVar[dict[str, Any]] = {"batch": 2}

    steps: Steps = 2500
    batch: Batch = 4
    lr: Rate = 1e-3
    scenes: Scenes = 10_000
    seed: Seed = 137
    preview_every: PreviewEvery = 250
    look: str = Field("mosaic", max_length=40, description="The style: one of the world's, of many scenes")
    picture: ImageInput | None = Field(None, description="A picture of the style, instead of one of the world's")
    pictures: str = Field("", max_length=1000, description="Pictures to learn on, a folder, instead of the world's flat scenes")
    content: float = Field(1.0, ge=0, le=100, description="Weight of the content's distance")
    style: float = Field(10.0, ge=0, le=1000, description="Weight of the distance of Gram matrices")
    tv: float = Field(0.05, ge=0, le=10, description="Weight of the picture's total variation")

    @field_validator("look")
    @classmethod
    def _is_of_the_world(cls, name: str) -> str:
        if name not in classes("style"):
            raise ValueError(f"is none of {', '.join(classes('style'))}")
        return name

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast, rng = lab.device, autocast(lab.device, self.precision), Rng(self.seed)
        bank = folder_bank(self.pictures) if self.pictures else scene_bank("train", self.scenes, **FLAT)
        eye = lab.fresh_copy("perceptual").to(device).eval().requires_grad_(False)
        targets = self.targets(eye, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = TransformNet(POCKET)
        if self.warm:
            model = lab.fresh_copy("transform_net")
        model = model.to(device, memory_format=torch.channels_last).train().requires_grad_(True)
        averaged, optimiser = average(model), torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))
        names = {*eye.style_layers, *eye.content_layers}

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            index = rng.np.integers(len(bank), size=self.batch)
            c = bank.images(index).to(device).contiguous(memory_format=torch.channels_last)
            with cast:
                x = model(c)
                seen = eye.layers(x, names)
                with torch.no_grad():
                    wanted = eye.layers(c, eye.content_layers)
            losses = {"content": sum(content_loss(seen[k].float(), f.float()).mean() for k, f in wanted.items()) / len(wanted),
                      "style": sum(gram_loss(moments(seen[k].float()), m).mean() for k, m in targets.items()) / len(targets),
                      "tv": roughness((x.float() + 1) / 2)}
            total = sum(getattr(self, name) * loss for name, loss in losses.items())
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            update_average(averaged, model)
            told = {"loss": float(total.detach()), **{name: float(loss.detach()) for name, loss in losses.items()}}
            return Made(told, lambda: sheet(averaged.module, bank), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {
                "kind": "transform_net", "config": config_of(model), "world": world_hash(),
                "style": self.picture.sha256 if self.picture else self.look,
                "trained": self.model_dump(exclude={"picture"})}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    @torch.no_grad()
    def targets(self, eye, device) -> dict[str, Moments]:
        """The style's moments by layer: of the picture, or the mean over scenes of the style."""
        if self.picture:
            x = self.picture.tensor() * 2 - 1
        else:
            x = scene_bank("train", SHOWN, style=self.look, two=False).images(range(SHOWN))
        seen = eye.layers(x.to(device), eye.style_layers)
        each = {name: [moments(one[None].float()) for one in f] for name, f in seen.items()}
        return {name: blended(some, [1.0] * len(some)) for name, some in each.items()}


def folder_bank(folder: str) -> SceneBank:
    """The middles of the pictures in a folder, `SIDE` pixels a side, as a bank without ground truth; files that cannot be
    opened are left out. Raises `SpecError` where none is left."""
    found = PictureFolder.of(folder)
    crops = [np.asarray(ImageOps.fit(to_rgb(picture), (SIDE, SIDE))) for picture in found.pictures()]
    if not crops:
        why = next(iter(found.skipped.values()))
        raise SpecError(f"pictures: none of the pictures in {plain(folder, 200)} can be opened; the first: {why}")
    return SceneBank(np.stack(crops), "none")


@torch.no_grad()
def sheet(model: TransformNet, bank: SceneBank, n: int = 8) -> Image.Image:
    """The bank's last pictures, and what the net makes of them."""
    was, device, n = model.training, next(model.parameters()).device, min(n, len(bank))
    c = bank.images(range(len(bank) - n, len(bank)))
    made: Tensor = model.eval()(c.to(device)).cpu()
    model.train(was)
    return grid([to_pil((p + 1) / 2) for p in torch.cat([c, made])], columns=n, pad=0)
