"""Training of a transform net: its style, its pictures, and what it refuses."""

import pytest
import torch
from PIL import Image

from labkit.image import ImageInput
from labkit.models.style_losses import moments
from labkit.spec import SpecError
from labkit.training.transform_net import TrainTransformNet

pytestmark = pytest.mark.usefixtures("own_bank")


def test_it_learns_on_any_folder_and_leaves_out_what_cannot_be_opened(tiny, tmp_path):
    for k, size in enumerate([(90, 40), (30, 70), (64, 64)]):
        Image.linear_gradient("L").resize(size).save(tmp_path / f"{k}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    picture = ImageInput.of(Image.radial_gradient("L"), 40, 24)
    spec = TrainTransformNet(pictures=str(tmp_path), picture=picture, steps=3, batch=2, precision="fp32")
    *_, last = spec.run(tiny)
    tensors, about = last.extras["weights"]()
    assert about["style"] == picture.sha256 and all(torch.isfinite(t).all() for t in tensors.values())


def test_a_style_of_the_world_is_the_mean_of_many_scenes_moments(tiny):
    targets = TrainTransformNet(look="mosaic").targets(tiny.perceptual, "cpu")
    assert set(targets) == set(tiny.perceptual.style_layers)
    picture = ImageInput.of(Image.radial_gradient("L"), 40, 24)
    alone = TrainTransformNet(picture=picture).targets(tiny.perceptual, "cpu")
    wanted = moments(tiny.perceptual.layers(picture.tensor() * 2 - 1, ["relu2_1"])["relu2_1"])
    assert torch.allclose(alone["relu2_1"].second, wanted.second, atol=1e-5)


def test_what_is_no_style_and_no_folder_is_refused(tiny, tmp_path):
    with pytest.raises(SpecError, match="look: is none of .*mosaic"):
        TrainTransformNet(look="baroque")
    (tmp_path / "a.png").write_bytes(b"no picture")
    for folder, wrong in ((tmp_path / "gone", "no such folder"), (tmp_path, "none of the pictures in .* can be opened")):
        with pytest.raises(SpecError, match=wrong):
            next(iter(TrainTransformNet(pictures=str(folder)).run(tiny)))
