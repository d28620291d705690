"""Means, intervals and findings over grids of sketches, on tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labkit.evaluation.sketch_claims import depends, differences, findings, leaves
from labkit.evaluation.sketch_figures import as_picture, distances, heat_maps, means
from labkit.evaluation.sketching import SketchSweep
from labkit.metrics.intervals import wilson

UNITS = [f"s{k}" for k in range(8)]


def grid(kept, rng=None, noise=0.02, places=(1.0, 5.0, 10.0, 20.0), by="guidance") -> pd.DataFrame:
    """`edges kept` of 8 sketches × 2 seeds: `kept(place)` and noise."""
    rng = rng or np.random.default_rng(0)
    return pd.DataFrame([{"sketch": unit, by: place, "seed": seed, "edges kept": kept(place) + rng.normal(0, noise)}
                         for unit in UNITS for place in places for seed in (0, 1)])


def test_means_are_of_sketches_and_shares_have_wilson_s_interval():
    table = pd.DataFrame([{"sketch": u, "strength": 0.5, "guidance": 5.0, "subject": float(k < 6), "clip": 0.1 * k}
                          for k, u in enumerate(UNITS) for _ in range(3)])
    found = means(table, ["strength", "guidance"], ["subject", "clip"]).set_index("measure")
    share, clip = found.loc["subject"], found.loc["clip"]
    assert (share["mean"], share["low"], share["high"]) == pytest.approx((0.75, *wilson(6, 8)))
    assert share["sketches"] == 8 and share["pictures"] == 24, "three seeds of a sketch are no three sketches"
    right = stats.t.interval(0.95, 7, np.mean(np.arange(8) * 0.1), stats.sem(np.arange(8) * 0.1))
    assert (clip["low"], clip["high"]) == pytest.approx(right)


def test_heat_maps_say_the_means_where_they_are():
    table = pd.DataFrame([{"sketch": u, "strength": s, "guidance": g, "subject": float(k < 8 * s), "colour": np.nan,
                           "edges beyond chance": 1 - s / 2, "clip": 0.1 * g}
                          for k, u in enumerate(UNITS) for s in (0.25, 0.5, 1.0) for g in (1.0, 5.0)])
    figure = heat_maps(table)
    panels = {ax.get_title(loc="left").rsplit(" (", 1)[0]: [t.get_text() for t in ax.texts] for ax in figure.axes}
    assert panels["judge finds the subject"][::2] == ["25%", "50%", "100%"] * 2
    assert panels["edges of the sketch kept, beyond chance"][::2] == ["88%", "75%", "50%"] * 2
    assert panels["judge finds the colour"] == []
    assert panels["CLIP score"][::2] == ["0.10"] * 3 + ["0.50"] * 3
    low, high = wilson(2, 8)
    assert panels["judge finds the subject"][1] == f"{low:.0%}–{high:.0%}"
    assert min(as_picture(figure).size) > 200


def test_differences_are_student_s_for_all_places_together():
    table = grid(lambda g: 0.8 - 0.01 * g)
    found = differences(table, "guidance", 1.0, "edges kept")
    wide = table.groupby(["sketch", "guidance"])["edges kept"].mean().unstack()
    test = stats.ttest_rel(wide[10.0], wide[1.0]).confidence_interval(1 - 0.05 / 3)
    assert (found.loc[10.0, "low"], found.loc[10.0, "high"]) == pytest.approx((test.low, test.high))
    with pytest.raises(ValueError, match="guidance: 2.0 is none of 1.0, 5.0"):
        differences(table, "guidance", 2.0, "edges kept")


def test_from_where_the_sketch_is_left():
    falls = leaves("g.", grid(lambda g: 0.8 - 0.3 * (g >= 10)), "guidance", "edges kept")
    assert falls.outcome == "supported" and "at 20" in falls.finding
    assert "From guidance 10 on it is lower: by 0.3" in falls.finding
    level = leaves("g.", grid(lambda g: 0.8), "guidance", "edges kept")
    assert level.outcome == "undecided" and "Nowhere up to 20" in level.finding
    dips = leaves("g.", grid(lambda g: 0.8 - 0.3 * (g == 5)), "guidance", "edges kept")
    assert dips.outcome == "undecided", "what comes back was not left"
    rises = leaves("g.", grid(lambda g: 0.5 + 0.01 * g), "guidance", "edges kept")
    assert rises.outcome == "contradicted" and "At guidance 20 it is higher, by 0.19" in rises.finding
    with pytest.raises(ValueError, match="of sketches there are 8, of guidance 1"):
        leaves("g.", grid(lambda g: 0.8, places=(1.0,)), "guidance", "edges kept")


def test_of_many_grids_without_a_difference_few_are_said_to_leave_the_sketch():
    rng = np.random.default_rng(3)
    outcomes = [leaves("", grid(lambda g: 0.7, rng, 0.1), "guidance", "edges kept").outcome for _ in range(150)]
    assert outcomes.count("undecided") / 150 > 0.93


def test_no_difference_in_eight_sketches_does_not_say_that_there_is_none():
    table = pd.DataFrame([{"sketch": u, "way": way, "as asked": 1.0} for u in UNITS for way in ("as drawn", "thin", "thick")])
    found = differences(table, "way", "as drawn", "as asked")
    bound = wilson(0, 8, stats.norm.ppf(1 - 0.05 / 4))[1]
    assert (found["change"] == 0).all() and found["high"].iloc[0] == pytest.approx(bound)
    finding = depends("q.", table)
    assert finding.outcome == "undecided" and float(finding.finding.rsplit(" ", 1)[1].strip(".")) > 0.3


def test_what_lowers_the_result_is_named_and_the_rest_is_not():
    rng = np.random.default_rng(1)
    cost = {"as drawn": 0, "thin": 0, "broken": 0.3, "inverted": 0.6}
    table = pd.DataFrame([{"sketch": u, "way": way, "as asked": 0.9 - c + rng.normal(0, 0.03)}
                          for u in UNITS for way, c in cost.items()])
    found = depends("q.", table)
    assert found.outcome == "supported" and "Lower are: inverted by 0.60 (0.55 to 0.64); broken by" in found.finding
    assert found.finding.endswith("No loss is to be told from chance of thin.")


def test_the_findings_of_both_studies():
    rng, rows = np.random.default_rng(2), []
    for u in UNITS:
        for s in (0.3, 0.5, 1.0):
            for g in (1.0, 2.0, 20.0):
                rows.append({"sketch": u, "strength": s, "guidance": g, "as asked": s + rng.normal(0, 0.02),
                             "edges beyond chance": 1 - s / 2 - 0.01 * g + rng.normal(0, 0.02)})
    quality = pd.DataFrame([{"sketch": u, "way": way, "frame__fit": fit, "as asked": 0.5, "edges beyond chance": 0.5}
                            for u in UNITS for way in ("as drawn", "thin") for fit in ("crop", "sketch")])
    found = findings(pd.DataFrame(rows), quality)
    assert found["strength helps"].outcome == "supported"
    assert "with strength 1 and 0.30 with strength 0.3" in found["strength helps"].finding
    costs = found["what strength costs"]
    assert costs.outcome == "supported" and "From strength 0.5 on" in costs.finding
    assert found["guidance"].outcome == "supported" and len(found) == 7
    assert {found[name].outcome for name in found if name.startswith(("the sketch", "its edges"))} == {"undecided"}


def test_a_distance_between_sets_needs_twenty_pictures(missing, tmp_path):
    from PIL import Image

    from labkit.world import render, sample_scene
    from tests.conformance import pocket_lab

    rows = []
    for k in range(25):
        path = tmp_path / f"{k}.png"
        Image.fromarray(render(sample_scene(900 + k, "test", style="flat", two=False))).save(path)
        rows.append({"sketch": "s", "strength": 0.5 if k < 20 else 0.9, "guidance": 5.0, "path": str(path), "error": ""})
    for k in range(20):
        path = tmp_path / f"grey-{k}.png"
        Image.new("RGB", (64, 64), (100 + k, 100, 100)).save(path)
        rows.append({"sketch": "s", "strength": 1.0, "guidance": 5.0, "path": str(path), "error": ""})
    table = distances(pocket_lab(missing, ["judge"]), SketchSweep(pd.DataFrame(rows), []), guidance=5.0)
    assert table["strength"].to_list() == [0.5, 1.0] and (table["pictures"] == 20).all()
    assert table["KID"][0] < table["KID"][1] / 3
