"""The similarity matrix, retrieval and patch maps against closed forms, on an encoder whose vectors are
known."""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms
from torch.utils._python_dispatch import TorchDispatchMode

from labkit.clip import similarity
from labkit.clip.figures import NUMBERS, heat_map, text_colour
from labkit.clip.patches import patch_map
from labkit.clip.retrieval import standings, streamed, top_of_rows
from labkit.clip.similarity import TEMPLATES, SimilarityMatrix, SimilarityResult, embed_images, embed_texts
from labkit.data import data_path
from labkit.image import ImageError, to_rgb
from labkit.spec import NonFiniteError, SpecError

COLOURS = {"red": (1.0, 0, 0), "green": (0, 1.0, 0), "blue": (0, 0, 1.0)}


class FakeEncoder:
    """Images are their mean colour as a direction; texts the sum of the colours they name, templates turn
    them."""

    size, scale, name, device = 16, 10.0, "fake", torch.device("cpu")

    def __init__(self):
        self.batches = []

    def encode_image(self, x):
        self.batches.append(tuple(x.shape))
        return F.normalize(x.mean((2, 3)) + 1e-12, dim=-1)

    def encode_text(self, texts):
        rows = [sum((torch.tensor(v) for k, v in COLOURS.items() if k in t), torch.zeros(3)) for t in texts]
        turned = [
            r + (0.5 * torch.tensor(COLOURS["blue"]) if "picture of" in t else 0) for r, t in zip(rows, texts, strict=True)
        ]
        return F.normalize(torch.stack(turned), dim=-1)

    def notices(self, text):
        return ["the pocket model has never seen 'mauve'"] if "mauve" in text else []


class LeftSide(FakeEncoder):
    """Looks at the left upper quarter's brightness m only: the angle from the text is 1 − m."""

    def encode_image(self, x):
        angle = 1 - x[:, :, : self.size // 2, : self.size // 2].mean((1, 2, 3))
        return torch.stack([angle.cos(), angle.sin()], 1)

    def encode_text(self, texts):
        return torch.tensor([[1.0, 0.0]]).repeat(len(texts), 1)


@pytest.fixture
def lab():
    return SimpleNamespace(clip=FakeEncoder())


def plain(colour, size=(8, 8)):
    return Image.new("RGB", size, colour)


def result(cosine, **kwargs):
    cosine = torch.as_tensor(cosine, dtype=torch.float32)
    n, m = cosine.shape
    return SimilarityResult(
        tuple(f"t{i}" for i in range(n)),
        tuple(f"image {j}" for j in range(m)),
        (plain("red"),) * m,
        cosine,
        kwargs.pop("scale", 10.0),
        **kwargs,
    )


def unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=-1)


def exact(n, seed):
    """Unit vectors of 64 entries ±1/8: their cosines are multiples of 1/32, exact in fp32 and often equal."""
    return torch.randint(0, 2, (n, 64), generator=torch.Generator().manual_seed(seed)).float() / 4 - 1 / 8


def test_rows_are_texts_and_columns_images(lab):
    spec = SimilarityMatrix(texts=("red", "green", "red green"))
    got = spec.compute(lab, [plain("red"), plain("blue")], names=["r", "b"])
    half = math.sqrt(0.5)
    assert torch.allclose(got.cosine, torch.tensor([[1, 0], [0, 0], [half, 0]]), atol=1e-6)
    assert list(got.table.index) == ["red", "green", "red green"] and list(got.table.columns) == ["r", "b"]
    assert got.table.loc["red green", "r"] == pytest.approx(half)


def test_spec_is_frozen_and_round_trips():
    spec = SimilarityMatrix(texts=("a", "b"), templates=True, mode="zscore")
    assert SimilarityMatrix.from_json(spec.to_json()) == spec
    assert SimilarityMatrix.needs == ("clip",)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"texts": ()}, "texts"),
        ({"texts": ("a", " ")}, "text 1 is empty"),
        ({"texts": ("a",) * 2001}, "2000"),
        ({"texts": "one string"}, "texts"),
        ({"texts": ("a",), "mode": "loud"}, "mode"),
    ],
)
def test_bad_specs_say_which_field(values, word):
    with pytest.raises(SpecError, match=word):
        SimilarityMatrix(**values)


