"""The thesis's statements, checked where they can be: against diffusers, against our own readers and our own arithmetic."""

import inspect

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

from labkit.evaluation.thesis import GUIDED_DIFFUSION, hyper_parameters, statements
from labkit.methods.img2img import ImageToImage
from labkit.models.latent_path import steps_run
from tests.models.tiny_stable import SCHEDULE


def test_of_its_eight_hyper_parameters_the_pipeline_has_none_and_guided_diffusion_five():
    table = hyper_parameters()
    eight = table.iloc[:8]
    assert list(eight.index) == ["model_name_or_path", "image_size", "diffusion_steps", "timestep_respacing", "start_scale",
                                 "num_resolutions", "rescale_timesteps", "use_fp16"]
    assert not eight["img2img"].any() and eight["guided-diffusion"].sum() == 5
    assert list(eight.index[~eight["guided-diffusion"]]) == ["model_name_or_path", "start_scale", "num_resolutions"]
    assert table.iloc[8:]["img2img"].all(), "what its evaluation varies, the pipeline does have"


def test_what_stands_in_for_them_is_there_in_diffusers_and_here():
    call = inspect.signature(StableDiffusionImg2ImgPipeline.__call__).parameters
    assert {"strength", "guidance_scale", "num_inference_steps"} <= set(call) and "height" not in call and "width" not in call
    assert "pretrained_model_name_or_path" in inspect.signature(StableDiffusionImg2ImgPipeline.from_pretrained).parameters
    assert DDIMScheduler(**SCHEDULE).config.num_train_timesteps == 1000
    assert {"strength", "guidance", "steps", "frame"} <= set(ImageToImage.model_fields)


def test_guided_diffusion_s_flags_are_those_that_our_own_reader_of_its_models_knows():
    """Its published configurations are built by `labkit.models.adm`, which names the same things."""
    from labkit.models.adm import ADMConfig

    assert set(ADMConfig.__dataclass_fields__) - GUIDED_DIFFUSION == {"model_channels"}, "num_channels, on its command line"


def test_strength_noises_and_does_not_smooth():
    """At every strength what is added is white: the picture's fine detail is drowned, never averaged away."""
    scheduler, rng = DDIMScheduler(**SCHEDULE), torch.Generator().manual_seed(0)
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1  # the finest detail that there is
    for strength in (0.3, 0.6, 0.9):
        t = torch.tensor([int(1000 * strength)])
        z = scheduler.add_noise(checks[None, None], torch.randn(1, 1, 64, 64, generator=rng), t)[0, 0]
        left = float((z * checks).mean())
        assert left == pytest.approx(float(scheduler.alphas_cumprod[t].sqrt()), abs=0.05), "detail is left as is all else"
        rest = (z - left * checks).numpy()
        beside = np.corrcoef(rest[:, 1:].ravel(), rest[:, :-1].ravel())[0, 1]
        assert abs(beside) < 0.05, "smoothing would make neighbours alike"
    assert [steps_run(100, s) for s in (0.3, 0.6, 0.9)] == [30, 60, 90]


def test_every_statement_has_what_is_the_case_and_a_source():
    table = statements()
    assert set(table["about"]) == {"data", "method", "result"} and not (table == "").any(axis=None)
    said = " ".join(table["what is the case"])
    for text in ("5.85 billion", "no drawing has a photograph", "searching the web", "Nothing is smoothed"):
        assert text in said
    assert table["source"].str.contains("arXiv|section|`").all()
    for place in table["source"].str.extract("`(labkit[^`]*)`")[0].dropna():
        __import__(place)
