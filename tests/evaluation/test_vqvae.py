"""Figures of a VQ-VAE: PSNR at its range, the alarm of a collapse, and the panel of its levels."""

import pytest
import torch

from labkit.evaluation.vqvae import collapse, level_panel, mse_and_psnr
from tests.models.test_vqvae import pictures, small


def test_psnr_of_a_known_error_and_that_the_range_matters():
    x = torch.zeros(2, 3, 4, 4)
    error, psnr = mse_and_psnr(x, x + torch.tensor([0.2, 0.02]).view(2, 1, 1, 1))
    assert error.tolist() == pytest.approx([0.04, 0.0004]) and psnr.tolist() == pytest.approx([20, 40], abs=1e-3)
    _, unit = mse_and_psnr((x + 1) / 2, (x + 1.2) / 2, 1.0, 0.0)
    assert unit.tolist() == pytest.approx([20, 20], abs=1e-3), "of the same pictures in [0, 1] it is the same"


def test_the_alarm_names_the_level_that_says_nothing():
    rng = torch.Generator().manual_seed(0)
    table = collapse([torch.zeros(50, 8, 8, dtype=torch.long), torch.randint(64, (50, 16, 16), generator=rng)], 64)
    assert table.loc["top", "dead"] == 63 and table.loc["top", "likeliest"] == 1
    assert table.loc["top", "alarm"].startswith("top: perplexity 1.0 of 64 codes; it has collapsed")
    assert table.loc["bottom", "alarm"] == "" and table.loc["bottom", "used"] == 1 and table.loc["bottom", "perplexity"] > 60


def test_panel_has_a_row_for_what_each_level_carries():
    model, x = small(), pictures(3, 16, 16)
    assert level_panel(model, x).size == (3 * 16 + 4 * 2, 5 * 16 + 6 * 2)
