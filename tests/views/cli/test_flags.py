"""Flags from specs: every field has one, pictures come from files, lists add up, and refusals name the flag."""

from dataclasses import dataclass
from typing import Literal

import pytest
from PIL import Image
from pydantic import Field

from labkit.clip.similarity import SimilarityMatrix
from labkit.image import ImageError, ImageInput
from labkit.methods.guided_diffusion import GuidedDiffusion
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.spec import Spec, SpecError
from labkit.views.cli import main
from labkit.views.cli.flags import bounds, joined, parse


@dataclass
class Nothing:
    """No options."""

    out: str = ""


def typed(spec, *args):
    return parse("x", spec, Nothing, list(args))[0].build()


class Frame(Spec):
    """A part that has pictures of its own."""

    width: int = Field(8, ge=4, le=64, description="Across")
    height: int = Field(6, ge=4, le=64, description="Down")
    sketch: ImageInput | None = Field(None, description="A sketch")


class Toy(Spec):
    """All kinds of fields."""

    photo: ImageInput = Field(..., description="A photo")
    frame: Frame = Field(Frame(height=12), description="A frame")
    back: Frame | None = Field(None, description="A frame behind, or none")
    others: tuple[ImageInput, ...] = Field((), max_length=3, description="More photos")
    levels: tuple[int, ...] = Field((1, 2), description="Levels")
    names: list[str] = Field([], description="Names")
    pair: tuple[float, float] = Field((0.0, 1.0), description="From and to")
    cap: float | None = Field(None, ge=0, description="A cap, or none")
    mode: Literal["a", "b"] = Field("a", description="A mode")
    loud: bool = Field(False, description="Loud")


@pytest.fixture
def photos(here):
    for name, size in (("a.png", (20, 10)), ("b,c.png", (9, 9))):
        Image.new("RGB", size, (200, 30, 30)).save(name)
    (here / "text.png").write_text("no picture")
    noise = Image.effect_noise((64, 64), 90)
    noise.save("cut.png")
    (here / "cut.png").write_bytes((here / "cut.png").read_bytes()[:900])
    (here / "folder").mkdir()


