"""The GAN's figures: what they are compared with, on how many, and with which intervals. On a tiny lab: form, not quality."""

import pytest
import torch

from labkit.evaluation.cards import markdown
from labkit.evaluation.gan import distance_table, measure_gan, paint
from labkit.evaluation.guidance import scores_of
from labkit.evaluation.painting import CLAIMS, held_out_scenes, prompt_of
from labkit.image import to_tensor

pytestmark = pytest.mark.usefixtures("own_bank")


def test_pictures_are_of_the_prompts_and_fixed_by_the_seed(tiny):
    scenes = held_out_scenes(3)
    x = paint(tiny, scenes, seed=1)
    assert x.shape == (3, 3, 64, 64) and 0 <= float(x.min()) and float(x.max()) <= 1
    assert torch.equal(x, paint(tiny, scenes, seed=1)) and not torch.equal(x, paint(tiny, scenes, seed=2))


def test_distance_stands_between_other_scenes_and_noise(tiny):
    table = distance_table(tiny, 20)
    assert list(table.index) == ["GAN", "other scenes", "noise"] and list(table.columns) == ["KID", "spread", "n"]
    assert (table["n"] == 20).all() and table["KID"]["other scenes"] < table["KID"]["noise"]
    with pytest.raises(ValueError, match="too few for a distance"):
        distance_table(tiny, 5)


def test_report_is_of_the_same_prompts_as_a_method_s_and_stands_in_one_table_with_it(tiny):
    report = measure_gan(tiny, 10, 2, n_jobs=1)
    scenes = held_out_scenes(10)
    assert list(report.table["prompt"]) == [prompt_of(s) for s in scenes for _ in range(2)]
    assert list(report.table["seed"]) == [0, 1] * 10 and (report.table["seconds"] > 0).all()
    coloured = 2 * sum(s.subjects[0].colour is not None for s in scenes)
    for claim, n in (("subject", 20), ("colour", coloured), ("setting", 20), ("style", 20)):
        assert report.summary.loc[claim, "painted"].endswith(f"n = {n})"), claim
    assert list(report.summary.index) == list(CLAIMS) and "| subject | " in markdown(report.summary), "a card can hold it"
    row = scores_of(tiny, report)
    assert row["n"] == 20 and row["clip"] == pytest.approx(report.table["clip after"].mean(), abs=0.02)


def test_clip_score_of_the_table_is_of_the_picture_and_its_own_prompt(tiny):
    report = measure_gan(tiny, 20, 1, n_jobs=1)
    x = torch.cat([to_tensor(p) for p in report.pictures])
    cosines = (tiny.clip.encode_image(x) @ tiny.clip.encode_text([prompt_of(s) for s in held_out_scenes(20)]).T).diagonal()
    assert scores_of(tiny, report)["clip"] == pytest.approx(float(cosines.mean()), abs=1e-3)
