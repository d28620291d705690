"""Pictures: conversions, safe opening, pictures in specs, sheets, recipes."""

import base64
import io
import json
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageCms, PngImagePlugin

from labkit.image import (
    ImageError,
    ImageInput,
    contact_sheet,
    differences,
    environment,
    grid,
    open_upload,
    psnr,
    read_recipe,
    save_png,
    strip,
    to_pil,
    to_rgb,
    to_tensor,
)
from labkit.image.chunks import text_of
from labkit.spec import Spec, SpecError

pixels = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9).map(lambda s: (*s, 3)))


def noise(width=24, height=16, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(chunks):
    data = encoded(noise(), "PNG")
    return data[:-12] + chunks + data[-12:]


class Holder(Spec):
    image: ImageInput


@settings(deadline=None)
@given(pixels)
def test_tensor_and_back_is_exact(array):
    x = to_tensor(array)
    assert x.shape == (1, 3, *array.shape[:2]) and x.dtype == torch.float32 and 0 <= x.min() <= x.max() <= 1
    assert np.array_equal(np.asarray(to_pil(x)), array) and np.array_equal(np.asarray(to_pil(x[0])), array)
    assert torch.equal(to_tensor(Image.fromarray(array)), x)


def test_transparency_lies_on_white():
    image = Image.new("RGBA", (1, 1), (255, 0, 0, 51))  # a fifth red, four fifths white
    assert torch.allclose(to_tensor(image).flatten(), torch.tensor([1, 0.8, 0.8]))
    array = np.array([[[1, 0, 0, 0.2]]])
    assert torch.allclose(to_tensor(array).flatten(), torch.tensor([1, 0.8, 0.8]))
    assert to_rgb(Image.new("LA", (2, 2), (0, 0))).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (1, 1))
    palette.info["transparency"] = 0
    assert to_rgb(palette).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped():
    image = Image.fromarray(np.full((2, 2), 32768, np.uint16))
    assert to_rgb(image).getpixel((0, 0)) == (128, 128, 128)
    assert to_tensor(image).mean().item() == pytest.approx(128 / 255)


def in_mode(mode):
    """A picture of one colour in a mode of Pillow, and how it looks."""
    red = Image.new("RGB", (6, 4), (200, 30, 60))
    if mode == "P":
        return red.quantize(2), (200, 30, 60)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.applyTransform(red, ImageCms.buildTransform(*profiles, "RGB", "LAB")), (200, 30, 60)
    if mode in ("CMYK", "YCbCr", "HSV", "RGBX", "RGB"):
        return red.convert(mode), (200, 30, 60)
    if mode == "1":
        return Image.new("1", (6, 4), 1), (255, 255, 255)
    if mode.startswith("I;16"):
        grey = np.full((4, 6), 257 * 90, "<u2" if mode != "I;16B" else ">u2")
        return Image.frombytes(mode, (6, 4), grey.tobytes()), (90, 90, 90)
    if mode in ("LA", "La"):
        half = Image.new("LA", (6, 4), (90, 102))
        return half.convert(mode), (189, 189, 189)  # 90 on white by 102 / 255 = 0.4
    if mode in ("RGBA", "RGBa", "PA"):
        half = red.convert("RGBA") if mode != "PA" else red.quantize(2).convert("PA")
        half.putalpha(102)
        return half.convert(mode), (233, 165, 177)
    return Image.new("L", (6, 4), 90), (90, 90, 90)


@pytest.mark.parametrize("mode", [
    "1", "L", "P", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "LA", "La", "PA", "I;16", "I;16L", "I;16B",
])  # fmt: skip
def test_every_mode_looks_as_it_should(mode):
    image, colour = in_mode(mode)
    assert image.mode == mode
    shown = to_rgb(image)
    assert shown.mode == "RGB" and shown.size == (6, 4) and np.abs(np.subtract(shown.getpixel((2, 2)), colour)).max() <= 3
    assert torch.equal(to_tensor(image), to_tensor(shown))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_range_are_refused(mode):
    with pytest.raises(ImageError, match=f"mode {mode} has no fixed range; give"):
        to_rgb(Image.new(mode, (2, 2), 1))
    with pytest.raises(ImageError, match="a str is no picture; .*open_upload"):
        to_rgb("picture.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_a_value_that_stands_for_transparent_is_white(mode):
    image = Image.new("RGB", (2, 1), "black")
    image.putpixel((0, 0), (255, 0, 0) if mode != "1" else (255, 255, 255))
    if mode == "I;16":
        image = Image.frombytes("I;16", (2, 1), np.array([40_000, 0], "<u2").tobytes())
    elif mode == "P":
        image = image.quantize(2, dither=Image.Dither.NONE)
    else:
        image = image.convert(mode, dither=Image.Dither.NONE)
    key = image.getpixel((1, 0))
    assert to_rgb(image).getpixel((1, 0)) == (0, 0, 0)
    opened = open_upload(encoded(image, "PNG", transparency=key))
    assert opened.getpixel((1, 0)) == (255, 255, 255) and opened.getpixel((0, 0)) == to_rgb(image).getpixel((0, 0))


def test_a_file_of_sixteen_bits_is_not_white():
    grey = Image.fromarray(np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8))
    opened = np.asarray(open_upload(encoded(grey, "PNG")))
    assert np.array_equal(opened[..., 0].ravel(), np.linspace(0, 255, 64).round())


