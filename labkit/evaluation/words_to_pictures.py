"""From words to pictures, stage by stage, as the codes report has it: what `python -m labkit pipeline` runs.

    pictures → blip → embeddings → codes ← vqvae ← pictures        codes → prior_top, prior_bottom → samples → scores

BLIP starts from the shipped weights and is fine-tuned on the pairs, as the report's was: pretraining one takes hours and is
`python -m labkit train blip`. The VQ-VAE begins with the shipped VQGAN's encoder and decoder; its codes and the priors start
from nothing, on these pictures alone, so that what comes out is of this data. The VQ-VAE is not told BLIP's vectors, which the
report's was: who samples has no picture whose vector could be given (`TrainVQVAE(told=…)` measures what they add). The priors
read codes and sentences' vectors from the LMDB store only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import Field, create_model

from labkit.evaluation.blip import report_on_pairs
from labkit.evaluation.generation import BATCH, READERS, report_on_pictures, sample_pictures
from labkit.evaluation.pipeline_cost import Cost, costs
from labkit.evaluation.pipeline_data import collected, pairs_of, row_of, sentences_of, source_marks
from labkit.fetch import sha256_of
from labkit.files import write_atomically, written
from labkit.image import contact_sheet, save_png, to_pil
from labkit.lab import Lab
from labkit.latents.codes import Embedding
from labkit.models.load import weights_path
from labkit.runs.checkpoint import train_to_disk
from labkit.runs.extraction import embedded, extract
from labkit.runs.pipeline import Pipeline, Stage
from labkit.spec import Batch, Seed, Spec, Training
from labkit.tables import csv_text
from labkit.training.blip_finetune import FineTuneBLIP
from labkit.training.pixelsnail import TrainPriorBottom, TrainPriorTop
from labkit.training.vqvae import TrainVQVAE

WEIGHTS = "weights.safetensors"
CODES = 512  # of each level: of a set of some thousand pictures more would lie idle


class WordsToPictures(Spec):
    """From words to pictures: BLIP, embeddings, VQ-VAE, codes, priors, samples, scores.

    Each stage is done once, and goes on where it was cut; what a change touches is done anew.
    """

    source: str = Field("", max_length=1000, description="MUSTI list (.json) or captioned folder; empty: the picture world")
    pictures: int = Field(20_000, ge=8, le=1_000_000, description="Of the world: scenes to learn from, four texts each")
    test: int = Field(200, ge=2, le=10_000, description="Of the world: scenes of held-out combinations; else a tenth is kept")
    blip_steps: int = Field(300, ge=1, le=500_000, description="Steps of BLIP's fine-tuning")
    vqvae_steps: int = Field(3000, ge=1, le=500_000, description="Steps of the VQ-VAE")
    top_steps: int = Field(20_000, ge=1, le=500_000, description="Steps of the prior of top codes")
    bottom_steps: int = Field(10_000, ge=1, le=500_000, description="Steps of the prior of bottom codes")
    top_channels: int = Field(112, ge=16, le=512, multiple_of=8, description="Channels of the prior of top codes")
    bottom_channels: int = Field(64, ge=16, le=512, multiple_of=8, description="Channels of the prior of bottom codes")
    batch: Batch = 32
    samples: int = Field(200, ge=2, le=10_000, description="Sentences of test pictures that are sampled, at most")
    seed: Seed = 0


def quick() -> type[WordsToPictures]:
    """The same with other defaults: as many pictures as the report had. It shows that every part works; what it draws is
    coarse, and hardly heeds its sentence."""
    small = {"pictures": 795, "test": 64, "batch": 16, "blip_steps": 20, "vqvae_steps": 140, "top_steps": 300,
             "bottom_steps": 140, "top_channels": 48, "bottom_channels": 32, "samples": 64}
    fields = {}
    for name, value in small.items():
        info = copy(WordsToPictures.model_fields[name])
        info.default = value
        fields[name] = (info.annotation, info)
    return create_model("Quick", __base__=WordsToPictures, __doc__=WordsToPictures.__doc__, **fields)


def pipeline(spec: WordsToPictures, folder: str | Path,
             device: str | torch.device | None = None) -> tuple[Pipeline, dict[str, Cost]]:
    """The stages below a folder, and what each will take. Raises `PairsError` on a source that cannot be used, before anything
    is written."""
    cost, lab = costs(spec), partial(Lab, device=device)
    blip, vqgan, judge, perceptual = (sha256_of(weights_path(kind, "pocket"))
                                      for kind in ("blip", "vqgan", "judge", "perceptual"))
    training = {"batch": spec.batch, "seed": spec.seed}

    def trained(name: str, make: Callable[[Mapping[str, Path]], Training], models: Mapping[str, str], **decides) -> dict:
        """A training's stage: `models` are the kinds that it takes from other stages."""
        def run(folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
            here = lab(**{kind: str(needs[stage] / WEIGHTS) for kind, stage in models.items()})
            for step in train_to_disk(make(needs), here, folder):
                scores = ", ".join(f"{k} {v:.3g}" for k, v in step.scores.items())
                yield f"step {step.i + 1:,} of {step.n:,}, {scores}"

        return {"make": run, "spec": {**training, **decides}, "products": (WEIGHTS,), "cost": str(cost[name])}

    def small(steps: int) -> dict:
        return {**training, "steps": steps, "preview_every": min(10_000, max(1, steps // 2))}

    def plain(name: str, **parts) -> Stage:
        return Stage(name, **parts, cost=str(cost[name]))

    lists, tables = ("train.json", "test.json", "train.npy", "test.npy", "rows.json"), ("table", "scores", "captions", "pairs")
    stages = [
        plain("pictures", what="pairs of pictures and texts, to learn from and to test on", make=partial(collected, spec),
              spec={**source_marks(spec), "seed": spec.seed}, products=lists),
        Stage("blip", "the shipped BLIP, fine-tuned on the pairs", needs=("pictures",), **trained(
            "blip", lambda at: FineTuneBLIP(pairs=str(at["pictures"] / "train.json"), **small(spec.blip_steps)), {},
            steps=spec.blip_steps, start=blip)),
        plain("embeddings", what="BLIP's vectors of the sentences", make=partial(embed, lab), needs=("pictures", "blip"),
              products=("embeddings.npy", "embedding.json")),
        Stage("vqvae", "the VQ-VAE of the pictures", needs=("pictures",), **trained(
            "vqvae", lambda at: TrainVQVAE(
                pictures=str(at["pictures"] / "train.npy"), n_embed=CODES, **small(spec.vqvae_steps)), {},
            steps=spec.vqvae_steps, start=vqgan)),
        plain("codes", what="the pictures' codes with their sentences' vectors, in an LMDB store", make=partial(encode, lab),
              needs=("pictures", "embeddings", "vqvae"), products=("codes.lmdb",)),
        *(Stage(name, f"the prior of {level} codes, given a sentence{' and top codes' * (level == 'bottom')}",
                needs=("vqvae", "codes"), **trained(
                    name, lambda at, kind=kind, steps=steps, wide=wide: kind(
                        store=str(at["codes"] / "codes.lmdb"), channels=wide, **small(steps)),
                    {"vqvae": "vqvae"}, steps=steps, channels=wide))
          for name, level, kind, steps, wide in (
              ("prior_top", "top", TrainPriorTop, spec.top_steps, spec.top_channels),
              ("prior_bottom", "bottom", TrainPriorBottom, spec.bottom_steps, spec.bottom_channels))),
        plain("samples", what="a picture for each test sentence", make=partial(sample, lab, spec),
              spec={"samples": spec.samples, "seed": spec.seed}, products=("samples.npy", "sentences.json", "sheet.png"),
              needs=("pictures", "blip", "vqvae", "prior_top", "prior_bottom")),
        plain("scores", what="the report's tables", make=partial(score, lab, spec), needs=("pictures", "blip", "samples"),
              spec={"judge": judge, "perceptual": perceptual}, products=tuple(f"{table}.csv" for table in tables)),
    ]  # fmt: skip
    return Pipeline(stages, folder), cost


def embed(lab: Callable[..., Lab], folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
    """Vectors of the sentences of matching pairs, in the order of the list."""
    pairs = pairs_of(needs["pictures"], "train")
    yield f"{len(pairs):,} sentences"
    vectors, about = embedded(sentences_of(pairs), lab(blip=str(needs["blip"] / WEIGHTS)), "blip")
    save_array(folder / "embeddings.npy", vectors)
    write_atomically(folder / "embedding.json", about.to_json().encode())


def encode(lab: Callable[..., Lab], folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
    """A record for each matching pair: codes of its picture, its sentence's vector, its id."""
    pairs, pixels = pairs_of(needs["pictures"], "train"), np.load(needs["pictures"] / "train.npy", mmap_mode="r")
    yield f"{len(pairs):,} records"
    embedding = Embedding.from_json((needs["embeddings"] / "embedding.json").read_text("utf-8"))
    rows = row_of(needs["pictures"], "train")
    done = extract([pixels[rows[pair.image]] for pair in pairs], [pair.id for pair in pairs], folder / "codes.lmdb",
                   lab(vqvae=str(needs["vqvae"] / WEIGHTS)), "vqvae", split="train", n_jobs=1, embedding=embedding,
                   embeddings=np.load(needs["embeddings"] / "embeddings.npy"))
    yield f"{done.encoded:,} encoded, {done.kept:,} there before"


def sample(lab: Callable[..., Lab], spec: WordsToPictures, folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
    """Pictures of the test sentences, a part at a time: a part that is there is not drawn again."""
    sentences, rows = asked(needs["pictures"], spec.samples)
    kinds = ("blip", "vqvae", "prior_top", "prior_bottom")
    here, parts = lab(**{kind: str(needs[kind] / WEIGHTS) for kind in kinds}), []
    for k in range(0, len(sentences), BATCH):
        part = folder / f"part-{k:06d}.npy"
        if not part.is_file():
            x = sample_pictures(here, sentences[k:k + BATCH], spec.seed + k)
            save_array(part, (x * 255).round().byte().permute(0, 2, 3, 1).numpy())
        parts.append(np.load(part))
        yield f"{min(k + BATCH, len(sentences)):,} of {len(sentences):,} pictures"
    pixels = np.concatenate(parts)
    save_array(folder / "samples.npy", pixels)
    write_atomically(folder / "sentences.json", json.dumps({"sentences": sentences, "rows": rows}, indent=1).encode())
    save_png(contact_sheet([to_pil(p) for p in tensor_of(pixels)], sentences, columns=8, tile=128), folder / "sheet.png")


def score(lab: Callable[..., Lab], spec: WordsToPictures, folder: Path, needs: Mapping[str, Path]) -> Iterator[str]:
    """The report's tables: of the samples, and of BLIP on the labelled pairs of the test list."""
    made = json.loads((needs["samples"] / "sentences.json").read_text("utf-8"))
    drawn = np.load(needs["pictures"] / "test.npy")
    here = lab(blip=str(needs["blip"] / WEIGHTS))
    readers = READERS if not spec.source else {k: v for k, v in READERS.items() if k != "judge"}  # it knows the world only
    yield f"{len(made['sentences'])} pictures"
    found = report_on_pictures(here, made["sentences"], {"priors": tensor_of(np.load(needs["samples"] / "samples.npy"))},
                               tensor_of(drawn[made["rows"]]), readers=readers)
    yield "BLIP on the test pairs"
    tables = {"table": found.table.reset_index(names="metric"), "scores": found.scores, "captions": found.captions,
              "pairs": pair_scores(here, needs["pictures"], drawn)}
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", csv_text(table, index=False).encode())
    yield from (f"note: {line}" for line in found.notes)


def pair_scores(lab, pictures: Path, drawn: np.ndarray) -> pd.DataFrame:
    """BLIP's scores on the labelled test pairs; a line that says why not, where all are labelled the same."""
    pairs = pairs_of(pictures, "test", labelled=True)
    if len({pair.match for pair in pairs}) < 2:
        return pd.DataFrame({"score": ["none: all test pairs are labelled the same"]})
    rows = row_of(pictures, "test")
    x = tensor_of(drawn[[rows[pair.image] for pair in pairs]])
    return report_on_pairs(lab.blip, x, sentences_of(pairs), [pair.match for pair in pairs],
                           [pair.image for pair in pairs]).scores.reset_index(names="of")


def asked(pictures: Path, most: int) -> tuple[list[str], list[int]]:
    """A sentence for each test picture, and the pictures' rows."""
    first = {}
    for pair in pairs_of(pictures, "test"):
        first.setdefault(pair.image, sentences_of([pair])[0])
    rows = row_of(pictures, "test")
    images = [image for image in rows if image in first][:most]
    return [first[image] for image in images], [rows[image] for image in images]


def tensor_of(pixels: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 → (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def save_array(path: Path, values: np.ndarray) -> None:
    """An array as numpy keeps it, whole or not at all."""
    with written(path) as part, open(part, "wb") as file:
        np.save(file, values)
