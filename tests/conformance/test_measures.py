"""What every measure owes: a spec like a method's, the same table twice, a figure, and models left as they were."""

import inspect
import pkgutil
from importlib import import_module

import matplotlib.figure
import pandas as pd
import pytest
from PIL import Image

import labkit
from labkit.spec import MEASURES
from tests.conformance import assert_same, condition, global_randomness


def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (20, 16), colour) for colour in ("red", "blue", "white")]


def arguments_of(cls) -> dict:
    """What its `compute` takes besides the lab: pictures, where it asks for some."""
    return {name: pictures() for name, p in inspect.signature(cls.compute).parameters.items() if "Image" in str(p.annotation)}


def load_all() -> dict:
    for package in ("clip", "lyrics", "metrics", "latents", "methods", "sketches"):
        path = [f"{labkit.__path__[0]}/{package}"]
        for module in pkgutil.iter_modules(path):
            import_module(f"labkit.{package}.{module.name}")
    return {name: cls for name, cls in MEASURES.items() if cls.__module__.startswith("labkit.")}


OURS = load_all()


def every(test):
    test.asks = lambda cls: True
    return pytest.mark.parametrize("name", sorted(OURS))(test)



def example(name: str):
    cls = OURS[name]
    assert cls.example, f"{name}: give it an `example`, the values of a small spec, so that it is tested"
    return cls(**cls.example), arguments_of(cls)


def test_there_are_measures():
    assert OURS


@every
def test_spec_is_small_described_and_survives_json(name):
    spec, _ = example(name)
    assert len(type(spec).model_fields) <= 12
    assert all(info.description for info in type(spec).model_fields.values())
    assert type(spec).from_json(spec.to_json()) == spec


@every
def test_same_table_twice_a_figure_and_nothing_left_behind(name, tiny, capsys):
    spec, arguments = example(name)
    assert set(spec.needs) <= set(tiny.names)
    before, randomness = condition(tiny), global_randomness()
    first, second = (spec.compute(tiny, **arguments) for _ in range(2))
    assert isinstance(first.table, pd.DataFrame) and len(first.table)
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert isinstance(first.figure(), matplotlib.figure.Figure)
    assert_same(condition(tiny), before)
    assert_same(global_randomness(), randomness)
    assert capsys.readouterr() == ("", "")
