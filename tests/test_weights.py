"""Weights on the disk: written whole or not at all, read as safetensors or not at all."""

import subprocess
import sys

import pytest
import torch

from labkit import zoo


def test_tensors_and_metadata_round_trip_as_fp16(tmp_path):
    tensors = {"w": torch.tensor([[0.5, -3.0]]).T, "steps": torch.tensor(7), "names": torch.tensor([2**40])}
    about = {"kind": "judge", "classes": ["apple", "äpfel"], "config": {"width": 8}}
    path = zoo.save_tensors(tmp_path / "deep" / "m.safetensors", tensors, about)
    loaded, said = zoo.load_tensors(path)
    assert said == about == zoo.read_metadata(path)
    assert loaded["w"].dtype == torch.float16 and torch.equal(loaded["w"].float(), tensors["w"])
    assert loaded["steps"] == 7 and loaded["names"].dtype == torch.int64 and loaded["names"] == 2**40


def test_same_content_gives_the_same_bytes_whatever_the_order_of_metadata(tmp_path):
    a = zoo.save_tensors(tmp_path / "a.safetensors", {"w": torch.ones(3)}, {"x": 1, "y": 2}).read_bytes()
    b = zoo.save_tensors(tmp_path / "b.safetensors", {"w": torch.ones(3)}, {"y": 2, "x": 1}).read_bytes()
    assert a == b


def test_shared_tensors_are_saved_apart(tmp_path):
    w = torch.arange(4.0)
    path = zoo.save_tensors(tmp_path / "m.safetensors", {"a": w, "b": w, "half": w[::2]}, {}, dtype=None)
    loaded, about = zoo.load_tensors(path)
    assert torch.equal(loaded["b"], w) and torch.equal(loaded["half"], w[::2]) and about == {}


@pytest.mark.parametrize("value", [70000.0, float("nan")])
def test_a_value_that_fp16_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, value):
    path = zoo.save_tensors(tmp_path / "m.safetensors", {"w": torch.ones(2)}, {})
    before = path.read_bytes()
    with pytest.raises(zoo.WeightsError, match="layer.w: has values that are not finite"):
        zoo.save_tensors(path, {"layer.w": torch.tensor([value])}, {})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = zoo.save_tensors(tmp_path / "m.safetensors", {"w": torch.ones(2)}, {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        zoo.save_tensors(path, {"w": torch.zeros(2)}, {"not json": object()})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("keep", "said"), [
    (0, "an empty file"), (4, "a file of 4 bytes, too short"),
    (40, "not whole .its header alone needs 96 bytes, the file has 40"),
    (-1, "not a whole safetensors file .its header promises 196 bytes, the file has 195"),
])
def test_a_truncated_file_is_a_clear_error(tmp_path, keep, said):
    path = zoo.save_tensors(tmp_path / "m.safetensors", {"w": torch.ones(50)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(zoo.WeightsError, match=f"m.safetensors: .*{said}.*; fetch it again"):
        zoo.load_tensors(path)


@pytest.mark.parametrize("name", ["m.ckpt", "m.pt", "m.pth", "m.bin", "disguised.safetensors"])
def test_a_pickle_is_not_loaded_and_the_error_says_how_to_convert(tmp_path, name):
    torch.save({"w": torch.ones(2)}, tmp_path / name)
    with pytest.raises(zoo.WeightsError, match=r"python -m labkit convert \S+ \S+\.safetensors"):
        zoo.load_tensors(tmp_path / name)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(zoo.WeightsNotFound, match="no such file"):
        zoo.load_tensors(tmp_path / "none.safetensors")


def test_a_disk_that_fills_is_told_plainly_and_leaves_the_old_file(tmp_path):
    code = """if True:
        import resource, sys, torch
        from labkit import zoo
        from labkit.files import FileError
        zoo.save_tensors(sys.argv[1], {"w": torch.ones(3)}, {})
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            zoo.save_tensors(sys.argv[1], {"w": torch.ones(100_000)}, {})
        except FileError as error:
            print(error)
    """
    path = tmp_path / "m.safetensors"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    assert "m.safetensors" in done.stdout and "may not become that large" in done.stdout, done.stdout + done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    assert zoo.load_tensors(path)[0]["w"].tolist() == [1, 1, 1]
