"""What a codebook is seeded with, the first latents, and the discriminator's field of view."""

import torch

from labkit.loop import Rng
from labkit.models.vqgan import VQGAN
from labkit.training.vqgan import encoder_vectors, patch_discriminator, principal_components
from tests.conformance import VQ


class Bank:
    """Forty pictures of noise."""

    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1

    def __len__(self):
        return len(self.pictures)

    def images(self, index):
        return self.pictures[torch.as_tensor(list(index))]


def test_a_fresh_codebook_s_vectors_are_the_encoder_s_of_enough_pictures():
    torch.manual_seed(0)
    model = VQGAN(VQ).eval()
    own = model.encode_continuous(Bank.pictures)
    made = encoder_vectors(model, Bank(), Rng(0), pictures=32)
    assert made.shape[1:] == own.shape[1:] and len(made) == 32
    assert torch.cdist(made.flatten(1), own.flatten(1), compute_mode="donot_use_mm_for_euclid_dist").amin(1).max() < 1e-3


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
