"""The priors' training: it learns what a sentence says, keeps codes once made, and owes what every training owes."""

import math

import numpy as np
import pytest
import torch

from labkit.latents.codes import CodeStore, StoreError
from labkit.models.pixelsnail import CONDITION, PixelSNAIL, PixelSNAILConfig, bits, bits_per_code
from labkit.runs.extraction import embedded, extract
from labkit.spec import SpecError
from labkit.training.bank import POSED, scene_bank
from labkit.training.codes import BankCodes, StoredCodes, bank_codes, captions, fingerprint
from labkit.training.pixelsnail import TrainPriorBottom, TrainPriorTop, begin_alike, misread, sheet
from labkit.world import caption
from tests.conformance import assert_same, tiny_prior
from tests.models.priors import BlockCodes, PriorLab

SMALL = {"steps": 4, "batch": 4, "scenes": 40, "channels": 16, "blocks": 1, "precision": "fp32", "preview_every": 3}
BOTH = {"prior_top": TrainPriorTop, "prior_bottom": TrainPriorBottom}
every = pytest.mark.parametrize("kind", BOTH)


@pytest.fixture(scope="module")
def lab(own_bank):
    return PriorLab()


def stripes(n: int, rng: torch.Generator):
    """A sentence is one of eight; its codes are of its own pair, which of the two by chance, cell by cell. The coarser codes
    say nothing. (codes (n, 4, 4), embeddings (n, 8), coarser (n, 2, 2))"""
    said = torch.randint(8, (n,), generator=rng)
    codes = 2 * said[:, None, None] + torch.randint(2, (n, 4, 4), generator=rng)
    return codes, torch.eye(8)[said], torch.randint(5, (n, 2, 2), generator=rng)


@pytest.mark.parametrize("coarser", [0, 5])
def test_a_prior_learns_what_the_sentence_says(coarser):
    """Exact limits: 1 bit a code with the sentence; without it 3 more for the first code; with a wrong one much more."""
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PixelSNAIL(PixelSNAILConfig(16, (4, 4), coarser, embed=8, channels=32, blocks=1, gates=2, heads=2))
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(150):
        codes, e, u = stripes(32, rng)
        keep = torch.rand(32, generator=rng) >= 0.15
        loss = bits(model(codes, e, u if coarser else None, keep), codes).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    codes, e, u = stripes(64, torch.Generator().manual_seed(1))
    u = u if coarser else None
    other = torch.eye(8)[(e.argmax(1) + 1) % 8]
    right, none, wrong = (float(bits_per_code(model, codes, c, u).mean()) for c in (e, None, other))
    assert 0.98 < right < 1.1, "close to the limit, and not below"
    assert right + 0.1 < none < wrong and none < 1.6, (right, none, wrong)


@every
def test_weights_say_whose_sentences_they_read_and_of_which_grid(kind, lab):
    *_, last = BOTH[kind](**SMALL).run(lab)
    tensors, about = last.extras["weights"]()
    again = PixelSNAIL.from_config(about["config"])
    again.load_state_dict(tensors)
    assert again.config.condition == CONDITION
    assert again.config.grid == ((8, 8), (16, 16))[kind == "prior_bottom"] and again.centre.abs().sum() > 0


@every
def test_loss_falls_from_the_uniform_one(kind, lab):
    losses = [s.scores["loss"] for s in BOTH[kind](**{**SMALL, "steps": 40, "lr": 5e-3, "preview_every": 1000}).run(lab)]
    assert losses[0] > 0.8 * math.log2(64) and sum(losses[-5:]) < 0.75 * sum(losses[:5])


def test_a_warm_start_begins_from_the_lab_s_prior_and_keeps_its_architecture(lab):
    (step,) = TrainPriorTop(**{**SMALL, "steps": 1, "blocks": 2, "warm": True, "lr": 1e-9}).run(lab)
    trained, _ = step.extras["weights"]()
    for name, value in lab.prior_top.named_parameters():
        assert torch.allclose(trained[name], value, atol=1e-6), name
    with pytest.raises(SpecError, match="channels, blocks: 16, 1 are not those of the shipped prior_top; .* keeps 16, 2"):
        next(iter(TrainPriorTop(**{**SMALL, "warm": True}).run(lab)))


def test_codes_are_made_once_and_named_by_the_weights_that_made_them(monkeypatch):
    bank, model, calls = scene_bank("train", 40), BlockCodes(), []
    encode = BlockCodes.encode_codes
    monkeypatch.setattr(BlockCodes, "encode_codes", lambda self, x: calls.append(len(x)) or encode(self, x))
    monkeypatch.setattr("labkit.training.codes.BATCH", 16)
    model.colours.data += 1e-3  # unlike any before
    top, bottom = bank_codes(model, bank)
    assert calls == [16, 16, 8]
    for a, b in zip((top, bottom), encode(model, bank.images(range(40))), strict=True):
        assert torch.equal(a, b) and a.dtype == torch.int64
    assert_same(bank_codes(model, bank), (top, bottom))
    assert calls == [16, 16, 8], "read, not made again"
    before = fingerprint(model)
    model.colours.data[0, 0] += 1
    assert fingerprint(model) != before
    bank_codes(model, bank)
    assert len(calls) == 6, "another model's codes are never met"