def test_exif_that_cannot_be_read_turns_nothing():
    data = encoded(noise(), "PNG", exif=b"Exif\0\0no such thing")
    assert open_upload(data).tobytes() == noise().tobytes()


def test_metadata_of_a_picture_stays_behind():
    """What a camera or an editor wrote (place, profile) is not in what labkit makes of the picture."""
    given = Image.open(io.BytesIO(encoded(noise(), "PNG", icc_profile=ImageCms.ImageCmsProfile(
        ImageCms.createProfile("sRGB")).tobytes())))
    assert given.info["icc_profile"] and to_rgb(given).info == {} == open_upload(encoded(given, "PNG")).info
    assert b"iCCP" not in base64.b64decode(ImageInput.of(given, 24, 16).png)


def test_rotation_of_the_camera_is_applied():
    image = noise(24, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90°
    opened = open_upload(encoded(image, "PNG", exif=exif))
    assert opened.tobytes() == image.transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize(
    "bad",
    [np.zeros((2, 2, 2)), np.zeros((0, 2, 3), np.uint8), np.full((2, 2), 1.5), np.zeros((2, 2), int)],
)
def test_arrays_that_are_no_picture(bad):
    with pytest.raises(ImageError):
        to_tensor(bad)


def test_nan_is_never_a_black_picture():
    for value in (math.nan, math.inf):
        with pytest.raises(ImageError, match="NaN"):
            to_pil(torch.full((1, 3, 2, 2), value))
    for shape in ((2, 3, 4, 4), (1, 4, 4), (3, 4)):
        with pytest.raises(ImageError, match="no picture"):
            to_pil(torch.zeros(shape))
    assert to_pil(torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1)).getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_upload_opens(kind, tmp_path):
    flat = Image.new("RGB", (20, 10), (255, 255, 255))
    (tmp_path / "picture").write_bytes(encoded(flat, kind))
    image = open_upload(tmp_path / "picture")
    assert image.mode == "RGB" and image.size == (20, 10) and image.tobytes() == flat.tobytes()


def test_upload_takes_the_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_upload(data).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@settings(deadline=None, max_examples=40)
@given(part=st.floats(0, 0.9))
def test_upload_cut_short_is_an_image_error(kind, part):
    data = encoded(noise(40, 40), kind)
    with pytest.raises(ImageError, match="cut short|no picture"):
        open_upload(data[: int(len(data) * part)])


