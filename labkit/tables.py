"""Tables as CSV that spreadsheets open safely.

A spreadsheet runs a cell that begins with = + - @ as a formula, in a stranger's comment too ("CSV injection", OWASP). Such
texts get an apostrophe in front, after which every spreadsheet shows them as text; numbers stay numbers.
"""

from __future__ import annotations

import re

import pandas as pd

# also after blanks and characters that cannot be seen, and in their full-width forms; tab and return start a cell by themselves
_FORMULA = re.compile(
    "[\\s\u00ad\u200b-\u200f\u2060\ufeff\0]*[=+\\-@\uff1d\uff0b\uff0d\uff20\u2212\ufe63\ufe62\ufe66\ufe6b]|[\t\r\n]"
)


def csv_text(table: pd.DataFrame, **options) -> str:
    """The table as CSV; `options` are those of `DataFrame.to_csv`. Texts in cells, index and column names that a spreadsheet
    would take for a formula begin with an apostrophe."""
    table = table.copy(deep=False)
    for at in range(table.shape[1]):
        column = table.iloc[:, at]
        if not pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_datetime64_any_dtype(column.dtype):
            table.isetitem(at, pd.Series([quoted(v) for v in column], index=table.index, dtype=object))
    table.index, table.columns = _labels(table.index), _labels(table.columns)
    return table.to_csv(**options)


def quoted(value: object) -> object:
    """A text that begins like a formula with an apostrophe in front, ends of lines as \\n; everything else as it is."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")  # the writer puts no quotes round \r, which would begin a row
    return f"'{text}" if _FORMULA.match(value) else text


def _labels(labels: pd.Index) -> pd.Index:
    if isinstance(labels, pd.MultiIndex):
        names = [quoted(name) for name in labels.names]
        return pd.MultiIndex.from_tuples([tuple(map(quoted, label)) for label in labels], names=names)
    if pd.api.types.is_numeric_dtype(labels.dtype):
        return labels
    return pd.Index([quoted(v) for v in labels], dtype=object, name=quoted(labels.name))
