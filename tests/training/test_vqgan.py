"""Keeping a codebook alive, and the discriminator's field of view."""

import pytest
import torch

from labkit.models.vqgan import VQGAN
from labkit.training.loop import Rng
from labkit.training.vqgan import CodeUse, patch_discriminator, principal_components, seed_codebook
from tests.conformance import VQ


def update(use, model, chosen, revive=True, seed=0):
    h = torch.randn(2, VQ.embed_dim, 3, 3, generator=torch.Generator().manual_seed(seed))
    use.update(model, h, torch.tensor(chosen), Rng(0), revive)
    return {tuple(v) for v in h.permute(0, 2, 3, 1).reshape(-1, VQ.embed_dim).tolist()}


def test_codes_unused_for_long_move_onto_encoder_vectors():
    torch.manual_seed(0)
    model = VQGAN(VQ)
    before = model.codebook.detach().clone()
    use = CodeUse(VQ.n_embed, patience=3)
    for _ in range(2):
        update(use, model, [[0, 1]])
    assert torch.equal(model.codebook, before) and use.used() == 1
    vectors = update(use, model, [[0, 1]])
    assert torch.equal(model.codebook[:2], before[:2]), "what is used stays"
    assert all(tuple(code) in vectors for code in model.codebook[2:].tolist())
    assert int(use.idle.max()) == 0, "what was moved has its time again"


def test_towards_the_end_nothing_is_moved_any_more():
    torch.manual_seed(0)
    model = VQGAN(VQ)
    before = model.codebook.detach().clone()
    use = CodeUse(VQ.n_embed, patience=2)
    for _ in range(4):
        update(use, model, [[0, 1]], revive=False)
    assert torch.equal(model.codebook, before) and use.used() == pytest.approx(2 / VQ.n_embed)


class Bank:
    """Forty pictures of noise."""

    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1

    def __len__(self):
        return len(self.pictures)

    def images(self, index):
        return self.pictures[torch.as_tensor(list(index))]


def test_a_fresh_codebook_begins_as_encoder_vectors():
    torch.manual_seed(0)
    model = VQGAN(VQ).eval()
    seed_codebook(model, Bank(), Rng(0), pictures=32)
    own = model.encode_continuous(Bank.pictures).permute(0, 2, 3, 1).reshape(-1, VQ.embed_dim)
    assert torch.cdist(model.codebook, own, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1).values.max() < 1e-4
    assert len(model.codebook.unique(dim=0)) > VQ.n_embed / 2


def test_principal_components_are_centred_uncorrelated_and_half_way_to_white():
    out = principal_components(Bank(), 4, 5)(Bank.pictures).permute(0, 2, 3, 1).reshape(-1, 5)
    patches = torch.nn.functional.unfold(Bank.pictures, 4, stride=4).transpose(1, 2).flatten(0, 1)
    deviations = torch.linalg.eigvalsh(torch.cov(patches.T)).flip(0)[:5].sqrt()
    assert out.mean(0).abs().max() < 1e-5
    assert torch.allclose(torch.cov(out.T), torch.diag(deviations), atol=1e-4), "the variance is the deviation of the whole"


def test_discriminator_judges_patches_of_22_pixels():
    critic = patch_discriminator(4).eval()
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    out = critic(x)
    assert out.shape == (1, 1, 15, 15)
    (grad,) = torch.autograd.grad(out[0, 0, 7, 7], x)
    rows = grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 22
