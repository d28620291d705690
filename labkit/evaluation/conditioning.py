"""What does a VQ-VAE gain by a vector of the picture? Equal short trainings that are told nothing, CLIP's or BLIP's vectors.

    python -m labkit study conditioning

The codes report conditions its VQ-VAE on BLIP's vectors and does not say what they add. Here the same training runs once for
each teller and seed: same pictures in the same order, same steps. Each is then asked for held-out scenes with

    right         the picture's own vector, as in training        zeros      nothing is known
    its sentence  the vector of a caption: all that one has       another's  the next picture's vector
                  who draws codes from a prior

If the vector says what the codes do not, pictures get better than those of the training without one, and worse with another's.
Told to the decoder alone, it meets codes that were made with the right one, as those of a prior's training are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from labkit.image import contact_sheet, to_pil
from labkit.models.codebook import use_of
from labkit.models.vqvae import LEVELS, VQVAE
from labkit.runs.workers import run_all
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.vqvae import TrainVQVAE
from labkit.world import caption

TELLERS = ("nothing", "clip", "blip")
PLACES = ("encoder and decoder", "decoder")
TRAINING = TrainVQVAE(steps=120, batch=32, n_embed=512, scenes=3000, precision="fp32", preview_every=10_000)
SHOWN = 6  # pictures of the sheet, a column each
ON_SHEET = (("nothing", "none"), ("clip", "right"), ("blip", "right"), ("blip", "another's"), ("blip", "zeros"))


@dataclass(frozen=True)
class Looked:
    """What one trained model does with some pictures. `errors`: (vector, place) → squared error (N,) of pixels in [-1, 1];
    `changed`: likewise the share of codes (N,), per level, that are others than with the right vector; `perplexity` a level;
    `shown`: vector → the first reconstructions (n, 3, 64, 64) uint8, told to both."""

    errors: dict[tuple[str, str], np.ndarray]
    changed: dict[tuple[str, str], tuple[float, float]]
    perplexity: tuple[float, float]
    shown: dict[str, np.ndarray]


@dataclass(frozen=True)
class Conditioning:
    """`table`: a row for each teller, vector and place. `sheet`: the same pictures by the tellers."""

    table: pd.DataFrame
    sheet: Image.Image


def conditioning_study(lab, template: TrainVQVAE = TRAINING, seeds: Sequence[int] = (71, 72), n: int = 100,
                       n_jobs: int = -1) -> Conditioning:
    """Train each teller's model with each seed, and look at what it makes of n held-out scenes. Raises ValueError for n < 2 and
    for no seed."""
    if n < 2 or not len(seeds):
        raise ValueError(f"n, seeds: {n} scenes and {len(seeds)} seeds; 2 scenes and a seed are the least")
    for kind in ("vqgan", *TELLERS[1:]):  # what the workers load, too: a kept study names the weights that its lab has loaded
        lab.model(kind)
    scene_bank("train", template.scenes), scene_bank("held", n)  # once, here: the workers find them
    tasks = [template.but(told=told, seed=seed) for told, seed in product(TELLERS, seeds)]
    made = run_all(partial(train_and_look, n=n), tasks, lab, n_jobs)
    looked = {(spec.told, spec.seed): one for spec, one in zip(tasks, made, strict=True)}
    return Conditioning(_table(looked, seeds), _sheet({told: looked[told, seeds[0]] for told in TELLERS}, n))


def train_and_look(spec: TrainVQVAE, lab, n: int) -> Looked:
    """A worker's task: one training, and the held-out scenes through its model."""
    *_, last = spec.run(lab)
    tensors, about = last.extras["weights"]()
    model = VQVAE.from_config(about["config"]).to(lab.device)
    model.load_state_dict(tensors)
    bank = scene_bank("held", n)
    x = bank.images(range(n))
    return look(model.eval().requires_grad_(False), x, vectors_of(lab, spec.told, bank, x))


@torch.no_grad()
def vectors_of(lab, told: str, bank: SceneBank, x: Tensor) -> dict[str, Tensor | None]:
    """Name → vectors (N, D) of a bank's pictures x (N, 3, H, W) in [-1, 1], or None for a model that is told nothing."""
    if told == "nothing":
        return {"none": None}
    teller, rng = lab.model(told), np.random.default_rng(0)
    right = torch.cat([teller.encode_image((part.to(lab.device) + 1) / 2) for part in x.split(50)])
    texts = [caption(bank.scene(k), rng, full=True) for k in range(len(x))]
    return {"right": right, "its sentence": teller.encode_text(texts).to(right), "another's": right.roll(1, 0),
            "zeros": torch.zeros_like(right)}


