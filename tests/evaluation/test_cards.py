"""A training's course, thinned for a curve."""

import json

from labkit.evaluation.cards import course


def test_a_course_is_the_means_between_its_points(tmp_path):
    log = tmp_path / "log.jsonl"
    losses = [9.0, 7, 5, 3, 100, 2, 1, 0]
    lines = [{"i": i, "s": 0.1, "loss": loss} for i, loss in enumerate(losses)]
    log.write_text("\n".join(json.dumps(line) for line in [*lines, {"i": 4, "s": 0.2, "loss": 4.0}]) + "\n")
    assert course(log, 4) == [[2, 8], [4, 4], [6, 3], [8, 0.5]], "the step that was made again counts as it was last"
    assert course(log, 100) == [[i + 1, loss] for i, loss in enumerate([9, 7, 5, 3, 4, 2, 1, 0])], "no more points than steps"
