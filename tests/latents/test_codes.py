"""The code store: what is written is read, by whom, in which order; what is refused; what a kill and a full disk leave."""

import json
import multiprocessing
import os
import pickle
import random
import resource
import signal
import struct
import threading
import time

import numpy as np
import pytest

from labkit.files import NotWritable
from labkit.latents import environment
from labkit.latents.codes import CodeStore, Level, Rows, StoreError
from labkit.latents.dataset import CodeDataset, shuffled
from tests.latents.stores import OTHER, SHA, header, rows, same


@pytest.fixture
def path(tmp_path):
    return tmp_path / "codes.lmdb"


def filled(path, n=20, dtype="float16"):
    store = CodeStore.create(path, header(dtype))
    store.put(range(n), rows(range(n), dtype))
    return store


@pytest.mark.parametrize("dtype", ["float16", "float32", None])
def test_what_is_written_is_read(path, dtype):
    filled(path, 20, dtype)
    store = CodeStore(path, model=SHA)
    assert len(store) == 20 and store.header == header(dtype)
    assert same(store.read(), rows(range(20), dtype))
    assert same(store.read([7, 3, 3]), rows([7, 3, 3], dtype)), "in the order that was asked for"
    assert store.read([0]).codes[1].dtype == np.uint16 and len(store.read([])) == 0
    with pytest.raises(IndexError):
        store.read([20])


def test_a_row_is_what_the_format_says(path):
    """Byte by byte: another program could read it."""
    filled(path, 3, "float32")
    with environment.Environment(path).reading() as t:
        raw = t.get(struct.pack(">Q", 2))
        about = json.loads(t.get(b"header"))
    want = rows([2], "float32")
    codes = b"".join(codes.astype("<u2").tobytes() for codes in want.codes)
    assert raw[4:] == codes + want.embeddings.astype("<f4").tobytes() + b"rec-2"
    assert about["schema"] == 1 and about["model"]["sha256"] == SHA
    assert [level["n_embed"] for level in about["levels"]] == [512, 512]


def test_records_are_in_the_order_of_their_numbers_whoever_wrote_first(path):
    store = CodeStore.create(path, header())
    numbers = [1000, 2, 300, 70_000, 255, 256, 0]
    for number in numbers:
        store.put([number], rows([number]))
    assert store.numbers.tolist() == sorted(numbers) and CodeStore(path).read().ids == [f"rec-{k}" for k in sorted(numbers)]


def test_a_batch_is_there_as_a_whole_or_not_at_all(path):
    store = filled(path, 4)
    bad = rows([4, 5])
    bad.codes[1][1, 0, 0] = 600
    for numbers, wrong, words in [
        ([4, 5], bad, "level 1 must hold whole numbers from 0 to 511; got uint16 .* 600"),
        ([4, 4], rows([4, 5]), "2 records need as many different numbers"),
        ([4], rows([4, 5]), "2 records need as many"),
        ([4], Rows(["a"], rows([4]).codes[::-1], rows([4]).embeddings), "must be .*, as the header says"),
        ([4], Rows(["a"], rows([4]).codes, None), r"embeddings: shape None must be \(1, 5\)"),
        ([4], Rows(["a"], rows([4]).codes, np.full((1, 5), np.nan, np.float32)), "hold NaN"),
        ([4], Rows(["a"], rows([4]).codes, np.full((1, 5), 1e6, np.float32)), "what float16 cannot"),
    ]:
        with pytest.raises(StoreError, match=words):
            store.put(numbers, wrong)
    assert len(CodeStore(path)) == 4


def test_codes_up_to_the_last_of_65536(path):
    store = CodeStore.create(path, header(None, k=65536))
    top = Rows(["a"], (np.full((1, 2, 3), 65535, np.uint16), np.zeros((1, 4, 6), np.uint16)))
    store.put([0], top)
    assert CodeStore(path).read().codes[0].max() == 65535
    with pytest.raises(Exception, match="n_embed: .*65536; got 65537"):
        Level(height=1, width=1, n_embed=65537)


def test_the_map_grows(path, monkeypatch):
    monkeypatch.setattr(environment, "SMALLEST", 64 * 1024)
    store = CodeStore.create(path, header())
    watcher = CodeStore(path)
    assert len(watcher) == 0
    for start in range(0, 4000, 1000):
        store.put(range(start, start + 1000), rows(range(start, start + 1000)))
    assert path.stat().st_size > 5 * 64 * 1024
    assert same(CodeStore(path).read([0, 3999]), rows([0, 3999]))


def reads(path, before, go, found):
    store = CodeStore(path)
    before.put(len(store))
    go.wait(30)
    found.put(same(CodeStore(path).read(), rows(range(3000))))