@torch.no_grad()
def look(model: VQVAE, x: Tensor, vectors: dict[str, Tensor | None]) -> Looked:
    """Pictures x (N, 3, H, W) in [-1, 1] through a model with each of the vectors, of which the first is as in its training."""
    x, own = x.to(next(model.parameters()).device), next(iter(vectors.values()))
    codes = model.encode_codes(x, own)
    errors, changed, shown = {}, {}, {}
    for (name, vector), place in product(vectors.items(), PLACES):
        if vector is own and place == PLACES[1]:
            continue  # the same as told to both
        told = model.encode_codes(x, vector) if place == PLACES[0] and vector is not own else codes
        y = torch.cat([model.decode_codes(*(level[k:k + 50] for level in told), None if vector is None else vector[k:k + 50])
                       for k in range(0, len(x), 50)]).clamp(-1, 1)
        errors[name, place] = (x - y).square().mean((1, 2, 3)).double().cpu().numpy()
        changed[name, place] = tuple(float((a != b).float().mean()) for a, b in zip(codes, told, strict=True))
        if place == PLACES[0]:
            shown[name] = _bytes(y[:SHOWN])
    used = [use_of(torch.bincount(level.flatten(), minlength=model.n_embed))["perplexity"] for level in codes]
    return Looked(errors, changed, tuple(used), shown)


def _bytes(x: Tensor) -> np.ndarray:
    return ((x + 1) * 127.5).round().byte().cpu().numpy()


def _table(looked: dict[tuple[str, int], Looked], seeds: Sequence[int]) -> pd.DataFrame:
    """Numbers a row: mse (pixels in -1 … 1) and psnr, the mean of the pictures' own; what it gains over being told nothing, in
    dB, picture by picture, with the 95 % interval of the mean over pictures; how far the seeds' trainings lie apart; the share
    of codes that are others than with the right vector, and the perplexity of those with it."""
    def psnr(told: str, seed: int, key: tuple[str, str]) -> np.ndarray:
        return 10 * np.log10(4 / looked[told, seed].errors[key])

    plain = np.mean([psnr("nothing", seed, ("none", PLACES[0])) for seed in seeds], axis=0)
    rows = []
    for told in TELLERS:
        for key in looked[told, seeds[0]].errors:
            each = [psnr(told, seed, key) for seed in seeds]
            gain = np.mean(each, axis=0) - plain
            half, means = 1.959964 * gain.std(ddof=1) / len(gain) ** 0.5, [one.mean() for one in each]
            row = {"told": told, "vector": key[0], "where": key[1] if told != "nothing" else "–",
                   "mse": np.mean([looked[told, seed].errors[key].mean() for seed in seeds]), "psnr": np.mean(means),
                   "gain": gain.mean(), "gain low": gain.mean() - half, "gain high": gain.mean() + half,
                   "seeds apart": max(means) - min(means)}
            for level, name in enumerate(LEVELS):
                row[f"{name} changed"] = np.mean([looked[told, seed].changed[key][level] for seed in seeds])
                row[f"{name} perplexity"] = np.mean([looked[told, seed].perplexity[level] for seed in seeds])
            rows.append(row | {"n": len(gain), "seeds": len(seeds)})
    return pd.DataFrame(rows)


def _sheet(looked: dict[str, Looked], n: int) -> Image.Image:
    """The first pictures, and a row of reconstructions each for what they were told."""
    shown = min(SHOWN, n)
    rows = {"picture": _bytes(scene_bank("held", n).images(range(shown)))}
    rows |= {"told nothing" if told == TELLERS[0] else f"{told.upper()}: {vector}": looked[told].shown[vector]
             for told, vector in ON_SHEET}
    tiles = [to_pil(torch.from_numpy(p) / 255) for some in rows.values() for p in some]
    return contact_sheet(tiles, [name for name, some in rows.items() for _ in some], columns=shown, tile=128)


def findings(table: pd.DataFrame) -> list[str]:
    """What the table says, a sentence a teller, in words made from its numbers."""
    rows, lines = table.set_index(["told", "vector", "where"]), []
    plain = rows.loc["nothing", "none", "–"]
    for told in TELLERS[1:]:
        right, other, zeros, sentence = (rows.loc[told, v, PLACES[0]] for v in ("right", "another's", "zeros", "its sentence"))
        apart = max(right["seeds apart"], plain["seeds apart"])
        least = max(right["gain low"], -right["gain high"])  # how far from nothing it is at least
        verdict = ("which may be chance" if least <= 0 else f"a {'gain' if right['gain'] > 0 else 'loss'}" +
                   (" no larger than what a seed makes" if least <= apart else ""))
        lines.append(
            f"Told {told.upper()}'s vector of the picture, PSNR is {right['psnr']:.2f} dB against {plain['psnr']:.2f} dB told "
            f"nothing: {right['gain']:+.2f} dB ({right['gain low']:+.2f} to {right['gain high']:+.2f}), {verdict}; trainings "
            f"that differ in the seed alone lie up to {apart:.2f} dB apart. With the vector of its sentence it is "
            f"{sentence['psnr']:.2f} dB, with another picture's {other['psnr']:.2f} dB, with zeros {zeros['psnr']:.2f} dB.")
    return lines
