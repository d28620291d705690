"""Attention in subjects' boxes, and the ablation's table: closed forms, and that no difference is claimed within the spread."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from labkit.evaluation.attention import attention_table, boxes, higher_inside, look
from labkit.evaluation.attention_ablation import (
    MEASURES,
    WITHIN,
    ablate,
    attention_arms,
    gram,
    measured,
    patch_arms,
    style_pairs,
    summary_of,
    verdict,
)
from labkit.methods.attention_style import AttentionStyle
from labkit.models.attention_autoencoder import attention_map, draw_places
from labkit.world import held_out, render, sample_scene


def test_attention_on_the_subject_is_told_from_attention_beside_it():
    scenes = [sample_scene(k, "test", two=False) for k in range(6)]
    on = torch.stack([boxes(scene).float() + 0.5 for scene in scenes])
    assert np.allclose(higher_inside(on, scenes), 3) and np.allclose(higher_inside(1 / on, scenes), 1 / 3)
    assert np.isnan(higher_inside(torch.zeros(6, 64, 64), scenes)).all(), "attention is nowhere"
    placed = scenes[0].subjects[0]
    assert bool(boxes(scenes[0])[min(63, int(64 * placed.y)), int(64 * placed.x)])


def test_figures_of_a_model_that_knows_nothing(tiny):
    scenes = [sample_scene(k, "test") for k in range(12)]
    seen = look(tiny, torch.stack([torch.from_numpy(render(s)).permute(2, 0, 1) / 127.5 - 1 for s in scenes]))
    assert seen.maps.shape == seen.smooth.shape == (12, 64, 64) and seen.psnr.shape == (12,)
    table = attention_table(seen, scenes)
    assert list(table.index) == ["as it is", "as it fuses strokes"]
    assert "n = 12" in table.loc["as it is", "higher on the subject"]


def test_an_attention_map_of_any_size(tiny):
    x = torch.rand(2, 3, 21, 30, generator=torch.Generator().manual_seed(0))
    seen = attention_map(tiny, x)
    assert seen.shape == (2, 21, 30) and 0 <= float(seen.min()) and float(seen.max()) <= 1
    assert torch.equal(seen, attention_map(tiny, x))


def test_places_are_drawn_as_likely_as_attention_is_high():
    chances = torch.tensor([[0.0, 1.0, 0.0], [3.0, 0.0, 0.0]])
    at = draw_places(chances, 4000, torch.Generator().manual_seed(0))
    assert at.shape == (4000, 2) and {tuple(p) for p in at.tolist()} == {(0, 1), (1, 0)}
    assert abs(float((at[:, 0] == 1).float().mean()) - 0.75) < 0.03
    even = draw_places(torch.zeros(2, 3), 6000, torch.Generator().manual_seed(0))
    counts = torch.bincount(even[:, 0] * 3 + even[:, 1], minlength=6)
    assert int(counts.min()) > 850, "without attention anywhere all places are alike"
    again = draw_places(chances, 4000, torch.Generator().manual_seed(0))
    assert torch.equal(at, again)
    with pytest.raises(ValueError, match="chances"):
        draw_places(-chances, 1, torch.Generator())


def test_pairs_are_of_held_out_contents_and_of_other_styles_and_subjects():
    pairs, others = style_pairs(16), style_pairs(16, seed=1)
    assert len({p.style.style for p in pairs}) == 8 and all(p.content.style == "flat" != p.style.style for p in pairs)
    for p in pairs:
        placed = p.content.subjects[0]
        assert held_out(placed.subject, placed.colour, p.content.setting)
        assert placed.subject != p.style.subjects[0].subject and p.text
    assert [p.content for p in pairs] == [p.content for p in others], "seeds share their contents"
    assert not {p.style_picture.sha256 for p in pairs} & {p.style_picture.sha256 for p in others}
    assert not {p.content.seed for p in pairs} & {p.content.seed for p in style_pairs(4, tuning=True)}


def test_no_difference_is_claimed_within_the_spread():
    base = np.array([0.5, 0.6, 0.7])
    assert verdict(base + 0.05, base) == WITHIN, "the same under every seed, but less than seeds differ"
    assert verdict(base + 0.2, base) == "better" and verdict(base - 0.2, base) == "worse"
    assert verdict(base - 0.2, base, better=-1) == "better", "of a loss"
    assert verdict(np.array([1.2, 0.55, 1.2]), base) == WITHIN, "not under every seed"
    assert verdict(base, base) == WITHIN
    flat = np.array([0.5, 0.5])
    assert verdict(flat, flat) == WITHIN and verdict(flat + 0.1, flat) == "better"
    rows = [{"arm": arm, "seed": seed, **{m: value + 0.01 * seed for m in MEASURES}}
            for arm, value in (("on", 0.5), ("off", 0.9)) for seed in (0, 1, 2)]
    table = summary_of(pd.DataFrame(rows))
    assert table.loc["off", "style, verdict"] == "better" and table.loc["off", "style loss, verdict"] == "worse"
    assert table.loc["on", "style, verdict"] == "–" and table.loc["on", "style"] == "51.0% ± 1.0%"


def test_losses_are_0_for_what_they_are_held_against(tiny):
    (pair,) = style_pairs(1)
    same, other = measured(tiny, [pair] * 2, [pair.content_picture.pil(), pair.style_picture.pil()])
    assert same["content loss"] == 0 < other["content loss"] and other["style loss"] == 0 < same["style loss"]
    x = torch.eye(2).view(1, 2, 1, 2)
    assert torch.equal(gram(x), torch.eye(2) / 4)


def test_the_ablation_is_one_call_with_a_table_and_a_figure(tiny):
    arms = {name: arm for name, arm in attention_arms(longest=32).items() if "5" not in name}
    done = ablate(tiny, arms, n=2, seeds=2)
    assert len(done.table) == len(arms) * 2 * 2 and list(done.summary.index) == list(arms)
    assert {"attention, 3 strokes, softmax", "without attention", "fusion uniform", "1 stroke"} <= set(arms)
    assert done.figure()._repr_png_()[:4] == b"\x89PNG" and done.sheet.mode == "RGB"
    again = ablate(tiny, arms, n=2, seeds=2)
    pd.testing.assert_frame_equal(done.table, again.table)
    with pytest.raises(ValueError, match="seeds, n, arms"):
        ablate(tiny, arms, n=2, seeds=1)


def test_the_arm_of_words_takes_any_two_specs(tiny):
    """Until a method of words is there, one of pictures stands for it: what is handed over is what is run."""
    (pair,) = style_pairs(1)
    grey = style_pairs(1)[0].style_picture
    even, high = (AttentionStyle(content=grey, style={"picture": grey}, longest=32, strokes=k) for k in (1, 2))
    asked = []

    def put(spec, pair, seed):
        asked.append((spec.strokes, pair.text, seed))
        return spec.but(content=pair.content_picture)

    done = ablate(tiny, patch_arms(even, high, put), n=1, seeds=2)
    assert list(done.summary.index) == ["patches drawn evenly", "patches where attention is high"]
    assert asked == [(1, pair.text, 0), (2, pair.text, 0), (1, pair.text, 1), (2, pair.text, 1)]
    assert isinstance(done.sheet, Image.Image)
