"""Full-size CLIP through open_clip: the published layout built small, loaded back, and never random."""

import json
import shutil

import open_clip
import pytest
import torch
from open_clip import factory
from safetensors.torch import load_file, save_file

from labkit.models import openclip
from labkit.models.openclip import load_openclip
from labkit.zoo import WeightsError, WeightsMismatch, WeightsNotFound

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A tiny CLIP with random weights and its folder in the layout open_clip pushes to the hub."""
    torch.manual_seed(0)
    # frozen as a loaded one is: torch's attention rounds differently where a gradient may be asked for
    model = open_clip.CLIP(**TINY).eval().requires_grad_(False)
    folder = tmp_path_factory.mktemp("tiny-clip")
    config = {"model_cfg": TINY, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return model, folder


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published[1], tmp_path / "copy")


@pytest.fixture
def architecture(published, tmp_path):
    """The tiny model's architecture under a name, as open_clip's own ones have."""
    known = dict(factory._MODEL_CONFIGS)
    factory._MODEL_CONFIGS["Tiny-16"] = TINY
    yield "Tiny-16"
    factory._MODEL_CONFIGS.clear()
    factory._MODEL_CONFIGS.update(known)


@torch.no_grad()
def same_features(ours, theirs, tokenizer) -> bool:
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = tokenizer(["a red apple", "snow"])
    assert tokens.shape == (2, 77)
    return torch.equal(ours.encode_image(image), theirs.encode_image(image)) and torch.equal(
        ours.encode_text(tokens), theirs.encode_text(tokens)
    )


def test_a_local_folder_gives_equal_features(published):
    model, folder = published
    loaded, tokenizer, preprocess = load_openclip(f"local-dir:{folder}")
    assert same_features(loaded, model, tokenizer)
    assert preprocess == {"size": 32, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_an_architecture_with_a_file_gives_equal_features(published, architecture, tmp_path, name):
    model, folder = published
    if name.endswith(".pt"):
        torch.save({"state_dict": model.state_dict()}, tmp_path / name)
    else:
        shutil.copy(folder / "open_clip_model.safetensors", tmp_path / name)
    loaded, tokenizer, _ = load_openclip(f"{architecture}/{tmp_path / name}")
    assert same_features(loaded, model, tokenizer)


def test_missing_weights_are_never_replaced_by_random_ones(copy, architecture, tmp_path):
    (copy / "open_clip_model.safetensors").unlink()
    with pytest.raises(
        WeightsNotFound, match="holds no weights; it must hold open_clip_config.json and open_clip_model.safetensors"
    ):
        load_openclip(f"local-dir:{copy}")
    with pytest.raises(WeightsNotFound, match="must hold"):
        load_openclip(f"local-dir:{tmp_path / 'nowhere'}")
    with pytest.raises(WeightsNotFound, match="nothing.safetensors: no such file"):
        load_openclip(f"{architecture}/{tmp_path / 'nothing.safetensors'}")
    with pytest.raises(WeightsError, match="'Tiny-16' names no weights"):
        load_openclip(architecture)


def test_half_of_the_weights_is_not_enough(copy):
    path = copy / "open_clip_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k.startswith("visual.")}, path)
    with pytest.raises(WeightsError):
        load_openclip(f"local-dir:{copy}")


def test_another_architecture_is_named_with_its_first_differences(published):
    path = published[1] / "open_clip_model.safetensors"
    with pytest.raises(WeightsMismatch, match="does not fit CLIP") as caught:
        load_openclip(f"RN50/{path}")
    lines = str(caught.value).splitlines()
    assert len(lines) == 6 and lines[1].startswith("  missing visual.")


def test_another_width_is_named_with_its_shapes(copy):
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["model_cfg"] = TINY | {"embed_dim": 24}
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsMismatch, match=r"text_projection is \(32, 16\), the model has \(32, 24\)"):
        load_openclip(f"local-dir:{copy}")


def test_broken_files_are_an_error(copy, architecture, tmp_path):
    path = copy / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not whole"):
        load_openclip(f"local-dir:{copy}")


def test_a_pickle_bomb_in_a_weights_file_never_runs(architecture, tmp_path):
    marker = tmp_path / "marker"

    class Bomb:
        def __reduce__(self):
            return open, (str(marker), "w")

    torch.save({"state_dict": {"a": Bomb()}}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match=r"refused.*would run \w*io.open"):
        load_openclip(f"{architecture}/{tmp_path / 'bomb.pt'}")
    assert not marker.exists()


def test_offline_says_what_to_get_and_what_stands_in(monkeypatch):
    for spec in ("ViT-B-32/openai", "hf-hub:labkit-test/none"):
        with pytest.raises(WeightsNotFound, match="(?s)is not at hand.*the pocket model stands in"):
            load_openclip(spec)


def test_unknown_names_list_near_ones():
    with pytest.raises(WeightsError, match="near ones: .*ViT-B-32"):
        load_openclip("ViT-B32/openai")
    with pytest.raises(WeightsError, match="has no tag 'openia'; it has: openai"):
        load_openclip("ViT-B-32/openia")
    with pytest.raises(WeightsError, match="names no weights; write 'ViT-B-32/openai'"):
        load_openclip("ViT-B-32")


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """`fetched(name)` puts a file where the zoo puts a tag's weights."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))

    def put(name):
        file = tmp_path / "clip" / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        return file

    return put


