"""One VQGAN+CLIP step of labkit against the same step written the way its peers write it, in the same run.

    python benchmarks/painting_step.py

The peers' step: fp32 throughout, cutouts made one by one and batched, nearest code by a one-hot matrix product, and a
second decode for the picture that is shown. Both use the pocket models, 32 cutouts (the peers' usual number) and one
thread; they take turns, and the medians and their ratio are printed. The seconds are this machine's; the ratio is the
figure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from turns import WARM_UP, take_turns

from labkit import VQGANCLIP, Cutouts, Lab
from labkit.clip.cutouts import cut, draw
from labkit.methods.vqgan_clip import Canvas

SPEC = VQGANCLIP(prompt="a flat illustration of a red apple in the snow", cutouts=Cutouts(cutn=32), canvas=Canvas(tries=1),
                 preview_every=1)
PAIRS = 24


def ours(lab):
    """A function that does the next step, picture included."""
    steps = SPEC.but(steps=PAIRS + WARM_UP + 1).run(lab)
    return lambda: next(steps)


def peers(lab):
    """The same step in plain code."""
    vqgan, guide = lab.vqgan, lab.guide
    rng = torch.Generator().manual_seed(0)
    codebook, target = vqgan.codebook.detach(), guide.encode_text([SPEC.prompt])
    z = codebook[torch.randint(len(codebook), (1, 16, 16), generator=rng)].movedim(-1, 1).clone().requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=SPEC.optimiser.lr)

    def synth():
        flat = z.movedim(1, -1)
        distance = flat.square().sum(-1, keepdim=True) + codebook.square().sum(1) - 2 * flat @ codebook.T
        one_hot = F.one_hot(distance.argmin(-1), len(codebook)).to(z)
        quantised = (one_hot @ codebook).movedim(-1, 1)
        return ((vqgan.decode(z + (quantised - z).detach()) + 1) / 2).clamp(0, 1)

    def step():
        looks, picture = draw(SPEC.cutouts, 64, 64, guide.size, rng), synth()
        cuts = torch.cat([cut(picture, looks, slice(k, k + 1)) for k in range(len(looks))])
        seen = F.normalize(guide.model.encode_image((cuts - 0.5) / 0.5), dim=-1)
        loss = (seen - target).norm(dim=-1).div(2).arcsin().square().mul(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            return synth().mul(255).byte().cpu()

    return step


def main() -> None:
    torch.set_num_threads(1)
    lab = Lab()
    take_turns(ours(lab), peers(lab), PAIRS, f"labkit's CLIP in {'bf16' if lab.bf16 else 'fp32'}")


if __name__ == "__main__":
    main()
