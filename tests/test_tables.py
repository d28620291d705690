"""CSV that leaves us: no text of a stranger is a formula, and numbers are numbers."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.tables import csv_text

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =cmd|' /C calc'!A0", "\u00a0=1", "\u200b=1", "\uff1d1",
            "\uff0b1", "\uff0d1", "\uff20x", "  -2 + 3", '="a"', "\u22121", "=", "\ttext", "-"]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("formula", FORMULAS)
def test_what_begins_like_a_formula_is_a_text(formula):
    table = pd.DataFrame({"comment": [formula, "fine"], formula: [1, 2]}, index=pd.Index([formula, "b"], name="who"))
    shown = "'" + formula.replace("\r", "\n")
    assert read(csv_text(table)) == [["who", "comment", shown], [shown, shown, "1"], ["b", "fine", "2"]]
    assert table.iloc[0, 0] == formula == table.columns[1] == table.index[0], "the table itself is left alone"


def test_numbers_stay_numbers():
    table = pd.DataFrame({"x": [-0.5, np.nan], "n": [-3, 4], "mixed": [-1.5, "-1.5"], "yes": [True, None],
                          "text": ["a = b", None]}, index=[-1, 2])
    assert read(csv_text(table)) == [["", "x", "n", "mixed", "yes", "text"], ["-1", "-0.5", "-3", "-1.5", "True", "a = b"],
                                     ["2", "", "4", "'-1.5", "", ""]]
    back = pd.read_csv(io.StringIO(csv_text(table)), index_col=0)
    assert back["x"].dtype == float and back.loc[-1, "x"] == -0.5


def test_categories_two_levels_and_equal_names():
    table = pd.DataFrame([["=a", 1, "=b"]], columns=pd.MultiIndex.from_tuples([("=x", 1), ("y", 2), ("y", 2)]))
    table[("=x", 1)] = table[("=x", 1)].astype("category")
    rows = read(csv_text(table, index=False))
    assert rows == [["'=x", "y", "y"], ["1", "2", "2"], ["'=a", "1", "'=b"]]


def test_every_csv_of_ours_goes_this_way():
    root = Path(__file__).resolve().parents[1]
    files = [p for folder in ("labkit", "apps") for p in (root / folder).rglob("*.py") if p.name != "tables.py"]
    assert files and not [p for p in files if ".to_csv(" in p.read_text(encoding="utf-8")]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), min_size=1, max_size=4))
def test_no_cell_begins_like_a_formula_and_nothing_else_changes(texts):
    cells = [row[0] for row in read(csv_text(pd.DataFrame({"t": texts}), index=False, na_rep="", quoting=csv.QUOTE_ALL))[1:]]
    for text, cell in zip(texts, cells, strict=True):
        same = text.replace("\r\n", "\n").replace("\r", "\n")
        assert not cell.strip().startswith(("=", "+", "-", "@")) and cell in (same, "'" + same)


def test_a_return_begins_no_row():
    table = pd.DataFrame({"t": ["moon\r=1+1", "moon\r\n=1+1", "moon\n=1+1"]})
    assert read(csv_text(table, index=False)) == [["t"], *[["moon\n=1+1"]] * 3]
