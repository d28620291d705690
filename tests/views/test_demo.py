import html
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from labkit.image import read_recipe
from labkit.methods.img2img import ImageToImage
from labkit.methods.vqgan_clip import VQGANCLIP
from labkit.runs.status import duration
from labkit.spec import SpecError
from labkit.views.cli import main
from labkit.views.demo import made as records
from labkit.views.demo import paint as view
from labkit.views.demo.paint import DRAWN, PAINTED, SKETCHED, asked, demo, line_art, report
from labkit.world import read
from tests.conformance import TinyLab

NASTY = '<script>alert("1")</script> & a dog'


@pytest.fixture(scope="module")
def lab():
    tiny = TinyLab()
    found = {"subject": True, "colour": False}
    verdict = SimpleNamespace(subject="vase_of_flowers", colour="red", setting="dark_corner", style="oil")
    tiny._models["judge"] = SimpleNamespace(check=lambda image, prompt: (verdict, found if "apple" in prompt else {}))
    return tiny


def painted(*prompts: str) -> list[VQGANCLIP]:
    return [VQGANCLIP(prompt=prompt, steps=3, seed=4) for prompt in prompts]


@pytest.fixture(scope="module")
def made(lab, tmp_path_factory):
    specs = [*painted("a red apple", NASTY), ImageToImage(prompt="a house", picture=line_art("house"), steps=4)]
    return demo(tmp_path_factory.mktemp("demo"), specs, lab=lab, setup_seconds=75.0)


def test_everything_is_there(made):
    assert not made.missing
    names = {p.name for p in made.folder.iterdir()}
    assert names == {"matrix.png", "matrix.csv", "index.html", "sketch-3.png",
                     *(f"{what}-{k}.png" for what in ("picture", "strip") for k in (1, 2, 3))}
    np.testing.assert_array_equal(Image.open(made.folder / "sketch-3.png"), line_art("house").pil())
    recipe = read_recipe(made.folder / "picture-2.png")
    assert recipe["spec"]["prompt"] == NASTY and recipe["spec"]["seed"] == 4 and recipe["steps_done"] == 3
    header, *rows = (made.folder / "matrix.csv").read_text().splitlines()
    assert header == ",picture 1,picture 2,picture 3" and len(rows) == 3 and rows[0].startswith("a red apple,")


def test_page_is_escaped_and_complete(made):
    page = (made.folder / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page and html.escape(NASTY) in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links and all((made.folder / link).is_file() for link in links), "links are relative and lead somewhere"
    assert "pocket models" in page and "vase of flowers" in page and "✗ colour red" in page and "✓ subject apple" in page
    assert duration(75) in page and page.index("Painted by VQGAN+CLIP") < page.index("Made of sketches by Stable Diffusion")
    assert page.count("CLIP score") == 2 and page.count("sketch-3.png") == 1, "no CLIP leads Stable Diffusion"


def test_report_says_what_was_made(made):
    text = report(made)
    assert "3 of 3 pictures" in text and str(made.folder / "index.html") in text
    assert "the judge saw  vase of flowers, red; setting dark corner; style oil" in text
    assert "did not find   colour red\n" in text and "found 1 of the 2 things" in text
    assert f"set-up took    {duration(75)}" in text and "painting took" in text and "MISSING" not in text


def test_a_prompt_that_fails_is_missing_and_stops_no_other(lab, tmp_path, monkeypatch):
    real = view.collect

    def fail_on_dog(spec, *args, **kwargs):
        if "dog" in spec.prompt:
            raise RuntimeError("told to <fail>")
        return real(spec, *args, **kwargs)

    monkeypatch.setattr(view, "collect", fail_on_dog)
    Image.new("RGB", (8, 8)).save(tmp_path / "picture-1.png")  # left by an earlier demo
    made = demo(tmp_path, painted("a dog", "a red apple"), lab=lab)
    assert [p.prompt for p in made.missing] == ["a dog"]
    assert "MISSING: picture-1.png" in report(made) and "1 of 2 pictures" in report(made)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "told to &lt;fail&gt;" in page and "picture-2.png" in page and 'src="picture-1.png"' not in page
    assert (tmp_path / "matrix.csv").read_text().startswith(",picture 2\n")


def test_interrupt_ends_the_demo(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(view, "collect", lambda *a, **k: SimpleNamespace(interrupted=True, image=None))
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, painted("a dog", "a red apple"), lab=lab)


def test_what_is_asked_for():
    assert len(asked()) == len(PAINTED) + len(DRAWN) + len(SKETCHED) and len(asked(quick=True)) == 6
    assert {s.steps for s in asked(steps=7)} == {7} and {s.seed for s in asked(seed=3)} == {3}
    with pytest.raises(SpecError, match="steps"):
        asked(steps=0)


def test_prompts_are_of_the_world():
    assert 5 <= len(PAINTED) <= 8
    for prompt in (*PAINTED, *DRAWN, *SKETCHED.values()):
        reading = read(prompt)
        assert reading.subjects and not reading.unknown, prompt
    assert len({read(p).subjects for p in PAINTED}) == len(PAINTED) and len({read(p).style for p in PAINTED}) > 2
    assert all(read(prompt).subjects == (subject,) for subject, prompt in SKETCHED.items())


def test_exit_code(made, tmp_path, monkeypatch, capsys):
    calls = []

    def fake(*args, **options):
        calls.append((args, options))
        return made

    monkeypatch.setattr(view, "demo", fake)
    monkeypatch.setenv("LABKIT_SETUP_SECONDS", "12")
    assert main(["demo", "--out", str(tmp_path / "d"), "--quick"]) == 0
    (folder, specs), options = calls[0]
    assert len(specs) == 6 and {s.steps for s in specs} == {20} and options["setup_seconds"] == 12.0
    monkeypatch.setattr(records, "readable", lambda path: "picture-1" not in path.name)
    assert main(["demo", "--out", str(tmp_path / "d")]) == 1
    assert "MISSING: picture-1.png" in capsys.readouterr().out
    (tmp_path / "file").touch()
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
