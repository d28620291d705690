"""The pipeline from words to pictures, small: each stage once, on after a kill, stale ones known, bad sources refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from labkit.evaluation.pipeline_data import pairs_of, read_source
from labkit.evaluation.words_to_pictures import WordsToPictures, pipeline, quick
from labkit.latents.codes import CodeStore
from labkit.pairs.pair import PairsError
from labkit.runs.extraction import fingerprint
from labkit.spec import SpecError
from labkit.zoo import load_tensors
from tests.conformance import assert_same

SMALL = {"pictures": 12, "test": 4, "blip_steps": 2, "vqvae_steps": 3, "top_steps": 2, "bottom_steps": 2, "top_channels": 16,
         "bottom_channels": 16, "batch": 4, "samples": 3}
ROOT = Path(__file__).resolve().parents[2]


def states(line):
    return {name: state for name, state, *_ in line.table()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small pipeline that ran through."""
    folder = tmp_path_factory.mktemp("whole")
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    assert set(states(line).values()) == {"to do"}
    list(line.run())
    return folder


def test_all_is_done_and_once(folder):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    assert states(line) == dict.fromkeys(("pictures", "blip", "embeddings", "vqvae", "codes", "prior_top", "prior_bottom",
                                          "samples", "scores"), "done")
    assert {words for _, words in line.run()} == {"done before"}


def test_each_stage_builds_on_the_one_before(folder):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    pairs = pairs_of(line.place("pictures"), "train")
    store = CodeStore(line.place("codes") / "codes.lmdb")
    assert store.read().ids == [pair.id for pair in pairs] and store.header.split == "train"
    weights = {name: line.record(name)["products"]["weights.safetensors"] for name in ("blip", "vqvae")}
    assert store.header.model.sha256 == weights["vqvae"] and store.header.embedding.model.sha256 == weights["blip"]
    vectors = np.load(line.place("embeddings") / "embeddings.npy")
    assert np.allclose(store.read().embeddings, vectors, atol=1e-3) and np.allclose((vectors**2).sum(1), 1, atol=1e-4)
    for name, grid in (("prior_top", [8, 8]), ("prior_bottom", [16, 16])):
        _, about = load_tensors(line.place(name) / "weights.safetensors")
        assert about["config"]["grid"] == grid and about["config"]["condition"] == "blip" and about["steps"] == 2
        assert about["trained"]["store"] == str(line.place("codes") / "codes.lmdb")
    assert np.load(line.place("samples") / "samples.npy").shape == (3, 64, 64, 3)
    asked = json.loads((line.place("samples") / "sentences.json").read_text())
    assert asked["sentences"] == [next(p.caption for p in pairs_of(line.place("pictures"), "test") if p.image == image)
                                  for image in json.loads((line.place("pictures") / "rows.json").read_text())["test"]][:3]
    table = pd.read_csv(line.place("scores") / "table.csv", index_col="metric", dtype=str)
    assert table.loc["ROUGE-1", "report"] == "0.431" and table.loc["BLEU-4", "n"] == "3"
    assert {"ours", "shuffled"} <= set(pd.read_csv(line.place("scores") / "pairs.csv")["of"])


def test_pictures_are_those_of_the_lists_and_tests_are_held_out(folder):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    place = line.place("pictures")
    rows = json.loads((place / "rows.json").read_text())
    for name, n in (("train", 12), ("test", 4)):
        pixels = np.load(place / f"{name}.npy")
        assert len(rows[name]) == n and pixels.shape == (n, 64, 64, 3)
        assert all(np.array_equal(pixels[k], np.array(Image.open(place / image))) for k, image in enumerate(rows[name]))
    assert {pair.id.rsplit("-", 2)[0] for pair in pairs_of(place, "test")} == {"world-held"}


def test_only_what_a_change_touches_is_stale(folder):
    changed, _ = pipeline(WordsToPictures(**{**SMALL, "bottom_steps": 3}), folder, "cpu")
    stale = {name for name, state in states(changed).items() if state == "stale"}
    assert stale == {"prior_bottom", "samples", "scores"} and states(changed)["prior_top"] == "done"
    other, _ = pipeline(WordsToPictures(**{**SMALL, "seed": 1}), folder, "cpu")
    assert set(states(other).values()) == {"stale"}


def test_damaged_weights_are_made_again_and_not_taken_for_done(folder):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    path = line.place("prior_top") / "weights.safetensors"
    before = {key: value.clone() for key, value in load_tensors(path)[0].items()}  # of a file that is mapped
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert states(line)["prior_top"] == "damaged"
    list(line.run("prior_top"))
    assert states(line)["prior_top"] == "done"
    assert_same(load_tensors(path)[0], before)


