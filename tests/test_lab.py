"""A lab: models loaded once, under a lock, and frozen; copies that can be trained; honest names."""

import copy
import pickle
import threading
import time
from dataclasses import replace

import pytest
import torch

from labkit import kinds
from labkit.kinds import KINDS
from labkit.lab import Lab
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.precision import resolved
from labkit.spec import SpecError
from tests.conformance import TinyLab, assert_same, condition


@pytest.fixture
def counted(monkeypatch):
    """Loaders that take a moment and count."""
    loads = []

    def loader(kind):
        def load(*args):
            loads.append(kind)
            time.sleep(0.05)
            return object()

        return load

    for kind, record in KINDS.items():
        monkeypatch.setitem(KINDS, kind, replace(record, load=kind))
    monkeypatch.setattr(kinds, "named", loader)
    return loads


def test_nothing_is_loaded_before_it_is_needed_and_then_once(counted):
    lab = Lab(device="cpu")
    assert counted == []
    assert lab.vqgan is lab.vqgan is lab.model("vqgan") and counted == ["vqgan"]


def test_many_visitors_load_a_model_once(counted):
    lab, seen = Lab(device="cpu"), []
    threads = [threading.Thread(target=lambda: seen.append(lab.clip)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == ["clip"] and len(set(map(id, seen))) == 1 and len(seen) == 8


def test_the_guide_is_the_clip_unless_named_otherwise(counted):
    lab = Lab(device="cpu")
    assert lab.guide is lab.clip and counted == ["clip"]
    other = Lab(guide="ViT-B-32/openai", device="cpu")
    assert other.guide is not other.clip and counted[1:] == ["guide", "clip"]


def test_require_loads_what_a_spec_needs_and_says_so(counted):
    lab, said = Lab(device="cpu"), []
    spec = VQGANCLIP(prompt="an apple")
    lab.require(spec, said.append)
    assert set(counted) <= {"clip", "guide", "vqgan"} and "vqgan" in counted
    assert said and all(line.startswith("loading ") and line.endswith("(pocket)") for line in said)
    lab.require(spec, said.append)
    assert len(said) == len(spec.needs) and len(counted) == len(set(counted))


def test_an_unknown_kind_names_those_there_are():
    lab = Lab(device="cpu")
    with pytest.raises(AttributeError, match="a lab has no 'biggan'; it has clip, guide, clip_check"):
        _ = lab.biggan
    assert not hasattr(lab, "__deepcopy__") and not hasattr(lab, "_missing")


def test_a_bare_lab_does_not_recurse():
    """copy and pickle ask an object for attributes before it has any."""
    with pytest.raises(AttributeError):
        _ = Lab.__new__(Lab).clip
    for way in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="RLock"):
            way(Lab(device="cpu"))


# A full-size model, or a file, for every kind that draws and can be named.
NAMED = {kind: "a" for kind, record in KINDS.items() if record.draws and record.help}


@pytest.mark.parametrize(("names", "pocket"), [
    ({}, True), ({"clip": "ViT-B-32/openai"}, True), (NAMED | {"diffusion": "pocket"}, True), (NAMED, False),
    ({kind: name for kind, name in NAMED.items() if kind != "guide"} | {"clip": "a"}, False),
    (NAMED | {"guide": "pocket"}, True),
])
def test_pictures_of_any_pocket_model_say_so(names, pocket):
    assert Lab(**names, device="cpu").pocket is pocket


def test_a_picture_is_a_pocket_model_s_by_what_made_it():
    lab = Lab(clip="a", vqgan="b", device="cpu")
    assert not lab.draws_with_pocket(("guide", "vqgan")) and lab.draws_with_pocket(("guide", "diffusion", "perceptual"))
    assert lab.draws_with_pocket(("gan",)) and not lab.draws_with_pocket(("judge", "perceptual")), "these look"


@pytest.mark.parametrize(("told", "products", "tiles", "intel", "precision"), [
    ("AVX512", True, False, False, "bf16"), ("AVX512", True, False, True, "fp32"), ("AVX512", True, True, True, "bf16"),
    ("AVX512", False, False, False, "fp32"), ("AVX2", True, True, False, "fp32"), ("DEFAULT", False, False, False, "fp32"),
])
def test_auto_is_bf16_where_the_processor_gains_by_it(monkeypatch, told, products, tiles, intel, precision):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: told)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: products)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr("labkit.precision._intel", lambda: intel)
    assert resolved("auto", "cpu") == precision and resolved("bf16", "cpu") == "bf16"


def test_a_bad_precision_is_named():
    with pytest.raises(ValueError, match="precision='half': use 'auto', 'fp32', 'bf16'"):
        Lab(precision="half", device="cpu")
    assert Lab(precision="bf16", device="cpu").bf16 and not Lab(precision="fp32", device="cpu").bf16


def test_the_arguments_make_a_lab_like_it_and_tell_precisions_apart():
    labs = [Lab(precision=p, device="cpu", vqgan="pixels") for p in ("fp32", "bf16")]
    assert labs[0].arguments != labs[1].arguments and labs[0].arguments["vqgan"] == "pixels"
    for lab in labs:
        again = Lab(**lab.arguments)
        assert again.arguments == lab.arguments and again.precision == lab.precision
    assert Lab(device="cpu").arguments["precision"] in ("fp32", "bf16"), "what auto means here, not the word"


def test_an_unknown_kind_is_refused_at_the_door():
    with pytest.raises(SpecError, match="vqvae2: a lab has no such kind of model; it has clip, guide, clip_check"):
        Lab(vqvae2="pocket")


def test_models_are_frozen_and_in_eval_mode():
    for seen in condition(TinyLab()).values():
        assert not any(seen["modes"]) and not any(p[0] or p[1] is not None for p in seen["parameters"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_fresh_copy_can_be_trained_and_the_lab_s_own_stays(kind):
    lab = TinyLab()
    before = condition(lab)
    model = lab.fresh_copy(kind)
    assert isinstance(model, torch.nn.Module)
    modes, ready = ([m.training for m in part.modules()] for part in (model, copy.deepcopy(model).eval().train()))
    assert model.training and modes == ready, "as `train` leaves it: BLIP's trunk keeps its statistics"
    assert all(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1)
    assert_same(condition(lab), before)


def test_fingerprints_identify_the_shipped_models(missing):
    from labkit.data import data_path
    from labkit.fetch import sha256_of

    lab = Lab(device="cpu")
    kinds = [k for k in ("clip", "vqgan", "judge", "perceptual") if data_path("models", f"{k}.safetensors").is_file()]
    if not kinds:
        missing("data/models is empty; `python -m labkit train NAME` fills it")
    for kind, known in lab.fingerprints(tuple(kinds)).items():
        assert known == {"name": "pocket", "sha256": sha256_of(data_path("models", f"{kind}.safetensors"))}, kind
