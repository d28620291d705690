"""The score table: who reads decides, chance and what could be reached stand beside, and the report's own pair is reckoned."""

import math

import pytest
import torch

from labkit.evaluation.generation import (
    REPORT,
    REPORT_PROMPTS,
    SAMPLING,
    again,
    measure_generation,
    oddities,
    of_sketches,
    read_by_judge,
    report_on_pictures,
    sample_pictures,
    worded,
)
from labkit.evaluation.painting import held_out_scenes, prompt_of
from labkit.metrics.judge import Verdict
from labkit.metrics.meteor import meteor_sentence
from labkit.models.drawing import sample_codes
from labkit.prompt import parse
from labkit.spec import SpecError
from labkit.world import read, render_sketch, unknown_words
from tests.models.priors import PriorLab


@pytest.fixture(scope="module")
def lab():
    return PriorLab()


@pytest.fixture(scope="module")
def report(lab):
    return measure_generation(lab, 20, draws=20)


def verdict(scene) -> Verdict:
    placed = scene.subjects[0]
    return Verdict(placed.subject, placed.colour or "red", scene.setting, scene.style, {})


def test_a_verdict_is_worded_as_a_prompt_is():
    for scene in held_out_scenes(40):
        assert worded(verdict(scene)) == prompt_of(scene)
        seen = read(worded(verdict(scene)))
        assert (seen.subjects[0], seen.setting, seen.style) == (scene.subjects[0].subject, scene.setting, "flat")


def test_who_reads_everything_right_scores_all_and_the_same_words_dealt_to_others_score_less(lab):
    scenes = held_out_scenes(20)
    sentences, x = [prompt_of(s) for s in scenes], torch.rand(20, 3, 64, 64)
    right = {"knows all": lambda lab, pictures: sentences}
    found = report_on_pictures(lab, sentences, {"ours": x}, x, readers=right, draws=20)
    scores = found.scores.set_index(["pictures", "score"])["value"]
    for name in ("BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-L"):
        assert scores["ours", name] == pytest.approx(1) and scores["other sentences", name] < 0.8
    assert scores["ours", "METEOR-ES"] > 0.99 and scores["ours", "pocket perceptual distance"] == pytest.approx(0, abs=1e-6)
    assert scores["other sentences", "pocket perceptual distance"] > 0
    assert found.table.loc["BLEU-4", "ours"] == "1.000 (1.000–1.000)" and found.captions["knows all"].tolist() == sentences


def test_the_table_has_the_report_s_figures_and_says_whose_ours_are(report):
    assert set(REPORT) <= set(report.table.index) and report.table.loc["ROUGE-L", "report"] == "0.156"
    assert list(report.table.columns) == ["report", "ours", "ours, BLIP (circular)", "other sentences", "bottleneck VAE",
                                          "CycleGAN (of sketches)", "drawn scenes", "n"]
    assert (report.table["n"] == "20").all() and report.table.loc["KID (judge)", "report"] == "not given"
    stated = report.scores[["score", "variant", "n", "range", "interval", "better"]]
    assert stated.notna().all(axis=None) and (stated["variant"].str.len() > 5).all() and (stated["n"] == 20).all()
    assert set(report.scores["read by"]) == {"judge", "BLIP (circular)", ""}


def test_the_cyclegan_is_given_the_line_art_of_each_scene(lab, monkeypatch):
    scenes = held_out_scenes(3)
    monkeypatch.setattr(type(lab.cyclegan), "forward", lambda self, x: x)
    given = of_sketches(lab, scenes)
    for scene, x in zip(scenes, given, strict=True):
        lines = torch.from_numpy(render_sketch(scene, alone=True)).float() / 255
        assert torch.allclose(x, lines.expand(3, -1, -1), atol=1e-6)


def test_what_is_missing_is_told_and_nothing_is_fetched(report, blocked):
    assert any(line.startswith("LPIPS (alex): ") and "download https" in line for line in report.notes) and not blocked
    assert "LPIPS (alex)" not in report.table.index


