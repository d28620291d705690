"""What strength means, as a table and a strip."""

import numpy as np
import pytest
from PIL import Image

from labkit.image import to_tensor
from labkit.sketches.strength import StrengthShown
from labkit.spec import SpecError


def test_the_more_strength_the_less_is_left_and_the_more_noise_is_seen(tiny):
    sheet = Image.new("RGB", (16, 16), "white")
    sheet.paste("black", (6, 2, 9, 14))
    shown = StrengthShown(steps=50).compute(tiny, [sheet, Image.new("RGB", (16, 16), "grey")])
    assert list(shown.table["steps run"]) == [10, 20, 25, 30, 35, 40, 45, 50]
    assert shown.table["signal"].is_monotonic_decreasing and shown.table["first t"].is_monotonic_increasing
    assert len(shown.seen) == 2 and len(shown.seen[0]) == 8 and len(shown.figure().axes) == 16
    model = tiny.stable_diffusion
    bare = ((model.decode(model.encode(to_tensor(sheet) * 2 - 1))[0] + 1) / 2).permute(1, 2, 0).numpy()
    off = [np.abs(np.asarray(picture) / 255 - bare).mean() for picture in shown.seen[0]]
    assert off[0] < off[3] < off[-1]


def test_strengths_that_are_none_are_refused():
    for bad in (0, 1.5):
        with pytest.raises(SpecError, match=f"strengths: {bad:g} must be above 0 and at most 1"):
            StrengthShown(strengths=(0.5, bad))
