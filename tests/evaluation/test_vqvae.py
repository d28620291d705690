"""Figures of a VQ-VAE: PSNR at its range, the alarm of a collapse, and the panel of its levels."""

from types import SimpleNamespace

import torch

from labkit.evaluation.cards import markdown
from labkit.evaluation.vqvae import collapse, level_panel, reconstruction_table, vqvae_figures
from labkit.training.bank import scene_bank
from tests.models.test_vqvae import pictures, small


def test_figures_stand_beside_those_of_a_mean_colour(own_bank, tiny):
    """A VQ-VAE that gives every picture back black: its error is known, and its mean colours are nearer."""
    class Black:
        n_embed = 4

        def encode_codes(self, x):
            return torch.zeros(len(x), 2, 2, dtype=torch.long), torch.arange(16).view(1, 4, 4).expand(len(x), 4, 4) % 4

        def decode_codes(self, top, bottom):
            return torch.full((len(top), 3, 64, 64), -1.5)

    lab = SimpleNamespace(vqvae=Black(), judge=tiny.judge, device=tiny.device)
    table, codes = reconstruction_table(lab, 12)
    x = scene_bank("test", 12).images(range(12))
    assert table["MSE"]["all"].startswith(f"{(x + 1).square().mean():.3f} (")
    psnr = 10 * torch.log10(4 / (x + 1).square().mean((1, 2, 3))).mean()
    assert table["PSNR"]["all"].startswith(f"{psnr:.3f} (")
    assert table["MSE"]["all: mean colour"].startswith(f"{(x - x.mean((2, 3), keepdim=True)).square().mean():.3f} (")
    shown = markdown(vqvae_figures(lab, 12)["Codes"])
    assert "| top | 1 | 3 | 1 | 0 |" in shown and "| bottom | 4 | 0 | 4 | 2 |" in shown and [len(c) for c in codes] == [12, 12]


def test_the_alarm_names_the_level_that_says_nothing():
    rng = torch.Generator().manual_seed(0)
    table = collapse([torch.zeros(50, 8, 8, dtype=torch.long), torch.randint(64, (50, 16, 16), generator=rng)], 64)
    assert table.loc["top", "dead"] == 63 and table.loc["top", "bits"] == 0
    assert table.loc["top", "alarm"].startswith("top: perplexity 1.0 of 64 codes; it has collapsed")
    assert table.loc["bottom", "alarm"] == "" and table.loc["bottom", "used"] == 64 and table.loc["bottom", "perplexity"] > 60


def test_panel_has_a_row_for_what_each_level_carries():
    model, x = small(), pictures(3, 16, 16)
    assert level_panel(model, x).size == (3 * 16 + 4 * 2, 5 * 16 + 6 * 2)
