"""What a pipeline will take, reckoned before it runs: floating-point operations, seconds, megabytes.

Operations of the models are counted on one picture (torch's counter), a training step being three forward passes; seconds are
those of a processor that does 30 GFLOP/s a core in fp32, as a laptop does, on as many cores as torch uses. "About" is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from labkit.models.pixelsnail import PixelSNAIL, PixelSNAILConfig
from labkit.models.vqvae import VQVAE, VQVAEConfig
from labkit.training.vqvae import TrainVQVAE

RATE = 30e9  # operations a second and core
SCENE_S, PICTURE_MB, RECORD_MB = 0.05, 0.03, 0.0012  # to draw a scene; a picture with its texts and its array; a record
BLIP_STATES, BLIP_TEXT = 0.3e9, 0.02e9  # a picture; a text, of which a step has about ten a picture, each small
EMBED = 192


@dataclass(frozen=True)
class Cost:
    """`what` is done, operations, seconds on this machine's cores, megabytes on the disk."""

    what: str
    flop: float
    seconds: float
    megabytes: float

    def __str__(self) -> str:
        work = f", {self.flop / 1e12:.2g} TFLOP" if self.flop >= 1e10 else ""
        return f"{self.what}{work}, about {minutes(self.seconds)}, {max(1, self.megabytes):.0f} MB"


def minutes(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h'."""
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def costs(spec) -> dict[str, Cost]:
    """What each stage of a `WordsToPictures` will take. Of somebody's own pictures the number is not known here: it is reckoned
    with `spec.pictures` all the same."""
    cores, batch = torch.get_num_threads(), spec.batch
    (into, out_of, parameters), top, bottom = per_picture(spec)
    records = 2 * spec.pictures

    def work(what: str, flop: float, megabytes: float, more_s: float = 0.0) -> Cost:
        return Cost(what, flop, flop / RATE / cores + more_s, megabytes)

    def training(steps: int, flop: float, parameters: float) -> Cost:
        megabytes = 20 * parameters / 1e6  # the model, its average, Adam's two, and the weights that are kept
        return work(f"{steps:,} steps of {batch}", flop * steps * batch, megabytes)

    n = spec.pictures + spec.test
    blip = 3 * (BLIP_TEXT * 24) * batch * spec.blip_steps + BLIP_STATES * spec.pictures
    return {
        "pictures": Cost(f"{n:,} pictures", 0, SCENE_S * n / cores, PICTURE_MB * n),
        "blip": work(f"{spec.blip_steps:,} steps of {batch}", blip, 60),
        "embeddings": work(f"{records:,} sentences", BLIP_TEXT * records, records * EMBED * 4 / 1e6),
        # Its decoder learns in the last steps only, its encoder, the VQGAN's, hardly at all.
        "vqvae": training(spec.vqvae_steps, into + 3 * (1 - TrainVQVAE.model_fields["latent"].default) * out_of, parameters),
        "codes": work(f"{records:,} records", into * records, RECORD_MB * records),
        "prior_top": training(spec.top_steps, 3 * top[0], top[1]),
        "prior_bottom": training(spec.bottom_steps, 3 * bottom[0], bottom[1]),
        "samples": work(f"{spec.samples} pictures", 3 * (top[0] + bottom[0]) * spec.samples, 3, 0.1 * spec.samples),
        "scores": Cost(f"{spec.samples} pictures", 0, 10 + 0.05 * spec.samples, 1),
    }


@torch.no_grad()
def per_picture(spec) -> tuple[tuple[float, float, float], tuple[float, float], tuple[float, float]]:
    """Of the VQ-VAE operations to encode and to decode a picture, and parameters; of both priors operations of a forward pass,
    and parameters."""
    k, x = VQVAEConfig.n_embed, torch.zeros(1, 3, 64, 64)
    top, bottom, e = torch.zeros(1, 8, 8, dtype=torch.long), torch.zeros(1, 16, 16, dtype=torch.long), torch.zeros(1, EMBED)
    with torch.random.fork_rng(devices=[]):
        vqvae = VQVAE(VQVAEConfig()).eval()
        priors = [PixelSNAIL(PixelSNAILConfig(k, (8, 8), 0, embed=EMBED, channels=spec.top_channels)),
                  PixelSNAIL(PixelSNAILConfig(k, (16, 16), k, embed=EMBED, channels=spec.bottom_channels, heads=0))]
    calls = [lambda: vqvae.encode_codes(x), lambda: vqvae.decode_codes(top, bottom), lambda: priors[0](top, e),
             lambda: priors[1](bottom, e, top)]
    flop = []
    for call in calls:
        with FlopCounterMode(display=False) as counter:
            call()
        flop.append(float(counter.get_total_flops()))
    sizes = [float(sum(p.numel() for p in model.parameters())) for model in (vqvae, *priors)]
    return (flop[0], flop[1], sizes[0]), (flop[2], sizes[1]), (flop[3], sizes[2])
