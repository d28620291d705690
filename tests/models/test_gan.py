"""The GAN's nets: one call for two generators, pictures that a seed fixes, and a projection term in closed form."""

import pytest
import torch

from labkit import zoo
from labkit.models.gan import CRITIC_SIDES, Discriminator, GANConfig, PocketGAN, load_gan, soft
from labkit.models.load import config_of

KINDS = {"conv": GANConfig("conv", noise=8, embed=6, widths=(16, 16, 8, 8)),
         "ffnn": GANConfig("ffnn", noise=8, embed=6, widths=(12, 5))}
every = pytest.mark.parametrize("kind", KINDS)


def generator(kind: str = "conv") -> PocketGAN:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return PocketGAN(KINDS[kind]).eval()


def embeddings(n: int = 3, seed: int = 1) -> torch.Tensor:
    e = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return e / e.norm(dim=1, keepdim=True)


@every
def test_noise_and_phrase_make_a_picture(kind):
    model = generator(kind)
    y = model(model.noise(3, 0), embeddings())
    assert y.shape == (3, 3, 64, 64) and y.dtype == torch.float32 and y.abs().max() <= 1
    assert not torch.equal(y[0], y[1])
    other = model(model.noise(3, 0), embeddings(seed=2))
    assert not torch.allclose(y, other), "the phrase is heeded"


@every
def test_the_seed_fixes_the_pictures_and_nothing_else_is_drawn_from(kind):
    model, before = generator(kind), torch.get_rng_state()
    y = model.sample(embeddings(), seed=4)
    torch.rand(5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(y, model.sample(embeddings(), seed=4)) and torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(y, model.sample(embeddings(), seed=5)) and not y.requires_grad
    same = model.sample(embeddings(1).repeat(2, 1))
    assert not torch.equal(same[0], same[1]), "one phrase, two noises"


def test_the_shipped_size_fits_its_budget():
    for kind in KINDS:
        with torch.device("meta"):
            assert sum(t.numel() for t in PocketGAN(GANConfig(kind)).state_dict().values()) <= 1_310_000, kind


def test_embeddings_are_standardised_by_what_was_measured():
    model, e = generator(), embeddings(50)
    model.measure(e)
    s = model.standard(e)
    assert torch.allclose(s.mean(0), torch.zeros(6), atol=1e-5) and torch.allclose(s.std(0), torch.ones(6), atol=1e-5)
    model.measure(torch.ones(4, 6))
    assert torch.isfinite(model.standard(torch.ones(1, 6))).all(), "a constant is no division by nothing"


def test_a_feed_forward_picture_is_a_mean_plus_a_mixture_of_fixed_pictures():
    """As many as the last layer has inputs: before tanh, the pictures of any number of phrases have at most that rank."""
    model = generator("ffnn").double()
    x = model.net(torch.randn(40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), embeddings(40).double())
    rows = (x.flatten(1) - model.net.pixels.bias).detach()
    assert int(torch.linalg.matrix_rank(rows)) == 5


def test_the_four_pixels_of_a_cell_start_alike():
    x = generator().net.pixels(torch.randn(1, 8, 32, 32)).view(1, 3, 4, 32, 32)
    assert torch.allclose(x, x[:, :, :1].expand_as(x), atol=1e-6)


def test_the_last_filter_passes_no_stripes_of_one_pixel_and_keeps_what_is_even():
    even, column = torch.full((1, 3, 8, 8), 0.7), torch.tensor([1.0, -1.0]).repeat(4)
    assert torch.allclose(soft(even), even)
    for stripes in (column.view(1, 1, 1, 8), column.view(1, 1, 8, 1), column.view(1, 1, 1, 8) * column.view(1, 1, 8, 1)):
        x = (even + stripes).expand(1, 3, 8, 8)
        assert torch.allclose(soft(x)[..., 1:-1, 1:-1], even[..., 1:-1, 1:-1], atol=1e-6)
    spot = torch.zeros(1, 1, 5, 5)
    spot[..., 2, 2] = 16
    assert torch.equal(soft(spot)[0, 0, 1:4, 1:4], torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]))


