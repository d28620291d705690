"""What the pocket models can do, on unseen scenes: the figures of the model cards.

    python -m labkit evaluate clip | judge | vqgan | diffusion | gan | painting

Every table has rows for all, one per style and held-out, and shares in [0, 1] unless said otherwise. `…_figures(lab, n)` are
what the records of `labkit.kinds` name: {heading: table, or {name: share}}.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from labkit.clip.retrieval import standings
from labkit.metrics.judge import Judge
from labkit.metrics.kid import kid_table
from labkit.models.judge import HEADS
from labkit.models.sampler import sample
from labkit.training.bank import SceneBank, scene_bank
from labkit.training.clip import class_captions
from labkit.world import caption, classes, words


def _rows(bank: SceneBank, held: SceneBank) -> dict[str, tuple[SceneBank, list[int]]]:
    styles: dict[str, list[int]] = {s: [] for s in classes("style")}
    for k in range(len(bank)):
        styles[bank.scene(k).style].append(k)
    rows = {"all": (bank, list(range(len(bank)))), "held-out": (held, list(range(len(held))))}
    return rows | {s: (bank, ks) for s, ks in styles.items()}


def _table(hits: Callable[[SceneBank, int], dict[str, float]], n: int) -> pd.DataFrame:
    """Mean of what `hits(bank, k)` gives for one scene, NaN left out, per row."""
    bank, held = scene_bank("test", n), scene_bank("held", n)
    table = {}
    for name, (b, ks) in _rows(bank, held).items():
        found = pd.DataFrame([hits(b, k) for k in ks])
        table[name] = {**found.mean().to_dict(), "n": len(ks)}
    return pd.DataFrame(table).T


def _attribute_hits(scene, top: dict[str, list[str]]) -> dict[str, float]:
    """Was it seen? One subject has to be the likeliest; two, both among the two likeliest."""
    names = [p.subject for p in scene.subjects]
    colours = [p.colour for p in scene.subjects if p.colour]
    single = len(names) == 1
    return {"subject": float(top["subject"][0] == names[0]) if single else np.nan,
            "two subjects": np.nan if single else float(set(names) == set(top["subject"][:2])),
            "colour": float(top["colour"][0] == colours[0]) if single and colours else np.nan,
            "setting": float(top["setting"][0] == scene.setting), "style": float(top["style"][0] == scene.style)}


def classifier_table(lab, name: str, n: int = 4000) -> pd.DataFrame:
    """Shares that the judge, or the perceptual net's own heads, get right."""
    judge = lab.judge if name == "judge" else Judge(lab.perceptual)
    seen: dict[int, list] = {}

    def hits(bank, k):
        if id(bank) not in seen:
            seen[id(bank)] = [v for s in range(0, len(bank), 250) for v in judge.all(_pictures(bank, s))]
        verdict = seen[id(bank)][k]
        return _attribute_hits(bank.scene(k), {a: verdict.top(a) for a in HEADS})

    return _table(hits, n)


def _pictures(bank: SceneBank, start: int) -> torch.Tensor:
    """Up to 250 pictures of a bank from `start` on, in [0, 1]."""
    return (bank.images(range(start, min(start + 250, len(bank)))) + 1) / 2


def class_embeddings(encoder, attribute: str, draws: int = 24) -> torch.Tensor:
    """(classes, D): per class the mean embedding of `draws` short captions with random synonyms, normalised."""
    rng = np.random.default_rng(3)
    texts = [encoder.encode_text(class_captions(attribute, rng)) for _ in range(draws)]
    return torch.nn.functional.normalize(torch.stack(texts).mean(0), dim=-1)


@torch.no_grad()
def clip_table(lab, n: int = 4000, kind: str = "clip") -> pd.DataFrame:
    """Zero-shot shares: the nearest class, each class being the mean of its synonyms' captions ("a dog", "a puppy", …: Radford
    et al.'s prompt ensemble); a colour is asked of the scene's own subject ("a red apple", "a blue apple", …)."""
    encoder = getattr(lab, kind)
    class_texts = {a: class_embeddings(encoder, a) for a in ("subject", "setting", "style")}
    of_subject = {}
    for key, entry in words()["subjects"].items():
        of_subject[key] = encoder.encode_text([f"a {c} {entry['name']}" for c in classes("colour")])
    embedded: dict[int, torch.Tensor] = {}

    def hits(bank, k):
        if id(bank) not in embedded:
            parts = [encoder.encode_image(_pictures(bank, s)) for s in range(0, len(bank), 250)]
            embedded[id(bank)] = torch.cat(parts)
        e, scene = embedded[id(bank)][k], bank.scene(k)
        top = {a: [classes(a)[j] for j in (t @ e).topk(2).indices] for a, t in class_texts.items()}
        top["colour"] = [classes("colour")[int((of_subject[scene.subjects[0].subject] @ e).argmax())]]
        return _attribute_hits(scene, top)

    return _table(hits, n)


