"""Extraction: the same codes here, in processes and on a cluster; goes on after a kill; what is broken is listed."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import distributed
import joblib
import numpy as np
import pytest
import torch
from PIL import Image

from labkit.files import NotWritable
from labkit.lab import Lab
from labkit.latents.codes import CodeStore, Embedding, Mark, StoreError
from labkit.latents.usage import usage
from labkit.runs.extraction import embedded, extract, fingerprint
from labkit.world import render, sample_scene
from tests.runs.coders import CoderLab, Slow, TwoLevels, make_lab, other_weights

N = 24
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pixels():
    return np.stack([render(sample_scene(k)) for k in range(N)])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "codes.lmdb"


def names(n=N):
    return [f"scene-{k}" for k in range(n)]


def right(store, pixels, where=slice(None)):
    """Whether a store holds what the coder gives for these pictures, all at once."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    want = TwoLevels().encode_codes(x)
    return all(np.array_equal(a, b[where]) for a, b in zip(store.read().codes, want, strict=True))


def test_codes_are_those_of_the_model_and_the_header_says_whose(out, pixels):
    vectors = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float16)
    about = Embedding(size=4, of="caption", model=Mark(kind="clip", name="x", sha256="0" * 64))
    told = []
    made = extract(pixels, names(), out, make_lab, split="train", embeddings=vectors, embedding=about, batch=10, n_jobs=1,
                   done=lambda *way: told.append(way))
    header = made.store.header
    assert right(made.store, pixels) and made.encoded == N and made.kept == 0 and made.broken.empty
    assert [(level.height, level.width, level.n_embed) for level in header.levels] == [(8, 8, 32), (16, 16, 32)]
    assert header.model.sha256 == fingerprint(TwoLevels()) != fingerprint(TwoLevels(1)) and header.split == "train"
    assert made.store.read().ids == names() and np.array_equal(made.store.read().embeddings, vectors.astype(np.float32))
    assert told == [(10, N), (20, N), (N, N)]


def test_files_pictures_and_arrays_give_the_same(out, tmp_path, pixels):
    images = [Image.fromarray(p) for p in pixels[:4]]
    for k, image in enumerate(images):
        image.save(tmp_path / f"{k}.png")
    files = [tmp_path / f"{k}.png" for k in range(4)]
    for k, pictures in enumerate((images, files, list(pixels[:4]))):
        made = extract(pictures, names(4), tmp_path / f"{k}.lmdb", make_lab, batch=3)
        assert right(made.store, pixels[:4])


def test_processes(out, pixels, tmp_path):
    (tmp_path / "marks").mkdir()
    lab = partial(CoderLab, marks=str(tmp_path / "marks"))
    made = extract(pixels, names(), out, lab, batch=3, n_jobs=2)
    assert right(made.store, pixels)
    assert {path.name for path in (tmp_path / "marks").iterdir()} - {str(os.getpid())}, "encoded elsewhere"


def test_a_cluster_of_two_workers_by_one_line(out, pixels, tmp_path):
    (tmp_path / "marks").mkdir()
    lab = partial(CoderLab, marks=str(tmp_path / "marks"))
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                       memory_limit="2GiB", local_directory=str(tmp_path / "dask"), silence_logs=50)
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        made = extract(pixels, names(), out, lab, batch=2)
    makers = {path.name for path in (tmp_path / "marks").iterdir()} - {str(os.getpid())}
    assert right(made.store, pixels) and made.encoded == N
    assert len(makers) == 2, "each of the two workers had a lab"


def test_a_worker_with_other_weights_is_refused(out, pixels):
    with pytest.raises(StoreError, match="vqvae: a worker has weights with sha256 .*; give all the same"):
        extract(pixels, names(), out, partial(other_weights, asker=os.getpid()), batch=3, n_jobs=2)
    assert not out.exists(), "no store without a record is left"


def test_killed_in_the_middle_it_goes_on(out, pixels, tmp_path):
    log = tmp_path / "log"
    np.save(tmp_path / "pixels.npy", pixels)
    child = subprocess.Popen([sys.executable, "-m", "tests.runs.coders", tmp_path / "pixels.npy", out, log], cwd=ROOT)
    deadline = time.monotonic() + 120
    while (not log.exists() or log.read_text().count("\n") < 4) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.kill()
    child.wait()
    there = len(CodeStore(out))
    assert 6 <= there < N, "the middle"
    log.unlink()
    made = extract(pixels, names(), out, partial(Slow, str(log)), batch=2, n_jobs=1)
    assert made.kept == there and made.encoded == N - there == sum(map(int, log.read_text().split()))
    assert right(made.store, pixels) and made.store.read().ids == names()
    log.unlink()
    assert extract(pixels, names(), out, partial(Slow, str(log)), n_jobs=1).kept == N
    assert not log.exists(), "nothing is encoded twice"


def test_an_interrupt_keeps_what_was_encoded(out, pixels):
    def stop(there, of):
        if there >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(pixels, names(), out, make_lab, batch=4, n_jobs=1, done=stop)
    assert len(CodeStore(out)) == 8