def test_a_reader_follows_a_map_that_another_process_has_grown(path, monkeypatch):
    monkeypatch.setattr(environment, "SMALLEST", 64 * 1024)
    filled(path, 10)
    context = multiprocessing.get_context("fork")
    before, go, found = context.Queue(), context.Event(), context.Queue()
    child = context.Process(target=reads, args=(path, before, go, found))
    child.start()
    assert before.get(timeout=30) == 10
    CodeStore.create(path, header()).put(range(10, 3000), rows(range(10, 3000)))
    go.set()
    assert found.get(timeout=30)
    child.join()


def test_a_store_goes_to_workers_by_its_path(path):
    store = filled(path)
    assert len(pickle.dumps(store)) < 500, "neither rows nor a handle"
    assert same(pickle.loads(pickle.dumps(store)).read(), rows(range(20)))


def test_threads_read_while_one_writes(path):
    store, wrong = filled(path, 50), []

    def look():
        for k in range(60):
            if not same(CodeStore(path).read([k % 50]), rows([k % 50])):
                wrong.append(k)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for k in range(50, 80):
        store.put([k], rows([k]))
    for thread in threads:
        thread.join()
    assert not wrong and len(CodeStore(path)) == 80


def test_codes_of_another_model_are_refused(path):
    filled(path)
    with pytest.raises(StoreError, match=rf"codes.lmdb: codes of another model: vqvae pocket with sha256 {SHA[:12]}…, not "
                                         rf"{OTHER[:12]}…; extract them again"):
        CodeStore(path, model=OTHER).read()
    with pytest.raises(StoreError, match="codes of another model"):
        CodeStore.create(path, header(sha256=OTHER))
    with pytest.raises(StoreError, match="split: the store has train, now it would be val; give another path"):
        CodeStore.create(path, header(split="val"))
    assert len(CodeStore.create(path, header())) == 20, "of the same one it is gone on with"


def rewrite(path, change):
    """The header as another program would have written it."""
    env = environment.Environment(path)
    with env.reading() as transaction:
        about = json.loads(transaction.get(b"header"))
    env.write([(b"header", change(about))])


@pytest.mark.parametrize(("change", "words"), [
    (lambda about: json.dumps(about | {"schema": 2, "news": 1}).encode(), "its schema is 2, this labkit reads up to 1; update"),
    (lambda about: json.dumps(about | {"schema": "x"}).encode(), "its schema is x, this"),
    (lambda about: b"\x80\x04pickle", "its header is no JSON with a schema"),
    (lambda about: b"[1]", "its header is no JSON with a schema"),
    (lambda about: json.dumps(about | {"levels": []}).encode(), "its header does not say what is in it .*levels"),
])
def test_headers_that_are_refused(path, change, words):
    filled(path)
    rewrite(path, change)
    with pytest.raises(StoreError, match=f"codes.lmdb: {words}"):
        len(CodeStore(path))


def test_files_that_are_no_store(tmp_path, path):
    for content in (b"", b"no database", os.urandom(20_000)):
        path.write_bytes(content)
        with pytest.raises(StoreError, match="codes.lmdb: (is no code store|has no header)"):
            len(CodeStore(path))
        path.with_name("codes.lmdb-lock").unlink(missing_ok=True)
    path.unlink()
    with pytest.raises(StoreError, match="no such file"):
        len(CodeStore(path))
    with pytest.raises(StoreError, match="is a folder; give the file in it"):
        len(CodeStore(tmp_path))
    assert not list(tmp_path.iterdir()), "looking leaves nothing behind"
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotWritable, match="a file, not a folder"):
        CodeStore.create(tmp_path / "file" / "codes.lmdb", header())


def test_a_damaged_record_is_found(path):
    filled(path)
    env = environment.Environment(path)
    key = struct.pack(">Q", 3)
    with env.reading() as transaction:
        raw = bytearray(transaction.get(key))
    raw[10] ^= 1
    env.write([(key, bytes(raw))])
    assert same(CodeStore(path).read([2, 4]), rows([2, 4]))
    with pytest.raises(StoreError, match="record 3 is damaged; extract the codes again"):
        CodeStore(path).read()


def test_a_store_made_anew_at_the_same_place(path):
    old = filled(path)
    path.unlink()
    new = CodeStore.create(path, header(sha256=OTHER))
    new.put([0], rows([0]))
    assert len(CodeStore(path, model=OTHER)) == 1
    del old


