"""A pipeline: what is done stays done, a cut goes on, a changed spec or upstream is stale, a damaged product is made again."""

import pytest

from labkit.runs.pipeline import Pipeline, Stage
from labkit.spec import SpecError


def stages(log: list, words: str = "a b", cut: bool = False) -> list[Stage]:
    """words → count → report; `log` says what was really done."""
    def write(folder, needs):
        log.append("words")
        (folder / "words.txt").write_text(words)
        yield "wrote"

    def count(folder, needs):
        log.append("count")
        part = folder / "part.txt"
        if not part.exists():
            part.write_text("half way")
            if cut:
                raise KeyboardInterrupt
        else:
            log.append("went on")
        (folder / "count.txt").write_text(str(len((needs["words"] / "words.txt").read_text().split())))
        yield "counted"

    return [Stage("words", "some words", write, {"words": words}, products=("words.txt",), cost="one line"),
            Stage("count", "how many", count, needs=("words",), products=("count.txt",))]


def states(pipeline):
    return {name: state for name, state, _, _ in pipeline.table()}


def test_each_is_done_once(tmp_path):
    log = []
    pipeline = Pipeline(stages(log), tmp_path)
    assert states(pipeline) == {"words": "to do", "count": "to do"}
    list(pipeline.run())
    assert (pipeline.place("count") / "count.txt").read_text() == "2" and states(pipeline) == dict.fromkeys(log, "done")
    assert [line for _, line in Pipeline(stages(log), tmp_path).run()] == ["done before"] * 2 and log == ["words", "count"]


def test_only_what_is_wanted_and_needed_is_done(tmp_path):
    log = []
    pipeline = Pipeline(stages(log), tmp_path)
    list(pipeline.run("words"))
    assert log == ["words"] and pipeline.wanted("count") == ["words", "count"]
    with pytest.raises(SpecError, match="stage: sums is none of words, count"):
        pipeline.wanted("sums")


def test_a_cut_stage_goes_on_in_its_folder(tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        list(Pipeline(stages(log, cut=True), tmp_path).run())
    again = Pipeline(stages(log, cut=True), tmp_path)
    assert states(again) == {"words": "done", "count": "begun"}
    list(again.run())
    assert log == ["words", "count", "count", "went on"] and states(again)["count"] == "done"


def test_what_builds_on_a_changed_stage_is_stale_and_the_way_back_finds_it_done(tmp_path):
    log = []
    list(Pipeline(stages(log), tmp_path).run())
    other = Pipeline(stages(log, "a b c"), tmp_path)
    assert states(other) == {"words": "stale", "count": "stale"}
    list(other.run())
    assert (other.place("count") / "count.txt").read_text() == "3"
    assert states(Pipeline(stages(log), tmp_path)) == {"words": "done", "count": "done"}


def test_a_changed_product_is_made_again(tmp_path):
    log = []
    pipeline = Pipeline(stages(log), tmp_path)
    list(pipeline.run())
    (pipeline.place("words") / "words.txt").write_text("x")
    assert states(pipeline)["words"] == "damaged"
    list(pipeline.run("words"))
    assert (pipeline.place("words") / "words.txt").read_text() == "a b" and states(pipeline)["words"] == "done"


def test_an_order_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(SpecError, match="count: needs words, which must come before it"):
        Pipeline(stages([])[::-1], tmp_path)
    with pytest.raises(SpecError, match="words: is there twice"):
        Pipeline([stages([])[0]] * 2, tmp_path)


def test_a_stage_without_its_product_is_no_done_stage(tmp_path):
    pipeline = Pipeline([Stage("none", "nothing", lambda folder, needs: iter(()), products=("x.txt",))], tmp_path)
    with pytest.raises(RuntimeError, match="none: ended without x.txt"):
        list(pipeline.run())
    assert states(pipeline)["none"] != "done"
