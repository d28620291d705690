"""Held-out pairs of content and style, and the report on them."""

from labkit.evaluation.style_pairs import CLAIMS, held_out_pairs, measure_pairs
from labkit.world import held_out


def test_pairs_are_held_out_of_another_style_and_another_subject():
    pairs, tuning = held_out_pairs(16), held_out_pairs(16, tuning=True)
    for pair in pairs:
        (content,), (style,) = pair.content.subjects, pair.style.subjects
        assert pair.content.style == "flat" != pair.style.style and content.subject != style.subject
        assert held_out(content.subject, content.colour, pair.content.setting)
    assert len({pair.style.style for pair in pairs}) == 8
    assert not {(p.content, p.style) for p in pairs} & {(p.content, p.style) for p in tuning}
    assert held_out_pairs(16) == pairs


def test_the_report_has_a_row_a_way_beside_chance_and_what_could_be_reached(tiny):
    report = measure_pairs(tiny, 3, ("AdaIN", "EFDM"))
    ways = ["AdaIN", "EFDM", "the contents as they are", "drawn in that style"]
    assert list(report.summary["way"]) == ways and len(report.table) == 12
    assert {*CLAIMS, "shuffled style", "shuffled subject", "both"} <= set(report.summary.columns)
    assert all("n = 3" in cell for cell in report.summary["style"])
    assert report.pictures["EFDM"].shape == (3, 3, 64, 64) and report.sheet.width > 300


def test_real_scenes_are_read_as_what_they_are(missing):
    from tests.conformance import pocket_lab

    summary = measure_pairs(pocket_lab(missing, ("judge",)), 16, ()).summary.set_index("way")
    reached = summary.loc["drawn in that style"]
    assert float(reached["style"].split(" ")[0]) > 85 and float(reached["subject"].split(" ")[0]) > 75
    assert float(summary.loc["the contents as they are"]["style"].split(" ")[0]) == 0
