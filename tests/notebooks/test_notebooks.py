"""Every notebook runs afresh in a smoke setting, its answers pass their own checks, and what is committed is fresh."""

import re
from pathlib import Path

import nbformat
import pytest

from labkit.check import check_environment, format_findings
from labkit.views.notebook import address
from labkit.views.notebook.execute import FOLDER, WIDGET, code_digest, execute, stale_sources, tagged

ROOT = FOLDER.parent
NOTEBOOKS = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}

# Text that is replaced to make a run short. Each must occur: a notebook that is rewritten must not run long unnoticed.
SMOKE = {
    "00_start_here": [('in the snow", seed=0)', 'in the snow", steps=4, seed=0)')],
    "01_clip_similarity": [("range(320)", "range(24)"), ("range(300)", "range(24)"), ("range(900)", "range(150)")],
    "02_vqgan_clip": [
        ("for k in range(200)", "for k in range(8)"),
        ("for i in range(30)", "for i in range(2)"),
        ("in (0, 1, 9, 29)", "in (0, 1)"),
        ('in the snow")', 'in the snow", steps=4)'),
        ("steps=60", "steps=6"),
        ("steps=40", "steps=4"),
        ("steps=30", "steps=2"),
        ("range(1, 41)", "range(1, 5)"),
        ('"seed": [0, 1, 2]', '"seed": [0, 1]'),
        ("at=(2, 10, 40)", "at=(2, 3, 4)"),
        ('value = "40"', 'value = "3"'),
    ],
    "05_blip": [("120", "12"), ("steps=24, batch=16", "steps=3, batch=4"), ('bank("test", 80)', 'bank("test", 12)')],
    "06_vqvae_codes": [
        ("range(100)", "range(12)"), ("x[:40]", "x[:6]"), ("range(150)", "range(10)"), ("range(1, 151)", "range(1, 11)"),
        ("(1, 1024)", "(1, 256)"), ("busiest=240", "busiest=6"), ("busiest=320", "busiest=8"), ("3, 11, 42]", "3, 5, 7]"),
        ("perplexity=12", "perplexity=3"),
    ],
    "07_pixelsnail": [
        ("e.repeat(4, 1)", "e.repeat(2, 1)"), ("* 16", "* 4"), ("steps=40, preview_every=4", "steps=4, preview_every=2"),
        ("in (0, 1, 2, 5)", "in (1, 5)"), ("in (0.5, 0.9)", "in (0.5,)"), ("lab.model(kind), 150)", "lab.model(kind), 12)"),
        ('"train", 600)', '"train", 32)'), ('"held", 150)', '"held", 12)'), ("(lab, 24, draws=200)", "(lab, 20, draws=20)"),
    ],
    "09_lyrics_to_pictures": [
        ("sample(model, 6, steps=50", "sample(model, 6, steps=4"),
        ("steps=50, seed=0", "steps=4, seed=0"),
        ("at = [0, 9, 19, 29, 39, 49]", "at = [0, 1, 3]"),
        ("strengths = (0, 1, 2.5, 5, 10)", "strengths = (0, 1)"),
        ("spec.but(steps=20", "spec.but(steps=2"),
        ("steps=15", "steps=2"),
        ("steps=(10, 30)", "steps=(2, 3)"),
        ("steps=8", "steps=2"),
        ("prompt=asked, steps=25", "prompt=asked, steps=2"),
    ],
    "11_sketches_to_pictures": [
        ("scales = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)", "scales = (1.0, 5.0)"),
        ("seed=1)", "seed=1, steps=3)"),
        ("strengths = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)", "strengths = (0.6, 0.9)"),
        ("picture=sketch)", "picture=sketch, steps=4)"),
        ('{"prompt": words, "seed": (0, 1)}', '{"prompt": words[:2], "steps": (2,)}'),
        ('swept.sheet("seed", "prompt")', 'swept.sheet("steps", "prompt")'),
        ('{"steps": (5, 10, 25, 50)}', '{"steps": (2, 3)}'),
    ],
    "12_gan": [
        ("1200", "110"),
        ("range(1000)", "range(100)"),
        ("range(1000, 1008)", "range(100, 108)"),
        ("(8, 96, 900)", "(8, 20, 90)"),
        ("steps=60, batch=8, scenes=256", "steps=4, batch=4, scenes=32"),
        ("steps=32", "steps=9"),
        ("range(0, 32, 8)", "range(0, 9, 8)"),
        ("measure_gan(lab, 100, 1", "measure_gan(lab, 10, 1"),
        ("distance_table(lab, 200)", "distance_table(lab, 20)"),
    ],
    "13_latents": [
        ("range(180)", "range(80)"), ("(3, 15, 50)", "(3, 15)"), ("[:140]", "[:64]"), ("[140:]", "[64:]"),
        ("[140:, None]", "[64:, None]"),
        ("busiest=576", "busiest=36"), ("slice(0, 150)", "slice(0, 50)"), ("steps=25", "steps=2"),
    ],
    "10_survey": [("steps=30", "steps=2"), ("for r in range(18)", "for r in range(8)"), ("range(60)", "range(4)"),
                  ("range(100)", "range(5)"), ("(20_000, 1)", "(500, 1)")],
}

