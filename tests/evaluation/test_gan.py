"""The GAN's figures: what they are compared with, on how many, and with which intervals. On a tiny lab: form, not quality."""

import pytest
import torch

from labkit.evaluation.cards import markdown
from labkit.evaluation.gan import distance_table, paint, prompt_table
from labkit.evaluation.painting import CLAIMS, held_out_scenes
from tests.conformance import TinyLab


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


@pytest.fixture(autouse=True, scope="module")
def bank(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_BANK", str(tmp_path_factory.mktemp("bank")))
        yield


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


def test_every_share_has_its_interval_and_a_colour_counts_only_where_one_was_asked_for(tiny):
    table = prompt_table(tiny, 12)
    assert list(table.index) == [*CLAIMS, "CLIP score"]
    assert list(table.columns) == ["GAN", "GAN, shuffled prompts", "real scenes"]
    coloured = sum(s.subjects[0].colour is not None for s in held_out_scenes(12))
    for claim, n in (("subject", 12), ("colour", coloured), ("setting", 12), ("style", 12)):
        assert all(cell.endswith(f"n = {n})") for cell in table.loc[claim][["GAN", "real scenes"]]), claim
    assert all("±" in cell for cell in table.loc["CLIP score"])
    assert "| CLIP score | " in markdown(table), "a card can hold it"
