"""A full-size CLIP, built small in the published layout, is tuned by the same calls and loads again as what it was, tuned."""

import torch

from labkit.clip.encoder import load_encoder
from labkit.lab import Lab
from labkit.runs.checkpoint import train_to_disk
from labkit.training.clip_finetune import FineTuneCLIP
from tests.conformance import condition
from tests.models.test_openclip import published  # noqa: F401 (a fixture)
from tests.training.test_clip_finetune import DATA, SMALL


def test_tuned_saved_and_loaded_by_its_file(published, tmp_path):  # noqa: F811
    lab = Lab(device="cpu", precision="fp32", clip=f"local-dir:{published[1]}")
    lab.require(FineTuneCLIP())
    before = condition(lab)
    for rank in (0, 2):
        folder = tmp_path / str(rank)
        *_, last = train_to_disk(FineTuneCLIP(**SMALL, lr=1e-2, learns={"rank": rank}), lab, folder, data=DATA)
        tuned = load_encoder(str(folder / "weights.safetensors"))
        x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(tuned.encode_image(x), last.extras["tuned"](1.0).encode_image(x), atol=5e-3), "fp16 on the disk"
        assert not torch.allclose(tuned.encode_image(x), lab.clip.encode_image(x), atol=5e-3)
        assert tuned.of == lab.clip.name and tuned._mean.flatten().tolist() == lab.clip._mean.flatten().tolist()
    assert condition(lab).keys() == before.keys()
    again = Lab(device="cpu", precision="fp32", clip=str(folder / "weights.safetensors"))
    *_, last = FineTuneCLIP(**SMALL).run(again, None, DATA)
    assert last.extras["weights"]()[1]["of"] == lab.clip.name, "tuned again, it is still of the first"