def test_openais_weights_get_their_activation_and_others_keep_theirs(fetched):
    """open_clip only warns when a tag was trained with the other GELU; features would be silently wrong."""
    for name, quick in {"ViT-B-32/openai": True, "ViT-B-32/laion2b_s34b_b79k": False}.items():
        fetched(name)
        assert openclip._resolve(name).config["quick_gelu"] is quick


def test_what_the_zoo_fetched_is_used_with_the_tags_preprocessing(fetched):
    file = fetched("ViT-B-32/openai")
    source = openclip._resolve("ViT-B-32/openai")
    assert source.file == file and source.tokenizer == "ViT-B-32"
    assert source.preprocess["mean"] == (0.48145466, 0.4578275, 0.40821073)


def test_what_the_hub_cache_holds_is_loaded_without_a_request(published, tmp_path, monkeypatch, blocked):
    model, folder = published
    snapshot = tmp_path / "models--labkit-test--tiny" / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (tmp_path / "models--labkit-test--tiny" / "refs").mkdir()
    (tmp_path / "models--labkit-test--tiny" / "refs" / "main").write_text("0" * 40)
    find = openclip.try_to_load_from_cache
    monkeypatch.setattr(openclip, "try_to_load_from_cache", lambda *a: find(*a, cache_dir=tmp_path))
    loaded, tokenizer, _ = load_openclip("hf-hub:labkit-test/tiny")
    assert same_features(loaded, model, tokenizer)
    assert openclip._cached("labkit-test/tiny/") == str(snapshot / "open_clip_model.safetensors")
    assert openclip._cached("labkit-test/tiny/other.bin") is None and not blocked


@pytest.mark.parametrize(("spec", "right"), [
    ("hf-hub:https://huggingface.co/laion/X", "laion/X"), ("https://huggingface.co/laion/X/tree/main", "laion/X"),
    ("hf-hub:laion/X/", "laion/X"), ("hf-hub: laion/X", "laion/X"), ("hf-hub:laion / X", "laion/X"),
    ("HF-HUB:laion/X", "laion/X"),
    ("hf.co/laion/X?library=open_clip", "laion/X"), ("hf-hub:/laion/X", "laion/X"), ("hf:laion/X", "laion/X"),
    ("hf-hub:", None), ("hf-hub: ", None), ("hf-hub:laion", None), ("hf-hub:laion/X/Y", None), ("hf-hub:laion/X Y", None),
    ("hf-hub:../../etc", None), ("hf-hub:lai\x1b[31mon/X", None), ("hf-hub:пример/X", None), ("https://huggingface.co/", None),
    ("hf-hub:" + "a" * 200 + "/X", None), ("hf-hub:laion/X--Y", None),
])
def test_a_name_of_the_hub_that_is_none_is_told_the_right_spelling(spec, right, blocked):
    said = f"give ORG/REPO after hf-hub:, so write 'hf-hub:{right}'" if right else "names no repository .*give ORG/REPO"
    with pytest.raises(WeightsError, match=said) as caught:
        load_openclip(spec)
    assert "\x1b" not in str(caught.value) and not blocked