@torch.no_grad()
def retrieval(lab, n: int = 1000, kind: str = "clip") -> dict[str, float]:
    """R@1 and R@5 both ways among `n` scenes whose ground truths differ, with captions that name every attribute."""
    encoder, bank = getattr(lab, kind), scene_bank("test", 4 * n)
    chosen, seen = [], set()
    for k in range(len(bank)):
        scene = bank.scene(k)
        if scene.truth not in seen:
            seen.add(scene.truth)
            chosen.append(k)
        if len(chosen) == n:
            break
    rng = np.random.default_rng(5)
    text = encoder.encode_text([caption(bank.scene(k), rng, full=True) for k in chosen])
    image = torch.cat([encoder.encode_image((bank.images(chosen[s:s + 250]) + 1) / 2) for s in range(0, n, 250)])
    ways = zip(("text→image", "image→text"), standings((text @ image.T).cpu()), strict=True)
    return {f"{way} R@{k}": standing.recall(k) for way, standing in ways for k in (1, 5)}


@torch.no_grad()
def reconstruction_rows(lab, n: int, back: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], codes: int = 0,
                        ) -> pd.DataFrame:
    """Mean PSNR in dB; of one-subject scenes, the share whose reconstruction the judge takes for the same subject as the
    original; with `codes` the share of that many codes that the row's scenes use. `back` maps pictures (B, 3, H, W) in [-1, 1]
    to their reconstructions and to indices of codes."""
    bank, held, table = scene_bank("test", n), scene_bank("held", n), {}
    for name, (b, ks) in _rows(bank, held).items():
        psnr, same, used = [], [], set()
        for s in range(0, len(ks), 100):
            x = b.images(ks[s:s + 100])
            y, indices = back(x.to(lab.device))
            y = y.clamp(-1, 1).cpu()
            used.update(indices.unique().tolist())
            psnr += (-10 * torch.log10((x - y).square().mean((1, 2, 3)) / 4)).tolist()
            pairs = zip(lab.judge.all((x + 1) / 2), lab.judge.all((y + 1) / 2), strict=True)
            same += [a.subject == c.subject for k, (a, c) in zip(ks[s:s + 100], pairs, strict=True)
                     if len(b.scene(k).subjects) == 1]
        table[name] = {"psnr": np.mean(psnr) if psnr else np.nan, "same subject": np.mean(same) if same else np.nan,
                       **({"codes used": len(used) / codes} if codes else {}), "n": len(ks)}
    return pd.DataFrame(table).T


def vqgan_table(lab, n: int = 2000) -> pd.DataFrame:
    """What comes back through the VQGAN's codes, as `reconstruction_rows` has it."""
    def back(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z, indices = lab.vqgan.encode(x)
        return lab.vqgan.decode(z), indices

    return reconstruction_rows(lab, n, back, lab.vqgan.n_embed)


def diffusion_table(lab, n: int = 500, steps: int = 100) -> pd.DataFrame:
    """KID in the judge's features of `n` unguided samples against as many unseen scenes; beside it that of scenes against
    scenes (as good as it gets) and of noise of the scenes' mean and spread (as bad)."""
    bank = scene_bank("test", 2 * n)
    real, others = ((bank.images(range(k, k + n)) + 1) / 2 for k in (0, n))
    parts = [sample(lab.diffusion, min(50, n - s), steps, seed=s) for s in range(0, n, 50)]
    made = (torch.cat(parts) + 1) / 2
    return kid_table(lab.judge, {f"unguided, {steps} steps": made, "other scenes": others}, real)


def clip_figures(lab, n: int) -> dict:
    """Zero-shot classes and retrieval."""
    return {"Zero-shot": clip_table(lab, n), f"Retrieval among {min(n, 1000):,} scenes": retrieval(lab, min(n, 1000))}


def check_figures(lab, n: int) -> dict:
    """Zero-shot classes and retrieval of the CLIP that checks."""
    return {"Zero-shot": clip_table(lab, n, "clip_check"),
            f"Retrieval among {min(n, 1000):,} scenes": retrieval(lab, min(n, 1000), "clip_check")}


def vqgan_figures(lab, n: int) -> dict:
    """Reconstruction."""
    return {"Reconstruction": vqgan_table(lab, n)}


def diffusion_figures(lab, n: int) -> dict:
    """Unguided samples."""
    return {"Unguided samples": diffusion_table(lab, n)}


def judge_figures(lab, n: int) -> dict:
    """What the judge gets right."""
    return {"Right": classifier_table(lab, "judge", n)}


def perceptual_figures(lab, n: int) -> dict:
    """What the perceptual net's own heads get right."""
    return {"Right": classifier_table(lab, "perceptual", n)}
