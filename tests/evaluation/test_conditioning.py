"""The conditioning study: equal trainings, each vector in each place, and sentences that its numbers bear out."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from labkit.evaluation.conditioning import PLACES, TRAINING, conditioning_study, findings, look, vectors_of
from labkit.training.bank import scene_bank
from labkit.training.vqvae import TrainVQVAE
from tests.models.test_vqvae import pictures, small

VECTORS = ("right", "its sentence", "another's", "zeros")


@pytest.fixture(scope="module")
def study(own_bank, tiny):
    template = TRAINING.but(steps=2, batch=8, scenes=32, n_embed=16)
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        run = TrainVQVAE.run
        patch.setattr(TrainVQVAE, "run", lambda spec, lab: (seen.append(spec), run(spec, lab))[1])
        yield conditioning_study(tiny, template, (1, 2), 3, n_jobs=1), seen, template


def test_trainings_differ_in_teller_and_seed_alone(study):
    _, seen, template = study
    assert [(s.told, s.seed) for s in seen] == [(t, s) for t in ("nothing", "clip", "blip") for s in (1, 2)]
    assert {s.but(told="nothing", seed=0).digest() for s in seen} == {template.but(seed=0).digest()}


def test_the_table_has_each_vector_in_each_place(study):
    table = study[0].table
    told = [("nothing", "none", "–")]
    for teller in ("clip", "blip"):
        told += [(teller, v, p) for v in VECTORS for p in PLACES if (v, p) != ("right", "decoder")]
    assert list(zip(table["told"], table["vector"], table["where"], strict=True)) == told
    numbers = table.drop(columns=["told", "vector", "where"])
    assert np.isfinite(numbers.to_numpy(float)).all() and (table["n"] == 3).all() and (table["seeds"] == 2).all()
    assert ((table["gain low"] <= table["gain"]) & (table["gain"] <= table["gain high"])).all()
    assert table["gain"][0] == 0 and table["seeds apart"].min() >= 0
    right = table[table["vector"].isin(("none", "right"))]
    assert (right[["top changed", "bottom changed"]] == 0).all(axis=None)
    assert (table[table["where"] == "decoder"][["top changed", "bottom changed"]] == 0).all(axis=None)
    assert study[0].sheet.size[0] > 3 * 128


def test_a_vector_told_to_the_decoder_alone_leaves_the_codes(tiny):
    """By hand: errors of what decoding with this vector gives, of codes that are made with it or with the right one."""
    model, x = small(condition=5), pictures(4, 16, 16)
    right, other = (9 * torch.randn(4, 5, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    seen = look(model, x, {"right": right, "another's": other})
    codes, others = model.encode_codes(x, right), model.encode_codes(x, other)
    for place, used in zip(PLACES, (others, codes), strict=True):
        y = model.decode_codes(*used, other).clamp(-1, 1)
        assert np.allclose(seen.errors["another's", place], (x - y).square().mean((1, 2, 3)), atol=1e-6)
    assert seen.changed["another's", "decoder"] == (0, 0) and max(seen.changed["another's", PLACES[0]]) > 0
    assert ("right", "decoder") not in seen.errors and set(seen.shown) == {"right", "another's"}


def test_each_vector_is_what_its_name_says(own_bank, tiny):
    bank = scene_bank("held", 3)
    x = bank.images(range(3))
    found = vectors_of(tiny, "blip", bank, x)
    right = tiny.blip.encode_image((x + 1) / 2)
    assert torch.allclose(found["right"], right) and torch.equal(found["another's"][1], found["right"][0])
    assert not found["zeros"].any() and found["its sentence"].shape == right.shape
    assert vectors_of(tiny, "nothing", bank, x) == {"none": None}


def test_the_caller_s_lab_loads_what_the_workers_do(own_bank, monkeypatch):
    """A study is kept with the weights that its lab has loaded, and the trainings run elsewhere."""
    loaded = []
    monkeypatch.setattr("labkit.evaluation.conditioning.run_all", lambda *_: loaded.append("run"))
    with pytest.raises(TypeError):  # nothing was made
        conditioning_study(SimpleNamespace(model=loaded.append), TRAINING.but(scenes=32), (1,), 3)
    assert loaded == ["vqgan", "clip", "blip", "run"]


def test_too_few_scenes_and_no_seed_are_refused(tiny):
    for n, seeds in ((1, (1,)), (3, ())):
        with pytest.raises(ValueError, match="2 scenes and a seed are the least"):
            conditioning_study(tiny, TRAINING, seeds, n)


@pytest.mark.parametrize(("gain", "apart", "says"), [
    (0.9, 0.2, "+0.90 dB (+0.80 to +1.00), a gain; trainings that differ in the seed alone lie up to 0.20 dB apart"),
    (0.3, 0.5, "a gain no larger than what a seed makes; trainings that differ in the seed alone lie up to 0.50 dB apart"),
    (0.05, 0.2, "which may be chance; "),
    (-0.5, 0.2, "a loss; "),
    (-0.25, 0.2, "a loss no larger than what a seed makes; "),
])
def test_sentences_follow_the_numbers(gain, apart, says):
    rows = [{"told": "nothing", "vector": "none", "where": "–", "psnr": 18.0, "gain": 0.0, "seeds apart": apart}]
    for teller in ("clip", "blip"):
        rows += [{"told": teller, "vector": v, "where": PLACES[0], "psnr": 18 + gain, "gain": gain, "seeds apart": 0.1}
                 for v in VECTORS]
    table = pd.DataFrame(rows)
    table["gain low"], table["gain high"] = table["gain"] - 0.1, table["gain"] + 0.1
    clip, blip = findings(table)
    assert says in clip and clip.startswith("Told CLIP's vector")
    assert f"{gain:+.2f} dB" in blip and "18.00 dB told nothing" in blip