@pytest.mark.parametrize(("values", "message"), [
    ({"kind": "transformer"}, "kind: 'transformer' must be one of conv, ffnn"),
    ({"noise": 0}, "noise: 0 must be 1 or more"),
    ({"embed": -1}, "embed: -1 must be 1 or more"),
    ({"widths": (16, 16, 8)}, r"widths: \(16, 16, 8\) must be four multiples of 8"),
    ({"widths": (16, 16, 8, 12)}, "must be four multiples of 8"),
    ({"kind": "ffnn", "widths": (4, 0)}, r"widths: \(4, 0\) must be 1 or more each"),
])
def test_bad_architectures_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        GANConfig(**values)


def test_wrong_shapes_are_refused():
    model = generator()
    with pytest.raises(ValueError, match=r"z: shape \(2, 9\) must be \(B, 8\)"):
        model(torch.zeros(2, 9), embeddings(2))
    with pytest.raises(ValueError, match=r"embeddings: shape \(3, 6\) must be \(2, 6\), CLIP's text embeddings"):
        model(torch.zeros(2, 8), embeddings(3))
    with pytest.raises(ValueError, match=r"embeddings: shape \(6,\) must be \(B, 6\)"):
        model.sample(embeddings(1)[0])


# The discriminator

def test_its_text_term_is_a_projection():
    critic = Discriminator(6, widths=(4, 4, 4))
    phi, e = torch.randn(5, 192), embeddings(5)
    plain = phi @ critic.psi.weight[0] + critic.psi.bias
    expected = plain + torch.einsum("bd,cd,bc->b", e, critic.project.weight, phi) / 192**0.5
    assert torch.allclose(critic.score(phi, e), expected, atol=1e-5)
    assert torch.allclose(critic.score(phi, torch.zeros(5, 6)), plain, atol=1e-6), "no phrase: real or not alone"
    twice = critic.score(phi, 2 * e) - critic.score(phi, e)
    assert torch.allclose(twice, critic.score(phi, e) - plain, atol=1e-5), "linear in the phrase"


def test_taps_join_at_their_side():
    taps = {16: 5, 8: 7}
    critic = Discriminator(6, widths=(4, 4, 4), taps=taps)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    seen = tuple(torch.randn(2, c, s, s) for s, c in taps.items())
    y = critic(x, embeddings(2), seen)
    assert y.shape == (2,)
    for k in range(2):
        other = tuple(f + (j == k) for j, f in enumerate(seen))
        assert not torch.allclose(critic(x, embeddings(2), other), y), f"tap {k} counts"
    assert not torch.allclose(critic(-x, embeddings(2), seen), y), "and so do the pixels"
    with pytest.raises(ValueError, match="taps: no level has the side 32; there are 16, 8, 4"):
        Discriminator(6, taps={32: 5})
    assert CRITIC_SIDES == (16, 8, 4)


# On disk

def save(path, about=None, model=None):
    model = model or generator()
    about = about or {"kind": "gan", "config": config_of(model), "world": "w"}
    zoo.save_tensors(path, model.state_dict(), about)
    return model


@every
def test_saves_and_loads_as_the_other_pocket_models_do(kind, tmp_path):
    model = generator(kind)
    save(tmp_path / "gan.safetensors", model=model)
    again = load_gan(str(tmp_path / "gan.safetensors"))
    assert again.config == model.config and len(again.sha256) == 64
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert torch.allclose(again.sample(embeddings()), model.sample(embeddings()), atol=2e-2), "fp16 on disk"


def test_a_stranger_s_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save(path, {"kind": "vqgan", "config": {}})
    with pytest.raises(zoo.WeightsError, match="says it is 'vqgan', not 'gan'"):
        load_gan(str(path))
    save(path, {"kind": "gan", "config": {"kind": "huge"}})
    with pytest.raises(zoo.WeightsError, match="its config does not describe a model of kind 'gan'.*kind: 'huge'"):
        load_gan(str(path))
    save(path, {"kind": "gan", "config": GANConfig("ffnn", 8, 6, (12, 5)).__dict__ | {"widths": [12, 6]}}, generator("ffnn"))
    with pytest.raises(zoo.WeightsMismatch, match="differences"):
        load_gan(str(path))
    with pytest.raises(zoo.WeightsError, match="no gan is called 'pokcet'"):
        load_gan("pokcet")