def test_names_that_lack_a_part_are_told_which(tmp_path):
    file = tmp_path / "x.safetensors"
    file.touch()
    for spec, said in {
        "": "names no model", str(file): "names no architecture; write ARCHITECTURE/FILE", str(tmp_path): "write 'local-dir:",
        "laion/CLIP-X": "written 'hf-hub:laion/CLIP-X'", "https://example.org/x.pt": "is an address; fetch the file",
        "ViT-B-32/https://example.org/x.pt": "is an address; fetch the file",
        "local-dir:": "names no folder; write local-dir:FOLDER",
        "local-dir: ": "names no folder", f"local-dir:{file}": "is a file, not a folder; it must hold open_clip_config.json",
        f"local-dir:{tmp_path}": "holds no open_clip_config.json",
    }.items():
        with pytest.raises(WeightsError, match=said):
            load_openclip(spec)


CONFIGS = {
    "a page": ("<html>Sign in</html>", "is no JSON of a config: a web page"),
    "empty": ("", "is no JSON of a config: an empty file"),
    "a list": ("[1]", "needs a model_cfg with vision_cfg and text_cfg"), "brackets": ("[" * 10**5, "is no JSON of a config"),
    "no towers": ('{"model_cfg": {}}', "needs a model_cfg"), "a megabyte": (" " * (2 << 20), "it has 2,097,152 bytes"),
    "layers": (json.dumps({"model_cfg": TINY | {"text_cfg": TINY["text_cfg"] | {"layers": 10**9}}}),
               "does not fit: text_cfg.layers is 1000000000, the file has"),
    "context": (json.dumps({"model_cfg": TINY | {"text_cfg": TINY["text_cfg"] | {"context_length": 10**6}}}), "1 to 10000"),
    "width": (json.dumps({"model_cfg": TINY | {"embed_dim": 10**8}}), "text_projection is .32, 16., the model has .32, 1000"),
    "words": (json.dumps({"model_cfg": TINY | {"embed_dim": "many"}}), "does not describe a CLIP that can be built"),
    "strangers": (json.dumps({"model_cfg": TINY | {"colour": 1}}), "does not describe a CLIP that can be built"),
    "std": (json.dumps({"model_cfg": TINY, "preprocess_cfg": {"std": [0, 1, 1]}}), "three numbers each, std above 0"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_describes_no_clip_is_refused(copy, name):
    content, said = CONFIGS[name]
    (copy / "open_clip_config.json").write_text(content)
    with pytest.raises(WeightsError, match=said):
        load_openclip(f"local-dir:{copy}")


@pytest.mark.parametrize("wrap", [
    lambda s: {"state_dict": {"module." + k: v for k, v in s.items()}}, lambda s: {"model": s, "epoch": 3},
    lambda s: {"module._orig_mod." + k: v for k, v in s.items()},
], ids=["data parallel", "model", "compiled"])
def test_wrapped_weights_give_equal_features(published, architecture, tmp_path, wrap):
    torch.save(wrap(dict(published[0].state_dict())), tmp_path / "epoch_3.pt")
    loaded, tokenizer, _ = load_openclip(f"{architecture}/{tmp_path / 'epoch_3.pt'}")
    assert same_features(loaded, published[0], tokenizer)


def test_positions_of_another_grid_are_resampled_as_open_clip_does(copy, architecture, published, tmp_path):
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["model_cfg"] = TINY | {"vision_cfg": TINY["vision_cfg"] | {"image_size": 64}}
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    ours, _, preprocess = load_openclip(f"local-dir:{copy}")
    theirs = open_clip.create_model(f"local-dir:{copy}").eval().requires_grad_(False)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert preprocess["size"] == 64 and torch.equal(ours.encode_image(image), theirs.encode_image(image))


@pytest.mark.parametrize(("content", "said"), [
    (b"<html>Sign in</html>", "a web page, not a checkpoint"), (b"", "an empty file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 605\n", "pointer of large-file storage .*605 bytes"),
])
def test_weights_that_are_none_are_named_in_files_and_folders(copy, architecture, content, said):
    path = copy / "open_clip_model.safetensors"
    path.write_bytes(content)
    for spec in (f"local-dir:{copy}", f"{architecture}/{path}"):
        with pytest.raises(WeightsError, match=said) as caught:
            load_openclip(spec)
        assert "weights_only" not in str(caught.value)
