"""What the command line's tests share: a folder of their own, and small models behind every command."""

import pytest

from labkit import methods
from tests.conformance import TinyLab
from tests.views.support import FakeLab, Noise


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def tiny():
    return TinyLab()


@pytest.fixture
def lab(tiny, monkeypatch):
    """What every flag of a lab comes to here: small random models."""
    monkeypatch.setattr("labkit.lab.Lab", lambda **arguments: tiny)
    return tiny


@pytest.fixture
def noise(monkeypatch):
    """Every method paints noise, which can be told to fail."""
    monkeypatch.setattr(methods, "load", lambda name: Noise)
    monkeypatch.setattr("labkit.lab.Lab", lambda **arguments: FakeLab())
