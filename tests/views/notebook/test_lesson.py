"""Exercises' checks and the Colab set-up: what the notebooks stand on."""

import math
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

import labkit
from labkit.views.notebook import address, colab
from labkit.views.notebook.exercises import EXERCISES, exercise
from labkit.views.notebook.lesson import check, every_exercise


def slope_of(score, x):
    """The gradient of a discriminator at x, with its own way back."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(score(x).sum(), x, create_graph=True)[0]


WRONG = {
    "00-cutouts": [32, {"cutn": 16}, "16"],
    "00-prompt": ["a dog", "a red dog in the snow", "a dog next to a tree at night", "a red dog and a tree",
                  "a red dog and a quasar in the snow", 7],
    "01-cosine": [lambda a, b: a @ b, lambda a, b: (a @ b) / a.norm(), lambda a, b: 1.0, 3],
    "01-scale": [10, 100, 2.2, -1e9],
    "01-recall": [lambda ranks, k: (ranks < k).float().mean(), lambda ranks, k: (ranks <= k).sum(), 0.5],
    "02-distance": [math.pi / 2, math.pi**2 / 4, 1.0],
    "02-straight-through": [
        lambda z, codebook: codebook[torch.cdist(z, codebook).argmin(1)],
        lambda z, codebook: z,
        lambda z, codebook: 2 * z + (codebook[torch.cdist(z, codebook).argmin(1)] - 2 * z).detach(),
    ],
    "02-weights": ["a red apple", "a red apple:2 | snow:1", "a red apple:-2 | snow:1", "a red apple | snow:-2"],
    "05-recall": [0.996, 1, 0.984],
    "05-always-yes": [0.6, 1, 0.5],
    "05-itc": [
        lambda image, text, fits, tau: -((image @ text.T / tau).log_softmax(1) * fits).sum(1).mean(),
        lambda image, text, fits, tau: torch.nn.functional.cross_entropy(image @ text.T, fits.float().argmax(1)),
        lambda image, text, fits, tau: -((image @ text.T / tau).log_softmax(1) * fits / fits.sum(1, keepdim=True)).sum(1),
        0.5,
    ],
    "06-bits": [512 * 320, 576, 2304, 320],
    "06-mse": [4 * 10**-0.658, 10**0.658, 0.24],
    "06-perplexity": [
        lambda codes, n: 2.0 ** float(-(p := codes.flatten().bincount(minlength=n) / codes.numel()) @ p.log2()),
        lambda codes, n: int((codes.flatten().bincount(minlength=n) > 0).sum()),
        lambda codes, n: float(torch.special.entr(codes.flatten().bincount(minlength=n) / codes.numel()).sum()),
        4,
    ],
    "07-taps": [12, 15, 8],
    "07-bits": [1843.2, 0.45, 6.3],
    "07-nucleus": [
        lambda p, share: p,
        lambda p, share: torch.where(p >= p.max() * share, p, 0),
        lambda p, share: p[p > 0.2],
        lambda p, share: torch.where(p.sort(descending=True).values.cumsum(0)[p.argsort(descending=True).argsort()] - p < share,
                                     p, 0),
        0.5,
    ],
    "09-half": [0.25, 2**-0.5, 0],
    "09-belief": [lambda x, eps, a: x - (1 - a) ** 0.5 * eps, lambda x, eps, a: (x - (1 - a) * eps) / a, 0.5],
    "09-confounded": [0.9, 0.45, 0, "all of it", "0.9"],
    "10-grim": [lambda mean, n: True, lambda mean, n: any(round(s / n, 2) == mean for s in range(n + 1)), 0.5],
    "10-variance": [12.76, 14.036, 11.0],
    "10-holm": [lambda p: [min(1.0, len(p) * x) for x in p], lambda p: p, lambda p: sorted(p), [0.03, 0.06, 0.06]],
    "11-steps": [lambda n, s: round(n * s), lambda n, s: int(n * s), lambda n, s: int(n * s + 1e-6), 37],
    "11-guided": [lambda silent, spoken, s: spoken + s * (spoken - silent), lambda silent, spoken, s: spoken,
                  lambda silent, spoken, s: torch.lerp(silent, spoken, min(s, 1.0)), 5],
    "11-left": [4, 0.5, 0.8],
    "12-optimal": [math.log(3), 0.6, 3],
    "12-r1": [
        lambda score, x: 0.5,
        lambda score, x: (slope_of(score, x).flatten(1).square().sum(1)).sum(),
        lambda score, x: slope_of(score, x).flatten(1).norm(dim=1).mean(),
        lambda score, x: slope_of(score, x).flatten(1).square().sum(1).mean().detach(),
        0.5,
    ],
    "12-last-layer": [96 * 3 * 64 * 64, 12_288],
    "13-points": [30, 90, 31],
    "13-slerp": [
        lambda a, b, t: (1 - t) * a + t * b,
        lambda a, b, t: torch.nn.functional.normalize((1 - t) * a + t * b, dim=0),
        lambda a, b, t: a @ b,
        0.5,
    ],
    "13-read": ["A varies more than C", {"A varies more than C", "the points in A have their neighbours in A"}, set()],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_wrong_answers_get_a_hint(name, value):
    checked = check(name, value)
    assert checked.right is False and len(checked.words) > 10


def test_every_exercise_has_wrong_answers_here():
    assert set(every_exercise()) == set(WRONG)


@pytest.mark.parametrize("nothing", [None, ...])
def test_no_answer_is_not_wrong(nothing):
    checked = check("02-distance", nothing)
    assert checked.right is None and "no answer yet" in repr(checked)


def test_none_is_an_answer_where_it_is_asked_for():
    """Exercise 3 of notebook 09 invites it: it cannot be told."""
    assert check("09-confounded", None).right is True and check("09-confounded", "cannot be told").right is True
    assert check("09-confounded", ...).right is None


def test_unknown_exercise_names_near_ones():
    with pytest.raises(KeyError, match="02-distance"):
        check("02-distanse", 1)


def test_an_answer_that_raises_is_told_and_escaped():
    def broken(ranks, k):
        raise ZeroDivisionError("<b>no</b>")

    checked = check("01-recall", broken)
    assert checked.right is False and "ZeroDivisionError" in checked.words
    assert "<b>" not in checked._repr_html_() and "&lt;b&gt;" in checked._repr_html_()


def test_an_exercise_is_registered_once():
    name = "test-once"
    exercise(name)(lambda value: "")
    try:
        assert check(name, 1).right is True
        with pytest.raises(ValueError, match="twice"):
            exercise(name)(lambda value: "")
    finally:
        del EXERCISES[name]


class Shop:
    """A package index in memory: what is installed, and what each package needs."""

    def __init__(self, monkeypatch, installed, needs):
        self.installed, self.needs, self.calls = dict(installed), needs, []
        monkeypatch.setattr(colab, "version_of", self.installed.get)
        monkeypatch.setattr(colab, "requirements_of", lambda name: [Requirement(r) for r in self.needs.get(name, ())])
        monkeypatch.setattr(colab, "declared_requirements", lambda: ([Requirement(r) for r in needs["labkit"]], []))

    def install(self, arguments):
        self.calls.append(arguments)
        for name in arguments[1:]:
            if name != "-e":
                self.installed[Requirement(name).name if "/" not in name else "labkit"] = "1"


def test_colab_gets_what_is_missing_and_what_that_needs(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    shop = Shop(monkeypatch, {"numpy": "2", "torch": "2.11"}, {
        "labkit": ["torch>=2.6", "numpy", "open-clip-torch>=3", "jupyterlab"],
        "open-clip-torch": ["torch", "ftfy", "numpy<2"], "ftfy": ["wcwidth"]})
    assert colab.add_missing(shop.install, tmp_path) == ["open-clip-torch", "ftfy", "wcwidth"]
    assert all(call[0] == "--no-deps" for call in shop.calls)
    named = " ".join(" ".join(call) for call in shop.calls[1:])
    assert "torch>" not in named.replace("open-clip-torch>", "") and "numpy" not in named and "jupyterlab" not in named
    shop.calls.clear()
    assert colab.add_missing(shop.install, tmp_path) == [] and shop.calls == [], "a second run does nothing"


def test_colab_never_installs_torch_even_when_it_is_absent(monkeypatch, tmp_path):
    shop = Shop(monkeypatch, {"labkit": "1"}, {"labkit": ["torch>=2.6", "torchvision", "numpy"]})
    assert colab.add_missing(shop.install, tmp_path) == [] and shop.calls == []


def test_a_package_that_cannot_be_added_ends_the_rounds(monkeypatch, tmp_path):
    shop = Shop(monkeypatch, {"labkit": "1"}, {"labkit": ["stubborn"]})
    assert colab.add_missing(lambda arguments: None, tmp_path) == ["stubborn"]
    assert shop.installed == {"labkit": "1"}


def test_colab_installs_the_checkout_that_it_runs_from(monkeypatch):
    """The folder that is cloned and given to pip is the one with pyproject.toml, wherever this module is moved."""
    asked = []
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setattr(colab, "version_of", lambda name: None if name == "labkit" else "1")
    colab.set_up(asked.append)
    assert asked and asked[0][:2] == ["--no-deps", "-e"]
    assert (Path(asked[0][2]) / "pyproject.toml").is_file() and Path(asked[0][2]) == Path(labkit.__file__).parents[1]


def test_a_changed_torch_is_told(monkeypatch):
    versions = iter(["2.11", "2.15"])
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setattr(colab, "version_of", lambda name: next(versions))
    monkeypatch.setattr(colab, "add_missing", lambda install, checkout: ["x"])
    with pytest.raises(RuntimeError, match="2.11 and is 2.15"):
        colab.set_up(lambda arguments: None)


def test_off_colab_nothing_is_installed(monkeypatch, capsys):
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    colab.set_up(lambda arguments: pytest.fail(f"installs {arguments}"))
    assert f"torch {torch.__version__}" in capsys.readouterr().out


def test_badge_and_cell_follow_the_address(monkeypatch):
    monkeypatch.setattr(address, "REPOSITORY", "https://github.com/someone/lab")
    monkeypatch.setattr(address, "PUBLIC", True)
    assert "(https://colab.research.google.com/github/someone/lab/blob/main/notebooks/a.ipynb)" in address.badge("a.ipynb")
    cell = address.setup_cell()
    assert '"https://github.com/someone/lab"' in cell and len(cell.splitlines()) <= 15
    compile(cell, "cell", "exec")
