import os
import signal
import threading
import time
from pathlib import Path

import distributed
import joblib
import numpy as np
import pytest
from PIL import Image

from labkit.runs.sweep import sweep
from labkit.spec import SpecError
from tests.views import support
from tests.views.support import FakeLab, Noise, make_lab


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


def runs(log):
    return [name.name.split("-") for name in sorted(log.iterdir())]


def test_a_table_of_all_cells(tmp_path, log):
    swept = sweep(Noise(log=str(log)), {"seed": [0, 1], "paper__height": [8, 12, 16]}, make_lab, tmp_path / "out")
    table = swept.table
    assert list(table.columns) == ["seed", "paper__height", "clip", "seconds", "path", "error", "skipped"]
    assert list(zip(table.seed, table.paper__height, strict=True)) == [(s, h) for s in (0, 1) for h in (8, 12, 16)]
    assert (table.error == "").all() and not table.skipped.any() and (table["clip"] == 5 / 6).all()
    for seed, height, path in zip(table.seed, table.paper__height, table.path, strict=True):
        spec = Noise(seed=seed, paper={"height": height}, log=str(log))
        assert Path(path).name.startswith(spec.digest())
        with Image.open(path) as image:
            assert np.array_equal(image, list(spec.run(None))[-1].image)


def test_finished_cells_are_not_run_again(tmp_path, log):
    first = sweep(Noise(log=str(log)), {"seed": [0, 1]}, make_lab, tmp_path / "out")
    again = sweep(Noise(log=str(log)), {"seed": [0, 1, 2]}, make_lab, tmp_path / "out")
    assert [seed for seed, *_ in runs(log)] == ["0", "1", "2"]
    assert list(again.table.skipped) == [True, True, False]
    assert again.table.drop(columns="skipped")[:2].equals(first.table.drop(columns="skipped"))


def other_lab():
    return FakeLab(sha256="b" * 64)


def test_other_models_make_other_cells(tmp_path, log):
    paths = [
        sweep(Noise(log=str(log)), {"seed": [0]}, lab, tmp_path / "out").table.path[0]
        for lab in (make_lab, other_lab, make_lab)
    ]
    assert paths[0] == paths[2] != paths[1] and len(runs(log)) == 2


def test_a_failed_cell_does_not_stop_the_others(tmp_path):
    swept = sweep(Noise(), {"mode": ["plain", "fail", "nan"], "seed": [0, 1]}, make_lab, tmp_path / "out")
    errors = dict(zip(swept.table["mode"], swept.table.error, strict=True))
    assert errors == {"plain": "", "fail": "RuntimeError: told to fail", "nan": "NonFiniteError: NaN at this step"}
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    sheet = swept.sheet()
    assert 300 < sheet.width < 400, "two columns, one for each seed"
    mended = sweep(Noise(), {"mode": ["plain"], "seed": [0, 1]}, make_lab, tmp_path / "out")
    assert mended.table.skipped.all()


def test_an_interrupt_ends_the_sweep(tmp_path, log):
    with pytest.raises(KeyboardInterrupt):
        sweep(Noise(log=str(log)), {"mode": ["plain", "interrupt"], "seed": [0, 1]}, make_lab, tmp_path / "out")
    assert len(runs(log)) == 3 and len(list((tmp_path / "out").glob("*"))) == 2


@pytest.mark.parametrize(("over", "lab", "words"), [
    ({"seed": [0, 1001]}, make_lab, "seed: .*less than or equal to 1000; got 1001"),
    ({"speed": [1]}, make_lab, "speed: Noise has no such field"),
    ({"paper__depth": [1]}, make_lab, "depth: Paper has no such field"),
    ({"seed": []}, make_lab, "over: seed has no values"),
    ({}, make_lab, "over: names no axis"),
    ({"seed": [0]}, FakeLab(), "lab: is a Lab, a table of its arguments or a function; got FakeLab"),
])  # fmt: skip
def test_mistakes_are_found_before_anything_runs(tmp_path, log, over, lab, words):
    with pytest.raises(SpecError, match=words):
        sweep(Noise(log=str(log)), over, lab, tmp_path / "out")
    assert runs(log) == []


def test_progress_is_told_cell_by_cell(tmp_path, log):
    told = []
    sweep(Noise(log=str(log)), {"mode": ["plain", "fail"]}, make_lab, tmp_path / "out", done=lambda *end: told.append(end))
    assert [(k, row["error"]) for k, row in told] == [(0, ""), (1, "RuntimeError: told to fail")]


def test_one_lab_per_process(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(support, "make_lab", lambda: made.append(1) or FakeLab())
    sweep(Noise(), {"seed": [0, 1, 2]}, support.make_lab, tmp_path / "out")
    assert len(made) == 1


def test_a_cluster_that_loses_a_worker(tmp_path, log):
    """Two worker processes; one is killed in the middle of a cell. All cells end, and none is run again later."""
    spec, over = Noise(log=str(log), wait=0.1, steps=5), {"seed": [*range(4)], "paper__height": [8, 12]}
    killed = []

    def kill_one():
        deadline = time.monotonic() + 120
        while not runs(log) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.15)  # a cell takes half a second: this is its middle
        killed.append(int(max(runs(log), key=lambda mark: int(mark[3]))[2]))
        os.kill(killed[0], signal.SIGKILL)

    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="2GiB",
        local_directory=str(tmp_path / "dask"), silence_logs=50,
    )  # fmt: skip
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        killer = threading.Thread(target=kill_one)
        killer.start()
        first = sweep(spec, over, make_lab, tmp_path / "out")
        killer.join()
        marks = runs(log)
        again = sweep(spec, over, make_lab, tmp_path / "out")
    assert killed and killed[0] != os.getpid() and (first.table.error == "").all()
    assert len({(seed, height) for seed, height, *_ in marks}) == 8
    assert len(marks) > 8, "the cell that died was begun again"
    assert str(os.getpid()) not in {pid for _, _, pid, _ in marks}, "cells run on the workers"
    assert again.table.skipped.all() and runs(log) == marks
    assert len(list((tmp_path / "out").iterdir())) == 8, "nothing half-written is left"
