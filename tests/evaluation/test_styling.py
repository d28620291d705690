"""Styling: what is counted, and that a study goes on where it stopped."""

import numpy as np
import pandas as pd
import pytest
import torch

from labkit.evaluation import styling
from labkit.evaluation.styling import STYLES, TEMPLATE, WAYS, Styling, measure_styling, sharpness, style_words
from labkit.methods.clipstyler import CLIPStyler

QUICK = TEMPLATE.but(steps=2, patches__number=2, optimiser__width=2)


def test_every_style_but_flat_is_named_in_plain_words():
    assert len(STYLES) == 8 and "flat" not in STYLES
    assert (style_words("watercolour"), style_words("oil")) == ("a watercolour", "an oil painting")


def test_lessons_are_no_held_out_scenes():
    assert {scene.split for scene in styling.lessons(4)} == {"train"} and {s.style for s in styling.lessons(4)} == {"flat"}


def test_a_seam_is_where_neighbours_differ():
    y = torch.zeros(1, 3, 8, 64)
    y[..., 32:] = 1
    seam, elsewhere = sharpness(y)
    assert seam == pytest.approx(1 / 5) and elsewhere == 0
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 8, 64)
    assert sharpness(ramp)[0] == pytest.approx(sharpness(ramp)[1], rel=1e-3)


def test_a_small_study_has_its_rows_and_goes_on_where_it_stopped(tiny, tmp_path, monkeypatch):
    few = {"scenes": 3, "by_picture": 1, "halves": 2, "template": QUICK, "styles": STYLES[:2], "folder": tmp_path, "n_jobs": 1}
    made = measure_styling(tiny, **few)
    counts = made.table["way"].value_counts().to_dict()
    assert counts == dict(zip(WAYS, (6, 2, 6, 6), strict=True)) and len(made.pictures) == 20
    assert set(made.table["asked"]) == set(STYLES[:2]) and len(made.halves) == 2
    assert list(made.summary()[""]) == list(WAYS) and made.halves_summary()["halves"].tolist() == [4]
    assert made.sheet().size[0] > 128 * 2 and made.halves_sheet().size[0] > 128
    monkeypatch.setattr(CLIPStyler, "run", lambda *_: pytest.fail("it is finished"))
    again = measure_styling(tiny, **few)
    plain = made.table.drop(columns="seconds")
    pd.testing.assert_frame_equal(again.table.drop(columns="seconds"), plain)


def test_the_shuffled_figures_are_of_other_pictures_of_the_same_way():
    class Judge:
        def all(self, x):
            seen = x.mean((1, 2, 3))
            return [type("V", (), {"style": STYLES[round(float(v) * 255) // 20], "subject": "dog"}) for v in seen]

    lab = type("L", (), {"judge": Judge()})
    scene = type("S", (), {"subjects": (type("P", (), {"subject": "dog"}),)})
    from PIL import Image

    made = [(WAYS[0], style, 0, Image.new("RGB", (8, 8), (20 * k + 5,) * 3), 0.0) for k, style in enumerate(STYLES)] * 4
    table = styling.look(lab, [scene], made)
    assert table["style"].mean() == 1 and table["shuffled style"].mean() < 0.4 and table["shuffled subject"].mean() == 1


def test_the_summary_counts_shares():
    table = pd.DataFrame({"way": [WAYS[0]] * 4, "asked": ["oil"] * 4, "style": [1.0, 1, 1, 0], "subject": [1.0] * 4,
                          "shuffled style": [0.0] * 4, "shuffled subject": [0.0] * 4, "seconds": [1.0, 2, 3, 4]})
    row = Styling(table, [], pd.DataFrame(), [], {}).summary().iloc[0]
    assert row["style"].startswith("75") and row["subject"].startswith("100") and row["seconds"] == np.mean([1, 2, 3, 4])
