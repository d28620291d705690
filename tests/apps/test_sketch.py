"""The Sketch page: what is drawn reaches the run, several pictures are apart, words and numbers are those of the run."""

import base64
import re

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image, ImageDraw

from apps import sketch, studio
from labkit.image import ImageError, ImageInput, open_upload, read_recipe
from labkit.image.convert import png_bytes
from labkit.kinds import KINDS
from labkit.lab import Lab
from labkit.methods.img2img import ImageToImage
from labkit.runs.result import collect
from labkit.sketches import drawing
from labkit.sketches.strength import StrengthShown
from labkit.spec import MAX_SEED, SpecError
from labkit.views.gradio import workbench
from labkit.views.gradio.app import LOCAL, PUBLIC, launch
from labkit.views.gradio.pad import HEAD, SIDE, pad
from labkit.views.gradio.page import spec_from
from labkit.views.gradio.pictures import Pictures
from labkit.views.gradio.sketch import FOLLOWED, strength_html
from tests.conformance import TinyLab


def lab_with_weights() -> Lab:
    """A lab whose Stable Diffusion was named, as a studio's that shows the page."""
    lab = TinyLab()
    lab.names["stable_diffusion"] = "tiny"
    return lab


def house(width: int = 100, height: int = 100) -> Image.Image:
    picture = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(picture).polygon([(20, 80), (20, 45), (50, 20), (80, 45), (80, 80)], outline="black", width=4)
    return picture


def sent(picture: Image.Image) -> str:
    """As a browser sends it."""
    return HEAD + base64.b64encode(png_bytes(picture)).decode()


@pytest.fixture(scope="module")
def lab():
    return lab_with_weights()


@pytest.fixture
def a_pad():
    with gr.Blocks():
        return pad("Sketch", elem_id="pad")


def test_a_drawing_reaches_the_spec_and_no_text_is_a_path(a_pad, tmp_path):
    values = {"prompt": "a house", "picture": a_pad.preprocess(sent(house()))}
    spec = spec_from(sketch.PAGE, values, {}, LOCAL)
    assert spec.picture.pil().tobytes() == house().tobytes()
    house().save(tmp_path / "house.png")
    for text in (str(tmp_path / "house.png"), HEAD + "????", HEAD + base64.b64encode(b"GIF no").decode(), "é", "../../etc"):
        with pytest.raises(ImageError, match="^picture: .*no picture"):
            spec_from(sketch.PAGE, values | {"picture": a_pad.preprocess(text)}, {}, LOCAL)


def test_what_is_transparent_lies_on_white(a_pad):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.putpixel((3, 3), (0, 0, 0, 255))
    found = drawing(a_pad.preprocess(sent(clear)))
    assert found.mode == "RGB" and found.getpixel((0, 0)) == (255, 255, 255) and found.getpixel((3, 3)) == (0, 0, 0)


@pytest.mark.parametrize(("payload", "said"), [
    (None, "the pad is empty"), ("", "the pad is empty"), (HEAD, "the pad is empty"),
    (sent(Image.new("RGB", (9, 9), "white")), "of one colour"), (sent(Image.new("RGB", (9, 9), "red")), "of one colour")])
def test_an_empty_pad_is_refused_before_a_model_is_loaded(a_pad, payload, said):
    with pytest.raises(ImageError, match=f"^picture: the pad is .*{said.removeprefix('the pad is ')}.*(draw|upload)"):
        spec_from(sketch.PAGE, {"prompt": "a house", "picture": a_pad.preprocess(payload)}, {}, LOCAL)


def test_a_hostile_picture_is_not_decoded(a_pad):
    large = Image.new("1", (5000, 5000))  # 25 million pixels in 3 kB
    with pytest.raises(ImageError, match="^picture: .*pixels"):
        spec_from(sketch.PAGE, {"prompt": "a house", "picture": a_pad.preprocess(sent(large))}, {}, LOCAL)


