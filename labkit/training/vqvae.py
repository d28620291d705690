"""Train the pocket VQ-VAE (Razavi et al. 2019, section 3.1): squared error and commitment; codebooks are moving averages.

    L = E ‖x̂ − x‖² + a ‖x̂_t − x‖² + 0.25 (‖sg(e_t) − z_t‖² + ‖sg(e_b) − z_b‖²)

x̂_t is made of the top codes alone, and a = 0.5: without it even more of what a picture is of came to lie in the bottom codes.

Encoder and decoder begin as the pocket VQGAN's. For the first steps (`latent`) they stay so, and x stands for the features that
this decoder is used to: a step then costs no pass through the decoder. In the last steps (`settled`) the codes stay as they are
and only what makes pictures of them learns, from pixels: priors of these codes stay right. Between the two all learns.

The codebooks start as k-means of the first batch, and what is chosen less than `dead_below` times a step becomes a vector of
the current batch: left alone, codes that miss the first steps never come back. With `told` the vectors of BLIP (or CLIP)
condition encoder and decoder, as the codes report has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field
from torch import nn

from labkit.image import grid, to_pil
from labkit.loop import Made, Rng, Step, loop
from labkit.models.codebook import use_of
from labkit.models.load import config_of
from labkit.models.vqvae import LEVELS, VQVAE, VQVAEConfig
from labkit.precision import autocast
from labkit.spec import MAX_SEED, Batch, Scenes, Seed, SpecError, Steps, Training
from labkit.training.bank import picture_bank, scene_bank
from labkit.training.optim import average, cosine, set_lr, update_average
from labkit.world import world_hash

ALONE = 0.5  # weight of the picture that the top codes alone make


class TrainVQVAE(Training):
    """Pocket VQ-VAE (two levels of codes)."""

    example: ClassVar[dict[str, Any]] = {"batch": 4, "latent": 0.5, "settled": 0.25}

    steps: Steps = 3000
    batch: Batch = 32
    n_embed: int = Field(2048, ge=16, le=65536, description="Codes of each level; a warm start with others begins new ones")
    told: Literal["nothing", "clip", "blip"] = Field("nothing", description="Whose vectors of the picture condition it")
    latent: float = Field(0.8, ge=0, le=1, description="Share of the steps in which encoder and decoder stay the VQGAN's")
    settled: float = Field(0.2, ge=0, le=0.95, description="Share of the steps, the last ones, in which the codes stay")
    dead_below: float = Field(0.5, ge=0, le=100, description="Uses a step (moving average) under which a code is moved")
    scenes: Scenes = 80_000
    pictures: str = Field("", max_length=1000, description="Pictures instead of scenes: uint8 (n, 64, 64, 3) of numpy.save")
    seed: Seed = 71

    def run(self, lab, resume: dict | None = None) -> Iterator[Step]:
        device, cast = lab.device, autocast(lab.device, self.precision)
        rng, bank = Rng(self.seed), picture_bank(self.pictures) if self.pictures else scene_bank("train", self.scenes)
        teller = getattr(lab, self.told) if self.told != "nothing" else None
        model, wanted = self._begin(lab, teller)
        model = model.to(device).train().requires_grad_(True)
        for quantiser in model.quantisers:
            quantiser._codebook.threshold_ema_dead_code = quantiser._codebook.reset_cluster_size = self.dead_below
            quantiser._codebook.has_dead_code_replacement = self.dead_below > 0
        averaged = average(model)
        optimiser = torch.optim.Adam(model.parameters(), lr=self.lr, betas=(0.9, 0.99))

        def step(i: int) -> Made:
            set_lr(optimiser, cosine(i, self.steps, self.lr, min(100, self.steps // 10 + 1)))
            latent, settled = wanted is not None and i < self.latent * self.steps, i >= (1 - self.settled) * self.steps
            if settled and i - 1 < (1 - self.settled) * self.steps:  # the average is shipped: let its codes stay
                model.load_state_dict(averaged.module.state_dict())
            learns(model, pixels=not latent, codes=not settled)
            x = bank.images(rng.np.integers(len(bank), size=self.batch)).to(device).contiguous()
            condition = teller.encode_image((x + 1) / 2) if teller else None
            # k-means and the choice of new codes draw from the global generator: it is lent the run's own chance.
            with torch.random.fork_rng(), cast:
                torch.manual_seed(int(torch.randint(MAX_SEED, (), generator=rng.torch)))
                features = model.encoder(x)
                vectors, codes, lost = model.learn(features, condition)
                make, aim = (model.features, wanted(features).float()) if latent else (model.decode, x)
                below = (vectors[1], None) if not settled else (vectors[1],)
                error, *coarse = (F.mse_loss(make(vectors[0], bottom, condition).float(), aim) for bottom in below)
                error, *coarse = (e / aim.var() if latent else e for e in (error, *coarse))
            total = error + ALONE * sum(coarse) + (0 if settled else lost)
            optimiser.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            update_average(averaged, model)
            scores = {"loss": float(total.detach())}
            scores |= {"latent error": float(error.detach())} if latent else {"psnr": float(-10 * (error.detach() / 4).log10())}
            if coarse:
                scores["top alone"] = float(coarse[0].detach())
            for level, name in enumerate(LEVELS):
                used = torch.bincount(codes[level].flatten(), minlength=model.n_embed)
                scores[f"{name} perplexity"] = use_of(used)["perplexity"]
            return Made(scores, lambda: sheet(averaged.module, bank, teller), {"weights": weights})

        def weights():
            return averaged.module.state_dict(), {"kind": "vqvae", "config": config_of(model), "world": world_hash(),
                                                  "trained": self.model_dump()}

        parts = {"model": model, "averaged": averaged, "optimiser": optimiser, "rng": rng}
        yield from loop(self.steps, parts, step, self.preview_every, resume)

    def _begin(self, lab, teller) -> tuple[VQVAE, nn.Module | None]:
        """The model, and what makes of its encoder's features those that the VQGAN's decoder is used to: None without `latent`.
        A warm start keeps the shipped model but for its codebooks where there shall be other codes, and for encoder and decoder
        where they shall be the VQGAN's."""
        warm = lab.fresh_copy("vqvae") if self.warm else None
        vqgan = lab.fresh_copy("vqgan") if self.latent or not warm else None
        config = replace(warm.config, n_embed=self.n_embed) if warm else self._config(lab, vqgan.config, teller)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = VQVAE(config)
        if warm:
            same = config == warm.config
            kept = {name: value for name, value in warm.state_dict().items() if same or not name.startswith("quantisers.")}
            model.load_state_dict(kept, strict=same)
        if not vqgan:
            return model, None
        model.encoder.load_state_dict(vqgan.encoder.state_dict())
        model.decoder.load_state_dict(vqgan.decoder.state_dict())
        return model, nn.Sequential(vqgan.quant_conv, vqgan.post_quant_conv).requires_grad_(False)

    def _config(self, lab, of, teller) -> VQVAEConfig:
        sizes = {name: getattr(of, name) for name in ("ch", "ch_mult", "num_res_blocks", "norm_groups", "z_channels")}
        told = teller.encode_text(["-"]).shape[1] if teller else 0
        try:
            return VQVAEConfig(n_embed=self.n_embed, condition=told, **sizes)
        except ValueError as error:
            raise SpecError(f"vqgan: {lab.names['vqgan']} cannot be the start of a VQ-VAE ({error})") from None


def learns(model: VQVAE, pixels: bool, codes: bool) -> None:
    """Set what learns: encoder and decoder (`pixels`), and whatever decides the codes (`codes`); what makes pictures of codes
    always does. A quantiser that does not learn is in eval mode: its codebook stays."""
    model.encoder.requires_grad_(pixels and codes)
    model.decoder.requires_grad_(pixels)
    for part in (model.encode_bottom, model.encode_top, model.to_top, model.to_bottom, model.decode_top, model.quantisers):
        part.requires_grad_(codes).train(codes)
    if model.conditions:
        model.conditions[:2].requires_grad_(codes)


@torch.no_grad()
def sheet(model: VQVAE, bank, teller=None, n: int = 32) -> Image.Image:
    """Scenes of the bank's end above their reconstructions, eight a row."""
    x = bank.images(range(len(bank) - min(n, len(bank)), len(bank))).to(next(model.parameters()).device)
    condition = teller.encode_image((x + 1) / 2) if teller else None
    y = model.decode_codes(*model.encode_codes(x, condition), condition).clamp(-1, 1)
    return grid([to_pil((pair + 1) / 2) for pair in torch.cat([x, y], dim=2)], columns=8, pad=0)
