"""Running a notebook: what it took, what it came from, and what stays in the file."""

import nbformat
import pytest

from labkit.data import data_path
from labkit.fetch import sha256_of
from labkit.views.notebook.execute import Cost, budget, code_digest, execute, shipped, stale_sources, tagged, tidy

CELLS = [
    """import subprocess, sys, time
code = "from labkit.weights import load_tensors; import sys; load_tensors(sys.argv[1])"
subprocess.run([sys.executable, "-c", code, {path!r}], check=True)""",
    """from pathlib import Path
from labkit.weights import save_tensors, load_tensors
import torch
save_tensors("mine.safetensors", {{"x": torch.ones(2)}}, {{}})
_ = load_tensors("mine.safetensors")
start = time.process_time()
while time.process_time() - start < 1.5:
    pass""",
]


def test_what_was_read_is_noted_also_of_other_processes(tmp_path):
    weights = data_path("models", "perceptual.safetensors")
    if not weights.is_file():
        pytest.skip("data/models has no perceptual.safetensors")
    cells = [nbformat.v4.new_code_cell(cell.format(path=str(weights))) for cell in CELLS]
    cost = execute(nbformat.v4.new_notebook(cells=cells), tmp_path, timeout=120)
    assert cost.sources == {"models/perceptual.safetensors": sha256_of(weights)}, "its own weights are no source"
    assert cost.cpu_seconds > 1.4 and cost.peak > 30 * 2**20


def test_stale_names_what_changed_and_what_is_gone():
    name = "world/words.json"
    sources = {name: sha256_of(data_path(name)), "models/gone.safetensors": "0" * 64}
    book = nbformat.v4.new_notebook(metadata={"labkit": {"sources": sources}})
    assert stale_sources(book) == ["models/gone.safetensors"]
    sources[name] = "1" * 64
    assert set(stale_sources(nbformat.v4.new_notebook(metadata={"labkit": {"sources": sources}}))) == set(sources)


def test_only_files_below_data_are_shipped(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"x")
    inside = data_path("world", "words.json").resolve()
    assert list(shipped([str(tmp_path / "x.safetensors"), str(inside), str(inside)])) == ["world/words.json"]


def test_code_digest_is_of_code_and_leaves_the_stamped_cell_out():
    def book(code, words="w", setup="s"):
        cells = [nbformat.v4.new_markdown_cell(words), nbformat.v4.new_code_cell(setup, metadata={"tags": ["setup"]}),
                 nbformat.v4.new_code_cell(code)]
        return nbformat.v4.new_notebook(cells=cells)

    assert code_digest(book("a")) == code_digest(book("a", "other", "other")) != code_digest(book("b"))


def test_a_tag_is_of_one_cell():
    cell = nbformat.v4.new_code_cell("1", metadata={"tags": ["setup"]})
    assert tagged(nbformat.v4.new_notebook(cells=[cell]), "setup").source == "1"
    again = nbformat.v4.new_code_cell("2", metadata={"tags": ["setup"]})
    with pytest.raises(ValueError, match="2 cells have the tag 'setup'"):
        tagged(nbformat.v4.new_notebook(cells=[cell, again]), "setup")


def test_budget_says_what_it_was_measured_on():
    line = budget(Cost(75.4, 2**31, 130.0, {}))
    assert "1 min 15 s (2 min 10 s of processor time) and 2.0 GiB" in line and "threads" in line


def test_tidy_keeps_what_labkit_noted_and_drops_widgets_views():
    out = nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"a": 1}, "text/plain": "Box()"})
    cell = nbformat.v4.new_code_cell("box")
    cell.outputs = [out]
    book = nbformat.v4.new_notebook(cells=[cell], metadata={"labkit": {"code": "x"}, "other": 1})
    tidy(book)
    assert set(book.metadata) == {"kernelspec", "language_info", "labkit"} and book.metadata["labkit"] == {"code": "x"}
    assert list(cell.outputs[0]["data"]) == ["text/plain"] and "run this cell" in cell.outputs[0]["data"]["text/plain"]