@pytest.mark.parametrize("posed", (True, False))
def test_it_learns_from_posed_scenes_unless_told_otherwise(lab, posed):
    bank, data = scene_bank("train", 40, **(POSED if posed else {})), TrainPriorTop(**SMALL | {"posed": posed}).data(lab)
    assert_same(data.codes, bank_codes(lab.vqvae, bank))
    assert all(s.style == "flat" and len(s.subjects) == 1 for s in map(data.bank.scene, range(40))) == posed


def test_codes_that_look_alike_begin_with_alike_embeddings():
    """Distances of embeddings are those of the standardised codes, but for chance; equal ones have none."""
    codebook, made = torch.randn(500, 16, generator=torch.Generator().manual_seed(0)) * 3 + 5, torch.empty(500, 4000)
    codebook[1] = codebook[0]
    begin_alike(made, codebook)
    assert torch.equal(made[0], made[1]) and made.std() == pytest.approx(1, abs=0.05)
    codes = (codebook - codebook.mean(0)) / codebook.std(0)
    far, near = (torch.cdist(t[2:50], t[50:100]) / t.shape[1] ** 0.5 for t in (made, codes))
    assert (far / near - 1).abs().max() < 0.15


def test_a_share_of_the_codes_is_misread():
    codes, rng = torch.zeros(50, 20, 20, dtype=torch.long), torch.Generator().manual_seed(0)
    assert torch.equal(misread(codes, 0.0, 8, rng), codes)
    wrong = misread(codes, 0.2, 8, rng)
    assert float((wrong != 0).float().mean()) == pytest.approx(0.2 * 7 / 8, abs=0.01) and int(wrong.max()) == 7


def test_captions_are_drawn_anew_and_half_of_them_name_everything():
    bank, rng = scene_bank("train", 40), np.random.default_rng(0)
    said = captions(bank, [3] * 400, rng)
    assert len(set(said)) > 20, "one scene, many sentences"
    full = {caption(bank.scene(3), np.random.default_rng(k), full=True) for k in range(3000)}
    assert 0.4 < sum(text in full for text in said) / 400 < 0.75


def test_a_sheet_shows_scenes_above_two_drawings_each(lab, store):
    for data in (BankCodes(lab, scene_bank("train", 40), CONDITION), StoredCodes(lab.vqvae, store)):
        for model in (lab.prior_top, tiny_prior(4, grid=(16, 16), coarser=64, heads=0)):
            assert sheet(model, lab.vqvae, data).size == (8 * 64, 3 * 64)


@pytest.fixture(scope="module")
def store(lab, tmp_path_factory):
    """Codes of 40 scenes with a sentence's vector each."""
    bank, path = scene_bank("train", 40), tmp_path_factory.mktemp("store") / "codes.lmdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockCodes, "sha256", "ab" * 32)
        texts = captions(bank, range(40), np.random.default_rng(1))
        lab.blip.sha256 = "cd" * 32
        vectors, about = embedded(texts, lab, "blip")
        extract(np.array(bank.pixels), [str(k) for k in range(40)], path, lab, "vqvae", embeddings=vectors, embedding=about,
                n_jobs=1)
        yield path


def test_a_store_serves_its_codes_and_the_vectors_in_its_rows(lab, store):
    data, bank = StoredCodes(lab.vqvae, store), scene_bank("train", 40)
    for mine, theirs in zip(data.codes, lab.vqvae.encode_codes(bank.images(range(40))), strict=True):
        assert torch.equal(mine, theirs)
    rows = CodeStore(store).read([3, 5])
    assert torch.equal(data.told(np.array([3, 5]), None), torch.from_numpy(rows.embeddings)) and data.kind == "blip"


@every
def test_training_from_a_store_resumes_exactly(kind, lab, store):
    spec = BOTH[kind](**SMALL, store=str(store))
    straight = [(s.scores, s.extras["weights"]() if s.last else None) for s in spec.run(lab)]
    steps = spec.run(lab)
    next(steps)
    state = next(steps).state()
    steps.close()
    rest = [(s.scores, s.extras["weights"]() if s.last else None) for s in spec.run(lab, state)]
    assert [scores for scores, _ in rest] == [scores for scores, _ in straight[2:]]
    assert_same(dict(rest[-1][1][0]), dict(straight[-1][1][0]))
    assert rest[-1][1][1]["config"]["condition"] == "blip"


def test_a_store_of_another_model_and_one_without_vectors_are_refused(lab, store, tmp_path, monkeypatch):
    monkeypatch.setattr(BlockCodes, "sha256", "ef" * 32)
    with pytest.raises(StoreError, match="codes.lmdb: codes of another model: vqvae .*extract them again with the"):
        next(iter(TrainPriorTop(**SMALL, store=str(store)).run(lab)))
    extract(np.array(scene_bank("train", 40).pixels)[:3], list("abc"), tmp_path / "x.lmdb", lab, "vqvae", n_jobs=1)
    with pytest.raises(StoreError, match="x.lmdb: has 2 levels and no vectors; .*codes extract --embed blip"):
        StoredCodes(lab.vqvae, tmp_path / "x.lmdb")
    with pytest.raises(StoreError, match="no.lmdb: no such file"):
        StoredCodes(lab.vqvae, tmp_path / "no.lmdb")


@pytest.mark.parametrize(("changes", "message"), [
    ({"drop": 1.0}, "drop: .*less than 1; got 1.0"),
    ({"noise": -0.1}, "noise: .*greater than or equal to 0; got -0.1"),
    ({"channels": 20}, "channels: .*multiple of 8; got 20"),
])
def test_bad_values_are_refused(changes, message):
    with pytest.raises(SpecError, match=message):
        TrainPriorTop(**changes)