def test_too_few_pictures_for_a_distance_between_sets_are_told(lab):
    scenes = held_out_scenes(6)
    x = torch.rand(6, 3, 64, 64)
    found = report_on_pictures(lab, [prompt_of(s) for s in scenes], {"ours": x}, x, readers={"judge": read_by_judge}, draws=20)
    assert any(line.startswith("KID: pictures: 6 of a kind are too few") for line in found.notes)
    assert "KID (judge)" not in found.table.index and "BLEU-1" in found.table.index


def test_pictures_are_fixed_by_the_seed_and_of_their_own_sentence(lab, monkeypatch):
    said = [prompt_of(s) for s in held_out_scenes(3)]
    counted = []
    x = sample_pictures(lab, said, 1, done=counted.append)
    assert x.shape == (3, 3, 64, 64) and 0 <= float(x.min()) and float(x.max()) <= 1 and counted == [3]
    assert torch.equal(x, sample_pictures(lab, said, 1)) and not torch.equal(x, sample_pictures(lab, said, 2))
    asked = []

    def spy(model, how, rng, e, *above):
        asked.append((model, how.guidance, e, above))
        return sample_codes(model, how, rng, e, *above)

    monkeypatch.setattr("labkit.evaluation.generation.sample_codes", spy)
    sample_pictures(lab, said, 1)
    (top, strong, e, none), (bottom, weak, again, above) = asked
    assert (top, bottom, strong, weak) == (lab.prior_top, lab.prior_bottom, SAMPLING.top.guidance, SAMPLING.bottom.guidance)
    assert none == () and len(above) == 1
    assert torch.allclose(e, lab.blip.encode_text(said), atol=1e-6) and torch.equal(e, again), "each with its own sentence"


def test_of_several_pictures_of_a_sentence_the_one_that_clip_likes_best_is_kept(lab, monkeypatch):
    said, monkey = [prompt_of(s) for s in held_out_scenes(2)], monkeypatch.setattr
    monkey("labkit.evaluation.generation.clip_scores", lambda x, clip, targets: -x.mean((1, 2, 3)))  # it likes what is dark
    every = sample_pictures(lab, [text for text in said for _ in range(3)], 1)
    kept = sample_pictures(lab, said, 1, SAMPLING.but(candidates=3))
    for k, some in enumerate(every.split(3)):
        assert torch.allclose(kept[k], some[some.mean((1, 2, 3)).argmin()], atol=1e-6)


def test_the_report_s_prompts_are_read_as_they_stand_and_their_unknown_words_are_named():
    assert [(p.text, p.weight) for text in REPORT_PROMPTS for p in parse(text)] == [(text, 1) for text in REPORT_PROMPTS]
    unknown = [set(unknown_words(text)) for text in REPORT_PROMPTS]
    assert unknown[2] == {"whistling", "pigpen"} and not unknown[3]


def test_priors_of_other_codes_are_refused(lab, monkeypatch):
    monkeypatch.setattr(type(lab.vqvae), "n_embed", 32)
    with pytest.raises(SpecError, match="prior_top: is of 64 codes, the VQ-VAE has 32"):
        sample_pictures(lab, ["a dog"])


def test_another_drawing_is_of_the_same_combination():
    for scene in held_out_scenes(10):
        other = again(scene)
        assert other.seed != scene.seed and prompt_of(other) == prompt_of(scene) and len(other.subjects) == 1


def test_what_is_said_of_the_report_s_own_pair_is_reckoned():
    """BLEU-1 = 2/3 · exp(1 − 4/3), and no run of four words; METEOR of ROUGE-1 F = 0.4312 at its least, by its formula."""
    bleu, meteor, *_ = oddities()
    assert f"BLEU-1 {2 / 3 * math.exp(1 - 4 / 3):.3f}" in bleu and "BLEU-4 0.000" in bleu
    assert f"it is {meteor_sentence('Ship in ocean', ['Ship in a storm']):.3f}" in meteor
    recall = 0.4312 / (2 - 0.4312)  # with precision 1, F₁ = 2R/(1 + R)
    assert f"{recall / (0.9 + 0.1 * recall) / 2:.3f} at least" in meteor