def test_a_killed_pipeline_goes_on_and_makes_the_same(folder, tmp_path):
    """Killed without warning while the VQ-VAE trains; what was done before is not done again, and all ends up the same."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "labkit", "pipeline", "codes", "--folder", str(tmp_path), "--device", "cpu", *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while not any(log.read_text().count("\n") for log in tmp_path.glob("vqvae-*/log.jsonl")):
        assert process.poll() is None and time.monotonic() - started < 300
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    line, _ = pipeline(WordsToPictures(**SMALL), tmp_path, "cpu")
    assert states(line)["blip"] == "done" and states(line)["vqvae"] in ("begun", "done")
    told = list(line.run())
    assert ("blip", "done before") in told and ("scores", "done before") not in told
    whole, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    assert line.keys == whole.keys, "a key does not know where the folder lies"
    for name in ("blip", "vqvae", "prior_top", "prior_bottom"):
        mine, theirs = (load_tensors(one.place(name) / "weights.safetensors")[0] for one in (line, whole))
        assert_same(mine, theirs, name)
    assert line.record("samples")["products"]["samples.npy"] == whole.record("samples")["products"]["samples.npy"]


def test_samples_that_are_there_are_not_drawn_again(folder, monkeypatch):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    place = line.place("samples")
    before = line.record("samples")["products"]
    (place / "stage.json").unlink()
    (place / "samples.npy").unlink()
    monkeypatch.setattr("labkit.evaluation.words_to_pictures.sample_pictures", lambda *args: pytest.fail("drawn again"))
    assert states(line)["samples"] == "begun"
    list(line.run("samples"))
    assert line.record("samples")["products"] == before


def own_folder(path, n, texts=True):
    """A captioned folder of n pictures of different sizes."""
    path.mkdir()
    for k in range(n):
        Image.new("RGB", (30 + 7 * k, 90), (20 * k, 60, 200)).save(path / f"{k}.png")
    if texts:
        lines = "".join(f'{k}.png,"a blue picture, number {k}"\n' for k in range(n))
        (path / "metadata.csv").write_text("file_name,text\n" + lines)
    return path


def test_somebody_s_own_folder_runs_through(tmp_path):
    spec = WordsToPictures(**{**SMALL, "source": str(own_folder(tmp_path / "mine", 8))})
    line, _ = pipeline(spec, tmp_path / "out", "cpu")
    list(line.run("vqvae"))
    pixels = {name: np.load(line.place("pictures") / f"{name}.npy") for name in ("train", "test")}
    assert len(pixels["train"]) + len(pixels["test"]) == 8 and len(pixels["test"]) >= 1
    assert {tuple(p[5, 5]) for x in pixels.values() for p in x} == {(20 * k, 60, 200) for k in range(8)}
    Image.new("RGB", (64, 64), "red").save(tmp_path / "mine" / "3.png")
    again, _ = pipeline(spec, tmp_path / "out", "cpu")
    assert states(again)["pictures"] == "stale", "another picture is another source"


@pytest.mark.parametrize(("make", "words"), [
    (lambda path: path.mkdir(), "is empty; put a list there"),
    (lambda path: own_folder(path, 1), "split: 1 picture cannot make the 2 parts train, test; give at least 2"),
    (lambda path: own_folder(path, 3, texts=False), "has 3 files and none of metadata.csv"),
    (lambda path: [f.unlink() for f in own_folder(path, 3).glob("*.png")], "3 of its 3 pictures are not in"),
    (lambda path: None, "no such folder"),
])
def test_a_source_that_cannot_be_used_is_refused_before_anything_is_written(make, words, tmp_path):
    make(tmp_path / "mine")
    with pytest.raises(PairsError, match=words):
        pipeline(WordsToPictures(source=str(tmp_path / "mine")), tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()


def test_a_list_without_a_match_teaches_nothing(tmp_path):
    records = [{"id": k, "image": f"https://museum.example/{k}.jpg", "language": "en", "subtask1_label": "NO", "text": "x"}
               for k in range(3)]
    (tmp_path / "list.json").write_text(json.dumps(records))
    with pytest.raises(PairsError, match="list.json: no pair is labelled YES"):
        read_source(str(tmp_path / "list.json"))


def test_quick_is_small_within_the_same_bounds():
    small = quick()()
    assert isinstance(small, WordsToPictures) and small.pictures == 795 and WordsToPictures().pictures > small.pictures
    with pytest.raises(SpecError, match="pictures: .*greater than or equal to 8; got 1"):
        quick()(pictures=1)
    assert quick().model_fields.keys() == WordsToPictures.model_fields.keys()


def test_costs_follow_the_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    _, small = pipeline(quick()(), tmp_path)
    _, large = pipeline(WordsToPictures(), tmp_path)
    assert sum(cost.seconds for cost in small.values()) < 300, "the quick one: under five minutes on two cores"
    assert large["vqvae"].flop == pytest.approx(small["vqvae"].flop * 3000 * 32 / (140 * 16))
    assert large["pictures"].megabytes > 500
    assert str(small["vqvae"]).startswith("140 steps of 16, ") and "TFLOP, about" in str(small["vqvae"])


def test_a_store_of_other_codes_is_not_gone_on_with(folder):
    line, _ = pipeline(WordsToPictures(**SMALL), folder, "cpu")
    store = CodeStore(line.place("codes") / "codes.lmdb", model="ab" * 32)
    with pytest.raises(ValueError, match="codes of another model"):
        store.read()
    from labkit.lab import Lab

    mine = Lab(device="cpu", vqvae=str(line.place("vqvae") / "weights.safetensors")).vqvae
    assert fingerprint(mine) == CodeStore(line.place("codes") / "codes.lmdb").header.model.sha256
