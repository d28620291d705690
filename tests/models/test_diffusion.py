"""The pocket denoiser: what it believes explains what it sees, and its weights come back the same or not at all."""

import pytest
import torch

from labkit.models.diffusion import LEAST_ALPHA_BAR, PocketDiffusion, PocketDiffusionConfig, load_diffusion
from labkit.models.load import config_of
from labkit.training.diffusion import sample
from labkit.weights import save_tensors
from labkit.zoo import WeightsError, WeightsMismatch

SMALL = PocketDiffusionConfig(image_size=16, block=2, widths=(32, 32), timesteps=60)


def made(seed: int = 0) -> PocketDiffusion:
    torch.manual_seed(seed)
    model = PocketDiffusion(SMALL).eval().requires_grad_(False)
    model.wiener.fit(torch.rand(40, 3, 16, 16) * 2 - 1)
    return model


def written(path, model, **about):
    save_tensors(path, model.state_dict(), {"kind": "diffusion", "config": config_of(model)} | about)
    return str(path)


def test_the_two_beliefs_explain_the_noisy_picture():
    model, x, t = made(), torch.randn(3, 3, 16, 16), torch.tensor([0, 20, 50])
    x0, eps, share, _ = model(x, t)
    a = model.alpha_bar[t].view(-1, 1, 1, 1).float()
    assert torch.allclose(a.sqrt() * x0 + (1 - a).sqrt() * eps, x, atol=1e-4) and share is None
    assert model.alpha_bar.min() >= LEAST_ALPHA_BAR and model.alpha_bar.diff().max() < 0


def test_weights_come_back_and_the_schedule_is_no_weight(tmp_path):
    model = made()
    again = load_diffusion(written(tmp_path / "d.safetensors", model))
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([5, 40])
    assert torch.allclose(again(x, t).x0, model(x, t).x0, atol=2e-2), "stored in half precision"
    assert torch.equal(again.alpha_bar, model.alpha_bar) and not any("alpha_bar" in k for k in model.state_dict())
    assert not any(p.requires_grad for p in again.parameters())


def test_other_weights_are_refused(tmp_path):
    model = made()
    with pytest.raises(WeightsError, match="'vqgan', not 'diffusion'"):
        load_diffusion(written(tmp_path / "a.safetensors", model, kind="vqgan"))
    with pytest.raises(WeightsError, match="config does not describe"):
        load_diffusion(written(tmp_path / "b.safetensors", model, config={"depth": 3}))
    wide = config_of(model) | {"widths": [64, 64]}
    with pytest.raises(WeightsMismatch):
        load_diffusion(written(tmp_path / "c.safetensors", model, config=wide))


def test_samples_are_the_seed_s_and_stay_in_range():
    model = made()
    a, b, c = (sample(model, 2, steps=5, seed=s) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c) and float(a.abs().max()) <= 1
