"""Style by attention: what it makes, what it refuses, and that nothing of it is drawn anew."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.image import ImageInput, to_pil
from labkit.image.style import Style
from labkit.methods.attention_style import AttentionStyle, fitted
from labkit.models.attention_autoencoder import as_map
from labkit.spec import SpecError
from tests.conformance import pixels, through_disk


def picture(seed: int, width: int, height: int) -> ImageInput:
    x = torch.rand(3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return ImageInput.of(to_pil(x).resize((width, height), Image.Resampling.NEAREST), width, height)


CONTENT, LOOK = picture(0, 40, 32), Style(picture=picture(1, 32, 36))


def last(lab, **changes):
    *_, step = AttentionStyle(**{"content": CONTENT, "style": LOOK, **changes}).run(lab)
    return step


def test_steps_are_the_strokes_and_their_fusion(tiny):
    steps = list(AttentionStyle(content=CONTENT, style=LOOK, strokes=3).run(tiny))
    assert [round(s.scores.get("scale", 0), 3) for s in steps] == [1, 0.707, 0.5, 0]
    assert [s.n for s in steps] == [4] * 4 and {s.image.size for s in steps} == {(40, 32)}
    shares = steps[-1].extras["shares"]
    assert shares.shape[0] == 4 and torch.allclose(shares.sum(0), torch.ones_like(shares[0])), "the content's own is one more"
    assert float(steps[-1].extras["attention"].max()) == 1


@pytest.mark.parametrize("k", [0, 1, 2])
def test_it_goes_on_from_any_stroke(tiny, k):
    spec = AttentionStyle(content=CONTENT, style=LOOK, strokes=3)
    run = spec.run(tiny)
    for _ in range(k + 1):
        step = next(run)
    state = through_disk(step.state())
    run.close()
    assert pixels(spec.run(tiny, state)) == pixels(spec.run(tiny))[k + 1:]


def test_two_runs_are_one_picture_though_the_paper_s_code_smooths_by_chance(tiny):
    """That code draws its smoothing kernel anew on each call, and starts k-means anywhere."""
    first = last(tiny)
    torch.rand(7), np.random.rand(7)
    second = last(tiny)
    assert first.image.tobytes() == second.image.tobytes()
    a = torch.rand(1, 8, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(as_map(a), as_map(a)) and float(as_map(a).min()) == 0 and float(as_map(a).max()) == 1


def test_a_map_is_cut_off_above_and_flat_where_attention_is():
    assert float(as_map(torch.full((2, 4, 8, 8), 0.3)).abs().max()) == 0
    a = torch.full((1, 1, 16, 16), 0.1)
    a[..., 4:6, 4:6] = 100.0
    half = a.clone()
    half[..., 4:6, 4:6] = 50.0
    assert torch.allclose(as_map(a), as_map(half), atol=0.05), "how far above twice the mean does not matter"
    assert torch.equal(as_map(-a), as_map(a))


def test_each_switch_does_something_and_0_blend_is_the_content_in_the_style_s_colours(tiny):
    base = last(tiny).image.tobytes()
    for change in ({"attention": False}, {"fusion": "uniform"}, {"fusion": "linear"}, {"strokes": 1}, {"patch": 1},
                   {"blend": 0.3}):
        assert last(tiny, **change).image.tobytes() != base, change
    assert last(tiny, blend=0.0, strokes=1).image.tobytes() == last(tiny, blend=0.0, fusion="uniform").image.tobytes()
    without = last(tiny, attention=False)
    assert without.scores["attention"] == 0
    assert torch.allclose(without.extras["shares"], torch.full_like(without.extras["shares"], 0.25)), "nothing says where"


def test_a_style_of_words_is_refused_and_so_is_a_mask():
    with pytest.raises(SpecError, match=r"style: text 'a watercolour': this method reads a picture.*CLIPstyler"):
        AttentionStyle(content=CONTENT, style=Style(text="a watercolour"))
    white = ImageInput.of(Image.new("RGB", (40, 32), "white"), 40, 32)
    assert AttentionStyle(content=CONTENT, style=LOOK) == AttentionStyle(content=CONTENT, style=LOOK.picture)
    with pytest.raises(SpecError, match="text 'oil': this method reads a picture"):
        AttentionStyle(content=CONTENT, style={"text": "oil"})
    with pytest.raises(SpecError, match="style: .*no path or URL"):
        AttentionStyle(content=CONTENT, style="https://example.org/style.png")
    with pytest.raises(SpecError, match="mask, weight: one style is read"):
        AttentionStyle(content=CONTENT, style=Style(picture=LOOK.picture, mask=white))


def test_pictures_of_any_shape_and_kind(tiny):
    thin = ImageInput.of(Image.new("RGB", (3000, 20), "red"), 3000, 20)
    with pytest.raises(SpecError, match="content: 3000 × 20 is too narrow: read at 256 × 2, .* out, or raise longest"):
        list(AttentionStyle(content=thin, style=LOOK).run(tiny))
    with pytest.raises(SpecError, match="style: 20 × 15 is too narrow.* cut a part of it out$"):
        list(AttentionStyle(content=CONTENT, style=Style(picture=picture(0, 20, 15))).run(tiny))
    grey = ImageInput.of(Image.linear_gradient("L"), 33, 47)
    clear = ImageInput.of(Image.new("RGBA", (30, 30), (255, 0, 0, 0)), 30, 30)
    assert last(tiny, content=grey).image.size == (33, 47)
    assert last(tiny, content=clear).image.size == (30, 30), "transparent: white, of one colour, without attention"
    assert last(tiny, style=Style(picture=clear)).image.size == (40, 32)


def test_large_pictures_are_brought_down():
    assert fitted("content", picture(0, 400, 200), 256).shape == (1, 3, 128, 256)
    assert fitted("content", picture(0, 40, 32), 256).shape == (1, 3, 32, 40), "and small ones stay"