def test_bad_images_say_what_to_do(lab):
    spec = SimilarityMatrix(texts=("red",))
    with pytest.raises(ValueError, match="images: the list is empty"):
        spec.compute(lab, [])
    with pytest.raises(ValueError, match="streamed"):
        spec.compute(lab, [plain("red")] * 2001)
    with pytest.raises(ValueError, match="3 names for 1 images"):
        spec.compute(lab, [plain("red")], names=["a", "b", "c"])
    lab.clip.encode_text = lambda texts: torch.full((len(texts), 3), torch.nan)
    with pytest.raises(NonFiniteError, match="fake"):
        spec.compute(lab, [plain("red")])


def test_templates_average_unit_vectors(lab):
    each = torch.stack([lab.clip.encode_text([t.format("red")])[0] for t in TEMPLATES])
    assert not torch.allclose(each[0], each[1])
    expected = each.mean(0) / each.mean(0).norm()
    assert torch.allclose(embed_texts(lab.clip, ["red"], templates=True)[0], expected, atol=1e-6)
    assert torch.equal(embed_texts(lab.clip, ["red"]), lab.clip.encode_text(["red"]))


def test_images_of_mixed_sizes_keep_their_order(lab, monkeypatch):
    colours = ["red", "red", "green", "blue", "red"]
    pictures = [plain(c, (8, 4) if k == 2 else (8, 8)) for k, c in enumerate(colours)]
    got = embed_images(lab.clip, pictures, batch=2)
    assert torch.allclose(
        got,
        torch.tensor([COLOURS[c] for c in ("red", "red")] + [(0, 1, 0)] + [(0, 0, 1), (1, 0, 0)], dtype=torch.float32),
        atol=1e-2,
    )
    monkeypatch.setattr(similarity, "PIXELS", 8 * 8 * 2)
    lab.clip.batches.clear()
    embed_images(lab.clip, [plain("red")] * 5)
    assert [b[0] for b in lab.clip.batches] == [2, 2, 1], "large pictures go in smaller batches"


def test_transparency_lies_on_white(lab):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert torch.allclose(embed_images(lab.clip, [clear]), torch.full((1, 3), math.sqrt(1 / 3)), atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "RGB"])
def test_a_picture_of_any_mode_is_read_as_it_looks(lab, mode):
    """16-bit grey, whose values are far above 255, not as white; the same for the map of patches."""
    image = Image.new("RGB", (16, 16), "black" if mode == "1" else (60, 90, 120))
    if mode == "I;16":
        image = Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)
    elif mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    else:
        image = image.convert(mode)
    seen = []
    lab.clip.encode_image = lambda x: seen.append(x) or torch.ones(len(x), 3)
    SimilarityMatrix(texts=("red",)).compute(lab, [image])
    patch_map(lab, "red", image, patch=16, stride=16)
    expected = torch.from_numpy(np.asarray(to_rgb(image)).copy()).permute(2, 0, 1)[None] / 255
    assert torch.equal(seen[0], expected) and torch.equal(seen[1], expected) and seen[0].mean() < 0.9


def test_what_is_no_picture_is_named(lab):
    for wrong, words in ((Image.new("F", (4, 4)), "image 1: .*mode F"), ("b.png", "image 1: a str is no picture")):
        with pytest.raises(ImageError, match=words):
            SimilarityMatrix(texts=("red",)).compute(lab, [plain("red"), wrong])


def test_softmax_is_at_the_models_temperature():
    got = result([[0.3, 0.1], [0.2, 0.4]], scale=10.0)
    over_texts, over_images = got.softmax(over="texts"), got.softmax(over="images")
    assert over_texts[0, 0] == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-5)
    assert over_images[0, 0] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-5)
    assert torch.allclose(over_texts.sum(0), torch.ones(2)) and torch.allclose(over_images.sum(1), torch.ones(2))
    with pytest.raises(ValueError, match="over='rows'"):
        got.softmax(over="rows")


def test_zscore_is_per_text():
    got = result([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]).zscore()
    assert torch.allclose(got[0], torch.tensor([-1.0, 0.0, 1.0]) * math.sqrt(1.5), atol=1e-5)
    assert torch.equal(got[1], torch.zeros(3)), "a row that does not vary has no deviation"
    assert result([[0.3]]).zscore().item() == 0


