"""PixelSNAIL: what may see what, kernels without dead taps, a sentence in every gate, and bits in closed form."""

import math

import pytest
import torch
import torch.nn.functional as F

from labkit import zoo
from labkit.models.load import config_of
from labkit.models.pixelsnail import (
    CausalConv,
    GatedBlock,
    PixelSNAIL,
    PixelSNAILConfig,
    bits,
    bits_per_code,
    load_prior_bottom,
    load_prior_top,
)
from tests.conformance import tiny_prior

LEVELS = {"top": {"grid": (4, 6)}, "bottom": {"grid": (4, 6), "coarser": 7, "heads": 0},
          "wide": {"grid": (4, 6), "coarser": 7, "kernel": (5, 5)}, "planned": {"grid": (4, 6), "plan": 3},
          "planned under codes": {"grid": (4, 6), "coarser": 7, "plan": 3}}
every = pytest.mark.parametrize("level", LEVELS)


def inputs(model: PixelSNAIL, n: int = 2, seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    h, w = model.config.grid
    coarser = torch.randint(7, (n, h // 2, w // 2), generator=rng) if model.config.coarser else None
    return (torch.randint(64, (n, h, w), generator=rng), torch.randn(n, model.config.embed, generator=rng), coarser)


@every
def test_logits_depend_on_earlier_codes_and_on_no_others(level):
    """By gradients through the codes' embeddings. With attention on all that some cell up to this one reads first, which is its
    right neighbour or, of the last in a row, one below it; without it at least on the neighbours."""
    model = tiny_prior(**LEVELS[level])
    codes, e, coarser = inputs(model, 1)
    x = model.embedding(codes).movedim(-1, 1).requires_grad_()
    terms = model.terms(model.sentence(e, 1), coarser)

    def logits():
        y = model.begin(x) + model.position
        for block, known in zip(model.blocks, terms, strict=True):
            y = block(y, known, model.where)
        return model.head(F.elu(y).movedim(1, -1)).movedim(-1, 1)

    assert torch.equal(logits(), model(codes, e, coarser))
    for cell in range(24):
        (grad,) = torch.autograd.grad(logits()[0, :, cell // 6, cell % 6].square().sum(), x, allow_unused=True)
        seen = grad.abs().sum((0, 1)).flatten() > 0
        assert not seen[cell:].any(), f"cell {cell} sees itself or later codes"
        reach = model.config.kernel[1] // 2
        read = [q for q in range(cell) if (q + 1 if q % 6 < 5 else q + 6 - reach) <= cell]
        near = [cell - 1] * (cell % 6 > 0) + [cell - 6 + k for k in (-1, 0, 1) if cell > 5 and 0 <= cell % 6 + k < 6]
        assert seen[read if model.config.heads else near].all(), f"cell {cell} misses an earlier code"


@every
def test_first_rows_need_no_others(level):
    model = tiny_prior(**LEVELS[level])
    codes, e, coarser = inputs(model)
    terms = model.terms(model.sentence(e, 2), coarser)
    for rows in (1, 3):
        assert torch.allclose(model.of_rows(codes[:, :rows], terms), model(codes, e, coarser)[:, :, :rows], atol=1e-5)


@pytest.mark.parametrize(("strict", "taps"), [(True, 22), (False, 23)])
def test_a_kernel_holds_its_live_taps_alone(strict, taps):
    conv = CausalConv(3, 4, (5, 5), strict)
    assert conv.direction.shape == (4, 3, taps)
    conv.gain.data = torch.tensor([1.0, 2.0, 0.5, 3.0])
    assert torch.allclose(conv.weight().flatten(1).norm(dim=1), conv.gain), "weight norm: the gain is the norm"
    # The definition: a plain convolution over a kernel that is zero wherever it may not look.
    mask, dense = torch.ones(5, 5), torch.zeros(4, 3, 25)
    mask[4, 2 + (not strict):] = 0
    dense[:, :, mask.flatten().bool()] = conv.weight()
    x = torch.randn(2, 3, 6, 7)
    plain = F.conv2d(F.pad(x, (2, 2, 4, 0)), dense.view(4, 3, 5, 5), conv.bias)
    assert torch.allclose(conv(x), plain, atol=1e-6)


@every
def test_the_sentence_enters_every_gate_and_the_coarser_codes_too(level):
    model = tiny_prior(**LEVELS[level])
    codes, e, coarser = inputs(model)
    gates = {name: m for name, m in model.named_modules() if isinstance(m, GatedBlock)}
    assert len(gates) == 2 * (2 + bool(model.config.heads)) + 2 * bool(model.config.coarser or model.config.plan)
    terms = model.terms(model.sentence(e, 2), coarser)
    plain = model.of_rows(codes, terms)
    assert [len(block) for block in terms] == [2 + bool(model.config.heads)] * 2
    for b, block in enumerate(terms):
        for k in range(len(block)):
            other = [list(t) for t in terms]
            other[b][k] = other[b][k] + torch.randn(other[b][k].shape[1], 1, 1)
            assert (model.of_rows(codes, other) - plain).abs().max() > 1e-4, f"gate {k} of block {b} counts"
    for name, gate in gates.items():
        kept = gate.condition.weight.data.clone()
        gate.condition.weight.data = torch.zeros_like(kept)
        assert (model(codes, e, coarser) - plain).abs().max() > 1e-5, f"{name} is told the sentence"
        gate.condition.weight.data = kept
    if coarser is not None:
        changed = coarser.clone()
        changed[:, 0, 0] = (changed[:, 0, 0] + 1) % 7
        assert ((model(codes, e, changed) - plain).abs().amax((0, 1)) > 1e-6).all(), "every cell heeds a far coarser code"


def test_a_withheld_sentence_is_none_at_all():
    model = tiny_prior(**LEVELS["bottom"])
    codes, e, coarser = inputs(model)
    keep = torch.tensor([True, False])
    mixed = model(codes, e, coarser, keep)
    assert torch.allclose(mixed[0], model(codes, e, coarser)[0], atol=1e-6)
    assert torch.allclose(mixed[1], model(codes, None, coarser)[1], atol=1e-6)
    assert not torch.allclose(mixed[1], model(codes, e, coarser)[1], atol=1e-3)


def test_sentences_are_standardised_by_what_was_measured():
    model, e = tiny_prior(), torch.randn(50, 16) * 0.01 + 3
    model.measure(e)
    given = (e - model.centre) / model.spread
    assert torch.allclose(model.sentence(e, 50), model.read(given)) and torch.allclose(given.std(0), torch.ones(16), atol=1e-4)
    model.measure(torch.ones(4, 16))
    assert model.sentence(torch.ones(1, 16), 1).isfinite().all(), "a constant is no division by nothing"


def test_bits_of_a_uniform_prior_are_log2_of_the_codes():
    model = tiny_prior(n_embed=48)
    for p in (model.head.weight, model.head.bias):
        p.data.zero_()
    codes = torch.randint(48, (5, 8, 8))
    assert torch.allclose(bits_per_code(model, codes, torch.randn(5, 16), batch=2), torch.full((5,), math.log2(48)), atol=1e-5)


def test_bits_are_of_the_code_s_own_probability_and_add_up_over_a_grid():
    logits = torch.tensor([[1.0, 0.5, 0.25]]).log()[:, :, None, None]
    assert torch.allclose(bits(logits, torch.tensor([[[1]]])), torch.tensor(math.log2(1.75 / 0.5)))
    model = tiny_prior(n_embed=2, grid=(1, 3), embed=4, kernel=(2, 3))
    grids = torch.cartesian_prod(*[torch.arange(2)] * 3).view(8, 1, 3)
    total = (2 ** -(3 * bits_per_code(model, grids, torch.ones(8, 4)))).sum()
    assert float(total) == pytest.approx(1, abs=1e-5), "probabilities of all grids add up to one"


@pytest.mark.parametrize(("values", "message"), [
    ({"n_embed": 0}, "n_embed: 0 must be 1 or more"),
    ({"grid": (8,)}, r"grid: \(8,\) must be two numbers"),
    ({"kernel": (3, 4)}, r"kernel: \(3, 4\) must have an odd number of columns"),
    ({"kernel": (1, 1)}, r"kernel: \(1, 1\) must"),
    ({"heads": 5}, "heads: 5 must divide half the channels = 48"),
    ({"coarser": -1}, "coarser: -1 must be 0 or more"),
    ({"plan": -3}, "plan: -3 must be 0 or more"),
    ({"coarser": 4, "grid": (7, 8)}, r"grid: \(7, 8\) must have even sides"),
])
def test_bad_architectures_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PixelSNAILConfig(**values)


def test_wrong_shapes_are_refused():
    top, bottom = tiny_prior(grid=(4, 6)), tiny_prior(**LEVELS["bottom"])
    codes, e, coarser = inputs(bottom)
    with pytest.raises(ValueError, match=r"codes: shape \(2, 6, 4\) must be \(B, 4, 6\)"):
        top(codes.mT, e)
    with pytest.raises(ValueError, match=r"condition: shape \(2, 15\) must be \(2, 16\), blip's embeddings"):
        top(codes, e[:, 1:])
    with pytest.raises(ValueError, match="coarser: this prior has no coarser level"):
        top(codes, e, coarser)
    with pytest.raises(ValueError, match=r"coarser: give the coarser level's codes \(2, 2, 3\)"):
        bottom(codes, e)
    with pytest.raises(ValueError, match=r"coarser: shape \(2, 4, 6\) must be \(2, 2, 3\)"):
        bottom(codes, e, codes)


@pytest.mark.parametrize(("kind", "load"), [("prior_top", load_prior_top), ("prior_bottom", load_prior_bottom)])
def test_saves_and_loads_as_the_other_pocket_models_do(kind, load, tmp_path):
    model = tiny_prior(**LEVELS["top" if kind == "prior_top" else "bottom"])
    path = tmp_path / "prior.safetensors"
    zoo.save_tensors(path, model.state_dict(), {"kind": kind, "config": config_of(model), "world": "w"})
    again, given = load(str(path)), inputs(model)
    assert again.config == model.config and len(again.sha256) == 64
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert torch.allclose(again(*given), model(*given), atol=5e-2), "fp16 on disk"
