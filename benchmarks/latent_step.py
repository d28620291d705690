"""One guided step of labkit's text → picture against the same step of diffusers' own pipeline, in the same run.

    python benchmarks/latent_step.py [FOLDER]

Both read the same folder of weights (the pocket Stable Diffusion unless given) and take DDIM's steps at guidance 5, without
previews and on one thread; they take turns, and the medians and their ratio are printed.
"""

from __future__ import annotations

import sys
from threading import Semaphore, Thread

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from turns import WARM_UP, take_turns

from labkit import Lab
from labkit.data import data_path
from labkit.methods.text_to_image import TextToImage

PAIRS = 40
SPEC = TextToImage(prompt="a flat illustration of a red apple in the snow", steps=PAIRS + WARM_UP + 2, preview_every=1000)


def ours(lab: Lab):
    """A function that does the next step."""
    lab.require(SPEC)
    steps = SPEC.run(lab)
    return lambda: next(steps)


def stock(folder: str):
    """A function that lets the pipeline do its next step: it runs in a thread of its own, which waits after every step."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    go, done = Semaphore(0), Semaphore(0)

    def wait(pipe, k, t, given):
        done.release()
        go.acquire()
        return given

    Thread(target=lambda: pipe(SPEC.prompt, num_inference_steps=SPEC.steps, guidance_scale=SPEC.guidance, output_type="latent",
                               callback_on_step_end=wait), daemon=True).start()
    done.acquire()  # the first step, with the text's reading before it

    def step() -> None:
        go.release()
        done.acquire()

    return step


def main() -> None:
    torch.set_num_threads(1)
    folder = sys.argv[1] if sys.argv[1:] else str(data_path("models", "stable_diffusion"))
    take_turns(ours(Lab(stable_diffusion=folder)), stock(folder), PAIRS, "one thread, guidance 5")


if __name__ == "__main__":
    main()