def test_upload_refuses(tmp_path):
    def header_only(width, height):
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))

    bomb = header_only(30000, 30000) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="too large"):
        open_upload(bomb)
    with pytest.raises(ImageError, match="at most 100"):
        open_upload(encoded(noise(11, 10), "PNG"), max_pixels=100)
    with pytest.raises(ImageError, match="larger than 0.001 MB"):
        open_upload(bytes(1001), max_bytes=1000)
    for kind in ("BMP", "TIFF", "PPM", "ICO"):
        with pytest.raises(ImageError, match="no picture that can be opened"):
            open_upload(encoded(noise(), kind))
    for path in (tmp_path / "absent.png", "https://example.org/a.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            open_upload(path)


def test_upload_names_its_file(tmp_path):
    whole = encoded(noise(), "PNG")
    damaged = bytearray(whole)
    damaged[-40] ^= 1  # among the pixels
    for name, data, said in [
        ("cut.png", whole[: len(whole) // 2], "cut short"),
        ("no end.png", whole[:-12], "cut short"),
        ("damaged.png", bytes(damaged), "damaged"),
        ("page.jpg", b"<html>", "no picture that can be opened"),
        ("empty.gif", b"", "no picture that can be opened"),
        ("\x1b[31m.png", b"?", "no picture that can be opened"),
    ]:
        (tmp_path / name).write_bytes(data)
        for opened in (open_upload, lambda path: ImageInput.of(path, 8, 8)):
            with pytest.raises(ImageError, match=said) as caught:
                opened(tmp_path / name)
            assert str(tmp_path / name).replace("\x1b", "\\x1b") in str(caught.value) and str(caught.value).isprintable()
        with pytest.raises(ImageError) as caught:
            read_recipe(tmp_path / name)
        assert str(tmp_path / name).replace("\x1b", "\\x1b") in str(caught.value)


def test_upload_of_few_bytes_and_many_pixels_takes_no_memory(tmp_path):
    """20,000 × 20,000 pixels in 50 kB, with and without a recipe beside them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"labkit\0{}")
                                        + chunk(b"IDAT", zlib.compress(bytes(20_000 * 2_501))) + chunk(b"IEND", b""))
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"bomb.png: .* too large: 20000 × 20000 pixels; give .* at most 16,000,000"):
        open_upload(tmp_path / "bomb.png")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert read_recipe(tmp_path / "bomb.png") == {}


def test_text_beside_the_pixels_is_not_unpacked():
    """Pillow reads every text, and refuses a picture for one that unpacks to more than a megabyte."""
    bomb = b"zip\0\0" + zlib.compress(bytes(50_000_000))
    assert open_upload(png_with(chunk(b"zTXt", bomb))).tobytes() == noise().tobytes()


@settings(deadline=None)
@given(pixels)
def test_input_is_lossless_and_round_trips(array):
    height, width = array.shape[:2]
    made = ImageInput.of(array, width, height)
    assert np.array_equal(np.asarray(made.pil()), array) and torch.equal(made.tensor(), to_tensor(array))
    assert Holder.from_json(Holder(image=made).to_json()) == Holder(image=made)


def test_input_fits(tmp_path):
    halves = Image.new("RGB", (40, 20), "red")
    halves.paste("blue", (20, 0, 40, 20))
    squashed = ImageInput.of(halves, 16, 16, fit="squash").pil()
    assert squashed.getpixel((0, 8)) == (255, 0, 0) and squashed.getpixel((15, 8)) == (0, 0, 255)
    stripes = Image.new("RGB", (40, 20), "red")
    stripes.paste("blue", (10, 0, 30, 20))
    assert ImageInput.of(stripes, 20, 20).pil().getcolors() == [(400, (0, 0, 255))]
    stripes.save(tmp_path / "a.png")
    assert ImageInput.of(tmp_path / "a.png", 40, 20) == ImageInput.of(stripes, 40, 20)
    with pytest.raises(ImageError, match="fit"):
        ImageInput.of(stripes, 8, 8, fit="stretch")
    for size in ((0, 8), (2048, 1024)):
        with pytest.raises(ImageError, match="width, height"):
            ImageInput.of(stripes, *size)


def test_input_hash_is_of_the_pixels_and_its_repr_short():
    image = noise()
    made = ImageInput.of(image, 24, 16)
    other = base64.b64encode(encoded(image, "PNG", compress_level=0)).decode()
    assert other != made.png and ImageInput(**{**made.model_dump(), "png": other}).sha256 == made.sha256
    assert len(repr(made)) < 80 and len(str(Holder(image=made))) < 100


def test_input_refuses_what_is_not_the_picture_itself():
    good = ImageInput.of(noise(), 24, 16).model_dump()
    jpeg = base64.b64encode(encoded(noise(), "JPEG")).decode()
    grey = base64.b64encode(encoded(noise().convert("L"), "PNG")).decode()
    for bad, said in [
        ("/etc/passwd", "path or URL"),
        ("https://example.org/a.png", "path or URL"),
        ({"path": "/etc/passwd"}, "no such field"),
        ({**good, "png": "/etc/passwd"}, "PNG in base64"),
        ({**good, "png": "https://example.org/a.png"}, "PNG in base64"),
        ({**good, "png": jpeg}, "PNG in base64"),
        ({**good, "png": grey}, "must be RGB"),
        ({**good, "png": good["png"][:200]}, "cut short"),
        ({**good, "png": good["png"][:100] + "!" + good["png"][101:]}, "base64"),
        ({**good, "png": good["png"][:12] + "A" * 8_000_000}, "8000000"),
        ({**good, "width": 16, "height": 24}, "must be RGB"),
        ({**good, "width": 2048, "height": 2048}, "pixels"),
        ({**good, "sha256": "0" * 64}, "sha256"),
    ]:
        with pytest.raises(SpecError, match=said) as caught:
            Holder.from_json(json.dumps({"image": bad}))
        assert str(caught.value).startswith("image") and len(str(caught.value)) < 700


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 5), st.integers(0, 6))
def test_grid_has_its_size_and_its_pictures(count, columns, pad):
    images = [noise(6, 4, seed) for seed in range(count)]
    sheet = grid(images, columns, pad, background="black")
    across = min(columns, count)
    assert sheet.size == (across * (6 + pad) + pad, math.ceil(count / columns) * (4 + pad) + pad)
    for k, image in enumerate(images):
        x, y = pad + k % columns * (6 + pad), pad + k // columns * (4 + pad)
        assert sheet.crop((x, y, x + 6, y + 4)).tobytes() == image.tobytes()


def test_strip_is_one_row_and_nothing_makes_no_sheet():
    assert strip([noise(6, 4)] * 5).size == (5 * 8 + 2, 4 + 4)
    for call, values in [(grid, ([], 3)), (strip, ([],)), (contact_sheet, ([], [], 3)), (grid, ([], 0))]:
        with pytest.raises(ImageError, match="needs pictures"):
            call(*values)


def test_contact_sheet_enlarges_by_whole_factors_and_keeps_labels_apart():
    image = noise(64, 64)
    sheet = contact_sheet([image], [""], 1, tile=160)
    enlarged = image.resize((128, 128), Image.Resampling.NEAREST)
    assert sheet.crop((8 + 16, 8 + 16, 8 + 144, 8 + 144)).tobytes() == enlarged.tobytes()
    words = ["a very long label that does not fit into one line of a tile", "x" * 60]
    labelled = contact_sheet([image, image], words, 2, title="what it is")
    assert labelled.height > sheet.height
    ink = np.asarray(labelled.convert("L")) < 128
    gap = slice(8 + 160 + 2, 8 + 160 + 6)  # between the two columns, where no word may reach
    assert not ink[:, gap].any() and ink[-60:].any()
    with pytest.raises(ImageError, match="labels"):
        contact_sheet([image], [], 1)


recipes = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    max_size=5,
)


@settings(deadline=None, max_examples=30)
@given(recipe=recipes)
def test_png_knows_its_recipe(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("png") / "new" / "a.png"
    assert save_png(noise(), path, recipe) == path
    assert read_recipe(path) == read_recipe(path.read_bytes()) == recipe
    assert open_upload(path).tobytes() == noise().tobytes()
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_png(noise(), tmp_path / "a.png", {"n": 1})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_png(noise(), path, {"n": 2})
    assert read_recipe(path) == {"n": 1} and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ImageError, match=r"\.png"):
        save_png(noise(), tmp_path / "a.jpg", {})
    with pytest.raises(ImageError, match="too many"):
        save_png(noise(), path, {"long": "x" * 16_000_000})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a PNG"),
        (encoded(noise(), "JPEG"), "not a PNG"),
        (encoded(noise(), "PNG"), "no labkit recipe"),
        (encoded(noise(), "PNG")[:20], "cut short"),
        (png_with(chunk(b"tEXt", b"labkit\0{")), "broken JSON"),
        (png_with(chunk(b"tEXt", b'labkit\0{"a": NaN}')), "broken JSON"),
        (png_with(chunk(b"tEXt", b"labkit\0\xff")), "broken JSON"),
        (png_with(chunk(b"tEXt", b"labkit\0" + b"[" * 90_000)), "broken JSON"),
        (png_with(chunk(b"tEXt", b'labkit\0{"a":' + b"[" * 400 + b"]" * 400 + b"}")), "more than 32 deep"),
        (png_with(chunk(b"tEXt", b'labkit\0{"a":' + b'{"a":' * 40 + b"1" + b"}" * 41)), "more than 32 deep"),
        (png_with(chunk(b"tEXt", b'labkit\0{"a": [' + b"[]," * 200_000 + b"1]}")), "more than 100,000 parts"),
        (png_with(chunk(b"tEXt", b'labkit\0{"a": ' + b"9" * 5000 + b"}")), "broken JSON"),
        (png_with(chunk(b"tEXt", b"labkit\0[1]")), "must be an object"),
        (png_with(chunk(b"tEXt", b"labkit\0{}")[:-1] + b"?"), "damaged"),
        (png_with(chunk(b"tEXt", b"labkit\0{}"))[:-14], "cut short"),
        (png_with(chunk(b"tEXt", b"labkit\0{}"))[:-1], "cut short"),
        (png_with(chunk(b"zTXt", b"labkit\0\0" + zlib.compress(b"{}")[:-3])), "text is cut short"),
        (png_with(chunk(b"zTXt", b"labkit\0\0not packed")), "text is damaged"),
        (png_with(chunk(b"zTXt", b"labkit\0\1" + zlib.compress(b"{}"))), "not known here"),
        (png_with(chunk(b"zTXt", b"labkit\0\0" + zlib.compress(bytes(16_000_001)))), "more than 16 MB"),
        (png_with(chunk(b"iTXt", b"labkit\0\1\0\0\0" + zlib.compress(bytes(40_000_000)))), "more than 16 MB"),
        (bytes(16_000_001), "larger than 16 MB"),
    ],
)
def test_recipe_errors(data, said):
    with pytest.raises(ImageError, match=said):
        read_recipe(data)


def test_a_text_is_unpacked_no_further_than_it_may(tmp_path):
    data = png_with(chunk(b"zTXt", b"labkit\0\0" + zlib.compress(bytes(30_000_000))))
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than 0.001 MB"):
        text_of(data, "labkit", 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_recipe_survives_another_program_and_chunks_of_others():
    other = PngImagePlugin.PngInfo()
    other.add_text("Software", "labkit\0?".replace("\0", " "))
    other.add_text("labkit", '{"a": 1}')
    assert read_recipe(encoded(noise(), "PNG", pnginfo=other)) == {"a": 1}


@pytest.mark.parametrize("written", [
    chunk(b"zTXt", b"labkit\0\0" + zlib.compress(b'{"a": 1}')),
    chunk(b"iTXt", b"labkit\0\0\0\0\0" + b'{"a": 1}'),
    chunk(b"iTXt", b"labkit\0\0\0en\0" + "rezept é".encode() + b"\0" + b'{"a": 1}'),
    chunk(b"iTXt", b"labkit\0\1\0ru\0x\0" + zlib.compress(b'{"a": 1}')),
    chunk(b"tEXt", b"labkit2\0{}") + chunk(b"tEXt", b'labkit\0{"a": 1}') + chunk(b"tEXt", b'labkit\0{"a": 2}'),
])  # fmt: skip
def test_recipe_is_read_wherever_a_png_may_keep_it(written):
    assert read_recipe(png_with(written)) == {"a": 1}
    data = png_with(b"")
    assert read_recipe(data[:33] + written + data[33:]) == {"a": 1}, "before the pixels"


def test_long_recipes_survive_compression():
    """A recipe with a picture inside, saved anew by a program that compresses texts."""
    long = {"png": base64.b64encode(np.random.default_rng(0).bytes(3_000_000)).decode()}
    data = png_with(chunk(b"zTXt", b"labkit\0\0" + zlib.compress(json.dumps(long).encode())))
    assert read_recipe(data) == long and open_upload(data).size == (24, 16)


def test_a_strangers_words_are_escaped_and_bounded():
    bad = {f"\x1b[2J{k}" + "x" * 500: "\u202e" + "y" * 500 for k in range(1000)}
    lines = differences(bad, {"a": {"b": 1}})
    assert len(lines) == 41 and lines[-1] == "and 961 more"
    assert all(line.isprintable() and len(line) < 250 for line in lines)
    with pytest.raises(ImageError) as caught:
        read_recipe(png_with(chunk(b"tEXt", b"labkit\0\x1b[31m")))
    assert str(caught.value).isprintable()


def test_differences_are_named():
    here = environment()
    assert differences(here, dict(here)) == [] and json.loads(json.dumps(here)) == here
    assert {"labkit", "torch", "python", "numpy", "cpu capability", "threads", "device"} == set(here)
    then, now = {**here, "threads": 4}, {**here, "threads": 2}
    assert differences(then, now) == ["threads: 4 in the recipe, 2 here"]
    a = {"clip": {"name": "pocket", "sha256": "a" * 64}, "judge": {"name": "pocket"}}
    b = {"clip": {"name": "pocket", "sha256": "b" * 64}}
    assert differences(a, b) == [
        f"clip sha256: {'a' * 12}… in the recipe, {'b' * 12}… here",
        "judge: {'name': 'pocket'} in the recipe, not known here",
    ]


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_psnr_of_flat_pictures(a, b):
    left, right = (Image.new("RGB", (4, 4), (v, v, v)) for v in (a, b))
    expected = math.inf if a == b else 20 * math.log10(255 / abs(a - b))
    assert psnr(left, right) == pytest.approx(expected) == psnr(right, left)


def test_psnr_needs_one_size():
    with pytest.raises(ImageError, match="one size"):
        psnr(noise(4, 4), noise(4, 5))
