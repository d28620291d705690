"""The tables of the studies: what stands in them is what can be measured on the pictures."""

import numpy as np
import pytest
import torch

from labkit.evaluation.cells import paint_cells
from labkit.evaluation.studies import (
    fair_detail_study,
    fair_pairs,
    initial_image_study,
    iteration_study,
    prompt_detail_study,
)
from labkit.image import to_tensor
from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.world import read
from tests.conformance import CLIP, TinyLab

SMALL = VQGANCLIP(prompt="-", steps=2, canvas={"width": 16, "height": 16}, cutouts={"cutn": 2})


@pytest.fixture(scope="module")
def lab():
    return TinyLab()


def test_clip_is_of_the_whole_finished_picture_guided_or_not(lab):
    spec = GuidedDiffusion(prompt="a red dog", steps=3, canvas={"width": 16, "height": 16}, cutouts={"cutn": 2})
    made = paint_cells(lab, [({"strength": s}, spec.but(guidance__strength=s)) for s in (0.0, 2.0)], 2, n_jobs=1)
    x = torch.cat([to_tensor(p) for p in made.pictures])
    assert x.shape[-1] == CLIP.image_size, "no resampling between: the cosine below is the same one"
    cosine = lab.clip.encode_image(x) @ lab.clip.encode_text(["a red dog"])[0]
    assert made.table["clip"].to_numpy() == pytest.approx(cosine.numpy(), abs=1e-5)
    cutouts = made.table["clip of cutouts"]
    assert np.isnan(cutouts[0]) and cutouts[1] == made.painted[1].scores["cutouts"].iloc[-1]


def test_a_row_says_what_the_judge_saw_and_what_was_never_seen(lab):
    texts = ("a dog", "a quasar")
    made = paint_cells(lab, [({"k": k}, SMALL.but(prompt=t)) for k, t in enumerate(texts)], 2, n_jobs=1)
    verdict = lab.judge(made.pictures[0])
    assert made.table["p(subject)"][0] == verdict.probabilities["subject"]["dog"] and np.isnan(made.table["p(subject)"][1])
    assert made.table["unknown"].to_list() == ["", "quasar"]
    assert made.labels[0].startswith("0: a dog | sees ") and "nan" not in made.labels[1]
    assert made.figure(64).width > 2 * 64


def test_initial_images_show_something_else_and_are_the_only_difference(lab):
    made = initial_image_study(lab, ("a dog", "a house"), template=SMALL, n_jobs=1)
    table = made.table
    assert table["start"].to_list() == ["random codes", "initial image"] * 2 and len(made.pictures) == 4
    assert all(row.shows not in read(row.prompt).subjects for row in table.itertuples())
    assert table["shows"].map(bool).to_list() == [False, True] * 2
    many = initial_image_study(lab, [few for _, few, _ in fair_pairs(8)], template=SMALL.but(steps=1), n_jobs=1).table
    assert many["shows"].nunique() > 4, "one initial image for all would be a study of that image"
    with pytest.raises(ValueError, match="names no subject"):
        initial_image_study(lab, ("hallelujah",), template=SMALL, n_jobs=1)


def test_prompts_of_few_and_many_words(lab):
    made = prompt_detail_study(lab, ("a dog",), ("a brown dog in the snow",), (0, 1), SMALL, n_jobs=1)
    assert made.table[["kind", "words", "seed"]].to_numpy().tolist() == [
        ["few words", 2, 0], ["few words", 2, 1], ["many words", 6, 0], ["many words", 6, 1]]


def test_fair_pairs_ask_for_the_same_subject(lab):
    pairs = fair_pairs(16)
    assert len({subject for subject, *_ in pairs}) == 16
    for subject, few, many in pairs:
        assert read(few).subjects == read(many).subjects == (subject,), (few, many)
        assert read(few).setting is None and read(many).setting is not None and not read(few).unknown + read(many).unknown
    made = fair_detail_study(lab, pairs[:2], template=SMALL, n_jobs=1)
    assert made.table["subject"].to_list() == [pairs[0][0]] * 2 + [pairs[1][0]] * 2


def test_each_number_of_iterations_is_a_run_of_that_length(lab):
    made = iteration_study(lab, ("a dog",), (1, 3), template=SMALL, n_jobs=1)
    assert made.table["iterations"].to_list() == [1, 3] and [len(one.scores) for one in made.painted] == [1, 3]
