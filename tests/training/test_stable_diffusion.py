"""The pocket Stable Diffusion's trainings: it begins as the VQGAN; what is shipped is a folder that stock diffusers runs."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from labkit import zoo
from labkit.kinds import KINDS
from labkit.lab import Lab
from labkit.models.autoencoder import autoencoder_config, from_vqgan
from labkit.models.schedule import add_noise
from labkit.models.stable_load import load_stable_diffusion, quiet
from labkit.training import pocket_pipeline
from labkit.training.autoencoder import TrainAutoencoder, scale_of
from labkit.training.bank import scene_bank
from labkit.training.latents import LatentBank, fingerprint_of
from labkit.training.stable_diffusion import TrainStableDiffusion, noise_of_sketch, sketched_times, unet_config
from labkit.weights import WeightsError
from tests.conformance import TinyLab, pocket_lab

pytestmark = pytest.mark.usefixtures("own_bank")
SMALL = {"steps": 1, "batch": 2, "scenes": 64, "precision": "fp32"}


@torch.no_grad()
def test_the_autoencoder_begins_as_the_vqgan(missing):
    """Away from the border it decodes what the VQGAN decodes of the four components."""
    lab = pocket_lab(missing, ["vqgan"])
    bank = scene_bank("train", 64)
    x = bank.images(range(64))
    model = from_vqgan(lab.vqgan, x)
    belief = model.encode(x).latent_dist
    z = belief.mean.movedim(1, -1).flatten(0, -2)
    assert belief.mean.shape == (64, 4, 16, 16) and torch.allclose(torch.cov(z.T), torch.eye(4), atol=0.01)
    assert z.mean(0).abs().max() < 0.01 and belief.std.max() < 0.05
    theirs = lab.vqgan.encode_continuous(x).movedim(1, -1).flatten(0, -2)
    fit = torch.linalg.lstsq(torch.cat([z, torch.ones(len(z), 1)], 1), theirs).solution
    near = (torch.cat([z, torch.ones(len(z), 1)], 1) @ fit).view(64, 16, 16, -1).movedim(-1, 1)
    wanted, ours = lab.vqgan.decode(near)[..., 24:40, 24:40], model.decode(belief.mean).sample[..., 24:40, 24:40]
    assert (ours - wanted).abs().mean() < 0.01 < (ours - ours.roll(1, 0)).abs().mean()
    assert abs(scale_of(model, x) - 1) < 0.01


def test_latents_are_made_once_and_never_of_other_weights(tiny, own_bank, monkeypatch):
    bank, vae = scene_bank("train", 64), tiny.autoencoder
    first = LatentBank(vae, bank)
    with torch.no_grad():
        wanted = vae.encode(bank.images([5, 3])).latent_dist.mean * vae.config.scaling_factor
    assert torch.allclose(first.latents([5, 3]), wanted, atol=5e-3)
    monkeypatch.setattr(type(vae), "encode", lambda *_: pytest.fail("made again"))
    assert torch.equal(LatentBank(vae, bank).latents(range(64)), first.latents(np.arange(64)))
    monkeypatch.undo()
    other = TinyLab().autoencoder
    with torch.no_grad():
        other.encoder.conv_out.bias.add_(0.5)
    assert fingerprint_of(other) != fingerprint_of(vae)
    assert not torch.allclose(LatentBank(other, bank).latents([0]), first.latents([0]), atol=0.1)


def test_a_decoder_may_learn_alone_and_latents_stay(tiny, own_bank):
    spec = TrainAutoencoder(steps=3, batch=2, scenes=32, precision="fp32", lr=1e-2, warm=True, decoder_only=True)
    (*_, last) = spec.run(tiny)
    before, (after, about) = tiny.autoencoder.state_dict(), last.extras["weights"]()
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "decoder" in moved and moved <= {"decoder", "post_quant_conv"}
    assert about["fingerprint"] == fingerprint_of(tiny.autoencoder)
    (*_, both) = spec.but(decoder_only=False).run(tiny)
    assert both.extras["weights"]()[1]["fingerprint"] != about["fingerprint"]


def test_the_parts_fit_into_their_budget(missing):
    lab = pocket_lab(missing, ["vqgan", "clip"])
    class Tower:
        class config:  # noqa: N801
            hidden_size = lab.clip.model.config.text_width

    with torch.device("meta"):
        vae = AutoencoderKL(**autoencoder_config(lab.vqgan))
        unet = UNet2DConditionModel(**unet_config(vae, Tower, TrainStableDiffusion().width))
    sizes = {"autoencoder": vae, "stable_diffusion": unet}
    for kind, net in sizes.items():
        assert sum(p.numel() for p in net.parameters()) * 2 <= KINDS[kind].megabytes * 1e6 - 50_000, kind
    assert sum(KINDS[kind].megabytes for kind in sizes) <= 18
    assert unet.config.in_channels == 4, "what diffusers' in-painting takes"


def shipped(lab, folder):
    """The weights of both trainings where `train --ship` puts them, with all that stands around them."""
    for kind, cls in (("autoencoder", TrainAutoencoder), ("stable_diffusion", TrainStableDiffusion)):
        (step,) = cls(**SMALL).run(lab)
        tensors, about = step.extras["weights"]()
        path = folder / KINDS[kind].home
        zoo.save_tensors(path, tensors, about)
        if kind == "autoencoder":
            assert pocket_pipeline.complete(path.parents[1]) == ["unet"]
            lab._models["autoencoder"] = AutoencoderKL.from_pretrained(path.parent).eval().requires_grad_(False)
    return folder / "stable_diffusion"


@pytest.fixture(scope="module")
def folder(missing, own_bank, tmp_path_factory):
    pocket_lab(missing, ["vqgan", "clip", "perceptual"])
    folder = shipped(Lab(device="cpu"), tmp_path_factory.mktemp("models"))
    assert pocket_pipeline.complete(folder) == []
    return folder


def test_what_is_shipped_is_a_folder_of_less_than_18_megabytes_that_stock_diffusers_runs(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 18e6
    picture, mask = Image.linear_gradient("L").resize((64, 64)).convert("RGB"), Image.new("RGB", (64, 64))
    mask.paste("white", (0, 0, 32, 32))
    for cls, given in ((StableDiffusionPipeline, {}), (StableDiffusionImg2ImgPipeline, {"image": picture, "strength": 0.5}),
                       (StableDiffusionInpaintPipeline, {"image": picture, "mask_image": mask})):
        with quiet():
            pipe = cls.from_pretrained(folder, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        assert pipe("a red apple", num_inference_steps=2, **given).images[0].size == (64, 64)
    ours = load_stable_diffusion(str(folder))
    assert (ours.size, ours.factor, ours.channels) == (64, 4, 4) and ours.scheduler.config.prediction_type == "v_prediction"


def test_a_u_net_beside_weights_that_it_does_not_know_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "vae" / pocket_pipeline.WEIGHTS
    tensors, about = zoo.load_tensors(path)
    zoo.save_tensors(path, tensors, {**about, "fingerprint": "0" * 64})
    with pytest.raises(WeightsError, match="its U-Net was trained with another autoencoder .* train it again"):
        pocket_pipeline.complete(copy)
    assert json.loads((copy / "model_index.json").read_text())["safety_checker"] == [None, None]


@pytest.mark.parametrize(("posed", "share"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_posed_scenes_are_their_share_of_every_batch(tiny, monkeypatch, posed, share):
    asked, honest = [], LatentBank.latents
    made = {}
    begin = LatentBank.__init__
    monkeypatch.setattr(LatentBank, "__init__", lambda self, vae, bank: (made.update({id(self): bank.fixed}), begin(
        self, vae, bank))[1])
    monkeypatch.setattr(LatentBank, "latents", lambda self, index: (asked.append((made[id(self)].get("posed", False),
                                                                                  len(index))), honest(self, index))[1])
    spec = TrainStableDiffusion(**SMALL | {"batch": 4}, width=16, easy=0, flat=True, posed=posed)
    assert np.isfinite(list(spec.run(tiny))[-1].scores["loss"])
    assert sum(n for one, n in asked if one) == share and sum(n for _, n in asked) == 4


def test_a_sketched_scene_begins_as_the_sketch_and_leads_to_the_picture():
    rng = torch.Generator().manual_seed(0)
    eps, z0, drawn = torch.randn(3, 5, 4, 2, 2, generator=rng)
    a = torch.tensor([0.9, 0.5, 0.2, 0.05, 0.01], dtype=torch.float64)
    noise = noise_of_sketch(eps, z0, drawn, a)
    assert torch.allclose(add_noise(z0, noise, a), add_noise(drawn, eps, a), atol=1e-5)
    assert torch.allclose(noise_of_sketch(eps, z0, z0, a), eps)


def test_no_sketch_is_met_before_its_start_nor_starts_early():
    start, met = sketched_times(4000, 1000, torch.Generator().manual_seed(0))
    assert bool((met <= start).all()) and int(start.min()) >= 500 and int(start.max()) < 980
    assert int(met.min()) == 0 and bool((met == start).any())


def test_sketched_scenes_are_met_with_their_own_sketches(tiny, monkeypatch):
    """With a sketch for its picture, and nothing else, what is learnt differs; without the share nothing does."""
    def loss(sketched):
        spec = TrainStableDiffusion(**SMALL | {"batch": 4}, width=16, easy=0, flat=True, sketched=sketched)
        (*_, last) = spec.run(tiny)
        return last.scores["loss"]

    plain, all_sketched = loss(0.0), loss(1.0)
    seen = []
    monkeypatch.setattr("labkit.training.stable_diffusion.noise_of_sketch",
                        lambda eps, z0, sketch, a: seen.append((z0, sketch)) or eps)
    loss(0.5)
    (z0, sketch), = seen
    assert plain != all_sketched and z0.shape == sketch.shape == (2, *z0.shape[1:]) and not torch.equal(z0, sketch)
