"""Trainings of the VQ-VAE and of the bottleneck VAE: an exact resume, weights that load, codebooks averaged once."""

import pytest
import torch

from labkit.models.bottleneck import BottleneckVAE
from labkit.models.vqvae import VQVAE
from labkit.training.bottleneck import TrainBottleneck
from labkit.training.vqvae import TrainVQVAE
from tests.conformance import assert_same, condition, global_randomness

SMALL = {"steps": 4, "batch": 4, "scenes": 32, "precision": "fp32", "preview_every": 4}
PHASES = {"latent": 0.5, "settled": 0.25}  # two steps, one, and one
SPECS = [*(TrainVQVAE(**SMALL, **PHASES, told=told) for told in ("nothing", "clip", "blip")), TrainBottleneck(**SMALL)]
every = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{type(s).__name__}-{getattr(s, 'told', '')}")
pytestmark = pytest.mark.usefixtures("own_bank")


@every
def test_a_resume_is_exact_and_nothing_else_is_touched(tiny, spec):
    before, chance = condition(tiny), global_randomness()
    steps = [(step, step.state()) for step in spec.run(tiny)]
    (*_, last) = spec.run(tiny, steps[1][1])
    assert last.scores == steps[-1][0].scores and last.image.size[0] == 8 * 64
    assert_same(last.extras["weights"]()[0], steps[-1][0].extras["weights"]()[0])
    assert_same(condition(tiny), before)
    assert_same(global_randomness(), chance)


@every
def test_its_weights_make_the_model_again(tiny, spec):
    (*_, last) = spec.run(tiny)
    tensors, about = last.extras["weights"]()
    model = {"vqvae": VQVAE, "bottleneck": BottleneckVAE}[about["kind"]].from_config(about["config"])
    model.load_state_dict(tensors)
    assert about["trained"] == spec.model_dump()
    assert getattr(model.config, "condition", 0) == (0 if getattr(spec, "told", "") == "nothing" else 16)


def test_what_is_shipped_has_the_codebooks_as_they_are(tiny):
    """They are moving averages already: an average of them would lag behind a code that was moved."""
    (*_, last) = TrainVQVAE(**SMALL).run(tiny)
    shipped, own = last.extras["weights"]()[0], last.state()["parts"]["model"]
    books = [name for name in own if name.endswith("embed")]
    assert len(books) == 2 and all(torch.equal(shipped[name], own[name]) for name in books)


def test_a_warm_start_with_other_codes_keeps_all_else(tiny):
    """And takes the VQGAN's encoder and decoder where latent steps are to come."""
    kept = {"steps": 1, "latent": 0, "settled": 0, "warm": True, "lr": 1e-9}
    shipped, vqgan = tiny.vqvae.state_dict(), tiny.vqgan.state_dict()

    def begun(**changes) -> dict:
        (last,) = TrainVQVAE(**{**SMALL, **kept, **changes}).run(tiny)
        return last.state()["parts"]["model"]

    def near(a, b) -> bool:
        return torch.allclose(a, b, atol=1e-6)

    same, other, latent = begun(n_embed=tiny.vqvae.n_embed), begun(n_embed=24), begun(n_embed=24, latent=1)
    assert len(other["quantisers.0._codebook.embed"][0]) == 24 == len(latent["quantisers.0._codebook.embed"][0])
    for name, value in shipped.items():
        assert name.startswith("quantisers.") or near(same[name], value) and near(other[name], value), name
        pixels = name.startswith(("encoder.", "decoder."))
        assert name.startswith("quantisers.") or near(latent[name], vqgan[name] if pixels else value), name


def test_pixels_and_codes_learn_when_they_should(tiny):
    """In latent steps encoder and decoder stay the VQGAN's; in settled ones whatever decides the codes stays."""
    spec, seen = TrainVQVAE(**{**SMALL, "steps": 5}, latent=0.4, settled=0.4), []
    for step in spec.run(tiny):
        seen.append({name: value.clone() for name, value in step.state()["parts"]["model"].items()})
        assert ("psnr" in step.scores) is (step.i >= 2) and ("latent error" in step.scores) is (step.i < 2)
        assert ("top alone" in step.scores) is (step.i < 3), "what the top says is settled with the codes"

    def moved(before: dict, after: dict) -> set[str]:
        return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert moved(seen[0], seen[1]) == {"encode_bottom", "encode_top", "to_top", "to_bottom", "decode_top", "up", "decode_both",
                                       "quantisers"}
    assert moved(seen[1], seen[2]) >= {"encoder", "decoder", "to_top", "quantisers"}
    assert moved(seen[3], seen[4]) == {"decoder", "up", "decode_both"}
    start = tiny.vqgan.encoder.state_dict()
    assert all(torch.equal(seen[1][f"encoder.{name}"], value) for name, value in start.items())
