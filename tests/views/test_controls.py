import datetime
import importlib.util
import io
import math
from typing import Annotated, Literal

import ipywidgets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import Field

from labkit.image import ImageInput
from labkit.runs.replay import load_methods
from labkit.spec import METHODS, Measure, Spec, SpecError
from labkit.views.controls import build, fields, other_arguments, pictures_argument
from labkit.views.notebook.widgets import form, uploads, value_of, widget, widgets
from tests.views.support import Noise, Paper

load_methods()
BOUNDED = [
    pytest.param(spec, control, id=f"{spec.__name__}-{control.name}")
    for spec in METHODS.values()
    if spec is Noise or spec.__module__.startswith("labkit.methods")
    for control in fields(spec)
    if (control.minimum, control.maximum) != (None, None)
]
BY_NAME = {control.name: control for control in fields(Noise)}


# What says how an initial picture is used takes a value beyond its default only where there is one.
COMPANIONS = {name: {"canvas__init": Image.new("RGB", (64, 64))} for name in ("canvas__skip", "canvas__init_scale")}


def example(spec):
    """Values of the fields that have no default, or no use without a value. The picture is half dark, half light: it serves as
    a mask."""
    given = {"text": "an apple", "image": Image.linear_gradient("L").resize((64, 64)).convert("RGB")}
    return {c.name: given.get(c.kind, c.minimum) for c in fields(spec) if c.required or c.name == "style"}


@pytest.mark.parametrize(("spec", "control"), BOUNDED)
def test_bounds_are_the_spec_s(spec, control):
    for bound, outwards in ((control.minimum, -1), (control.maximum, 1)):
        if bound is None:
            continue
        if control.kind in ("text", "images"):  # their length, their number
            one = "a" if control.kind == "text" else (example(spec)[next(c.name for c in fields(spec) if c.kind == "image")],)
            inside, outside = one * bound, one * (bound + outwards)
        else:
            inside, outside = bound, bound + outwards * control.step
        build(spec, {**example(spec), **COMPANIONS.get(control.name, {}), control.name: inside})
        with pytest.raises(SpecError, match=control.name.rpartition("__")[2]):
            build(spec, {**example(spec), control.name: outside})


@settings(deadline=None)
@given(st.data())
def test_what_lies_between_the_bounds_is_taken(data):
    numbers = [c for c in BY_NAME.values() if c.kind in ("int", "float")]
    values = {}
    for control in numbers:
        stops = int((control.maximum - control.minimum) / control.step + 1e-6)
        values[control.name] = control.minimum + data.draw(st.integers(0, stops)) * control.step
    spec = build(Noise, values)
    assert spec.paper.width == values["paper__width"] and spec.rate == values["rate"]


def test_a_control_says_what_its_field_says():
    width, cap, mode = BY_NAME["paper__width"], BY_NAME["cap"], BY_NAME["mode"]
    assert (width.kind, width.default, width.minimum, width.maximum, width.step) == ("int", 8, 4, 64, 4)
    assert width.label == "paper: width" and width.description == "Pixels across"
    assert cap.optional and cap.default is None and cap.kind == "float" and cap.maximum == 10
    assert mode.kind == "choice" and mode.choices == ("plain", "fail", "nan", "interrupt")
    assert BY_NAME["loud"].kind == "bool" and BY_NAME["paper__init"].kind == "image"
    assert (BY_NAME["prompt"].minimum, BY_NAME["prompt"].maximum) == (1, 300)


def test_defaults_make_the_default_spec():
    assert build(Noise, {c.name: c.default for c in BY_NAME.values()}) == Noise()


@pytest.mark.parametrize(("ge", "le", "default", "step"), [
    (0, 1, 0.5, 0.01), (0, 100, 1.0, 1.0), (0, 10, 0.003, 0.001), (None, None, 0.5, 0.1), (-1, 1, 0, 0.01),
])  # fmt: skip
def test_steps_are_fine_enough_for_the_default(ge, le, default, step):
    spec = type("Some", (Spec,), {"__annotations__": {"x": float}, "x": Field(default, ge=ge, le=le)})
    assert math.isclose(fields(spec)[0].step, step)


class Inner(Spec):
    size: int = Field(..., ge=1, le=9)
    hue: Literal["red", "blue"] | None = None


class Odd(Spec):
    inner: Inner
    maybe: Inner | None = None
    gain: Annotated[int, Field(gt=2, lt=8)] | None = None
    inners: tuple[Inner, ...] = ()


def test_optional_annotated_and_required_fields():
    found = {control.name: control for control in fields(Odd)}
    assert list(found) == ["inner__size", "inner__hue", "maybe__size", "maybe__hue", "gain"]
    assert found["inner__size"].required and found["inner__hue"].choices == (None, "red", "blue")
    assert (found["gain"].minimum, found["gain"].maximum, found["gain"].optional) == (3, 7, True)
    assert build(Odd, {"inner__size": 2.0, "gain": "", "maybe__hue": None}) == Odd(inner=Inner(size=2))
    assert build(Odd, {"inner__size": "2", "maybe__size": 3}).maybe == Inner(size=3)
    with pytest.raises(SpecError, match="inner: is missing"):
        build(Odd, {})


@pytest.mark.parametrize(("values", "words"), [
    ({"speed": 1}, "speed: Noise has no such control; it has prompt"),
    ({"seed": "many"}, "seed: give a number; got 'many'"),
    ({"seed": 1.5}, "seed: .*integer"),
    ({"seed": None}, "seed: give a number"),
    ({"paper__width": 6}, "width: .*multiple of 4; got 6"),
])  # fmt: skip
def test_mistakes_name_their_field(values, words):
    with pytest.raises(SpecError, match=words):
        build(Noise, values)


