"""Distances of pictures and of sets of pictures: closed forms, ranges, and networks that are not at hand."""

import hashlib
import math

import numpy as np
import pytest
import torch

from labkit.loop import NonFiniteError
from labkit.metrics import perceptual
from labkit.metrics.fid import fid, frechet, kid_score
from labkit.metrics.perceptual import MissingNetwork, lpips, pocket_distance, trunk_of
from labkit.metrics.reconstruction import mse_of, psnr_of, reconstruction_scores


def noise(n: int, side: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_psnr_is_the_same_in_either_range_and_mse_is_not():
    x = noise(6)
    y = (x + 0.1 * (noise(6, seed=1) - 0.5)).clamp(0, 1)
    unit, signed = reconstruction_scores(x, y, 20), reconstruction_scores(x * 2 - 1, y * 2 - 1, 20, data_range=(-1, 1))
    assert signed[0].value == pytest.approx(4 * unit[0].value, rel=1e-4)
    assert signed[1].value == pytest.approx(unit[1].value, abs=1e-3)
    assert signed[2].value == pytest.approx(unit[2].value, abs=0.1) and unit[2].value < 1
    assert "[0, 1]" in unit[1].variant and "[-1, 1]" in signed[1].variant and unit[0].n == 6


def test_a_constant_error_has_the_psnr_of_the_formula():
    x = torch.full((2, 3, 16, 16), 0.25)
    scores = {s.name: s for s in reconstruction_scores(x, x + 0.1, 20)}
    assert scores["PSNR"].value == pytest.approx(20) and scores["MSE"].value == pytest.approx(0.01)
    assert psnr_of(0.24) == pytest.approx(6.198, abs=1e-3)
    assert psnr_of(0.24, 2) - psnr_of(0.24) == pytest.approx(20 * math.log10(2))
    assert mse_of(psnr_of(0.3, 2), 2) == pytest.approx(0.3) and psnr_of(0) == math.inf


def test_pixels_beyond_the_stated_range_are_refused():
    x = noise(2)
    with pytest.raises(ValueError, match="beyond the stated range 0 … 1"):
        reconstruction_scores(x * 2 - 1, x)
    with pytest.raises(NonFiniteError, match="y"):
        reconstruction_scores(x, x * math.nan)
    with pytest.raises(ValueError, match="sides ≥ 11"):
        reconstruction_scores(x[..., :8, :8], x[..., :8, :8])


def test_frechet_of_gaussians_in_closed_form():
    """Of diagonal covariances: Σ (μ - ν)² + Σ (σ - τ)²."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 3))
    a = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T))).T  # means 0 and covariance 1, exactly
    x, y = torch.from_numpy(a * [1, 2, 3]), torch.from_numpy(a * [2, 2, 1] + [0, 1, 5])
    assert frechet(x, y) == pytest.approx(1 + 0 + 4 + 26) and frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_fid_and_kid_name_their_extractor_and_refuse_too_few(tiny):
    dims = tiny.judge.net.embed(torch.zeros(1, 3, 64, 64)).shape[1]
    x, y = noise(dims + 9, 64), noise(dims + 9, 64, 1) * 0.5
    far, near = fid(tiny.judge, x, y), fid(tiny.judge, x, noise(dims + 9, 64, 2))
    assert 0 <= near.value < far.value / 10
    assert f"judge's {dims}" in far.variant and far.n == dims + 9 and math.isnan(far.low)
    assert "degree 3" in kid_score(tiny.judge, x, y, 10).variant
    with pytest.raises(ValueError, match=f"{dims} of a kind are no more than the judge's {dims}"):
        fid(tiny.judge, x[:dims], y)


def test_the_pocket_distance_is_no_lpips(tiny):
    x, y = noise(4, 64), noise(4, 64, 1)
    same, other = pocket_distance(tiny.perceptual, x, x, 20), pocket_distance(tiny.perceptual, x, y, 20)
    assert same.value == 0 < other.value and "LPIPS" not in other.name
    assert pocket_distance(tiny.perceptual, y, x, 20).value == pytest.approx(other.value)
    with pytest.raises(ValueError, match="must lie in"):
        pocket_distance(tiny.perceptual, x * 2 - 1, y)


def test_lpips_downloads_nothing_and_says_what_to_get(tmp_path, monkeypatch, blocked):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for net, (name, _) in perceptual.TRUNKS.items():
        with pytest.raises(MissingNetwork, match=name) as told:
            lpips(noise(1, 64), noise(1, 64), net)
        assert str(tmp_path) in str(told.value) and "pocket_distance" in str(told.value)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / perceptual.TRUNKS["squeeze"][0]).write_bytes(b"another file")
    with pytest.raises(MissingNetwork, match="is not torchvision's file"):
        trunk_of("squeeze")
    assert not blocked


def test_lpips_with_a_network_at_hand(tmp_path, monkeypatch):
    """torchvision's own layout with random weights: the published ones are not run here."""
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "net")
    sha = hashlib.sha256((tmp_path / "net").read_bytes()).hexdigest()[:8]
    (tmp_path / "checkpoints").mkdir()
    for name in (f"squeezenet1_1-{sha}.pth", "squeezenet1_1-b8a52dc0.pth"):  # ours to check, torchvision's to load
        (tmp_path / "checkpoints" / name).write_bytes((tmp_path / "net").read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setitem(perceptual.TRUNKS, "squeeze", (f"squeezenet1_1-{sha}.pth", 5))
    x, y = noise(2, 64), noise(2, 64, 1)
    found = lpips(x, y, "squeeze", 20)
    assert found.name == "LPIPS (squeeze)" and found.value > 0
    assert lpips(x, x, "squeeze", 20).value == pytest.approx(0, abs=1e-6)