@pytest.fixture
def small_disk():
    """No file may become larger: what a full disk does, at the same place."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_keeps_what_was_committed(path, small_disk):
    store = filled(path, 100)
    small_disk(path.stat().st_size + 4096)
    with pytest.raises(StoreError, match="codes.lmdb: the disk is full, or .*; make room and run it again: what was "
                                         "committed is kept"):
        store.put(range(100, 3000), rows(range(100, 3000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
    assert same(CodeStore(path).read(), rows(range(100)))
    store.put([100], rows([100]))
    assert len(store) == 101


def test_a_disk_that_is_full_from_the_start_is_left_as_it_was(path, small_disk):
    small_disk(6000)
    with pytest.raises((StoreError, NotWritable), match="full|large"):
        CodeStore.create(path, header())
    assert not list(path.parent.iterdir())


BATCH = 40


def writes(path, told):
    """In a child: batches without end, each told of once it is committed."""
    store = CodeStore.create(path, header())
    k = len(store) // BATCH
    while True:
        numbers = range(k * BATCH, (k + 1) * BATCH)
        store.put(numbers, rows(numbers))
        os.write(told, f"{k}\n".encode())
        k += 1


def kill_while_writing(path, times, seed):
    """Kill a writer at random, again and again: after each time the store is looked at."""
    rng, told = random.Random(seed), -1
    for _ in range(times):
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(out)
            try:
                writes(path, into)
            finally:
                os._exit(1)
        os.close(into)
        with os.fdopen(out, "rb") as lines:
            first = lines.readline()
            assert first, "the writer ended by itself"
            time.sleep(rng.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told = max([told, int(first), *(int(line) for line in lines.read().split(b"\n") if line)])
        store = CodeStore(path, model=SHA)
        n = len(store)
        assert n % BATCH == 0, "half a batch"
        assert n >= (told + 1) * BATCH, "what was committed is lost"
        assert n <= (told + 2) * BATCH and store.numbers.tolist() == list(range(n))
        assert same(store.read(range(n - BATCH, n)), rows(range(n - BATCH, n)))
    assert same(store.read(), rows(range(n)))
    store.put([n], rows([n]))
    return n


def test_killed_at_random_nothing_committed_is_lost(path):
    assert kill_while_writing(path, 5, seed=1) >= 5 * BATCH


@pytest.mark.soak
def test_killed_fifty_times(path):
    assert kill_while_writing(path, 50, seed=2) >= 50 * BATCH


def test_killed_before_there_is_a_header(path):
    """A file with LMDB's first pages only: it is begun anew."""
    env = environment.Environment(path)
    env.create()
    with pytest.raises(StoreError, match="has no header: .*cut before the first record"):
        len(CodeStore(path))
    CodeStore.create(path, header()).put([0], rows([0]))
    assert len(CodeStore(path)) == 1


class TestDataset:
    def test_items_and_batches(self, path):
        data = CodeDataset(filled(path))
        (top, bottom), vector = data[3]
        want = rows([3])
        assert top.shape == (2, 3) and bottom.shape == (4, 6) and str(top.dtype) == str(bottom.dtype) == "torch.int64"
        assert np.array_equal(top, want.codes[0][0]) and np.array_equal(vector, want.embeddings[0])
        (top, bottom), vectors = data.batch([5, 1])
        assert top.shape == (2, 2, 3) and np.array_equal(bottom, rows([5, 1]).codes[1]) and vectors.shape == (2, 5)

    def test_memory_and_file_give_the_same(self, path):
        store = filled(path, 20, None)
        for a, b in zip(CodeDataset(store).batch([3, 9]), CodeDataset(store, in_memory=True).batch([3, 9]), strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        assert CodeDataset(store)[0][1].shape == (0,)

    def test_an_epoch_has_every_record_once_and_the_seed_decides_the_order(self, path):
        import torch

        data = CodeDataset(filled(path))

        def epoch(seed, **how):
            return [tuple(int(v) for v in codes[0][:, 0, 0]) for codes, _ in
                    shuffled(data, 6, torch.Generator().manual_seed(seed), **how)]

        firsts = sorted(int(v) for v in data.batch(range(20))[0][0][:, 0, 0])
        assert [len(b) for b in epoch(1)] == [6, 6, 6, 2] and [len(b) for b in epoch(1, drop_last=True)] == [6, 6, 6]
        assert sorted(v for b in epoch(1) for v in b) == firsts
        assert epoch(1) == epoch(1) != epoch(2)
        with pytest.raises(ValueError, match="batch: 0 must be at least 1"):
            shuffled(data, 0, torch.Generator())
        with pytest.raises(ValueError, match="batch: 21 must be at least 1 and at most 20"):
            shuffled(data, 21, torch.Generator(), drop_last=True)

    @pytest.mark.parametrize("context", ["fork", "spawn"])
    def test_workers_of_a_loader_open_it_for_themselves(self, path, context):
        from torch.utils.data import DataLoader

        data = CodeDataset(filled(path))
        data[0]  # open here already
        loader = DataLoader(data, 5, num_workers=1, multiprocessing_context=context)
        codes = np.concatenate([codes[1] for codes, _ in loader])
        assert np.array_equal(codes, rows(range(20)).codes[1])
        data[0]

    def test_an_empty_store(self, path):
        with pytest.raises(StoreError, match="codes.lmdb: holds no record; extract some codes"):
            CodeDataset(CodeStore.create(path, header()))