def test_a_picture_is_brought_to_the_canvas():
    paper = build(Noise, {"paper__init": Image.new("RGB", (50, 40), "red"), "paper__width": 16}).paper
    assert (paper.init.width, paper.init.height) == (16, 8)
    assert paper.init.pil().getpixel((3, 3)) == (255, 0, 0)


def test_widgets_read_back_the_spec():
    box, read = widgets(Noise)
    assert len(box.children) == len(BY_NAME) and read() == Noise()
    by_label = {child.description: child for child in box.children}
    by_label["paper: height"].value = 12
    by_label["seed"].value = 7
    by_label["mode"].value = "fail"
    by_label["cap"].value = "2.5"
    by_label["loud"].value = True
    assert read() == Noise(paper=Paper(height=12), seed=7, mode="fail", cap=2.5, loud=True)
    by_label["cap"].value = "11"
    with pytest.raises(SpecError, match="cap: .*less than or equal to 10; got 11"):
        read()


def test_chosen_widgets_in_order():
    box, read = widgets(Noise, ["steps", "prompt"])
    assert [child.description for child in box.children] == ["steps", "prompt"]
    box.children[1].value = "a dog"
    assert read() == Noise(prompt="a dog")
    with pytest.raises(SpecError, match="speed"):
        widgets(Noise, ["speed"])


@pytest.mark.parametrize("version", [7, 8])
def test_uploads_of_both_ipywidgets(version):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(buffer, "PNG")

    class Upload:
        if version == 7:
            value = {"a.png": {"metadata": {"name": "a.png"}, "content": buffer.getvalue()}}
        else:
            value = ({"name": "a.png", "content": memoryview(buffer.getvalue())},)

    assert value_of(BY_NAME["paper__init"], Upload).getpixel((0, 0)) == (0, 0, 255)
    assert [picture.size for picture in uploads(Upload)] == [(8, 8)]
    Upload.value = {} if version == 7 else ()
    assert value_of(BY_NAME["paper__init"], Upload) is None


def test_tooltips_under_either_name(monkeypatch):
    assert importlib.util.find_spec("ipywidgets")
    box, _ = widgets(Noise, ["seed"])
    assert box.children[0].tooltip == "Seed"
    made = {}
    monkeypatch.setattr(ipywidgets, "__version__", "7.7.1")
    monkeypatch.setattr(ipywidgets, "Checkbox", lambda **options: made.update(options))
    widget(BY_NAME["loud"])
    assert made["description_tooltip"] == "Loud" and "tooltip" not in made


class Several(Spec):
    """Fields that hold several of a kind, and a picture that must be there."""

    base: ImageInput = Field(..., description="A picture")
    words: tuple[str, ...] = Field(("a cat", "a dog"), min_length=1, max_length=3, description="Texts")
    more: tuple[ImageInput, ...] = Field((), max_length=2, description="Pictures")


def test_several_of_a_kind_are_lines_and_pictures():
    base, words, more = fields(Several)
    assert (base.kind, words.kind, more.kind) == ("image", "texts", "images") and base.required
    assert (words.minimum, words.maximum, words.default) == (1, 3, ("a cat", "a dog")) and more.maximum == 2
    picture = Image.new("RGB", (6, 4), "teal")
    spec = build(Several, {"base": picture, "words": " a ship \n\na house\n", "more": [picture, picture]})
    assert spec.words == ("a ship", "a house") and len(spec.more) == 2
    assert {(i.width, i.height) for i in (spec.base, *spec.more)} == {(6, 4)}
    with pytest.raises(SpecError, match="words"):
        build(Several, {"base": picture, "words": "\n \n"})
    with pytest.raises(SpecError, match="base: is missing; give a picture"):
        build(Several, {"base": None})


class Tally(Measure):
    """Counts letters and pictures."""

    words: tuple[str, ...] = Field(("ab", "c"), description="Texts")

    def compute(self, lab, pictures: list[Image.Image], times: int = 2):
        return sum(map(len, self.words)), [p.size for p in pictures] * times


class Needy(Measure):
    """Wants what no form can ask for."""

    def compute(self, lab, table: dict, names: list[str] | None = None):
        return table


def test_what_a_measure_looks_at_is_read_from_compute():
    assert (pictures_argument(Tally), other_arguments(Tally)) == ("pictures", [])
    assert (pictures_argument(Needy), other_arguments(Needy)) == (None, ["table"])


def test_a_form_computes_what_is_set():
    class Lab:
        asked = ()

        def require(self, spec):
            self.asked += (spec,)

    box, look = form(Tally)
    lines, upload = box.children
    assert lines.value == "ab\nc" and upload.multiple
    with pytest.raises(SpecError, match="pictures: give at least one picture"):
        look(Lab())
    buffer = io.BytesIO()
    Image.new("RGB", (8, 5)).save(buffer, "PNG")
    upload.set_trait("value", ({"name": "a.png", "type": "image/png", "size": 1, "content": buffer.getvalue(),
                                "last_modified": datetime.datetime.now(datetime.UTC)},))
    lines.value = "abc\n\nde"
    lab = Lab()
    assert look(lab) == (5, [(8, 5), (8, 5)]) and lab.asked == (Tally(words=("abc", "de")),)
    with pytest.raises(SpecError, match="Needy: needs table"):
        form(Needy)
