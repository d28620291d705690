"""The paper's grid: which cells are its own, and what confounding hides."""

import numpy as np
import pandas as pd
import pytest

from labkit.evaluation import excerpts
from labkit.evaluation.excerpts import CLIP_SCALES, RANGE_SCALES, ExcerptGrid, effects, excerpt_grid


@pytest.fixture(scope="module")
def lab(missing):
    from tests.conformance import pocket_lab

    return pocket_lab(missing, ("guide", "diffusion", "perceptual", "judge"))


def grid(value) -> ExcerptGrid:
    """A grid with `value(song, clip_guidance_scale, range_scale)` for a CLIP score."""
    return ExcerptGrid(pd.DataFrame([{"number": n, "clip_guidance_scale": c, "range_scale": r, "clip": value(n, c, r)}
                                     for n in range(1, 11) for c in CLIP_SCALES for r in RANGE_SCALES]), [])


def test_effects_tell_the_two_scales_apart_where_the_paper_cannot():
    noise = np.random.default_rng(0).normal(0, 0.1, 20)
    by_clip = grid(lambda n, c, r: c / 1000 + noise[n])
    by_range = grid(lambda n, c, r: r / 100 + noise[n])
    for found, own, other in ((by_clip, 1, 2), (by_range, 2, 1)):
        change = effects(found.table)["change"].to_list()
        assert change[0] == pytest.approx(0.5), "the paper's step sees both alike"
        assert change[own] == pytest.approx(0.5) and change[other] == pytest.approx(0, abs=1e-12)


def test_the_interval_is_student_s():
    wobble = [0.1, -0.2, 0.3, 0.0, 0.1, -0.1, 0.2, 0.05, -0.05, 0.0]
    row = grid(lambda n, c, r: wobble[n - 1] if (c, r) == (1500, 150) else 0.0).table
    row = effects(row).iloc[0]
    half = 2.2622 * np.std(wobble, ddof=1) / np.sqrt(10)
    assert (row["low"], row["high"]) == pytest.approx((np.mean(wobble) - half, np.mean(wobble) + half), abs=1e-4)


def test_the_grid_marks_the_paper_s_cells(lab):
    made = excerpt_grid(lab, {1: "shooting stars", 2: "hallelujah"}, steps=2, n_jobs=1)
    marks = made.table[made.table["paper"] != ""]
    assert marks[["paper", "clip_guidance_scale", "range_scale"]].to_numpy().tolist() == [
        ["1.3", 500, 50], ["1.1", 1000, 100], ["1.2", 1500, 150], ["2.1", 1000, 100], ["2.2", 1500, 150]]
    assert len(made.table) == len(made.pictures) == 18
    assert set(made.table.loc[made.table["number"] == 2, "unknown"]) == {"hallelujah"}, "the caption says so"
    assert made.table.loc[made.table["number"] == 2, "p(subject)"].isna().all(), "hallelujah names no subject"
    assert made.table.loc[made.table["number"] == 1, "p(subject)"].between(0, 1).all()
    assert made.paper_figure().size[0] > 4 * 192 and made.figure(1).size[0] > 3 * 192


def test_a_song_with_one_number_is_no_effect():
    with pytest.raises(ValueError, match="1 songs have a number"):
        effects(grid(lambda *_: 0.0).table[lambda t: t["number"] == 1])


def test_a_song_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"number=11.*\[1, 2"):
        grid(lambda *_: 0.0).figure(11)
    assert excerpts.EXPERIMENTS[1000.0, 100.0] == 1
