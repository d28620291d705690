"""The cards' figures of Stable Diffusion and its autoencoder, on the small random models: what is counted, not how much."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from labkit.evaluation import stable_diffusion
from labkit.evaluation.cards import markdown
from labkit.evaluation.painting import PaintingReport, held_out_scenes, measure_painting
from labkit.evaluation.stable_diffusion import autoencoder_figures, distance_table, stable_figures, time_table
from labkit.world import render
from tests.conformance import TinyLab


@pytest.fixture
def two_steps(monkeypatch):
    monkeypatch.setattr(stable_diffusion, "PAINT", stable_diffusion.PAINT.but(steps=2))


def test_text_to_picture_is_measured_as_every_painter_is(tiny, two_steps):
    found = stable_figures(tiny, 2)
    (heading, summary), (_, time) = found.items()
    assert heading == "Text → picture: 2 held-out combinations × 2 seeds, 2 steps, guidance 2"
    assert list(summary.index) == ["subject", "colour", "setting", "style"]
    assert summary.equals(measure_painting(tiny, 2, 2, stable_diffusion.PAINT, n_jobs=1).summary)
    assert time.loc["a picture", "on"].endswith("threads") and " s" in markdown(time)


def test_seconds_are_the_median_without_the_first(tiny):
    table = pd.DataFrame({"seconds": [60.0, 1.0, 2.0, 3.0]})
    assert time_table(tiny, PaintingReport(table, None, None, [])).loc["a picture", "median"] == "2.00 s"


def test_drawn_scenes_are_nearer_to_drawn_scenes_than_noise_is(missing):
    from tests.conformance import pocket_lab

    lab, scenes = pocket_lab(missing, ["judge"]), held_out_scenes(15)
    report = PaintingReport(None, None, None, [Image.fromarray(render(s)) for s in scenes for _ in range(2)])
    table = distance_table(lab, report, 15)
    assert (table["n"] == 30).all() and table.loc["painted", "KID"] < table.loc["noise", "KID"] / 5


class Half(nn.Module):
    """An autoencoder that gives back half of a picture's contrast."""

    def encode(self, x):
        self.latent_dist, self.z = self, x
        return self

    def mode(self):
        return self.z

    def decode(self, z):
        self.sample = z / 2
        return self


def test_what_comes_back_is_counted_in_decibels(own_bank):
    lab = TinyLab()
    lab._models["autoencoder"] = Half()
    table = autoencoder_figures(lab, 32)["Reconstruction"]
    from labkit.training.bank import scene_bank

    x = scene_bank("test", 32).images(range(32))
    expected = (-10 * torch.log10((x / 2).square().mean((1, 2, 3)) / 4)).mean()
    assert table.loc["all", "psnr"] == pytest.approx(float(expected), abs=1e-3)
    assert table.loc["all", "n"] == 32 and "codes used" not in table and np.isfinite(table.loc["held-out", "same subject"])
    lab._models["autoencoder"].decode = lambda z: type("Back", (), {"sample": z + 1e-3})()
    again = autoencoder_figures(lab, 32)["Reconstruction"]
    assert again.loc["all", "same subject"] == 1 and again.loc["all", "psnr"] > 60
