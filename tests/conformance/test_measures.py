"""What every measure owes: a spec like a method's, the same table twice, a figure, and models left as they were."""

import pkgutil
from importlib import import_module

import matplotlib.figure
import pandas as pd
import pytest
from PIL import Image

import labkit
from labkit.spec import MEASURES
from tests.conformance import TinyLab, assert_same, condition, global_randomness


def pictures() -> list[Image.Image]:
    return [Image.new("RGB", (20, 16), colour) for colour in ("red", "blue", "white")]


# A small spec of each measure, and what its `compute` takes besides the lab.
EXAMPLES = {
    "SimilarityMatrix": ({"texts": ["a red apple", "the sea at night"]}, lambda: (pictures(),)),
    "KeyPhrases": ({"text": "a red apple\nthe sea at night\nthe sea at night"}, lambda: ()),
}


def load_all() -> dict:
    for package in ("clip", "lyrics", "metrics", "latents", "methods"):
        path = [f"{labkit.__path__[0]}/{package}"]
        for module in pkgutil.iter_modules(path):
            import_module(f"labkit.{package}.{module.name}")
    return {name: cls for name, cls in MEASURES.items() if cls.__module__.startswith("labkit.")}


OURS = load_all()
every = pytest.mark.parametrize("name", sorted(OURS))


@pytest.fixture(scope="module")
def tiny():
    return TinyLab()


def example(name: str):
    assert name in EXAMPLES, f"{name}: give it a small example in EXAMPLES of {__name__}, so that it is tested"
    values, arguments = EXAMPLES[name]
    return OURS[name](**values), arguments()


def test_there_are_measures():
    assert OURS and set(EXAMPLES) <= set(OURS)


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
    first, second = (spec.compute(tiny, *arguments) for _ in range(2))
    assert isinstance(first.table, pd.DataFrame) and len(first.table)
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert isinstance(first.figure(), matplotlib.figure.Figure)
    assert_same(condition(tiny), before)
    assert_same(global_randomness(), randomness)
    assert capsys.readouterr() == ("", "")