def test_broken_pictures_are_left_out_and_listed(out, tmp_path, pixels):
    files = []
    for k in range(5):
        files.append(tmp_path / f"{k}.png")
        Image.fromarray(pixels[k]).save(files[-1])
    files[1].write_bytes(b"no picture")
    files[3].write_bytes(files[3].read_bytes()[:200])
    made = extract(files, names(5), out, make_lab, batch=2)
    assert made.broken["id"].tolist() == ["scene-1", "scene-3"] and "1.png: " in made.broken["reason"][0]
    assert made.store.numbers.tolist() == [0, 2, 4] and right(made.store, pixels[:5], [0, 2, 4])
    Image.fromarray(pixels[1]).save(files[1])
    assert extract(files, names(5), out, make_lab).encoded == 1, "a mended one joins the others"
    for file in files:
        file.write_bytes(b"no picture")
    for size in (64, None):
        with pytest.raises(StoreError, match="pictures: none of the 5 can be read"):
            extract(files, names(5), tmp_path / "none.lmdb", make_lab, size=size)
        assert not (tmp_path / "none.lmdb").exists()


def test_unequal_sizes(out, tmp_path, pixels):
    images = [Image.fromarray(pixels[0]), Image.fromarray(pixels[1]).resize((96, 80))]
    images[1].save(tmp_path / "b.png")
    with pytest.raises(StoreError, match=r"b.png is 96 × 80 pixels, the first 64 × 64; give size=… to bring all to one size"):
        extract([images[0], tmp_path / "b.png"], names(2), out, make_lab, size=None)
    assert not out.exists()
    crop, squash = (extract(images, names(2), tmp_path / f"{fit}.lmdb", make_lab, fit=fit).store for fit in ("crop", "squash"))
    assert not np.array_equal(crop.read([1]).codes[1], squash.read([1]).codes[1])
    wide = extract([image.resize((96, 64)) for image in images], names(2), out, make_lab, size=None).store
    assert [codes.shape for codes in wide.read().codes] == [(2, 8, 12), (2, 16, 24)]


def test_what_cannot_be_gone_on_with(out, pixels):
    extract(pixels[:4], names(4), out, make_lab)
    with pytest.raises(StoreError, match="record 0 is 'scene-0', now it would be 'scene-1'; give another path"):
        extract(pixels[1:5], names()[1:5], out, make_lab)
    with pytest.raises(StoreError, match="record 2 is 'scene-2', now it would be none"):
        extract(pixels[:2], names(2), out, make_lab)
    with pytest.raises(StoreError, match="codes of another model: vqvae small"):
        extract(pixels[:4], names(4), out, partial(CoderLab, 1))
    with pytest.raises(StoreError, match="transform: the store has .*'crop'.*, now it would be .*'squash'"):
        extract(pixels[:4], names(4), out, make_lab, fit="squash")
    with pytest.raises(StoreError, match="levels: the store has "):
        extract(pixels[:4], names(4), out, make_lab, size=32)
    assert len(CodeStore(out)) == 4


@pytest.mark.parametrize(("change", "words"), [
    ({"pictures": []}, "pictures: there is none"),
    ({"ids": ["a"]}, "ids: 2 pictures need as many; got 1"),
    ({"ids": ["a", "a"]}, "ids: 'a' comes twice"),
    ({"ids": ["a", "b" * 1001]}, "is no text of at most 1,000 bytes"),
    ({"pictures": np.zeros((2, 8, 8, 3))}, r"pictures: float64 \(2, 8, 8, 3\) must be uint8"),
    ({"size": 0}, "size: must be 1 to 4096"),
    ({"fit": "pad"}, "fit: must be one of crop, squash"),
    ({"embeddings": np.zeros((2, 3))}, "give them and what they are"),
])
def test_mistakes_are_told_before_anything_is_made(out, change, words):
    with pytest.raises(StoreError, match=words):
        extract(**({"pictures": np.zeros((2, 64, 64, 3), np.uint8), "ids": ["a", "b"], "out": out, "lab": make_lab} | change))
    assert not out.exists()


def test_a_place_that_cannot_be_written(tmp_path, pixels):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotWritable, match="a file, not a folder"):
        extract(pixels, names(), tmp_path / "file" / "codes.lmdb", make_lab)


def test_a_one_level_model_and_embeddings_of_captions(out, pixels):
    """The pocket VQGAN and the pocket CLIP, as they are."""
    lab = Lab(device="cpu")
    vectors, about = embedded(["a red apple", "a ship"], lab, "clip")
    assert vectors.shape == (2, about.size) and about.model.sha256 == lab.clip.sha256
    made = extract(pixels[:2], names(2), out, lab, "vqgan", embeddings=vectors, embedding=about, n_jobs=1)
    x = torch.from_numpy(pixels[:2]).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert np.array_equal(made.store.read().codes[0], lab.vqgan.encode(x)[1])
    assert CodeStore(out, model=lab.vqgan.sha256).header.levels[0].n_embed == lab.vqgan.n_embed
    with pytest.raises(StoreError, match="vqgan: embeds no texts"):
        embedded(["a"], lab, "vqgan")
    with pytest.raises(StoreError, match="texts: that of record 1 is empty"):
        embedded(["a", " "], lab, "clip")
    del lab


def test_usage_of_codes_that_are_known(out):
    """K codes used equally often have perplexity K; one code alone has 1."""
    from labkit.latents.codes import Header, Level, Rows

    levels = (Level(height=1, width=2, n_embed=4), Level(height=2, width=4, n_embed=16))
    head = Header(levels=levels, model=Mark(kind="vqvae", name="", sha256="1" * 64), transform={})
    store = CodeStore.create(out, head)
    top, bottom = np.full((4, 1, 2), 3), np.arange(32).reshape(4, 2, 4) % 8
    store.put(range(4), Rows(list("abcd"), (top, bottom)))
    table = usage(store)
    assert table["used"].tolist() == [1, 8] and table["dead"].tolist() == [3, 8]
    assert np.allclose(table["perplexity"], [1, 8]) and np.allclose(table["bits"], [0, 3])
