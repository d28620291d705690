"""The charts show the numbers they are given, in the order and the language asked for."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import BarContainer, ErrorbarContainer
from PIL import Image

from labkit.survey.charts import means_chart, paper_table, ranking_chart, ratings_chart_table


def bars_of(axes) -> list[BarContainer]:
    return [c for c in axes.containers if isinstance(c, BarContainer)]


def heights(axes) -> dict:
    """Experiment → the heights of its bars from left to right."""
    return {c.get_label(): [bar.get_height() for bar in c] for c in bars_of(axes)}


def whiskers(axes) -> list[np.ndarray]:
    """Of each drawn set of intervals, (n, 2): lower and upper ends."""
    found = [c[2][0].get_segments() for c in axes.containers if isinstance(c, ErrorbarContainer)]
    return [np.array([[a[1], b[1]] for a, b in segments]).reshape(-1, 2) for segments in found]


def names(axes) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]


def test_figure_6_of_the_paper():
    axes = means_chart(paper_table()).axes[0]
    drawn = heights(axes)
    assert list(drawn) == [f"experiment {k}: guidance scale {s}" for k, s in ((1, 1000), (2, 1500), (3, 500))]
    first, second, third = drawn.values()
    assert first == [7.27, 4.18, 7.36, 4.45, 7.18, 5.64, 5.00, 6.82, 3.18, 7.64] and third == [1.82]
    assert second == [6.82, 4.36, 8.00, 6.45, 8.27, 6.91, 5.00, 8.09, 3.82, 8.45]
    assert names(axes)[0] == "shooting stars" and names(axes)[-1] == "Dancer in the dark" and not whiskers(axes)


def test_bars_stand_over_their_excerpts_and_not_over_each_other():
    axes = means_chart(paper_table(11)).axes[0]
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for c in bars_of(axes) for bar in c)
    assert len(spans) == 21 and all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    for container in bars_of(axes):
        for bar in container:
            assert abs((bar.get_x() + bar.get_width() / 2 + 0.5) % 1 - 0.5) < 0.4


def test_figure_7_of_the_paper():
    table = paper_table()
    axes = ranking_chart(table, *table["experiment"].unique()[:2]).axes[0]
    (bars,) = heights(axes).values()
    assert bars == sorted(bars, reverse=True) and len(bars) == 10
    assert names(axes)[:2] == ["Dancer in the dark", "Sweater weather"] and names(axes)[-1] == "crowded restaurants"
    line = axes.get_lines()[0]
    np.testing.assert_array_equal(line.get_ydata(), [8.45, 8.00, 6.82, 8.27, 8.09, 6.91, 5.00, 6.45, 4.36, 3.82])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list(table["experiment"].unique()[:2])


def test_intervals_of_printed_numbers():
    """8.45 ± t(10) √(5.47/11), cut at 10; drawn where they are."""
    table = paper_table(11)
    last = table.iloc[-1]
    assert last["low"] == pytest.approx(8.45 - 2.228139 * (5.47 / 11) ** 0.5) and last["high"] == 10
    ends = np.concatenate(whiskers(means_chart(table).axes[0]))
    np.testing.assert_allclose(np.sort(ends, 0), np.sort(table[["low", "high"]], 0))
    figure = ranking_chart(table, *table["experiment"].unique()[:2])
    assert sum(map(len, whiskers(figure.axes[0]))) == 20


def test_intervals_are_left_out_where_there_are_none():
    table = paper_table(11)
    table.loc[0, ["low", "high"]] = np.nan
    assert sum(map(len, whiskers(means_chart(table).axes[0]))) == 20


def test_russian_labels():
    table = paper_table(language="ru")
    figure = means_chart(table, language="ru")
    axes = figure.axes[0]
    assert "эксперимент 1: параметр 1000" in heights(axes) and "оценка" in axes.get_ylabel()
    assert "Средняя" in axes.get_title(loc="left")
    assert means_chart(table, title="5 $ и 6 $").axes[0].get_title(loc="left") == "5 $ и 6 $"


def test_table_of_votes_joins_pictures_rater_by_rater():
    """Two pictures of one excerpt and experiment: each rater's mean of both, then the statistics."""
    ratings = pd.DataFrame({"a1": [1.0, 3], "a2": [3.0, 9], "b": [10.0, np.nan]}, index=["r", "q"])
    table = ratings_chart_table(ratings, {"a1": "stars", "a2": "stars", "b": "stars"}, {"a1": 500, "a2": 500, "b": 1500})
    assert table[["excerpt", "experiment", "n", "mean"]].values.tolist() == [["stars", 500, 2, 4.0], ["stars", 1500, 1, 10.0]]
    assert table.loc[0, "low"] == 2 and table.loc[0, "high"] == 6 and np.isnan(table.loc[1, "low"])
    drawn = means_chart(table).axes[0]
    assert heights(drawn) == {"500": [4.0], "1500": [10.0]} and len(np.concatenate(whiskers(drawn))) == 1


def test_charts_are_pictures_of_any_text():
    table = pd.DataFrame({"excerpt": ["$x^ звезда & <b>", "long " * 30], "experiment": ["a$", "a$"], "mean": [0.0, 10.0]})
    for figure in (means_chart(table), ranking_chart(table, "a$", "a$")):
        with Image.open(io.BytesIO(figure._repr_png_())) as picture:
            assert picture.width >= 400 and np.asarray(picture.convert("L")).std() > 10


def test_bad_tables_are_refused():
    table = paper_table()
    with pytest.raises(ValueError, match="no mean"):
        means_chart(table.drop(columns="mean"))
    with pytest.raises(ValueError, match="'shooting stars' occurs twice"):
        means_chart(pd.concat([table, table]))
    with pytest.raises(ValueError, match="line='none'"):
        ranking_chart(table, table["experiment"][0], "none")
    with pytest.raises(ValueError, match="language='de'"):
        means_chart(table, language="de")
    with pytest.raises(ValueError, match="0 rows"):
        means_chart(table[:0])