each = pytest.mark.parametrize("name", NOTEBOOKS)


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cells_with(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def shown(cell) -> str:
    """All text of a cell's outputs."""
    parts = []
    for output in cell.outputs:
        parts += [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text/"))]
    return "\n".join(parts)


def answer_of(cell) -> str:
    """The code of a folded answer."""
    (source,) = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
    return source


def replaced(notebook, changes: list[tuple[str, str]]) -> None:
    """Make the replacements in the code; each must apply somewhere."""
    for old, new in changes:
        hit = [cell for cell in code_cells(notebook) if old in cell.source]
        assert hit, f"the smoke setting's {old!r} occurs in no code cell any more"
        for cell in hit:
            cell.source = cell.source.replace(old, new)


def with_answers(notebook) -> list:
    """Insert each folded answer's code behind it as a cell; returns the inserted cells."""
    cells, inserted = [], []
    for cell in notebook.cells:
        cells.append(cell)
        if "answer" in cell.metadata.get("tags", ()):
            inserted.append(nbformat.v4.new_code_cell(answer_of(cell)))
            cells.append(inserted[-1])
    notebook.cells = cells
    return inserted


def test_the_first_notebooks_are_here():
    assert {"00_start_here", "01_clip_similarity", "02_vqgan_clip"} <= set(NOTEBOOKS)
    assert set(SMOKE) == set(NOTEBOOKS), "every notebook has its smoke setting"


@each
def test_runs_afresh_and_answers_are_right(name, tmp_path):
    notebook = read(name)
    replaced(notebook, SMOKE[name])
    answers = with_answers(notebook)
    cost = execute(notebook, tmp_path, timeout=600)
    for cell in code_cells(notebook):
        assert cell.execution_count, cell.source
        assert not [o for o in cell.outputs if o.output_type == "error"], cell.source
    for cell in cells_with(notebook, "exercise"):
        assert "no answer yet" in shown(cell), cell.source
    for cell in answers:
        assert "✓ right" in shown(cell), f"{cell.source}\n{shown(cell)}"
    assert cost.peak > 100 * 2**20, "the kernel's memory was measured"


def test_the_saved_check_knows_every_model():
    """What notebook 00 shows of the check lists the models that there are today, newer ones too."""
    (cell,) = [c for c in read("00_start_here").cells if c.id == "check"]
    listed, today = (set(re.findall(r"^\S+ +model (\S+)", text, re.MULTILINE))
                     for text in (shown(cell), format_findings(check_environment())))
    assert {"clip", "vqgan"} <= today and listed == today


def test_a_replacement_that_no_longer_applies_fails():
    with pytest.raises(AssertionError, match="steps=77777"):
        replaced(read("00_start_here"), [("steps=77777", "steps=1")])


@each
def test_committed_outputs_are_there_and_small(name):
    assert NOTEBOOKS[name].stat().st_size < 1.5e6
    notebook = read(name)
    cells = [cell for cell in code_cells(notebook) if "full-size" not in cell.metadata.get("tags", ())]
    counts = [cell.execution_count for cell in cells]
    assert None not in counts and counts == sorted(counts), "run from top to bottom: python -m labkit notebooks"
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr", output
            assert WIDGET not in output.get("data", {}), "a widget's view says nothing on a web page"
    pictures = [c for c in cells if any("image/png" in o.get("data", {}) or "<img" in shown(c) for o in c.outputs)]
    assert len(pictures) >= 5 and len(pictures) >= 0.4 * len(cells)


@each
def test_committed_outputs_are_of_this_code_and_these_models(name):
    notebook = read(name)
    assert notebook.metadata["labkit"]["code"] == code_digest(notebook), "run python -m labkit notebooks " + name
    assert not stale_sources(notebook), f"others by now: {stale_sources(notebook)}; python -m labkit notebooks {name}"


@each
def test_budget_was_measured_and_is_kept(name):
    """Three minutes on two cores, in processor time: what else the machine did while it was measured does not count."""
    notebook = read(name)
    assert re.search(r"\d+ s \(.*\d+ s of processor time\) and \d+\.\d GiB", tagged(notebook, "budget").source)
    assert 0 < notebook.metadata["labkit"]["cpu_seconds"] < 2 * 180


@each
def test_pages_have_the_same_parts(name):
    notebook = read(name)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    (goals,) = (c.source for c in notebook.cells if c.source.startswith("**What you will understand**"))
    assert 3 <= len(re.findall(r"^\d\. ", goals, re.MULTILINE)) <= 5
    assert "pocket" in first.source, "says at once what its pictures come from"
    assert "**Not run here.**" in text and re.search(r"\d+ MB, MIT", text), "full-size models with size and licence"
    exercises, answers = cells_with(notebook, "exercise"), cells_with(notebook, "answer")
    assert 2 <= len(exercises) == len(answers) <= 3
    for cell in answers:
        assert cell.source.startswith("<details>\n<summary>") and cell.source.endswith("</details>")
    order = [c.id for c in notebook.cells]
    for exercise in exercises:  # task, cell, folded answer
        assert order[order.index(exercise.id) + 1] == exercise.id.replace("code", "answer")


@each
def test_badge_and_setup_come_from_the_one_address(name):
    notebook = read(name)
    assert tagged(notebook, "badge").source == address.badge(f"{name}.ipynb")
    assert tagged(notebook, "setup").source == address.setup_cell()


def test_the_address_stands_in_one_place():
    """Whatever else names this repository on GitHub, in the package, README and notebooks, names this address."""
    files = [ROOT / "README.md", ROOT / "pyproject.toml", *NOTEBOOKS.values(), *(ROOT / "apps").rglob("*")]
    files = [f for f in files if f.is_file() and f.suffix in (".md", ".toml", ".ipynb", ".py")]
    own = re.compile(r"(?:github\.com|research\.google\.com/github)/([\w.-]+/labkit)\b")
    wanted = address.REPOSITORY.removeprefix("https://github.com/")
    for file in files:
        assert set(own.findall(file.read_text(encoding="utf-8"))) <= {wanted}, file.name
    holders = [p for p in (ROOT / "labkit").rglob("*.py") if own.search(p.read_text(encoding="utf-8"))]
    assert [p.name for p in holders] == ["address.py"]


@each
def test_outputs_name_no_folder_of_a_machine(name):
    text = NOTEBOOKS[name].read_text(encoding="utf-8")
    for start in (*(f"/{d}/" for d in ("home", "root", "Users", "tmp")), str(ROOT), str(Path.home()) + "/"):
        assert start not in text


@each
def test_links_between_notebooks_lead_somewhere(name):
    for target in re.findall(r"\]\(([\w.-]+\.ipynb)\)", NOTEBOOKS[name].read_text(encoding="utf-8")):
        assert (FOLDER / target).is_file(), target
