"""The clinic: every mode shows and heals on a shortened setting; check-ups, the report's claims, WiSE-FT's curve."""

import math

import pandas as pd
import pytest
import torch

from labkit.evaluation import clinic_modes, clinic_report
from labkit.evaluation.clinic import MODES, Examined, examine, mode_of
from labkit.evaluation.clinic_modes import Ward
from labkit.evaluation.clinic_report import claims, groups, sign_test
from labkit.evaluation.tuning import best_alpha, effective_rank, tune, wise_curve, with_guide
from labkit.evaluation.tuning_cost import reckon
from labkit.pairs.groceries import world_set
from labkit.spec import SpecError
from labkit.training.clip_finetune import FineTuneCLIP
from tests.conformance import condition, pocket_lab
from tests.training.test_clip_finetune import DATA, SMALL


@pytest.fixture(scope="module")
def ward(missing):
    return Ward(pocket_lab(missing, ("clip", "guide")), world_set(clinic_modes.PICTURES))


@pytest.mark.parametrize("name", [mode.name for mode in MODES])
def test_every_mode_shows_and_heals(name, ward):
    made = examine(ward.lab, name, ward=ward)
    assert made.shows, f"{made.symptom}"
    assert made.heals, f"{made.symptom}"
    assert len(made.told()) == 3 and made.figure().axes


def test_there_are_ten_and_each_has_a_cause():
    assert len(MODES) == len({mode.name for mode in MODES}) == 10 and all(mode.cause and mode.run.__doc__ for mode in MODES)
    with pytest.raises(SpecError, match="mode: 'flu' is none of learning-rate, "):
        mode_of("flu")


def test_no_number_is_a_symptom():
    low = mode_of("learning-rate")
    assert low.is_sick(math.nan) and low.is_sick(low.threshold - 0.01) and not low.is_sick(low.threshold)
    table = pd.DataFrame({"provoked": {"retained": 0.1}, "cured": {"retained": 0.95}}).T
    made = Examined(low, table, {}, {"provoked": "x", "cured": "y"})
    assert made.shows and made.heals and "retained 0.1" in made.told()[1]


def test_effective_rank_counts_directions():
    assert effective_rank(torch.ones(5, 8)) == 1.0
    assert effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4.0, abs=1e-6)
    line = torch.linspace(-1, 1, 9)[:, None] * torch.ones(9, 3)
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-4)


def test_wise_curve_begins_at_the_lab_s_clip_and_its_best_point_is_the_nearest_of_equals(tiny):
    before = condition(tiny)
    tuned = tune(tiny, FineTuneCLIP(**SMALL, lr=1e-2), DATA)
    curve = wise_curve(tuned, DATA, (0.0, 0.5, 1.0))
    assert curve["alpha"].tolist() == [0.0, 0.5, 1.0] and curve[["in-domain", "retained", "sentences"]].notna().all(axis=None)
    assert condition(tiny).keys() == before.keys()
    assert best_alpha(pd.DataFrame({"alpha": [0, 0.5, 1], "mean": [0.2, 0.7, 0.7]})) == 0.5


def test_a_lab_with_another_guide_shares_the_rest(tiny):
    other = tune(tiny, FineTuneCLIP(**SMALL), DATA).encoder
    lab = with_guide(tiny, other)
    assert lab.guide is other and lab.clip is tiny.clip and tiny.guide is tiny.clip


def test_claims_pair_pictures_by_prompt_and_seed():
    rows = [{"arm": arm, "kind": "word", "prompt": p, "seed": 0, "subject": s, "found": s}
            for arm, some in (("before", (1, 1, 1, 0)), ("naive", (0, 0, 0, 1)), ("cured", (1, 1, 1, 1)))
            for p, s in zip("abcd", some, strict=True)]
    found = claims(pd.DataFrame(rows)).set_index("arm")
    assert found.loc["naive", ["lost", "won"]].tolist() == [3, 1] and found.loc["naive", "loses"] == pytest.approx(5 / 16)
    assert found.loc["cured", "loses"] == 1.0 and found.loc["cured", "after"].startswith("100")


@pytest.mark.parametrize(("lost", "won", "p"), [(0, 0, 1.0), (5, 0, 1 / 32), (0, 5, 1.0), (2, 1, 0.5)])
def test_sign_test(lost, won, p):
    assert sign_test(lost, won) == pytest.approx(p)


def test_prompts_of_the_report_and_of_the_domain():
    asked = groups(3)
    assert asked["report"] == ["apple", "a picture of an apple", "apple and banana"] and len(asked["held-out"]) == 3
    assert asked["sentence"][0] == "a picture of an apple" and "a picture of grapes" in asked["sentence"]


def test_what_a_training_takes_is_reckoned(tiny):
    full, lora = (reckon(FineTuneCLIP(**SMALL, learns={"rank": rank}), tiny) for rank in (0, 1))
    twice = reckon(FineTuneCLIP(**{**SMALL, "batch": 12}), tiny)
    assert full.parameters == full.learn + 1 and lora.learn < full.learn / 2 and lora.megabytes < full.megabytes
    assert twice.flop == 2 * full.flop and twice.megabytes > full.megabytes and "parameters learn" in str(full)


def test_the_report_s_study_goes_on_where_it_was_cut(missing, tmp_path, monkeypatch):
    monkeypatch.setattr(clinic_report, "groups", lambda prompts: {"report": ["apple"], "held-out": ["a red car at night"]})
    lab = pocket_lab(missing, ("clip", "guide", "vqgan", "judge"))
    short = {"steps": 2, "pictures": 2, "batch": 4}

    def study():
        return clinic_report.report_study(lab, 1, 1, 1, tmp_path, clinic_report.NAIVE.but(**short),
                                          clinic_report.CURED.but(**short), clinic_report.PAINT.but(steps=1), alphas=2)

    made = study()
    assert made.checks["arm"].tolist() == ["before", "naive", "cured"] and len(made.curve) == 2
    assert made.paintings.groupby(["arm", "kind"]).size().to_dict() == {
        ("before", "report"): 1, ("before", "held-out"): 1, ("cured", "report"): 1, ("cured", "held-out"): 1,
        ("naive", "report"): 1}
    assert set(zip(made.claims["kind"], made.claims["arm"], strict=True)) == {
        ("report", "naive"), ("report", "cured"), ("held-out", "cured")}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    again = study()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()} == before, "nothing is painted twice"
    pd.testing.assert_frame_equal(again.claims, made.claims)
