"""The fine-tuning of CLIP: losses in closed form, the contract of a training, levers that do what they say, files that load."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labkit import zoo
from labkit.clip.encoder import load_encoder
from labkit.lab import Lab
from labkit.loop import NonFiniteError
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.pairs.labelled import LabelledSet, Part
from labkit.runs.checkpoint import train_to_disk
from labkit.spec import METHODS, SpecError
from labkit.training.clip_finetune import FineTuneCLIP, unknown_labels
from labkit.training.finetune_parts import Pulled, depths, groups_of
from labkit.training.matching import itc_loss
from tests.conformance import TinyLab, assert_same, condition, global_randomness, through_disk

SMALL = {"steps": 4, "batch": 6, "precision": "fp32", "preview_every": 3}
COLOURS = {"red": (220, 40, 40), "green": (40, 160, 70), "blue": (40, 110, 220)}


def tiny_set(n: int = 4) -> LabelledSet:
    """Pictures of a colour each, a little noisy."""
    rng = torch.Generator().manual_seed(0)

    def part() -> Part:
        x = torch.cat([torch.tensor(rgb).view(1, 3, 1, 1).expand(n, 3, 16, 16) for rgb in COLOURS.values()])
        x = (x + torch.randint(-20, 20, x.shape, generator=rng)).clamp(0, 255).byte()
        return Part(x, np.repeat(np.arange(3), n), tuple(f"{k}.png" for k in range(3 * n)))

    return LabelledSet(tuple(COLOURS), part(), part(), part())


DATA = tiny_set()


def ran(lab, data=DATA, resume=None, **changes) -> list:
    return list(FineTuneCLIP(**{**SMALL, **changes}).run(lab, resume, data))


def test_flyp_s_gradient_is_softmax_minus_target_both_ways():
    rng = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 0, 1, 2, 1, 0])
    fits = labels[:, None] == labels[None]
    image, text = (F.normalize(torch.randn(6, 5, generator=rng), dim=1).double() for _ in range(2))
    leaf, scale = image.clone().requires_grad_(True), 7.0
    itc_loss(leaf, text, fits, 1 / scale).backward()
    logits, target = scale * image @ text.T, fits.double() / fits.sum(1, keepdim=True)
    by_rows, by_columns = logits.softmax(1) - target, (logits.T.softmax(1) - target).T
    assert torch.allclose(leaf.grad, scale / 2 * (by_rows + by_columns) / 6 @ text, atol=1e-7)


def test_with_equal_texts_one_positive_pulls_as_all_of_them_do_but_its_loss_cannot_fall():
    """Duplicates do harm by their other words: where the texts are the same, the tower's gradients are, too."""
    rng, labels = torch.Generator().manual_seed(2), torch.tensor([0, 0, 1, 1])
    image = F.normalize(torch.randn(4, 5, generator=rng), dim=1)
    label = F.normalize(torch.randn(2, 5, generator=rng), dim=1)
    gradients = []
    for fits in (labels[:, None] == labels[None], torch.eye(4, dtype=torch.bool)):
        leaf = label.clone().requires_grad_(True)
        itc_loss(image, leaf[labels], fits, 0.2).backward()
        gradients.append(leaf.grad)
    assert torch.allclose(*gradients, atol=1e-6)
    perfect = torch.eye(2)[labels]
    assert float(itc_loss(perfect, perfect, torch.eye(4, dtype=torch.bool), 0.01)) == pytest.approx(math.log(2), abs=1e-4)


def test_it_is_a_training_with_few_fields_and_not_a_method_of_the_views():
    fields = FineTuneCLIP.model_fields
    assert len(fields) <= 14 and all(info.description for info in fields.values()) and "FineTuneCLIP" not in METHODS
    spec = FineTuneCLIP(**SMALL, learns={"rank": 2}, holds={"wise": 0.5})
    assert FineTuneCLIP.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("changes", [
    {}, {"loss": "diagonal", "templates": ("{}",)}, {"loss": "head"},
    {"learns": {"rank": 2}, "numbers": {"statistics": "batch"}},
    {"numbers": {"temperature": "free"}, "holds": {"to_start": 1.0, "floor": 0.5, "probe_every": 1}},
], ids=["default", "diagonal", "head", "lora", "held"])
def test_an_exact_resume_and_a_lab_left_as_it_was(changes, tiny):
    before, randomness = condition(tiny), global_randomness()
    straight = ran(tiny, **changes)
    assert [s.i for s in straight] == [0, 1, 2, 3]
    assert [s.image is not None for s in straight] == [True, False, True, True]
    weights = straight[-1].extras["weights"]()[0]
    assert_same(condition(tiny), before)
    assert_same(global_randomness(), randomness)
    steps = FineTuneCLIP(**{**SMALL, **changes}).run(tiny, None, DATA)
    next(steps)
    state = through_disk(next(steps).state())
    rest = ran(tiny, resume=state, **changes)
    assert [s.scores for s in rest] == [s.scores for s in straight[2:]]
    assert_same(rest[-1].extras["weights"]()[0], weights)


def test_a_nan_ends_the_run_with_the_last_good_step(tiny):
    with pytest.raises(NonFiniteError, match="step 1: no longer a number: loss nan") as caught:
        ran(tiny, numbers={"weights": "fp16"}, lr=1e-2)
    assert caught.value.last.i == 0 and caught.value.last.scores["lost in fp16"] > 0


@pytest.mark.parametrize(("tower", "key"), [("text", "visual."), ("image", "")])
def test_a_frozen_tower_stays(tower, key, tiny):
    state, start = ran(tiny, learns={"frozen": tower}, lr=1e-2)[-1].extras["weights"]()[0], tiny.clip.model.state_dict()
    moved = {k for k in state if not torch.equal(state[k], start[k])}
    assert moved and all(k.startswith("visual.") == (tower == "text") for k in moved)


