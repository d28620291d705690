"""The environment self-check: it sees what is wrong, and says what to do."""

import struct
import sys
from types import ModuleType

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save_file

from labkit import check
from labkit.check import Finding, check_environment, check_package, check_weights, declared_requirements


def test_good_package_passes():
    found = check_package(Requirement("numpy>=1"))
    assert found.ok and found.detail[0].isdigit()


def test_too_old_package_fails_with_a_remedy():
    found = check_package(Requirement("numpy>=999"))
    assert found.ok is False and "pip install 'numpy>=999'" in found.detail


def test_missing_package_fails_only_if_needed():
    unheard = Requirement("a-package-nobody-made>=1")
    assert check_package(unheard).ok is False
    assert check_package(unheard, needed=False).ok is None


def test_package_that_is_there_but_broken_fails(monkeypatch):
    """The commonest accident: a torchvision made for another torch has a version, and raises on import."""

    class Broken(ModuleType):
        def find_spec(self, name, path=None, target=None):
            if name == "torchvision":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken("broken"), *sys.meta_path])
    found = check_package(Requirement("torchvision"))
    assert found.ok is False and "operator torchvision::nms does not exist" in found.detail


def test_unsupported_python_fails(monkeypatch):
    monkeypatch.setattr(check, "PYTHONS", ((3, 98), (3, 99)))
    (found,) = check._python()
    assert found.ok is False and "3.98 to 3.99" in found.detail


def test_requirements_are_split():
    run, test = (({r.name for r in part}) for part in declared_requirements())
    assert {"torch", "gradio"} <= run and {"pytest", "hypothesis"} <= test and not run & test


def test_weights_are_read(tmp_path):
    save_file({"w": torch.zeros(1024, 1024, dtype=torch.float16)}, tmp_path / "clip.safetensors")
    found = check_weights(tmp_path / "clip.safetensors")
    assert found == Finding("model clip", True, "pocket, 2.0 MiB, 1 tensors")


@pytest.mark.parametrize("damage", [b"", b"not weights at all", struct.pack("<Q", 10**9) + b"{}", None])
def test_damaged_weights_fail(tmp_path, damage):
    path = tmp_path / "clip.safetensors"
    save_file({"w": torch.zeros(1024)}, path)
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    found = check_weights(path)
    assert found.ok is False and str(path) in found.detail


def test_no_models_is_a_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    found = next(check._models())
    assert found.ok is False and "python -m labkit train" in found.detail


def test_report_covers_everything():
    findings = {f.part: f for f in check_environment()}
    full = "model imagenet-f16-1024"
    assert {"python", "torch", "open-clip-torch", "pytest", "device", "memory", "disk", full} <= set(findings)
    assert findings[full].ok is not False, "a full-size model that is not here is no failure"


def test_format_marks_and_counts():
    good, bad, fact = Finding("a", True, "x"), Finding("bb", False, "y"), Finding("c", None, "z")
    text = check.format_findings([good, bad, fact])
    first, second, third, last = text.splitlines()
    assert first.split() == ["OK", "a", "x"] and second.split() == ["FAIL", "bb", "y"] and third[0] == "-"
    assert last == "1 of 3 checks failed"
    assert "failed" not in check.format_findings([good, fact])
