"""The drawn graph: each stage is joined to what it needs, and says how it stands."""

from labkit.runs.graph import drawn, mermaid
from labkit.runs.pipeline import Pipeline, Stage


def make(folder, needs):
    (folder / "x").write_text("x")
    yield "made"


def diamond(folder):
    """a → b, a → c, b and c → d; e needs nothing and nothing needs it."""
    return Pipeline([Stage("a", "first", make, products=("x",)), Stage("b", "one way", make, needs=("a",), products=("x",)),
                     Stage("e", "alone", make, products=("x",)), Stage("c", "other way", make, needs=("a",), products=("x",)),
                     Stage("d", "both", make, needs=("b", "c"), products=("x",))], folder)


def test_lines_join_what_belongs_together(tmp_path):
    pipeline = diamond(tmp_path)
    assert drawn(pipeline) == ["□",
                               "├─□",
                               "│ │ □",
                               "└─│───□",
                               "  └───┴─□"]
    list(pipeline.run("b"))
    assert [line[-1] for line in drawn(pipeline)] == ["■", "■", "□", "□", "□"]


def test_mermaid_has_an_arrow_for_each_need_and_the_state(tmp_path):
    pipeline = diamond(tmp_path)
    list(pipeline.run("a"))
    text = mermaid(pipeline)
    arrows = {tuple(line.split(" --> ")) for line in map(str.strip, text.splitlines()) if "-->" in line}
    assert text.startswith("flowchart LR\n") and arrows == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    assert 'a["a<br/><small>first<br/>done</small>"]' in text and text.count("to do") == 4