def test_statistics_move_without_a_learning_rate_only_if_they_shall(tiny):
    start = tiny.clip.model.state_dict()
    for statistics in ("kept", "batch"):
        state = ran(tiny, lr=1e-12, numbers={"statistics": statistics})[-1].extras["weights"]()[0]
        moved = any(not torch.equal(state[k], start[k]) for k in state if "running" in k)
        assert moved == (statistics == "batch")


def test_wise_ft_s_ends(tiny):
    *_, last = ran(tiny, lr=1e-2)
    start = tiny.clip.model.state_dict()
    assert_same(dict(last.extras["tuned"](0.0).model.state_dict()), dict(start))
    assert_same(dict(last.extras["tuned"](1.0).model.state_dict()), dict(last.extras["weights"]()[0]))
    half = ran(tiny, lr=1e-2, holds={"wise": 0.5})[-1].extras["weights"]()[0]["text_projection"]
    assert torch.allclose(half, (start["text_projection"] + last.extras["weights"]()[0]["text_projection"]) / 2, atol=1e-6)


def test_a_pull_to_the_start_goes_its_share_of_the_way():
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    pulled = Pulled([("w", p)], strength=2.0)
    p.data += 1.0
    pulled.step(torch.optim.SGD([{"params": [p], "lr": 0.1}]))
    assert torch.allclose(p, torch.tensor([1.8, 2.8]))
    p.data += 1.0
    pulled.step(torch.optim.SGD([{"params": [p], "lr": 10.0}]))
    assert torch.allclose(p, torch.tensor([1.0, 2.0])), "never beyond"


def test_layers_learn_by_their_depth():
    names = ["visual.conv1.weight", "visual.transformer.resblocks.0.w", "visual.transformer.resblocks.1.w", "visual.proj",
             "token_embedding.weight", "transformer.resblocks.0.w", "text_projection", "logit_scale"]
    found = depths(names)
    assert [found[n] for n in names] == [3, 2, 1, 0, 2, 1, 0, 0]
    groups = groups_of([(n, torch.nn.Parameter(torch.zeros(2, 2))) for n in names], 1.0, 0.5, 0.1)
    assert sorted({g["share"] for g in groups}) == [0.125, 0.25, 0.5, 1.0]


def test_the_floor_stops_it_and_gives_back_what_was_well(tiny, monkeypatch):
    from labkit.clip.zero_shot import Probe

    values = iter([0.9, 0.9, 0.2])
    monkeypatch.setattr(Probe, "subject_accuracy", lambda self, encoder, vectors=None: next(values))
    steps = FineTuneCLIP(**SMALL, lr=1e-2, holds={"floor": 0.3, "probe_every": 1}).run(tiny, None, DATA)
    states = [(s.extras["stopped"], s.extras["tuned"](1.0).model.state_dict()["text_projection"]) for s in steps]
    assert [stopped for stopped, _ in states] == [-1, 1, 1, 1]
    assert torch.equal(states[1][1], states[0][1]) and torch.equal(states[3][1], states[0][1])


def test_it_learns_what_it_is_given(tiny):
    *_, last = ran(tiny, steps=60, lr=5e-3, batch=12, preview_every=60)
    assert last.scores["validation"] == 1.0 and last.extras["weights"]()[1]["tuned"]["history"][-1]["validation"] == 1.0


def test_lora_learns_too_and_saves_plain_weights(tiny):
    *_, last = ran(tiny, steps=60, lr=3e-2, batch=12, learns={"rank": 4}, preview_every=60)
    assert last.scores["validation"] >= 0.9
    assert last.extras["weights"]()[0].keys() == tiny.clip.model.state_dict().keys()


def test_a_tuned_clip_is_a_clip_like_another_and_guides(tmp_path, tiny):
    list(train_to_disk(FineTuneCLIP(**SMALL, lr=1e-2), tiny, tmp_path, data=DATA))
    file = str(tmp_path / "weights.safetensors")
    _, about = zoo.load_tensors(tmp_path / "weights.safetensors")
    assert about["kind"] == "clip" and about["tuned"]["from"] == "tiny" and about["tuned"]["classes"] == list(COLOURS)
    loaded = Lab(device="cpu", precision="fp32", guide=file).guide
    x, own = torch.rand(2, 3, 16, 16), load_encoder(file)
    assert torch.equal(loaded.encode_image(x), own.encode_image(x)) and loaded.sha256 == own.sha256
    lab = TinyLab()
    lab._models["guide"] = loaded
    spec = VQGANCLIP(**VQGANCLIP.example)
    tuned, plain = ([s.scores["clip"] for s in spec.run(one)] for one in (lab, tiny))
    assert len(tuned) == 6 and tuned != plain


def test_labels_that_clip_does_not_know_are_told(tiny):
    kiwi = LabelledSet(("apple", "durian"), DATA.train, DATA.validation, DATA.test)
    (line,) = unknown_labels(tiny.clip, kiwi)
    assert "labels that this CLIP does not know: durian" in line and unknown_labels(tiny.clip, DATA) == []


@pytest.mark.parametrize(("changes", "said"), [
    ({"templates": ("a picture",)}, "templates: .*must have one {}"), ({"templates": ()}, "templates"),
    ({"lr": 0}, "lr"), ({"learns": {"rank": 65}}, "learns: rank"), ({"holds": {"wise": 1.1}}, "holds: wise"),
    ({"loss": "mse"}, "loss"),
])
def test_bad_values_fail_at_the_door(changes, said):
    with pytest.raises(SpecError, match=said):
        FineTuneCLIP(**{**SMALL, **changes})
