"""Figures of a VQ-VAE: PSNR at its range, the alarm of a collapse, and the panel of its levels."""

from types import SimpleNamespace

import pytest
import torch

from labkit.evaluation.cards import markdown
from labkit.evaluation.vqvae import (
    REPORT,
    by_level,
    collapse,
    level_panel,
    level_table,
    range_table,
    reconstruction_table,
    vqvae_figures,
)
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


def test_the_report_s_figures_are_read_in_each_way_beside_answers_that_know_nothing():
    """By hand: 0.240 of pixels in [0, 1] is 6.2 dB, of [-1, 1] a quarter and 6.02 dB more; 6.5799 dB is 0.2198."""
    x = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    table = range_table(x, x * 0.5)
    psnr, mse = table["PSNR, dB"], table["MSE, 0 … 1"]
    assert psnr["report: MSE, if pixels are 0 … 1"] == pytest.approx(6.198, abs=1e-3)
    assert psnr["report: MSE, if pixels are -1 … 1"] == pytest.approx(6.198 + 6.021, abs=1e-3)
    assert psnr["report: PSNR, if its peak is the pixels' range"] == pytest.approx(REPORT["PSNR"])
    assert mse["report: PSNR, if its peak is the pixels' range"] == pytest.approx(0.2198, abs=1e-4)
    assert table.loc["report: MSE, if pixels are -1 … 1", "MSE, -1 … 1"] == pytest.approx(REPORT["MSE"])
    assert mse["mid-grey"] == pytest.approx(1 / 12, rel=0.05) and mse["ours"] == pytest.approx(float(mse["mid-grey"]) / 4)
    noise = torch.rand(400, 1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert mse["noise, each pixel drawn evenly"] == pytest.approx(float((x - noise).square().mean()) / 4, rel=0.01)
    assert mse["one picture for all, their mean"] < mse["mid-grey"] > mse["each picture's mean colour"]
    assert table.loc["ours", "grey levels off"] == pytest.approx(255 * float(mse["ours"]) ** 0.5)
    with pytest.raises(ValueError, match="must be of one shape"):
        range_table(x, x[:2])


def test_the_top_alone_is_decoded_as_such_the_bottom_under_a_mean_and_swapped_ones_are_the_next_one_s():
    model, x = small(), pictures(3, 16, 16)
    (top, bottom), _ = model.encode(x)
    made = by_level(model, x)
    assert list(made) == ["both", "top alone", "bottom alone", "the next one's bottom"]
    swapped = model.decode(top[2:], bottom[:1]).clamp(-1, 1)
    assert torch.allclose(made["the next one's bottom"][2:], swapped, atol=1e-5), "the last one's next is the first"
    assert torch.allclose(made["top alone"], model.decode(top, None).clamp(-1, 1), atol=1e-5)
    mean = top.mean((0, 2, 3))[None, :, None, None].expand_as(top)
    assert torch.allclose(made["bottom alone"], model.decode(mean, bottom).clamp(-1, 1), atol=1e-5)


def test_the_table_of_levels_says_whose_picture_is_painted(tiny):
    """A model that paints the picture whose bottom it is given: both levels give its own, swapped ones the next."""
    class Bottom:
        def encode(self, x):
            return (x[..., ::8, ::8], x), None

        def decode(self, top, bottom):
            return (bottom if bottom is not None else top.repeat_interleave(8, 2).repeat_interleave(8, 3)) * 0.5

    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    seen = SimpleNamespace(all=lambda pictures: [SimpleNamespace(subject=int(p.argmax())) for p in pictures])
    table = level_table(SimpleNamespace(vqvae=Bottom(), judge=seen), x)
    error = (10 * (4 / (x / 2).square().mean((1, 2, 3))).log10()).mean()
    assert table.loc["both", "PSNR to its picture, dB"] == pytest.approx(float(error), rel=1e-4)
    assert table.loc["the next one's bottom", "PSNR to the next, dB"] == pytest.approx(float(error), rel=1e-4)
    assert table.loc["both", "PSNR to the next, dB"] < error
    assert table.loc["both", ["subject of its picture", "subject of the next"]].tolist() == [1, 0]
    assert table.loc["the next one's bottom", ["subject of its picture", "subject of the next"]].tolist() == [0, 1]
