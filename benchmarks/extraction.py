"""Extraction of codes into a store against encoding alone, in the same run: what reading, committing and the runner cost.

    python benchmarks/extraction.py [--n 10000] [--kind vqvae] [--device cpu] [--files] [--pairs 3]

Encoding alone is the model's `encode_codes` on batches that are ready as tensors; its codes are dropped. Extraction begins
with bytes, or with PNG files (--files), and ends with a store on the disk, whose codes are compared with the model's. The
pictures are 32 scenes of the picture world, again and again. Seconds are the clock's; those of the processor stand beside
them, as a busy machine has other things to do (threads that read files count in full there).
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout that is not installed

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from labkit.kinds import KINDS  # noqa: E402
from labkit.lab import Lab  # noqa: E402
from labkit.runs.extraction import extract  # noqa: E402
from labkit.world import render, sample_scene  # noqa: E402

SCENES = 32


def now() -> np.ndarray:
    """Seconds of the clock and of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def scenes(n: int) -> np.ndarray:
    """(n, 64, 64, 3) uint8."""
    drawn = np.stack([render(sample_scene(k)) for k in range(min(n, SCENES))])
    return drawn[np.arange(n) % len(drawn)]


@torch.no_grad()
def alone(lab: Lab, kind: str, x: torch.Tensor, n: int, batch: int) -> np.ndarray:
    """Seconds, by clock and processor, to encode n pictures: the tensor (batch, 3, 64, 64) again and again."""
    model = lab.model(kind)
    started = now()
    for left in range(n, 0, -batch):
        codes = model.encode_codes(x[:left])
    codes[0].cpu()  # waits for a GPU
    return now() - started


def ours(lab: Lab, kind: str, pictures, batch: int) -> np.ndarray:
    """Seconds, by clock and processor, to extract the pictures into a new store; its codes are compared with the model's."""
    with tempfile.TemporaryDirectory() as folder:
        started = now()
        ids = [str(k) for k in range(len(pictures))]
        made = extract(pictures, ids, Path(folder) / "codes.lmdb", lab, kind, batch=batch, n_jobs=1)
        seconds = now() - started
        few = min(len(pictures), 8)
        x = tensor(scenes(few)).to(lab.device)
        for found, want in zip(made.store.read(range(few)).codes, lab.model(kind).encode_codes(x), strict=True):
            if (found == want.cpu().numpy()).mean() < 0.99:  # of a GPU other batches may round otherwise
                raise SystemExit("the store does not hold the model's codes")
    return seconds


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--kind", default="vqvae" if "vqvae" in KINDS else "vqgan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--files", action="store_true", help="pictures are PNG files")
    asked = parser.parse_args()
    lab, pictures = Lab(device=asked.device), scenes(asked.n)
    x = tensor(pictures[:asked.batch]).to(lab.device)
    with tempfile.TemporaryDirectory() as folder:
        if asked.files:
            for k in range(asked.n):
                Image.fromarray(pictures[k]).save(Path(folder, f"{k}.png"))
            pictures = [Path(folder, f"{k}.png") for k in range(asked.n)]
        alone(lab, asked.kind, x, asked.batch, asked.batch)  # the first is slower
        plain, full = [], []
        for _ in range(asked.pairs):
            plain.append(alone(lab, asked.kind, x, asked.n, asked.batch))
            full.append(ours(lab, asked.kind, pictures, asked.batch))
    ratio = np.median(np.array(plain) / np.array(full), axis=0)
    plain, full = np.median(plain, axis=0), np.median(full, axis=0)
    print(f"{asked.n:,} pictures of 64 × 64 ({'PNG files' if asked.files else 'bytes'}), {asked.kind} on {asked.device}, "
          f"{torch.get_num_threads()} thread(s), {asked.pairs} pairs")
    for name, (clock, cpu) in (("encoding alone", plain), ("extraction", full)):
        print(f"{name:<16}{clock:7.2f} s  {asked.n / clock:7.0f} pictures a second   processor {cpu:7.2f} s")
    print(f"extraction reaches {ratio[0]:.1%} of the speed of encoding alone (median), {ratio[1]:.1%} by processor time")


if __name__ == "__main__":
    main()
