"""The studies of guidance, on the tiny lab's method but with what the tables say checked against the pictures."""

import numpy as np
import pytest

from labkit.evaluation import guidance, painting
from labkit.evaluation.guidance import compare_ways, range_study, scores_of, strength_study
from labkit.lab import Lab


@pytest.fixture(scope="module")
def lab(missing):
    from tests.conformance import pocket_lab

    return pocket_lab(missing, ("guide", "clip", "diffusion", "gan", "perceptual", "judge"))


def test_the_three_ways_are_three_ways_on_the_same_prompts(lab):
    ways = compare_ways(lab, prompts=10, seeds=2, steps=2, n_jobs=1)
    assert list(ways.table.index) == ["diffusion, unguided", "CLIP ascent on pixels", "guided diffusion", "GAN, one pass"]
    asked = [r.table[["prompt", "seed"]].to_numpy().tolist() for r in ways.reports.values()]
    assert [p for p, _ in asked[3]] == [p for p, _ in asked[0]]
    assert asked[0] == asked[1] == asked[2] and [seed for _, seed in asked[0]] == list(range(20))
    unguided = ways.reports["diffusion, unguided"].pictures
    assert len({p.tobytes() for p in unguided}) == 20, "a distance between sets needs different pictures"
    pictures = ways.pictures()
    assert len(pictures) == 80 and pictures.groupby("way", sort=False)["subject found"].mean().to_list() == [
        r.table["painted subject"].mean() for r in ways.reports.values()]
    assert ways.figure(2, 64).width < ways.figure(4, 64).width
    assert (ways.table["n"] == 20).all() and (ways.table["seconds"].astype(float) > 0).all()


def test_real_scenes_have_no_distance_from_real_scenes(lab):
    from PIL import Image

    from labkit.world import render, sample_scene

    report = painting.measure_painting(lab, 10, 2, guidance.UNGUIDED.but(steps=2), n_jobs=1)
    assert len({p.tobytes() for p in report.pictures}) == 2, "unguided, no word is heard: two seeds, two pictures"
    drawn = [Image.fromarray(render(sample_scene(k, "test", style="flat", two=False))) for k in range(100, 120)]
    real = painting.PaintingReport(report.table, report.summary, report.sheet, drawn)
    assert abs(scores_of(lab, real)["KID"]) < scores_of(lab, report)["KID"] / 3


def test_strength_study_measures_from_the_unguided_picture(lab):
    made = strength_study(lab, prompts=1, steps=(2, 3), n_jobs=1)
    table, pictures = made.table, made.pictures
    moved = table.set_index(["way", "steps"])["moved"]
    assert len(pictures) == 6 and moved["unguided"].eq(0).all() and (moved[["strength", "classic scale"]] > 0).all()
    index = [tuple(k) for k in table[["way", "steps"]].to_numpy()]
    a, b = (np.asarray(pictures[index.index((way, 3))], float) / 255 for way in ("strength", "unguided"))
    assert moved["strength", 3] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))


def test_range_study_has_a_row_a_scale_and_prompt(lab):
    table = range_study(lab, prompts=2, scales=(0.0, 5000.0), steps=8, n_jobs=1).table
    mean = table.groupby("range_scale")["out of range"].mean()
    assert len(table) == 4 and mean[5000.0] < mean[0.0]


def test_on_pixels_the_picture_is_the_latent():
    """Adam's first step moves every value by its learning rate, 0.1 of [-1, 1]: 12.75 of 255 grey levels, where no clamp is."""
    lab = Lab(vqgan="pixels", device="cpu")
    first, last = (s for s in guidance.ON_PIXELS.but(prompt="a red apple", steps=2).run(lab))
    moved = np.abs(np.asarray(first.image, int) - np.asarray(last.image))
    assert last.image.size == (64, 64) and moved.max() <= 13 and (moved >= 12).mean() > 0.8