def test_ranks_by_hand():
    got = result([[0.9, 0.1, 0.2], [0.5, 0.4, 0.6], [0.0, 0.3, 0.3]])
    assert got.ranks().tolist() == [1, 3, 2], "the last one is tied: counted as lost"
    assert got.ranks(ties="mean").tolist() == [1, 3, 1.5]
    assert got.ranks(ties="best").tolist() == [1, 3, 1]
    assert got.ranks("image_to_text").tolist() == [1, 1, 2]
    assert got.recall(1) == {"text_to_image": pytest.approx(1 / 3), "image_to_text": pytest.approx(2 / 3)}
    assert got.recall(1, ties="mean")["text_to_image"] == pytest.approx(1.5 / 3)
    assert got.recalls((1, 3)).loc["R@3"].tolist() == [1, 1]


def test_a_model_that_answers_everything_alike_earns_nothing():
    got = result(torch.full((10, 10), 0.3))
    assert got.recall(1) == {"text_to_image": 0, "image_to_text": 0}
    assert got.recall(1, ties="mean")["text_to_image"] == pytest.approx(0.1), "what chance would give"
    assert got.recall(5, ties="mean")["text_to_image"] == pytest.approx(0.5)
    assert set(got.ranks(ties="mean").tolist()) == {5.5}


def test_rounding_does_not_decide_ties():
    assert result([[0.3, 0.3 + 1e-7], [0.1, 0.2]]).ranks(ties="best").tolist() == [1, 1]


def test_ranks_need_pairs():
    for bad in (result(torch.zeros(2, 3)), streamed(unit(2, 4, 0), unit(3, 4, 1))):
        with pytest.raises(ValueError, match="2 texts and 3 images"):
            bad.ranks()
    good = result(torch.eye(2))
    for call in (lambda: good.recall(0), lambda: good.ranks("up"), lambda: good.ranks(ties="won")):
        with pytest.raises(ValueError, match="k=0|direction='up'|ties='won'"):
            call()


def dense_top(cosine, k):
    """By cosine falling, then by index rising."""
    order = np.stack([np.lexsort((np.arange(len(row)), -row)) for row in cosine])[:, :k]
    return order, np.take_along_axis(cosine, order, 1)


@pytest.mark.parametrize("block", [16, 1000])
def test_streamed_equals_dense_with_ties(block):
    text, image = exact(50, 0), exact(50, 1)
    image[10], image[33] = text[4], text[4]  # two perfect answers, and not the partner
    text[20] = text[21]
    image[20], image[21] = text[20], text[20]  # the partner, and one level with it
    cosine = text @ image.T
    assert (cosine.numpy() == (text.numpy() @ image.numpy().T)).all(), "exact, or the test would test rounding"
    got = streamed(text, image, k=9, block=block)
    for top, matrix in ((got.images, cosine), (got.texts, cosine.T)):
        order, values = dense_top(matrix.numpy(), 9)
        assert (np.sort(values)[:, :-1] == np.sort(values)[:, 1:]).any(), "there are ties"
        assert np.array_equal(top.indices.numpy(), order) and np.array_equal(top.cosines.numpy(), values)
    dense = result(cosine)
    for direction in ("text_to_image", "image_to_text"):
        for ties in ("worst", "mean", "best"):
            assert torch.equal(got.ranks(direction, ties), dense.ranks(direction, ties))
    assert got.ranks(ties="best")[20] == 1 and got.ranks(ties="worst")[20] == 2
    assert got.recalls().equals(dense.recalls())
    brute = [1 + sum(bool(c > row[i]) for c in row) for i, row in enumerate(cosine)]
    assert got.ranks(ties="best").tolist() == brute


def test_streamed_equals_dense_on_real_numbers_of_unequal_counts():
    text, image = unit(70, 24, 3), unit(45, 24, 4)
    got = streamed(text, image, k=60, block=16)
    assert got.images.indices.shape == (70, 45) and got.texts.indices.shape == (45, 60)
    order, values = dense_top((text @ image.T).numpy(), 60)
    assert np.array_equal(got.images.indices.numpy(), order)
    assert np.allclose(got.images.cosines.numpy(), values, atol=1e-6)


def test_streamed_paired_on_real_numbers():
    text, image = unit(90, 24, 5), F.normalize(unit(90, 24, 5) + 0.9 * unit(90, 24, 6), dim=-1)
    got, dense = streamed(text, image, block=32), standings(text @ image.T)
    assert torch.equal(got.ranks(), dense[0].ranks()) and torch.equal(got.ranks("image_to_text"), dense[1].ranks())


