"""Full-size BLIP: the published layout built small, loaded back, never random, the same numbers as transformers' own calls."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

from labkit.clip.blip import load_blip
from labkit.weights import WeightsError, WeightsMismatch, WeightsNotFound

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"a red blue dog cat in the snow picture of ##s".split()]
PREPROCESSOR = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 32, "width": 32}}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A matching and a captioning model with random weights, each in a folder as published, and the folders."""
    n = len(WORDS) + 2
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": n, "bos_token_id": n - 2, "sep_token_id": 3, "eos_token_id": 3}
    text["max_position_embeddings"] = 24
    vision = {**sizes, "image_size": 32, "patch_size": 16, "initializer_range": 0.5}
    config = BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=8, initializer_range=0.5)
    out = {}
    for name, cls in (("itm", BlipForImageTextRetrieval), ("captioning", BlipForConditionalGeneration)):
        torch.manual_seed(3)
        model, folder = cls(config).eval().requires_grad_(False), tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
        out[name] = (model, folder)
    return out


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published["itm"][1], tmp_path / "copy")


def pictures(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def normalised(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(PREPROCESSOR[k]).view(1, 3, 1, 1) for k in ("image_mean", "image_std"))
    return (x - mean) / std


def test_embeddings_and_matches_are_those_of_transformers(published):
    model, folder = published["itm"]
    blip, x = load_blip(f"local-dir:{folder}"), pictures()
    ids = torch.tensor([[2, 5, 6, 8, 3], [2, 5, 7, 9, 3]])
    cosines = model(ids, normalised(x), use_itm_head=False).itm_score
    ours = blip.encode_image(x) @ blip.encode_text(["a red dog", "a blue cat"]).T
    assert torch.allclose(ours, cosines, atol=1e-5)
    led = ids.clone()
    led[:, 0] = len(WORDS) + 1  # [ENC], which transformers leaves to the caller
    wanted = model(led, normalised(x[:2])).itm_score.softmax(1)[:, 1]
    assert torch.allclose(blip.match(x[:2], ["a red dog", "a blue cat"]), wanted, atol=1e-5)
    left = model(ids, normalised(x[:2])).itm_score.softmax(1)[:, 1]
    assert not torch.allclose(left, wanted, atol=1e-3), "the first token matters"
    assert not any(p.requires_grad for p in blip.net.parameters())


def test_captions_are_those_of_transformers_and_two_parts_make_one_model(published):
    (_, itm), (model, captioning) = published["itm"], published["captioning"]
    blip, x = load_blip(f"local-dir:{itm}+local-dir:{captioning}"), pictures()
    wanted = model.generate(pixel_values=normalised(x), max_new_tokens=23, do_sample=False)
    assert blip.tokenizer.decode(torch.tensor([len(WORDS), 5, 6, 8, 3])) == "a red dog"
    assert blip.caption(x) == [blip.tokenizer.decode(row) for row in wanted]
    assert torch.allclose(blip.encode_image(x).norm(dim=1), torch.ones(3)) and blip.match(x, ["a dog"] * 3).shape == (3,)


def test_a_part_that_is_missing_is_named(published):
    captions, matches = (load_blip(f"local-dir:{published[k][1]}") for k in ("captioning", "itm"))
    with pytest.raises(WeightsError, match="has no part that embeds; name one that captions and one that matches"):
        captions.encode_text(["a dog"])
    with pytest.raises(WeightsError, match="has no part that captions"):
        matches.caption(pictures())
    with pytest.raises(WeightsError, match="names two of a kind, BlipForImageTextRetrieval"):
        load_blip("+".join([f"local-dir:{published['itm'][1]}"] * 2))


def test_older_files_and_pickles_of_tensors_load(published, copy):
    state = load_file(copy / "model.safetensors")
    state["text_encoder.embeddings.position_ids"] = torch.arange(24)[None]
    (copy / "model.safetensors").unlink()
    torch.save(state, copy / "pytorch_model.bin")
    old, new = (load_blip(f"local-dir:{folder}").encode_image(pictures()) for folder in (copy, published["itm"][1]))
    assert torch.equal(old, new)


def test_weights_that_lack_something_are_refused_and_never_filled_up(copy):
    state = load_file(copy / "model.safetensors")
    lost = state.pop("itm_head.weight")
    state["text_proj.bias"] = torch.zeros(9)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsMismatch) as caught:
        load_blip(f"local-dir:{copy}")
    assert f"missing itm_head.weight {tuple(lost.shape)}" in str(caught.value) and "text_proj.bias is (9,)" in str(caught.value)


@pytest.mark.parametrize(("file", "content", "says"), [
    ("config.json", "{", "is no JSON of a model"), ("config.json", None, "holds no config.json; it must hold"),
    ("config.json", '{"architectures": ["BertModel"]}', "describes BertModel; it must be one of BlipForImageTextRetrieval"),
    ("model.safetensors", None, "holds no weights; it must hold"), ("vocab.txt", None, "its tokenizer is not at hand"),
    ("preprocessor_config.json", '{"image_std": [0, 1, 1]}', "std above 0"),
    ("model.safetensors", "<html>", "model.safetensors"),
])  # fmt: skip
def test_a_folder_that_is_not_whole_is_told(copy, file, content, says):
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_text(content)
    for other in ("tokenizer.json", "tokenizer_config.json"):
        (copy / other).unlink(missing_ok=True)
    with pytest.raises(WeightsError, match=says):
        load_blip(f"local-dir:{copy}")


def test_a_config_that_asks_for_more_than_the_file_has_is_refused_before_it_is_built(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 10**6
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsMismatch, match="num_hidden_layers"):
        load_blip(f"local-dir:{copy}")


def test_offline_it_says_what_to_fetch_and_what_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFound, match=r"Salesforce/blip-itm-base-coco is not at hand(.|\n)*local-dir:FOLDER"
                       r"(.|\n)*the pocket model stands in: blip='pocket'"):
        load_blip("Salesforce/blip-itm-base-coco")
    with pytest.raises(WeightsError, match="'nonsense' names no model; 'pocket' is one"):
        load_blip("nonsense")
    with pytest.raises(WeightsNotFound, match="is no folder; it must hold"):
        load_blip(f"local-dir:{tmp_path / 'no'}")


def test_pictures_of_another_side_are_resampled_and_of_another_shape_refused(published):
    blip = load_blip(f"local-dir:{published['itm'][1]}")
    few = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    small, large = (F.interpolate(few, (side, side), mode="bilinear") for side in (32, 128))
    assert (blip.encode_image(large) * blip.encode_image(small)).sum(1).min() > 0.99
    with pytest.raises(ValueError, match=r"pictures: shape \(3, 32, 32\) must be \(B, 3, H, W\)"):
        blip.encode_image(pictures()[0])
    with pytest.raises(ValueError, match="texts: 3 pictures need as many texts; got 1"):
        blip.match(pictures(), ["a dog"])
    with pytest.raises(ValueError, match="texts: give a list of texts"):
        blip.encode_text("a dog")
