"""A VQ-VAE: shapes, where each level's codes come from, what the condition reaches, and exact resume of its codebooks."""


import pytest
import torch

from labkit.models.codebook import nearest_code
from labkit.models.vqvae import VQVAE, VQVAEConfig

SMALL = VQVAEConfig(channels=8, residual=1, bottleneck=4, embed_dim=6, n_embed=16, ch_mult=(1, 1, 1), z_channels=8)


def small(condition: int = 0) -> VQVAE:
    torch.manual_seed(0)
    model = VQVAE(VQVAEConfig(**(vars(SMALL) | {"condition": condition})))
    with torch.no_grad():  # apart as a trained one's are: at 0.001 the quantiser's distances in fp32 are rounding
        model.to_top.weight *= 100
    model.train()(pictures(8))  # k-means: from here on there are codes
    return model.eval().requires_grad_(False)


def pictures(n: int, height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(n)) * 2 - 1


def test_grids_codes_and_pictures_fit_together():
    model, x = small(), pictures(3)
    top, bottom = model.encode_codes(x)
    assert (tuple(top.shape[1:]), tuple(bottom.shape[1:])) == model.grids(16, 24) == ((2, 3), (4, 6))
    assert top.dtype == bottom.dtype == torch.int64 and int(max(top.max(), bottom.max())) < model.n_embed
    assert model.decode_codes(top, bottom).shape == x.shape


def test_a_picture_s_codes_do_not_depend_on_its_batch():
    model, x = small(), pictures(5)
    for whole, alone in zip(model.encode_codes(x), model.encode_codes(x[3:4]), strict=True):
        assert torch.equal(whole[3:4], alone)


def test_decoding_codes_is_decoding_their_vectors():
    model, x = small(), pictures(2)
    vectors, codes = model.encode(x)
    assert torch.equal(model.decode(*vectors), model.decode_codes(*codes))
    for level in (0, 1):
        assert torch.equal(nearest_code(vectors[level], model.codebook(level)), codes[level]), "a code is nearest to itself"


def test_training_and_use_choose_the_same_codes():
    model, x = small(), pictures(4)
    quantisers = [q.train() for q in model.quantisers]
    used = model.encode_codes(x)
    for q in quantisers:
        q._codebook.ema_update = q._codebook.has_dead_code_replacement = False
    _, trained, _ = model(x)
    assert all(torch.equal(a, b) for a, b in zip(used, trained, strict=True))


def test_the_gradient_passes_the_codes_straight_through_on_both_levels():
    model, x = small().train().requires_grad_(True), pictures(4)
    y, _, _ = model(x)
    y.square().mean().backward()
    for part in (model.encoder, model.encode_bottom, model.encode_top, model.to_top, model.to_bottom):
        assert all(p.grad.abs().sum() > 0 for p in part.parameters() if p.ndim > 1)


def test_a_condition_of_zeros_says_nothing_and_another_reaches_codes_and_picture():
    model, x = small(condition=5), pictures(2)
    y = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)) * 9
    none = model.encode_codes(x)
    assert all(torch.equal(a, b) for a, b in zip(none, model.encode_codes(x, torch.zeros(2, 5)), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(none, model.encode_codes(x, y), strict=True))
    assert not torch.equal(model.decode_codes(*none), model.decode_codes(*none, y))
    with pytest.raises(ValueError, match="condition: this VQ-VAE was trained without one"):
        small().encode_codes(x, y)


@pytest.mark.parametrize("height, width", [(12, 16), (16, 20), (0, 8)])
def test_sides_that_the_grids_do_not_divide_are_refused(height, width):
    with pytest.raises(ValueError, match=f"{height} × {width} pixels, but both sides must be multiples of 8"):
        small().grids(height, width)


def test_the_top_alone_is_decoded_over_no_bottom():
    model = small()
    (top, bottom), codes = model.encode(pictures(2))
    assert torch.equal(model.decode(top, None), model.decode(top, torch.zeros_like(bottom)))
    assert torch.equal(model.decode_codes(codes[0], None), model.decode(top, None))
    assert not torch.equal(model.decode(top, None), model.decode(top, bottom))
