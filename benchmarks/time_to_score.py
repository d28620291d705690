"""Seconds until a painting shows what it was asked for: labkit by default against its peers' way, same weights, same run.

    python benchmarks/time_to_score.py [--prompts 8] [--steps 300]

The peers' way is the most used VQGAN+CLIP program's: 32 looks at the whole picture, (average + max pooling) / 2, each turned,
tilted, recoloured and partly erased; noise up to 0.1; Adam at 0.1; fp32; the nearest code by a one-hot matrix product. The two
take turns, a step each, on one thread, so that other load meets both; a step's seconds are its median over the prompts.

The level is the judge's: the mean over prompts of the probability that it gives to the subject asked for. It guides neither.
Prompts are of the tuning list. Pocket models; the seconds are this machine's, the ratio is the figure.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import torch
import torch.nn.functional as F
from torchvision import transforms

from labkit import VQGANCLIP, Lab
from labkit.clip.guidance import clamp_with_grad
from labkit.evaluation.painting import held_out_scenes, prompt_of
from labkit.image import to_tensor

CUTN, LOOK_EVERY = 32, 5
AUGMENTS = [
    transforms.RandomApply([transforms.RandomAffine(15, translate=(0.1, 0.1), shear=5)], p=0.7),
    transforms.RandomPerspective(0.7, p=0.7),
    transforms.RandomApply([transforms.ColorJitter(0.1, 0.1, 0.1, 0.1)], p=0.7),
]
ERASE = transforms.RandomErasing(p=0.7, scale=(0.1, 0.4), ratio=(0.3, 3.3))


def peers(lab, prompt: str, seed: int, side: int = 64):
    """Yield the picture of every step."""
    vqgan, guide = lab.vqgan, lab.guide
    torch.manual_seed(seed)
    codebook, target = vqgan.codebook.detach(), guide.encode_text([prompt])
    cells = side // vqgan.f
    z = codebook[torch.randint(len(codebook), (1, cells, cells))].movedim(-1, 1).clone().requires_grad_(True)
    low, high = (v.view(1, -1, 1, 1) for v in torch.aminmax(codebook, dim=0))
    optimiser = torch.optim.Adam([z], lr=0.1)
    while True:
        flat = z.movedim(1, -1)
        distance = flat.square().sum(-1, keepdim=True) + codebook.square().sum(1) - 2 * flat @ codebook.T
        quantised = (F.one_hot(distance.argmin(-1), len(codebook)).to(z) @ codebook).movedim(-1, 1)
        picture = clamp_with_grad((vqgan.decode(z + (quantised - z).detach()) + 1) / 2, 0, 1)
        pooled = (F.adaptive_avg_pool2d(picture, guide.size) + F.adaptive_max_pool2d(picture, guide.size)) / 2
        cuts = []
        for _ in range(CUTN):
            look = pooled.clone()  # a perspective may pass through infinity, whose gradient is no number
            look.register_hook(lambda grad: grad.nan_to_num(0.0, 0.0, 0.0))
            for augment in AUGMENTS:
                look = augment(look)
            cuts.append(look)
        cuts = ERASE(torch.cat(cuts))
        cuts = cuts + torch.rand(CUTN, 1, 1, 1) * 0.1 * torch.randn_like(cuts)
        seen = F.normalize(guide.model.encode_image((cuts - 0.5) / 0.5), dim=-1)
        loss = (seen - target).norm(dim=-1).div(2).arcsin().square().mul(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            z.copy_(z.maximum(low).minimum(high))
        yield picture.detach()


def ours(lab, prompt: str, seed: int):
    """Yield the picture of every step; only those that are looked at are drawn."""
    for step in VQGANCLIP(prompt=prompt, seed=seed, preview_every=LOOK_EVERY).run(lab):
        yield None if step.image is None else to_tensor(step.image)


def looked_at(lab, subject: str, picture) -> float:
    """The judge's probability of the subject."""
    return lab.judge.all(picture)[0].probabilities["subject"][subject]


def curves(lab, prompts: int, steps: int) -> tuple[dict[str, dict[int, float]], dict[str, list[float]]]:
    """Per way the judge's mean probability by steps done, and the seconds until each number of steps is done."""
    seen: dict[str, dict[int, list[float]]] = {"labkit": {}, "peers' way": {}}
    seconds: dict[str, list[list[float]]] = {"labkit": [], "peers' way": []}
    for k, scene in enumerate(held_out_scenes(prompts, tuning=True)):
        prompt, subject = prompt_of(scene), scene.subjects[0].subject
        runs = {"labkit": ours(lab, prompt, k), "peers' way": peers(lab, prompt, k)}
        for i in range(steps):
            for way, run in list(runs.items()):
                started = time.perf_counter()
                picture = next(run, None) if way in runs else None
                spent = time.perf_counter() - started
                if picture is None and way == "labkit" and i >= VQGANCLIP.model_fields["steps"].default:
                    del runs[way]
                    continue
                if i == len(seconds[way]):
                    seconds[way].append([])
                seconds[way][i].append(spent)
                if picture is not None and (i + 1) % LOOK_EVERY == 0:
                    seen[way].setdefault(i + 1, []).append(looked_at(lab, subject, picture))
    return ({way: {i: statistics.mean(v) for i, v in by.items()} for way, by in seen.items()},
            {way: list(itertools.accumulate(map(statistics.median, v), initial=0.0)) for way, v in seconds.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=8, help="prompts of the tuning list")
    parser.add_argument("--steps", type=int, default=300, help="steps of the peers' way at most")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lab = Lab()
    for kind in ("guide", "vqgan", "judge"):
        lab.model(kind)
    by, until = curves(lab, asked.prompts, asked.steps)
    print(f"{asked.prompts} prompts, one thread, labkit's CLIP in {'bf16' if lab.bf16 else 'fp32'}; a step takes "
          + ", ".join(f"{way} {s[-1] / (len(s) - 1) * 1000:.0f} ms on average" for way, s in until.items()))
    for level in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        reached = {way: next((until[way][i] for i, v in sorted(found.items()) if v >= level), None)
                   for way, found in by.items()}
        a, b = reached["labkit"], reached["peers' way"]
        shown = " ".join(f"{way} {'never' if s is None else f'{s:.1f} s':>8}" for way, s in reached.items())
        print(f"judge's probability {level:.1f}: {shown}   " + (f"{b / a:.1f} ×" if a and b else ""))
    for way, found in by.items():
        print(f"{way} ends at {found[max(found)]:.2f} after {max(found)} steps, {until[way][max(found)]:.1f} s")


if __name__ == "__main__":
    main()
