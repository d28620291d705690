"""The picture styles: their contract, and what each of them must do to a picture and must leave in it."""

import time

import numpy as np
import pytest

from labkit.world.styles import STYLES

NAMES = ["flat", "comic", "pencil", "watercolour", "oil", "cubist", "mosaic", "pixel", "neon"]
HUES = {  # degrees on the colour wheel
    "red": ((221, 47, 47), 0), "orange": ((242, 138, 28), 31), "yellow": ((245, 211, 39), 50),
    "green": ((63, 163, 74), 127), "blue": ((47, 111, 224), 218), "purple": ((139, 63, 196), 274),
    "pink": ((245, 121, 181), 331),
}  # fmt: skip


def scene(subject=(221, 47, 47), background=(190, 205, 215)):
    """A disc with a dark outline before a plain background: (colour, lines, mask)."""
    y, x = np.mgrid[:256, :256] - 127.5
    radius = np.hypot(y, x)
    colour = np.empty((256, 256, 3), np.uint8)
    colour[:] = background
    colour[radius < 80] = subject
    ring = np.clip(2.5 - np.abs(radius - 80), 0, 1)
    colour = (colour * (1 - ring[..., None]) + np.array([42, 36, 48]) * ring[..., None]).astype(np.uint8)
    lines = (255 - 221 * ring).astype(np.uint8)
    mask = (np.clip(82.5 - radius, 0, 1) * 255).astype(np.uint8)
    return colour, lines, mask


def draw(name, inputs, seed=0):
    return STYLES[name](*inputs, np.random.default_rng(seed))


def small(picture):
    """The 64 x 64 box-filtered picture that models see, as float."""
    return picture.reshape(64, 4, 64, 4, 3).mean((1, 3))


def hue(picture, where):
    """Mean hue in degrees, each pixel weighted by its chroma, and the mean chroma."""
    r, g, b = picture[where].astype(float).mean(0)
    return np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b)) % 360, max(r, g, b) - min(r, g, b)


def test_names_stand_in_the_order_that_labels_rely_on():
    assert list(STYLES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    inputs = scene()
    before = [a.copy() for a in inputs]
    for array in inputs:
        array.flags.writeable = False
    out = draw(name, inputs, 5)
    assert out.shape == (256, 256, 3) and out.dtype == np.uint8 and out.flags.writeable
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    assert not np.shares_memory(out, inputs[0])
    assert np.array_equal(out, draw(name, inputs, 5))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "flat"])
def test_seed_and_style_change_the_picture(name):
    inputs = scene()
    out = draw(name, inputs, 1)
    assert any(not np.array_equal(out, draw(name, inputs, seed)) for seed in (2, 3, 4))
    assert np.abs(small(out) - small(inputs[0])).mean() > 4


def test_flat_is_the_scene_itself():
    inputs = scene()
    assert np.array_equal(draw("flat", inputs), inputs[0])


def test_styles_differ_more_than_the_draws_of_one_style():
    inputs = scene()
    pictures = {n: [small(draw(n, inputs, s)) for s in range(4)] for n in NAMES}
    means = {n: np.mean(p, 0) for n, p in pictures.items()}
    for name, drawn in pictures.items():
        for picture in drawn:
            gaps = {other: np.abs(picture - mean).mean() for other, mean in means.items()}
            assert min(gaps, key=gaps.get) == name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", HUES)
def test_hue_of_the_subject_can_be_told(name, colour):
    rgb, angle = HUES[colour]
    inputs = scene(rgb)
    inside = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 60
    told, chroma = hue(draw(name, inputs, 3), inside)
    gaps = {c: abs((told - a + 180) % 360 - 180) for c, (_, a) in HUES.items()}
    assert min(gaps, key=gaps.get) == colour
    assert chroma > 20


@pytest.mark.parametrize("name", NAMES)
def test_black_grey_and_white_subjects_keep_their_order(name):
    inside = np.hypot(*(np.mgrid[:256, :256] - 127.5)) < 60
    greys = [(43, 43, 51), (138, 136, 140), (244, 244, 242)]
    black, grey, white = (draw(name, scene(g), 7)[inside].mean() for g in greys)
    assert black + 20 < grey and grey + 12 < white


def test_plain_paper_stays_plain_where_no_texture_belongs():
    plain = np.full((256, 256, 3), (120, 160, 200), np.uint8)
    blank, nothing = np.full((256, 256), 255, np.uint8), np.zeros((256, 256), np.uint8)
    wash = draw("watercolour", (plain, blank, nothing)).astype(float)
    middle = wash[40:-40, 40:-40]
    assert np.abs(middle.mean((0, 1)) - (120, 160, 200)).max() < 25 and middle.std((0, 1)).max() < 20
    assert wash[:4].min() > 235 and wash[:, -4:].min() > 235  # the margin is bare paper
    assert np.ptp(draw("pixel", (plain, blank, nothing)).reshape(-1, 3), axis=0).max() < 64
    assert draw("comic", (plain, blank, nothing)).max(2).min() > 60  # no line art, no ink


def test_comic_contours_are_black_and_thicker():
    colour, lines, mask = scene()
    out = draw("comic", (colour, lines, mask))
    ink = lines < 60
    assert out[ink].max() < 40
    assert (out.max(2) < 40).sum() > 1.5 * ink.sum()


def test_pencil_is_muted_and_more_so_outside_the_subject():
    red = np.full((256, 256, 3), (221, 47, 47), np.uint8)
    blank, mask = np.full((256, 256), 255, np.uint8), np.zeros((256, 256), np.uint8)
    mask[:, 128:] = 255
    out = draw("pencil", (red, blank, mask)).astype(float)
    chroma = out.max(2) - out.min(2)
    assert 174 * 0.5 > chroma[:, 128:].mean() > chroma[:, :128].mean() > 10


def test_pixel_blocks_are_uniform_and_outlined():
    out = draw("pixel", scene())
    blocks = out.reshape(32, 8, 32, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert (out[128, :64].max(1) < 48).any()


def test_mosaic_is_of_tiles_and_cubist_of_displaced_pieces():
    inputs = scene()
    tiles = np.unique(draw("mosaic", inputs).reshape(-1, 3), axis=0)
    assert 500 < len(tiles) < 5000
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, 0).repeat(3, 2)
    jumps = np.abs(np.diff(draw("cubist", (ramp, inputs[1], inputs[2])).astype(int), axis=1)).max(2)
    assert (jumps > 15).mean() > 0.02


def test_neon_glows_on_a_dark_scene():
    colour, lines, mask = scene()
    out = draw("neon", (colour, lines, mask)).astype(float)
    radius = np.hypot(*(np.mgrid[:256, :256] - 127.5))
    far, halo, tube, core = out[radius > 115], out[np.abs(radius - 89) < 3], out[lines < 60], out[radius < 50]
    assert far.mean() < 0.45 * 203
    assert tube.max(1).mean() > 200 > halo.max(1).mean() > far.max(1).mean() + 10
    assert 0.3 < core[:, 0].mean() / 221 < 0.65


@pytest.mark.parametrize("name", NAMES)
def test_fast_enough_for_a_data_set(name):
    inputs = scene()
    for seed in range(20):
        draw(name, inputs, seed)
    best = np.inf
    for seed in range(20):
        start = time.perf_counter()
        draw(name, inputs, seed)
        best = min(best, time.perf_counter() - start)
    assert best < 0.012, f"{name} took {best * 1e3:.1f} ms; the aim is under 6 on a quiet core"