@pytest.mark.parametrize(
    ("text", "image", "values", "word"),
    [
        (torch.ones(2, 3), unit(2, 3, 0), {}, "text_emb: every vector must have length 1"),
        (unit(2, 3, 0), torch.full((2, 3), torch.nan), {}, "image_emb"),
        (unit(2, 3, 0), unit(2, 4, 0), {}, "3 and 4"),
        (unit(2, 3, 0), torch.zeros(0, 3), {}, "image_emb"),
        (unit(2, 3, 0), unit(2, 3, 0), {"k": 0}, "k=0"),
        (unit(2, 3, 0), unit(2, 3, 0), {"block": -1}, "block=-1"),
    ],
)
def test_streamed_refuses_what_it_cannot_compare(text, image, values, word):
    with pytest.raises(ValueError, match=word):
        streamed(text, image, **values)


def test_top_of_rows_takes_the_first_of_equal_values():
    values, at = top_of_rows(torch.tensor([[1.0, 2, 2, 2, 0], [5, 1, 4, 3, 2]]), 2)
    assert at.tolist() == [[1, 2], [0, 2]] and values.tolist() == [[2, 2], [5, 4]]


def test_streamed_never_forms_the_matrix():
    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            tensors = out if isinstance(out, tuple | list) else [out]
            largest.append(max((t.numel() for t in tensors if isinstance(t, torch.Tensor)), default=0))
            return out

    n, d, k, block = 200, 8, 5, 50
    text, image = unit(n, d, 0), unit(n, d, 1)
    with Watch():
        streamed(text, image, k=k, block=block)
    assert max(largest) <= max(block * block, n * d) < n * n / 15


# Linux hands a process's ru_maxrss on to its children; VmHWM is the child's own.
SOAK = """
import re, torch
from pathlib import Path
from labkit.clip.retrieval import streamed
memory = lambda name: 1024 * int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
unit = lambda seed: torch.nn.functional.normalize(
    torch.randn(10_000, 512, generator=torch.Generator().manual_seed(seed)), dim=-1)
text, image = unit(0), unit(1)
before = memory("VmRSS")
streamed(text, image, k=10)
print(memory("VmHWM") - before)
"""


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak memory is read from Linux's /proc")
def test_ten_thousand_squared_within_a_gigabyte_over_the_embeddings():
    done = subprocess.run(
        [sys.executable, "-c", SOAK],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert 1e6 < int(done.stdout) < 1e9


def contrast(colour, ground):
    def luminance(rgb):
        return sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), rgb, strict=True)
        )

    a, b = sorted((luminance({"black": (0, 0, 0), "white": (1, 1, 1)}[colour]), luminance(ground)))
    return (b + 0.05) / (a + 0.05)


def test_numbers_are_readable_on_every_colour():
    from matplotlib import colormaps

    for name in ("viridis", "RdBu_r"):
        for v in np.linspace(0, 1, 50):
            ground = colormaps[name](v)[:3]
            assert contrast(text_colour(ground), ground) >= 4.5


def cells(figure):
    return [t.get_text() for t in figure.axes[0].texts]


@pytest.mark.parametrize("mode", ["cosine", "softmax", "zscore"])
def test_figure_shows_numbers_pictures_and_notices(lab, mode):
    spec = SimilarityMatrix(texts=("red $5 {x} $6", "green and mauve"), mode=mode)
    got = spec.compute(lab, [plain("red"), plain("green"), plain("blue")])
    assert got.notices == {"green and mauve": ["the pocket model has never seen 'mauve'"]}
    figure = got.figure()
    number = "{:+z.1f}" if mode == "zscore" else "{:z.2f}"
    assert cells(figure) == [number.format(v) for v in got.shown.to_numpy().flat]
    matrix, pictures = figure.axes[0].images
    assert matrix.get_array().shape == (2, 3)
    strip = pictures.get_array()
    middle = strip[strip.shape[0] // 2, [strip.shape[1] * k // 6 for k in (1, 3, 5)]]
    assert middle.tolist() == [[255, 0, 0], [0, 128, 0], [0, 0, 255]], "each picture over its column"
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()][1].endswith("*")
    assert any("mauve" in t.get_text() for t in figure.texts) and "fake" in figure.texts[0].get_text()
    assert len(figure.axes) == 2 and figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(("n", "m", "numbers"), [(1, 1, True), (30, 30, True), (31, 3, False), (3, 200, False)])
def test_figures_of_any_shape_draw(n, m, numbers):
    got = result(torch.linspace(-1, 1, n * m).view(n, m))
    figure = got.figure()
    assert bool(cells(figure)) == numbers
    assert len(figure.axes[0].get_yticklabels()) <= 60
    assert max(figure.get_size_inches()) < 25
    if n < NUMBERS:
        assert figure._repr_png_()


