"""The records of kinds: what they name is there, budgets hold, and one more record is one more kind everywhere."""

import inspect
from dataclasses import replace

import pytest
from torch import nn

from labkit.data import data_path
from labkit.kinds import KINDS, Kind, evaluations, kind_of, named, trainings
from labkit.lab import Lab
from labkit.spec import SpecError, Training
from labkit.views.cli import main

every = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@every
def test_what_a_record_names_is_there(kind):
    assert list(inspect.signature(named(kind.load)).parameters)[:3] == ["name", "device", "bf16"]
    for _, model in kind.models:
        assert issubclass(named(model), nn.Module) and callable(named(model).from_config)
    if kind.training:
        assert issubclass(named(kind.training), Training)
    if kind.evaluation:
        assert list(inspect.signature(named(kind.evaluation)).parameters) == ["lab", "n"]
    assert kind.role_of in ("", *KINDS) and (kind.role_of or kind.note) and bool(kind.full) <= bool(kind.build)
    if kind.convert:
        assert named(kind.convert).layout.title


@every
def test_pocket_weights_are_within_their_budget(kind, missing):
    if kind.role_of:
        assert kind.megabytes == 0, "its weights are another kind's"
        return
    path = data_path("models", kind.home)
    if not kind.pocket:
        assert not path.exists(), "then it is shipped: say so in its record"
        return
    if not path.is_file():
        missing(f"data/models has no {path.name}; `python -m labkit train {kind.name}` makes it")
    assert path.stat().st_size <= kind.megabytes * 1e6


def test_all_pocket_weights_together_are_within_theirs():
    assert sum(kind.megabytes for kind in KINDS.values()) <= 77


def test_an_unknown_kind_names_those_there_are():
    with pytest.raises(ValueError, match="kind: 'biggan' is none of clip, guide, clip_check, aesthetic, vqgan"):
        kind_of("biggan")


class Gauge(nn.Linear):
    """A model of a kind that nobody has heard of."""


def load_gauge(name: str, device="cpu", bf16: bool = False) -> Gauge:
    if name != "pocket":
        raise ValueError(f"{name}: no such gauge")
    return Gauge(2, 1).requires_grad_(False).eval()


def gauge_figures(lab, n: int) -> dict:
    return {"Right": {"weights": lab.gauge.weight.numel() / n}}


def test_one_more_record_is_one_more_kind(monkeypatch, capsys):
    record = Kind("gauge", "Gauge", "a line", "It knows nothing.", megabytes=1, draws=True, load=f"{__name__}:load_gauge",
                  evaluation=f"{__name__}:gauge_figures", training=KINDS["gan"].training, help="Gauge: pocket or a file", n=4)
    with pytest.raises(SpecError, match="gauge: a lab has no such kind of model"):
        Lab(gauge="pocket")
    monkeypatch.setitem(KINDS, "gauge", record)
    lab = Lab(device="cpu")
    assert isinstance(lab.gauge, Gauge) and lab.gauge is lab.model("gauge") and lab.arguments["gauge"] == "pocket"
    assert all(p.requires_grad for p in lab.fresh_copy("gauge").parameters())
    assert lab.draws_with_pocket(("gauge",)) and "gauge" in trainings() and "gauge" in evaluations()
    assert main(["evaluate", "gauge"]) == 0 and "weights: 50.0%" in capsys.readouterr().out
    assert main(["paint", "--help"]) == 0 and "--gauge" not in capsys.readouterr().out, "painting needs none"
    monkeypatch.setitem(KINDS, "gauge", replace(record, load=f"{__name__}:nothing"))
    with pytest.raises(AttributeError, match="nothing"):
        _ = Lab(device="cpu").gauge
