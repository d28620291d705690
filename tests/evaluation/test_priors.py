"""The priors' figures: what they compare, in closed form where there is one. On small priors: form, not quality."""

import numpy as np
import pytest
import torch

from labkit.evaluation.painting import held_out_scenes, prompt_of
from labkit.evaluation.priors import bits_table, heeding, held_out, mean_interval, memory_table, most_in_common, under_true_top
from labkit.models.drawing import sample_codes
from labkit.models.pixelsnail import bits_per_code, condition_of
from labkit.world import render
from tests.models.priors import PriorLab


@pytest.fixture(scope="module")
def lab(own_bank):
    return PriorLab()


@pytest.mark.parametrize("kind", ["prior_top", "prior_bottom"])
def test_bits_are_compared_scene_by_scene(lab, kind, monkeypatch):
    asked = []

    def seen(model, codes, condition, above):
        asked.append((codes, condition, above))
        return bits_per_code(model, codes, condition, above)

    monkeypatch.setattr("labkit.evaluation.priors.bits_per_code", seen)
    table = bits_table(lab, lab.model(kind), 12)
    (codes, right, above), (_, wrong, _), (_, none, _) = asked
    assert torch.equal(wrong, right.roll(1, 0)) and none is None and (above is None) == (kind == "prior_top")
    assert codes.shape[1:] == lab.model(kind).config.grid
    assert list(table.index) == ["right sentence", "another scene's", "none", "uniform"]
    own = bits_per_code(lab.model(kind), codes, right, above)
    assert table["bits"]["right sentence"].startswith(f"{own.double().mean():.3f} (") and table["bits"]["uniform"] == "6.000"
    with pytest.raises(ValueError, match="n: 1 scenes are too few"):
        bits_table(lab, lab.model(kind), 1)


def test_an_interval_of_a_mean():
    assert mean_interval(np.array([1.0, 3.0])) == "2.000 (0.040–3.960)"


def test_codes_in_common_are_of_the_most_similar_grid():
    known = torch.tensor([[[0, 1], [2, 3]], [[0, 1], [9, 9]], [[5, 5], [5, 5]]])
    codes = torch.tensor([[[0, 1], [2, 9]], [[7, 7], [7, 7]], [[5, 5], [5, 5]]])
    shares, which = most_in_common(codes, known, block=2)
    assert shares.tolist() == [0.75, 0, 1] and which.tolist() == [0, 0, 2]
    assert most_in_common(codes, known.roll(1, 0), block=1)[1].tolist() == [1, 0, 0], "the first of equally similar ones"


def test_memory_is_of_drawings_beside_unseen_scenes(lab):
    table = memory_table(lab, 6, training=40)
    assert list(table.index) == ["drawings", "held-out scenes"] and (table["n"] == 6).all()
    assert table["mean"]["drawings"] < table["mean"]["held-out scenes"], "a prior without training draws nothing like a scene"


def test_heeding_is_asked_as_of_the_other_methods(lab):
    report = heeding(lab, 3, n_jobs=1)
    assert len(set(report.table["prompt"])) == 3 and len(set(report.table["seed"])) == 3
    assert report.table["clip after"].isna().all() and list(report.summary.index) == ["subject", "colour", "setting", "style"]


@pytest.mark.parametrize(("trained", "posed"), [({"posed": True}, True), ({"posed": False}, False),
                                               ({"posed": True, "store": "codes"}, False)])
def test_a_prior_of_posed_scenes_is_asked_of_such_scenes(lab, monkeypatch, trained, posed):
    prior = lab.prior_top
    monkeypatch.setattr(prior, "about", {"trained": trained}, raising=False)
    bank, codes, e = held_out(lab, 30, prior)
    assert all(bank.scene(k).style == "flat" and len(bank.scene(k).subjects) == 1 for k in range(30)) == posed
    assert len(bank) == len(e) == len(codes[0]) == 30 and bits_table(lab, prior, 30)["n"].eq(30).all()


def test_bottoms_are_drawn_under_the_top_codes_of_drawn_scenes(lab, monkeypatch):
    asked = []
    monkeypatch.setattr("labkit.evaluation.priors.sample_codes",
                        lambda *args: asked.append(args[3:]) or sample_codes(*args))
    monkeypatch.setattr("labkit.evaluation.priors.BATCH", 2)
    table = under_true_top(lab, 3)
    assert list(table.columns) == ["drawn", "the scenes' own"]
    assert list(table.index) == ["subject", "colour", "setting", "style"]
    scenes = held_out_scenes(3)
    x = torch.stack([torch.from_numpy(render(s)).permute(2, 0, 1) / 127.5 - 1 for s in scenes])
    assert torch.equal(torch.cat([top for _, top in asked]), lab.vqvae.encode_codes(x)[0])
    e = condition_of(lab, [prompt_of(s) for s in scenes])
    assert torch.allclose(torch.cat([told for told, _ in asked]), e, atol=1e-5), "each with its own sentence"