@pytest.mark.parametrize("command", ["paint", "diffuse"])
def test_flags_are_the_spec(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    main([command, "--help"])
    out = capsys.readouterr().out
    spec = {"paint": VQGANCLIP, "diffuse": GuidedDiffusion}[command]
    for name, info in spec.model_fields.items():
        inner = getattr(info.annotation, "model_fields", None)
        for flag, one in ({f"{name}.{k}": v for k, v in inner.items()} if inner else {name: info}).items():
            assert flag == "prompt" or f"--{flag.replace('_', '-')}" in out, flag
            assert one.description in out and bounds(one) in out
    assert "--init FILE, --canvas.init FILE" in out and "(0.1 to 8)" in out


def test_defaults_are_the_spec_s_and_values_reach_it():
    assert typed(VQGANCLIP, "a dog") == VQGANCLIP(prompt="a dog")
    assert typed(GuidedDiffusion, "a dog") == GuidedDiffusion(prompt="a dog"), "parts keep the defaults of the whole"
    spec = typed(VQGANCLIP, "a dog", "--steps", "7", "--optimiser.lr", "0.25", "--cutouts.method", "pooled")
    assert (spec.steps, spec.optimiser.lr, spec.cutouts.method) == (7, 0.25, "pooled")
    assert typed(GuidedDiffusion, "a dog", "--guidance.strength", "None").guidance.strength is None


def test_every_kind_of_field(photos):
    spec = typed(Toy, "--photo", "a.png")
    assert spec == Toy(photo=ImageInput.of("a.png", 20, 10)), "a picture without a size beside it keeps its own"
    assert spec.frame.height == 12 and spec.back is None and spec.levels == (1, 2)
    spec = typed(Toy, "--photo", "a.png", "--frame.sketch", "b,c.png", "--levels", "3", "--levels", "4", "5", "--names", "x",
                 "y", "--pair", "2", "3", "--cap", "1.5", "--mode", "b", "--loud", "--others", "a.png", "--others", "b,c.png")
    assert (spec.frame.sketch.width, spec.frame.sketch.height) == (8, 12)
    assert spec.levels == (3, 4, 5) and spec.names == ["x", "y"] and spec.pair == (2, 3) and spec.cap == 1.5 and spec.loud
    assert [p.width for p in spec.others] == [20, 9] and spec.mode == "b"
    assert typed(Toy, "--photo", "a.png", "--back.width", "16").back == Frame(width=16)


def test_a_short_flag_only_where_it_can_mean_one_thing(photos, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        typed(Toy, "--help")
    out = capsys.readouterr().out
    assert "--frame.sketch FILE" in out and "--back.sketch FILE" in out and " --sketch" not in out
    assert typed(VQGANCLIP, "x", "--canvas.init", "a.png") == typed(VQGANCLIP, "x", "--init", "a.png")


def test_pictures_are_cut_to_their_canvas(photos):
    args = ["a dog", "--init", "b,c.png", "--canvas.width", "32", "--image-prompts", "image=b,c.png,weight=-2", "image=a.png"]
    for spec in (typed(VQGANCLIP, *args), typed(GuidedDiffusion, *args)):
        assert spec.canvas.init.pil().size == (32, 64) == spec.image_prompts[1].image.pil().size
        assert [p.weight for p in spec.image_prompts] == [-2, 1]
        assert spec.image_prompts[0].image.pil().getpixel((3, 3)) == (200, 30, 30)


def test_lists_add_up(photos):
    assert typed(SimilarityMatrix, "--texts", "a", "b", "--texts", "c").texts == ("a", "b", "c")
    spec = typed(VQGANCLIP, "x", "--noise-prompts", "seed=3,weight=-0.5", "--noise-prompts", "seed=4", "--image-prompts",
                 "image=a.png", "--image-prompts", "image=b,c.png,weight=2")
    assert [(n.seed, n.weight) for n in spec.noise_prompts] == [(3, -0.5), (4, 1.0)]
    assert [p.weight for p in spec.image_prompts] == [1, 2]


@pytest.mark.parametrize(("args", "words"), [
    (["--init", "nowhere.png"], "--init: nowhere.png: no such file"),
    (["--init", "n" * 300], "no such file"),
    (["--init", "folder"], "--init: folder: is a folder"),
    (["--init", "text.png"], "--init: text.png: this is no picture"),
    (["--init", "cut.png"], "--init: cut.png: the PNG is cut short"),
    (["--init", "x\0y"], "--init: x\\x00y: no such file"),
    (["--image-prompts", "image=cut.png"], "--image-prompts: cut.png: the PNG is cut short"),
    (["--image-prompts", "a.png"], "--image-prompts: 'a.png' must read image=…,weight=…,stop=…"),
    (["--image-prompts", "image=a.png,weight=1,weight=2"], "gives weight twice"),
    (["--image-prompts", "image=a.png,weight=200"], "--image-prompts: weight: should be less than or equal to 100"),
    (["--steps", "0"], "--steps: should be greater than or equal to"),
    (["--canvas.width", "8"], "--canvas.width: should be greater than or equal to 16; got 8"),
    (["--canvas.skip", "0.5"], "init"),
])  # fmt: skip
def test_refusals_name_the_flag_and_the_file(args, words, photos):
    with pytest.raises((SpecError, ImageError, OSError)) as refused:
        typed(GuidedDiffusion, "a dog", *args)
    assert words in str(refused.value)


def test_a_required_field_that_is_not_typed():
    with pytest.raises(SpecError, match="--texts: is missing"):
        typed(SimilarityMatrix)


def test_options_of_several_parts():
    @dataclass
    class More:
        """More."""

        n: int = 3

    _, options = parse("x", SimilarityMatrix, joined(More, Nothing), ["--texts", "a", "--n", "4"])
    assert (options.n, options.out) == (4, "")