def test_heat_map_of_equal_values_has_a_range():
    figure = heat_map(np.zeros((2, 2)), ["a", "b"], [plain("red")] * 2, title="t", unit="u")
    assert figure.axes[0].images[0].norm.vmin < 0 < figure.axes[0].images[0].norm.vmax


def half_white():
    picture = Image.new("RGB", (16, 16), "black")
    picture.paste("white", (0, 0, 8, 8))
    return picture


def test_patch_map_finds_what_the_model_looks_at():
    got = patch_map(SimpleNamespace(clip=LeftSide()), "light", half_white(), patch=4, stride=2, batch=5)
    assert got.cosine == pytest.approx(1.0) and got.stops == (0, 2, 4, 6, 8, 10, 12)
    assert got.falls.shape == (7, 7) and got.map.shape == (16, 16)
    # A patch wholly inside covers 16 of 64 pixels by the mean, 1/4 (its soft edge keeps its area).
    assert got.falls[1, 1] == pytest.approx(1 - math.cos(16 / 64 * 0.75), rel=0.02)
    assert got.falls[5:].abs().max() < 1e-6 and got.falls[:, 5:].abs().max() < 1e-6
    assert got.map[:6, :6].min() > 10 * got.map[12:].abs().max()
    assert got.table.loc[2, 2] == pytest.approx(got.falls[1, 1].item())


def test_patch_map_of_one_colour_is_zero_and_a_hindrance_is_negative():
    lab = SimpleNamespace(clip=LeftSide())
    assert patch_map(lab, "light", plain("teal", (16, 16)), patch=4).map.abs().max() < 1e-6
    spoilt = Image.eval(half_white(), lambda v: 255 - v)
    assert patch_map(lab, "light", spoilt, patch=4, stride=2).falls[1, 1] < -0.01


def test_patch_map_does_not_depend_on_the_batch_and_reaches_the_edge():
    lab = SimpleNamespace(clip=LeftSide())
    a, b = (patch_map(lab, "light", half_white(), patch=5, stride=4, batch=k) for k in (1, 64))
    assert a.stops == (0, 4, 8, 11) and torch.allclose(a.falls, b.falls, atol=1e-6)
    assert bool(a.map.isfinite().all())
    whole = patch_map(lab, "light", half_white(), patch=16, stride=16)
    assert whole.stops == (0,) and whole.falls.shape == (1, 1)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"patch": 17}, "patch=17: .* 1 to 16"),
        ({"patch": 0}, "patch"),
        ({"patch": 4, "stride": 5}, "stride=5: .* 1 to 4"),
        ({"text": " "}, "text"),
    ],
)
def test_patch_map_refuses(values, word):
    with pytest.raises(ValueError, match=word):
        patch_map(SimpleNamespace(clip=LeftSide()), **({"text": "light", "image": half_white()} | values))


def test_patch_map_figure_says_how_and_what_not():
    figure = patch_map(SimpleNamespace(clip=LeftSide()), "light", half_white(), patch=4).figure()
    words = " ".join(t.get_text() for t in figure.texts)
    assert "mean colour" in words and "Not shown" in words.replace("\n", " ") and "4 × 4" in words
    assert [ax.get_title() for ax in figure.axes][:3] == ["picture", "map", "overlay"]
    assert figure._repr_png_()


def test_on_world_scenes_the_diagonal_wins(missing):
    if not data_path("models", "clip.safetensors").is_file():
        missing("data/models/clip.safetensors is not there: python -m labkit train clip")
    from labkit.lab import Lab
    from labkit.world import render, sample_scene

    wanted = [
        ("apple", "red", "snow"),
        ("house", "blue", "meadow"),
        ("cat", "brown", "night"),
        ("car", "green", "city"),
        ("ship", "yellow", "sea"),
        ("umbrella", "purple", "room"),
    ]
    scenes = [
        sample_scene(900 + i, "test", subject=s, colour=c, setting=p, style="flat", two=False)
        for i, (s, c, p) in enumerate(wanted)
    ]
    texts = [f"a {c} {s} in the {p}" for s, c, p in wanted]
    got = SimilarityMatrix(texts=texts).compute(Lab(device="cpu"), [Image.fromarray(render(s)) for s in scenes])
    assert got.recall(1) == {"text_to_image": 1.0, "image_to_text": 1.0}
    assert (got.zscore().diagonal() > 1).all()