def test_a_picture_that_is_sent_to_the_pad_fits_its_paper(a_pad, tmp_path):
    house(100, 160).resize((1000, 1600)).save(tmp_path / "large.png")
    for given in (str(tmp_path / "large.png"), open_upload(tmp_path / "large.png")):
        text = a_pad.postprocess(given)
        assert open_upload(base64.b64decode(text.removeprefix(HEAD))).size == (SIDE * 10 // 16, SIDE)
    assert a_pad.postprocess(None) is None


def test_public_limits_hold():
    values = {"prompt": "a house", "picture": png_bytes(house()), "count": 5}
    with pytest.raises(SpecError, match="count: this app allows at most 4"):
        spec_from(sketch.PAGE, values, {}, PUBLIC)
    page = workbench.build(sketch.PAGE, lab_with_weights(), PUBLIC)
    tops = {b.elem_id.removeprefix("sketch-control-"): b.maximum for b in page.blocks.values()
            if isinstance(b, gr.Slider) and b.elem_id}
    assert tops["count"] == 4 and tops["steps"] == 300 and tops["frame__width"] == 128


def flat(**changes):
    return {"strength": 0.75, "guidance": 5.0, "steps": 25, "exact": False, "count": 4, "sampler__name": "ddim"} | changes


@pytest.mark.parametrize("changes", [{}, {"strength": 0.58, "steps": 50}, {"strength": 1.0}, {"strength": 0.01}, {"steps": 1},
                                     {"exact": True, "strength": 0.3}, {"sampler__name": "euler"}])
def test_the_words_are_the_runs_numbers(lab, changes):
    values = flat(**changes)
    assert set(values) == set(FOLLOWED)
    words = strength_html(lab, values)
    run, asked, t, signal, noise = re.search(
        r"last (\d+) of (\d+) steps are run, from t = ([\d.]+)\. There the model sees ([\d.]+) × the sketch \+ ([\d.]+)",
        words).groups()
    spec = spec_from(sketch.PAGE, values | {"prompt": "a house", "picture": png_bytes(house()), "count": 1}, {}, LOCAL)
    steps = list(spec.run(lab))
    told = steps[0].extras["told"]
    assert (int(run), int(asked)) == (len(steps), told["steps asked for"])
    assert float(t) == pytest.approx(told["first t"], rel=1e-4)
    assert (float(signal), float(noise)) == pytest.approx((told["signal"], told["noise"]), abs=0.005)
    assert f"{2 * len(steps)} looks" in words


def test_guidance_in_words(lab):
    assert "18 looks" in strength_html(lab, flat(guidance=1.0)) and "not read" in strength_html(lab, flat(guidance=0.5))
    assert "leans 7.5 times" in strength_html(lab, flat(guidance=7.5))
    assert strength_html(lab, flat(steps=None)) == ""
    assert "steps: 9000, which 900 exact steps" in strength_html(lab, flat(exact=True, steps=900, strength=0.1))


def test_no_large_model_is_loaded_for_a_number():
    lab = Lab(device="cpu", stable_diffusion="nobody/has-this")
    words = strength_html(lab, flat())
    assert "the last 18 of 25 steps are run" in words and "once the model is loaded" in words and not lab.loaded


def test_a_strength_that_the_measure_refuses_is_said(lab):
    assert "strengths" in strength_html(lab, flat(strength=1.5))
    assert [w.told["steps run"] for w in StrengthShown(strengths=(0.2, 1.0), steps=10).ways(lab)] == [2, 10]


def test_each_of_several_pictures_is_its_own_with_its_seed(lab, tmp_path):
    picture = ImageInput.of(house(), 100, 100)
    spec = ImageToImage(prompt="a house", picture=picture, steps=4, seed=7, count=6)
    result = collect(spec, lab)
    parts = spec.apart(result.image)
    assert [one.seed for _, one in parts] == [7, 8, 9, 10, 11, 12] and {one.count for _, one in parts} == {1}
    for shown, one in (parts[0], parts[5]):
        alone = collect(one, lab).image
        levels = np.asarray(shown, int) - np.asarray(alone, int)
        assert np.abs(levels).max() <= 1  # of 255: a batch rounds otherwise
    (same,) = spec.but(count=1).apart(parts[0][0])
    assert same == (parts[0][0], spec.but(count=1))
    with gr.Blocks():
        shown = Pictures(sketch.PAGE, small=True)
    laid, chosen = (shown.final(result, result.save(tmp_path / "all.png"))[out] for out in shown.outputs)
    laid = laid["value"]
    assert chosen is None
    assert [words for _, words in laid] == [f"seed {seed}" for seed in range(7, 13)]
    for k, (file, _) in enumerate(laid):
        recipe = read_recipe(file)
        assert ImageToImage(**recipe["spec"]) == parts[k][1] and recipe["method"] == "ImageToImage"
        assert open_upload(file).tobytes() == parts[k][0].tobytes()
    assert read_recipe(tmp_path / "all.png")["spec"]["count"] == 6
    assert shown.taken(laid, 2) == (laid[2][0], "a house") and shown.taken(laid[:1]) == (laid[0][0], "a house")
    for chosen in (None, 6, -1, True, "0"):
        with pytest.raises(SpecError, match="picture: there are 6"):
            shown.taken(laid, chosen)
    with pytest.raises(SpecError, match="picture: there is none yet"):
        shown.taken(None)


def test_the_last_picture_has_a_seed_too():
    picture = ImageInput.of(house(), 100, 100)
    with pytest.raises(SpecError, match=f"seed: .*use at most {MAX_SEED - 3}"):
        ImageToImage(prompt="a house", picture=picture, seed=MAX_SEED - 2, count=4)
    assert ImageToImage(prompt="a house", picture=picture, seed=MAX_SEED - 3, count=4).count == 4


def test_without_weights_the_page_says_which_and_the_studio_has_no_tab(monkeypatch):
    kind = KINDS["stable_diffusion"]
    monkeypatch.setitem(KINDS, kind.name, type(kind)(**{**vars(kind), "pocket": False}))
    lab = Lab(device="cpu")
    assert [one.name for one in lab.lacking(ImageToImage.needs)] == ["stable_diffusion"]
    said = " ".join(str(b.value) for b in sketch.build(lab).blocks.values() if isinstance(b, gr.HTML))
    assert "needs stable diffusion" in said and "--stable-diffusion" in said and "labkit train stable_diffusion" in said
    assert not lab.loaded and "Sketch" not in studio.tabs(lab)
    there = studio.tabs(Lab(device="cpu", stable_diffusion="somebody/else"))
    assert list(there).index("Sketch") == list(there).index("Diffuse") + 1 and "Image to image" not in there


def test_over_the_api_a_sketch_is_a_file(lab, tmp_path):
    house().save(tmp_path / "house.png")
    demo = sketch.build(lab, PUBLIC)
    launch(demo, prevent_thread_lock=True, quiet=True)
    try:
        path, facts = Client(demo.local_url, verbose=False).predict(
            prompt="a red house", picture=handle_file(tmp_path / "house.png"), steps=4, count=2, api_name="/sketch")
    finally:
        demo.close()
    assert facts["finished"] and facts["n"] == 2 and open_upload(path).size == (32, 16)
    assert ImageToImage(**read_recipe(path)["spec"]).picture.pil().tobytes() == house().tobytes()
